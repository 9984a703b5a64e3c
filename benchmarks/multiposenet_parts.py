"""Which part of a MultiPoseNet loses what (Table 3, right): keypoints and boxes from the model or from the annotations.

    python benchmarks/multiposenet_parts.py --model multiposenet-small --images DIR --annotations FILE [--flip] [--json OUT.json]

Rows: both from the model; its keypoints in the annotated boxes; annotated keypoints in its boxes; both annotated. "Annotated
boxes" are those of people with labelled joints, in network pixels; "annotated keypoints" are heat maps painted at the annotated joints.
``--chooser max`` gives each box the highest joints in it, ``--chooser prn`` (default) asks the model's PRN where it has one.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from manypose.data.photos import read_rgb
from manypose.evaluation.metrics.annotations import read_results, read_truth
from manypose.evaluation.metrics.oks_ap import oks_ap
from manypose.inference.test_time_augmentation import outputs
from manypose.inference.views import views
from manypose.methods.multiposenet import MultiPoseNet
from manypose.methods.multiposenet.decode import decode
from manypose.nn.heatmaps import gaussians
from manypose.poses.formats import to_coco
from manypose.weights.files import load

ROWS = {"model": (False, False), "annotated boxes": (False, True), "annotated keypoints": (True, False), "both annotated": (True, True)}


def measure(
    model: str,
    images: Path,
    annotations: Path,
    *,
    flip: bool = False,
    size: int | None = None,
    chooser: str = "prn",
    limit: int | None = None,
) -> dict[str, dict[str, float]]:
    """COCO's keypoint figures for each row."""
    method = load(model, device="cpu")
    if not isinstance(method, MultiPoseNet):
        raise ValueError(f"{model}: not a MultiPoseNet")
    method.eval()
    truth = read_truth(annotations, method.skeleton, images=_first(annotations, limit))
    results: dict[str, list[dict[str, Any]]] = {row: [] for row in ROWS}
    people = ~truth.ignored
    for place, (image_id, name) in enumerate(tqdm(list(zip(truth.image_ids.tolist(), truth.files, strict=True)), disable=None)):
        photo = read_rgb(images / name)
        hw = (photo.shape[0], photo.shape[1])
        warp = views(hw, size or method.size, method.stride)[0]
        with torch.inference_mode():
            read = outputs(method, [torch.from_numpy(warp.image(photo))[None]], [1.0], 0, flip=flip)
        mine = people & (truth.image == place)
        xywh = truth.boxes[mine]
        boxes = warp.boxes(np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1)).astype(np.float32)
        rows = torch.from_numpy(np.concatenate([boxes, np.ones((len(boxes), 1), np.float32)], 1))[None]
        heat = _painted(warp.joints(truth.keypoints[mine], method.skeleton.mirror), read["heat"])
        for row, (given_keypoints, given_boxes) in ROWS.items():
            options = {**method.grouping, "masks": False, **({"box_overlap": 1.0} if given_boxes else {})}
            found = decode(
                heat if given_keypoints else read["heat"],
                rows if given_boxes else read["boxes"],
                method.skeleton,
                warp.size,
                method.prn if chooser == "prn" else None,
                **options,
            )[0]
            results[row] += to_coco(warp.back(found), image_id, truth.category)
    return {
        row: oks_ap(truth, read_results([{k: v for k, v in r.items() if k != "bbox"} for r in found], truth))
        for row, found in results.items()
    }


def _first(annotations: Path, limit: int | None) -> Any:
    return "all" if limit is None else sorted(i["id"] for i in json.loads(annotations.read_text())["images"])[:limit]


def _painted(keypoints: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    """Maps of the annotated joints, as high as a good network's; the person mask as the model has it."""
    cells = torch.from_numpy((keypoints[..., :2] - 1.5) / 4).float()[None]
    drawn = torch.from_numpy(keypoints[..., 2] > 0)[None]
    if not len(keypoints):
        return torch.cat([torch.zeros_like(like[:, :-1]), like[:, -1:]], 1)
    return torch.cat([gaussians(cells, drawn, (like.shape[2], like.shape[3]), 1.5), like[:, -1:]], 1)


def main(argv: list[str] | None = None) -> dict[str, dict[str, float]]:
    """The command line; gives what it prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", required=True, help="a weights file")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--flip", action="store_true")
    parser.add_argument("--size", type=int)
    parser.add_argument("--chooser", choices=("prn", "max"), default="prn")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--json", type=Path)
    args = vars(parser.parse_args(argv))
    out = args.pop("json")
    done = measure(args.pop("model"), args.pop("images"), args.pop("annotations"), **args)
    for row, figures in done.items():
        print(f"{row:20}", "  ".join(f"{k} {v:.3f}" for k, v in figures.items()))
    if out is not None:
        out.write_text(json.dumps(done, indent=1))
    return done


if __name__ == "__main__":
    main()
