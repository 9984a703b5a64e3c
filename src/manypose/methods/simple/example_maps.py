"""Synthetic network outputs for benchmarks of decoding."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from manypose.data.sample import Batch
from manypose.methods.method import Maps
from manypose.methods.simple.corner_pooling import POINTS
from manypose.methods.simple.targets import targets
from manypose.poses.skeleton import Skeleton

__all__ = ["examples", "perfect"]


def perfect(made: Maps) -> Maps:
    """Perfect outputs for `SIMPLE.decode`, ``pose`` and ``points``, from the targets `made`."""
    b, _, h, w = made["pose"].shape
    offsets = []
    for point in POINTS:
        flat = made["pose"].new_zeros(b, 2, h * w)
        for i in range(b):
            there = made["boxed"][i]
            flat[i][:, made[f"{point}_cell"][i, there]] = made[f"{point}_offset"][i, there].T
        offsets.append(flat.unflatten(2, (h, w)))
    return {"pose": made["pose"], "points": torch.cat([made[p] for p in POINTS] + offsets, 1)}


def examples(skeleton: Skeleton, people: int, size: int, seed: int) -> dict[str, Tensor]:
    """``pose`` (1, k, h, w) and ``points`` (1, 9, h, w) at stride 4 of people on a grid who overlap with their neighbours.

    15 % of the joints are missing; pose maps have noise up to 0.04 and false peaks of 0.1 … 0.5, one for every three people; point maps
    have noise up to 0.02 and, for each person, false peaks of 0.06 … 0.3 of every kind.

    Args:
        skeleton: of the maps.
        people: number of people.
        size: side of the network's input, in pixels.
        seed: random seed.
    """
    random = np.random.default_rng([seed, people, size])
    k, columns = len(skeleton), max(1, int(np.ceil(np.sqrt(people))))
    cell = np.array([size / columns, size / max(1, -(-people // columns))])
    corner = np.stack([np.arange(people) % columns, np.arange(people) // columns], 1) * cell
    body = random.uniform(0.02, 0.98, (k, 2)) + random.normal(0, 0.05, (people, k, 2))
    xy = np.clip(corner[:, None] + body * cell * random.uniform(0.8, 1.3, (people, 1, 1)), 0, size - 1)
    batch = _batch(xy, random.uniform(size=(people, k)) >= 0.15, size)
    maps = perfect(targets(batch, (size, size)))
    maps["pose"] = maps["pose"].maximum(_noise(random, k, size // 4, 0.04, max(1, people // 3), (0.1, 0.5)))
    heat = maps["points"][:, :3].maximum(_noise(random, 3, size // 4, 0.02, people, (0.06, 0.3)))
    maps["points"] = torch.cat([heat, maps["points"][:, 3:]], 1)
    return maps


def _noise(random: np.random.Generator, planes: int, side: int, most: float, false: int, heights: tuple[float, float]) -> Tensor:
    noise = random.uniform(0, most, (planes, side, side)).astype(np.float32)
    for plane in noise:
        plane[random.integers(0, side, false), random.integers(0, side, false)] = random.uniform(*heights, false)
    return torch.from_numpy(noise)[None]


def _batch(xy: Float[np.ndarray, "n k 2"], seen: np.ndarray, size: int) -> Batch:
    """The people of one image, with boxes around all joints."""
    keypoints = np.concatenate([xy, 2.0 * seen[..., None]], 2).astype(np.float32)
    boxes = np.concatenate([xy.min(1) - 2, xy.max(1) + 2], 1).astype(np.float32)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return Batch(
        images=torch.zeros(1, size, size, 3, dtype=torch.uint8),
        keypoints=torch.from_numpy(keypoints)[None],
        boxes=torch.from_numpy(boxes)[None],
        areas=torch.from_numpy(areas)[None],
        there=torch.ones(1, len(xy), dtype=torch.bool),
        mask=torch.ones(1, 1, size, size, dtype=torch.uint8),
        segmentation=torch.full((1, size, size), 255, dtype=torch.uint8),
    )
