"""Small annotated scenes for the grouping CNN's tests."""

import numpy as np
from tiny_people import random_people

from manypose.data.datasets.coco import AnnotatedImage
from manypose.methods.simple.grouping import GroupingCNN
from manypose.methods.simple.training_maps import Rendering

PLAIN = Rendering(short=160, zoom=(1, 1), sigma=(2, 2), flip=0, jitter=0, spoiled=0)


def cnn() -> GroupingCNN:
    return GroupingCNN(size=(32, 32), widths=(8, 8, 8, 8))


def scene(seed: int, n: int = 3, size: tuple[int, int] = (160, 200)) -> AnnotatedImage:
    keypoints = random_people(seed, n, size)
    keypoints[..., 2] = np.where(keypoints[..., 2] > 0, 2, 0)
    keypoints[:, 0, 2] = 2
    there = keypoints[..., 2:] > 0
    low = np.where(there, keypoints[..., :2], np.inf).min(1)
    high = np.where(there, keypoints[..., :2], -np.inf).max(1)
    boxes = np.concatenate([low, np.maximum(high, low + 12)], 1).astype(np.float32)
    return AnnotatedImage(seed, size, keypoints, boxes, np.full(n, 900.0), np.ones(n, bool))


def archive(path, images):
    ids = np.concatenate([[i.image_id] * len(i.boxes) for i in images])
    boxes = np.concatenate([i.boxes for i in images])
    np.savez(
        path, image_id=ids, keypoints=np.concatenate([i.keypoints for i in images]).astype(np.int16),
        bbox=np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1), area=np.ones(len(ids)), area_true=np.ones(len(ids), bool),
        img_id=np.array([i.image_id for i in images]), img_wh=np.array([i.size[::-1] for i in images]),
    )  # fmt: skip
    return path
