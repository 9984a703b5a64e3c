"""Rendering Simple Pose's targets, all people at once against one by one: ``python benchmarks/simple_pose_targets.py [--people 10]``.

One by one: for each person each of 18 joints and 30 body parts is painted on the whole map with NumPy, as Equation 1 and the text around
it have it, and the larger value kept. Together: `manypose.methods.simple_pose.targets`, on the same people. Maps of 128 × 128 for an input
of 512 × 512, one CPU thread, processor time. Both give the same maps (checked here).
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from manypose.io.files import write_json
from manypose.methods.simple_pose.body import body_of
from manypose.methods.simple_pose.targets import heat_maps, part_maps
from manypose.poses.skeleton import COCO

BODY = body_of(COCO)
GRID = (128, 128)


def one_by_one(
    people: Float[np.ndarray, "n 18 3"], grid: tuple[int, int], sigma_k: float = 9.0, sigma_p: float = 7.0, thre: float = 0.01
) -> tuple[Float[np.ndarray, "30 h w"], Float[np.ndarray, "18 h w"]]:
    """Parts and joints of painted joints, one person and one map after another."""
    y, x = np.mgrid[0 : grid[0], 0 : grid[1]] * 4 + 1.5  # where cells lie in the input
    heat, part = np.zeros((18, *grid)), np.zeros((30, *grid))
    for person in people.astype(np.float64):
        for j, (px, py, v) in enumerate(person):
            if v > 0:
                bell = np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * sigma_k**2))
                heat[j] = np.maximum(heat[j], np.where(bell > thre, bell, 0))
        for i, (a, b) in enumerate(BODY.parts):
            (ax, ay, va), (bx, by, vb) = person[a], person[b]
            if va > 0 and vb > 0 and (ax, ay) != (bx, by):
                large = (np.hypot(x - ax, y - ay) + np.hypot(x - bx, y - by)) / 2  # half axes of the ellipse through each cell
                small2 = np.maximum(large**2 - ((bx - ax) ** 2 + (by - ay) ** 2) / 4, 0)
                bell = np.exp(-small2 / (2 * sigma_p**2))
                part[i] = np.maximum(part[i], np.where(bell > thre, bell, 0))
    return part, heat


def people(n: int, seed: int = 0) -> Float[np.ndarray, "n 18 3"]:
    """People 80 to 250 pixels tall, all joints labelled."""
    random = np.random.default_rng(seed)
    middle, tall = random.uniform(80, 432, (n, 1, 2)), random.uniform(80, 250, (n, 1, 1))
    joints = middle + (BODY.place - [0, 0.6]) * tall / 2.2 + random.normal(0, 4, (n, 18, 2))
    return np.concatenate([joints, np.full((n, 18, 1), 2)], 2).astype(np.float32)


def together(joints: Float[np.ndarray, "n 18 3"]) -> tuple[Tensor, Tensor]:
    """The same maps, all at once."""
    every = torch.from_numpy(joints)[None]
    xy, drawn = every[..., :2], every[..., 2] > 0
    return part_maps(xy, drawn, BODY, GRID), heat_maps(xy, drawn, GRID)


def milliseconds(call: Callable[[], Any], repeats: int) -> float:
    """Median of the processor's time."""
    call()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append((time.process_time() - start) * 1e3)
    return float(np.median(times))


def main(argv: list[str] | None = None) -> list[dict[str, float]]:
    """The command line; gives the rows it printed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--people", type=lambda s: [int(n) for n in s.split(",")], default=[1, 10, 30], help="default: 1,10,30")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(argv)
    if min(given.people) < 1 or given.repeats < 1:
        parser.error(f"people and repeats must be 1 or more, got {given.people} and {given.repeats}")
    torch.set_num_threads(1)
    rows = []
    print("people  one by one  together  times as fast")
    for n in given.people:
        joints = people(n)
        for mine, plain in zip(together(joints), one_by_one(joints, GRID), strict=True):
            # A cell beside the threshold may fall on its other side in single precision.
            away = np.abs(mine[0].numpy() - plain)[np.abs(plain - 0.01) > 1e-4]
            if away.max() > 1e-4:
                raise SystemExit(f"the maps of {n} people differ by {away.max():.2g}")
        slow = milliseconds(lambda j=joints: one_by_one(j, GRID), max(3, given.repeats // 5))
        fast = milliseconds(lambda j=joints: together(j), given.repeats)
        rows.append({"people": n, "one_by_one_ms": round(slow, 2), "together_ms": round(fast, 3), "ratio": round(slow / fast, 1)})
        print(f"{n:6}  {slow:7.1f} ms  {fast:5.2f} ms  {slow / fast:13.1f}")
    if given.json:
        write_json(given.json, rows)
    return rows


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
