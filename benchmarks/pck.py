"""PCK of top-down models with annotated boxes: ``python benchmarks/pck.py --images DIR --annotations FILE MODEL…``.

The share of labelled joints that are found within 0.2 (and 0.1) of the square root of the person's box, of all labelled people of a file
in COCO's format, each looked at alone in the annotated box; no flip.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from manypose.data.datasets.coco import coco
from manypose.data.photos import Photos
from manypose.inference.model import load


def measure(method: Any, people: Photos, batch: int = 32) -> tuple[float, float, int]:
    """PCK at 0.2 and 0.1, and of how many joints."""
    crops, warps, truth, sides = [], [], [], []
    for i in range(len(people)):
        sample = people[i]
        for warp, keypoints, box in zip(method.people(sample.image, sample.boxes), sample.keypoints, sample.boxes, strict=True):
            crops.append(warp.image(sample.image))
            warps.append(warp)
            truth.append(keypoints)
            sides.append(np.sqrt(np.prod(box[2:] - box[:2])))
    found = []
    with torch.inference_mode():
        for i in range(0, len(crops), batch):
            images = method.prepare(torch.from_numpy(np.stack(crops[i : i + batch])))
            poses = method.decode(method.readout(method.network(images)), method.input_size)
            found += [w.back(p).keypoints[0] for w, p in zip(warps[i : i + batch], poses, strict=True)]
    joints = np.stack(truth)
    far = np.linalg.norm(np.stack(found) - joints[..., :2], axis=2) / np.array(sides)[:, None]
    far = far[joints[..., 2] > 0]
    return float((far < 0.2).mean()), float((far < 0.1).mean()), len(far)


def main(argv: list[str] | None = None) -> dict[str, tuple[float, float, int]]:
    """The command line; gives the figures by model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("models", nargs="+", help="names or .safetensors files")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--annotations", type=Path, required=True)
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    people, rows = coco(given.images, given.annotations), {}
    for name in given.models:
        rows[name] = measure(load(name, device="cpu", runtime="torch").method.eval(), people)  # pyright: ignore[reportAttributeAccessIssue]
        print(f"{name}: PCK@0.2 {rows[name][0]:.3f}  PCK@0.1 {rows[name][1]:.3f}  ({rows[name][2]} joints)", flush=True)
    return rows


if __name__ == "__main__":
    main()
