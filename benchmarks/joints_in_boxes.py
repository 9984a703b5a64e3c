"""How well a bottom-up network's heat maps show joints, whatever grouping makes of them.

``python benchmarks/joints_in_boxes.py --model imhn-small --images DIR --annotations FILE [--flip] [--json OUT.json]``

For every annotated person each labelled joint is taken to be where its heat map is highest within the person's box (a tenth larger on each
side). Counted are joints whose similarity exp(-d² / 2 s² k²), COCO's, is at least 0.5, and the mean similarity. Boxes come from the
annotations, so this is no measure of a system; it tells weak networks apart whose AP is still near 0.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

import manypose
from manypose.data.datasets.coco import coco
from manypose.inference.test_time_augmentation import outputs
from manypose.inference.views import views
from manypose.io.files import write_json


def highest(heat: Float[Tensor, "k h w"], boxes: Float[np.ndarray, "n 4"], stride: Float[np.ndarray, " 2"]) -> Float[np.ndarray, "n k 2"]:
    """Pixels of the highest cell of each map within each box (xyxy, pixels)."""
    k, h, w = heat.shape
    out = np.zeros((len(boxes), k, 2))
    for i, box in enumerate(boxes):
        low, high = (box[:2] + 0.5) / stride - 0.5, (box[2:] + 0.5) / stride - 0.5
        x0, y0 = np.clip(np.floor(low), 0, [w - 1, h - 1]).astype(int)
        x1, y1 = np.clip(np.ceil(high), [x0, y0], [w - 1, h - 1]).astype(int)
        flat = heat[:, y0 : y1 + 1, x0 : x1 + 1].flatten(1).argmax(1).numpy()
        cells = np.stack([x0 + flat % (x1 + 1 - x0), y0 + flat // (x1 + 1 - x0)], 1)
        out[i] = (cells + 0.5) * stride - 0.5
    return out


def measure(model: str, images: Path, annotations: Path, flip: bool = False, weights: Path | None = None) -> dict[str, Any]:
    """Shares of right joints, and mean similarity, over all labelled joints of all people."""
    method: Any = manypose.load(model, weights=weights, device="cpu", runtime="torch").method
    back = list(method.body.back) if hasattr(method, "body") else list(range(len(method.skeleton)))
    alike: list[np.ndarray] = []
    dataset = coco(images=images, annotations=annotations)
    for i in range(len(dataset)):
        sample = dataset[i]
        view = views(sample.image.shape[:2], method.size, method.stride)[0]
        photo = torch.from_numpy(np.ascontiguousarray(view.image(sample.image)))[None]
        with torch.inference_mode():
            heat = outputs(method, [photo], [1.0], 0, flip=flip)["heat"][0, back]
        people = view.joints(sample.keypoints.astype(np.float64), method.skeleton.mirror)
        joints, labelled, areas = people[..., :2], people[..., 2] > 0, sample.areas * view.scale**2
        boxes = sample.boxes.astype(np.float64) * view.scale + (view.scale - 1) / 2
        sides = boxes[:, 2:] - boxes[:, :2]
        boxes = np.concatenate([boxes[:, :2] - sides / 10, boxes[:, 2:] + sides / 10], 1)
        stride = np.array([view.size[1] / heat.shape[2], view.size[0] / heat.shape[1]])
        away2 = ((highest(heat, boxes, stride) - joints) ** 2).sum(2)
        spread = 2 * np.maximum(areas, 1)[:, None] * (2 * np.asarray(method.skeleton.sigmas)) ** 2
        alike.append(np.exp(-away2 / spread)[labelled])
    every = np.concatenate(alike)
    return {"joints": len(every), "right": round(float((every >= 0.5).mean()), 4), "similarity": round(float(every.mean()), 4)}


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """The command line; gives what it printed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", required=True, help="a model's name, or a .safetensors file")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--flip", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    out = measure(given.model, given.images, given.annotations, given.flip)
    print("  ".join(f"{k} {v}" for k, v in out.items()))
    if given.json:
        write_json(given.json, out)
    return out


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
