"""Synthetic network outputs for benchmarks of grouping."""

import numpy as np
import torch
from torch import Tensor

from manypose.poses.skeleton import Skeleton

__all__ = ["examples"]


def examples(skeleton: Skeleton, people: int, size: int, seed: int, tags: int = 2) -> dict[str, Tensor]:
    """``heat`` (1, k, size, size) and ``tag`` (1, k, size, size, tags) of people on a grid, as of a good network.

    Peaks are 0.25 … 1 high with a deviation of 2 cells at size 128, growing with `size` if people have room; 15 % of the joints are
    missing, but never a person's first; background noise is up to 0.04. Tags of two people differ by at least 2, with deviations of 0.2
    within a person and 0.05 per cell; the background's tags are random.

    Args:
        skeleton: of the maps.
        people: number of people.
        size: side of the maps, in cells; also of the network's input.
        seed: random seed.
        tags: tag dimensions: 2 as with flipping.
    """
    random = np.random.default_rng([seed, people, size])
    k, columns = len(skeleton), max(1, int(np.ceil(np.sqrt(people))))
    rows = max(1, -(-people // columns))
    cell = np.array([size / columns, size / rows])
    sigma = min(2 * size / 128, *(cell / 12))
    reach = 2 * people + 2.0
    heat = random.uniform(0, 0.04, (k, size, size)).astype(np.float32)
    tag = random.uniform(-reach / 2, reach / 2, (k, size, size, tags)).astype(np.float32)
    body = random.uniform(0.1, 0.9, (k, 2))  # the joints' places in a person's cell of the grid
    names = 2.0 * (random.permutation(people) - (people - 1) / 2)
    for person in range(people):
        corner = np.array([person % columns, person // columns]) * cell
        for joint, place in enumerate(body + random.uniform(-0.03, 0.03, (k, 2))):
            if joint and random.random() < 0.15:
                continue
            _paint(heat[joint], tag[joint], corner + place * cell, sigma, names[person], random)
    return {"heat": torch.from_numpy(heat)[None], "tag": torch.from_numpy(tag)[None]}


def _paint(heat: np.ndarray, tag: np.ndarray, xy: np.ndarray, sigma: float, name: float, random: np.random.Generator) -> None:
    """One joint: a Gaussian of a random height and, under it, its person's tag."""
    (x0, y0), (x1, y1) = np.maximum(np.floor(xy - 3 * sigma), 0).astype(int), np.ceil(xy + 3 * sigma).astype(int) + 1
    part, tags = heat[y0:y1, x0:x1], tag[y0:y1, x0:x1]
    y, x = np.mgrid[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]]
    bell = random.uniform(0.25, 1) * np.exp(-((x - xy[0]) ** 2 + (y - xy[1]) ** 2) / (2 * sigma**2))
    over = bell > part
    part[over] = bell[over]
    tags[over] = name + random.uniform(-0.2, 0.2, tags.shape[2]) + random.uniform(-0.05, 0.05, (int(over.sum()), tags.shape[2]))
