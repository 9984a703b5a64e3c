"""Synthetic network outputs for benchmarks of decoding."""

import numpy as np
import torch
from torch import Tensor

from manypose.poses.skeleton import Skeleton

__all__ = ["examples"]

STRIDE, READ = 4, 100


def examples(skeleton: Skeleton, people: int, size: int, seed: int) -> dict[str, Tensor]:
    """``heat`` (1, k + 1, size / 4, size / 4) and ``boxes`` (1, 100, 5) of people on a grid, as of a good network.

    Joints are 0.25 … 1 high with a deviation of 1.75 cells (less where people are small); 15 % are missing, though never a person's first;
    noise up to 0.04. The person mask is an ellipse in each box. Each person has four boxes that overlap, scored 0.3 … 1; neighbours' boxes
    overlap by a tenth; the rest of the hundred boxes are random, scored up to 0.04.

    Args:
        skeleton: of the maps.
        people: number of people.
        size: side of the network's input.
        seed: random seed.
    """
    random = np.random.default_rng([seed, people, size])
    k, side, columns = len(skeleton), size // STRIDE, max(1, int(np.ceil(np.sqrt(people))))
    room = np.array([side / columns, side / max(1, -(-people // columns))])
    sigma = min(1.75, *(room / 8))
    heat = random.uniform(0, 0.04, (k + 1, side, side)).astype(np.float32)
    y, x = np.mgrid[:side, :side]
    body = random.uniform(0.15, 0.85, (k, 2))
    boxes: list[np.ndarray] = []
    for person in range(people):
        corner = np.array([person % columns, person // columns]) * room
        for joint, place in enumerate(body + random.uniform(-0.03, 0.03, (k, 2))):
            if joint and random.random() < 0.15:
                continue
            at = corner + place * room
            bell = random.uniform(0.25, 1) * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * sigma**2))
            heat[joint] = np.maximum(heat[joint], bell)
        middle = corner + room / 2
        heat[-1] = np.maximum(heat[-1], (((x - middle[0]) / room[0]) ** 2 + ((y - middle[1]) / room[1]) ** 2 < 0.2).astype(np.float32))
        box = np.concatenate([corner - 0.05 * room, corner + 1.05 * room]) * STRIDE
        jitter = random.uniform(-0.05, 0.05, (4, 4)) * np.tile(room, 2) * STRIDE
        boxes += [np.append(box + j, random.uniform(0.3, 1)) for j in jitter]
    while len(boxes) < READ:
        low = random.uniform(0, size / 2, 2)
        boxes.append(np.concatenate([low, low + random.uniform(8, size / 2, 2), random.uniform(0, 0.04, 1)]))
    rows = np.stack(boxes).astype(np.float32)
    rows = rows[np.argsort(-rows[:, 4], kind="stable")]
    return {"heat": torch.from_numpy(heat)[None], "boxes": torch.from_numpy(rows)[None]}
