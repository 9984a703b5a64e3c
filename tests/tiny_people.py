"""Small batches of people for tests."""

import numpy as np
import torch

from manypose.data.sample import Batch


def batch_of(people: list[np.ndarray], size: tuple[int, int], mask: np.ndarray | None = None) -> Batch:
    """People (n, k, 3) of each image, on black images of `size`; boxes enclose the labelled joints."""
    h, w = size
    b, n, k = len(people), max(1, *(len(p) for p in people)), people[0].shape[1]
    keypoints, boxes, there = np.zeros((b, n, k, 3), np.float32), np.zeros((b, n, 4), np.float32), np.zeros((b, n), bool)
    for i, image in enumerate(people):
        keypoints[i, : len(image)] = image
        there[i, : len(image)] = True
        for j, person in enumerate(image):
            xy = person[person[:, 2] > 0, :2]
            if len(xy):
                boxes[i, j] = *xy.min(0), *xy.max(0)
    planes = np.ones((b, 1, h, w), np.uint8) if mask is None else mask
    areas = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    arrays = (np.zeros((b, h, w, 3), np.uint8), keypoints, boxes, areas, there, planes, np.full((b, h, w), 255, np.uint8))
    return Batch(*(torch.from_numpy(a) for a in arrays))


def random_people(seed: int, n: int, size: tuple[int, int], k: int = 17) -> np.ndarray:
    """People (n, k, 3) with joints anywhere in the picture, at sub-pixel places; a fifth of them not labelled."""
    rng = np.random.default_rng(seed)
    h, w = size
    xy = rng.uniform(0, 1, (n, k, 2)) * [w - 1, h - 1]
    return np.concatenate([xy, rng.choice([0.0, 1.0, 2.0], (n, k, 1), p=[0.2, 0.3, 0.5])], -1).astype(np.float32)
