"""Synthetic network outputs for benchmarks of the assembly."""

import numpy as np
import torch
from torch import Tensor

from manypose.methods.simple_pose.body import body_of
from manypose.methods.simple_pose.targets import heat_maps, part_maps
from manypose.poses.skeleton import Skeleton

__all__ = ["examples"]


def examples(skeleton: Skeleton, people: int, size: int, seed: int) -> dict[str, Tensor]:
    """``part`` (1, l, h, w) and ``heat`` (1, j, h, w), at stride 4 of people on a grid, as of a good network.

    People overlap with their neighbours. 8 % of their joints are not shown; of the rest 3 % of the joints and of the parts are missing.
    Peaks are 0.88 … 1 high, 3 % of all cells are noisy, and there are false peaks of 0.08 … 0.5, one for every three people.

    Args:
        skeleton: of the maps.
        people: number of people.
        size: side of the network's input, in pixels.
        seed: random seed.
    """
    random = np.random.default_rng([seed, people, size])
    body = body_of(skeleton)
    j, side = len(body.sources), size // 4
    rows = max(1, round(people**0.5))
    columns = -(-people // rows)
    cell = np.array([size / columns, size / rows])
    corner = np.stack([np.arange(people) % columns, np.arange(people) // columns], 1) * cell
    # Random positions for skeletons without known proportions.
    place = np.where(np.isnan(body.place), random.uniform([-0.4, -0.4], [0.4, 1.6], (j, 2)), body.place)
    tall = np.minimum(random.uniform(1.05, 1.9, people) * min(cell[1], 2.2 * cell[0]), 0.75 * size)
    middle = corner + cell * random.uniform([0.3, 0.4], [0.7, 0.6], (people, 2))
    shape = (place - [0, 0.6]) * random.choice([-1, 1], (people, 1, 1)) ** np.array([1, 0])  # from in front or from behind
    joints = middle[:, None] + (shape + random.normal(0, 0.06, (people, j, 2))) * tall[:, None, None] / 2.2
    drawn = (random.uniform(size=(people, j)) >= 0.08) & (joints >= 0).all(2) & (joints <= size - 1).all(2)
    xy, shown = torch.from_numpy(joints.astype(np.float32))[None], torch.from_numpy(drawn)[None]
    found, parts = (torch.from_numpy(random.uniform(size=(1, people, n)) >= 0.03) for n in (j, len(body.parts)))
    gain = torch.from_numpy(random.uniform(0.88, 1, (1, people, j)).astype(np.float32))
    false = max(1, people // 3)
    noise = _false_peaks(random, false, j, size, side)
    maps = {
        "part": part_maps(xy, shown, body, (side, side), keep=parts),
        "heat": heat_maps(xy, shown & found, (side, side), gain=gain).maximum(noise),
    }
    return {name: _noisy(m, random) for name, m in maps.items()}


def _false_peaks(random: np.random.Generator, count: int, joints: int, size: int, side: int) -> Tensor:
    xy = torch.from_numpy(random.uniform(0, size, (1, count, joints, 2)).astype(np.float32))
    shown = torch.from_numpy(np.arange(joints) == random.integers(0, joints, (1, count, 1)))
    height = torch.from_numpy(random.uniform(0.08, 0.5, (1, count, joints)).astype(np.float32))
    return heat_maps(xy, shown, (side, side), gain=height)


def _noisy(maps: Tensor, random: np.random.Generator) -> Tensor:
    noise = random.normal(0, 0.004, maps.shape) * (random.uniform(size=maps.shape) < 0.03)
    return (maps + torch.from_numpy(noise.astype(np.float32))).clamp(0, 1)
