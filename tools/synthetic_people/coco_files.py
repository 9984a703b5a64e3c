"""Scenes written as an ordinary COCO data set: ``images/00000000.png`` … and ``annotations.json`` with boxes, areas and masks."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Bool

from manypose.io.files import write_text
from manypose.io.photos import write as write_photo
from manypose.poses.skeleton import COCO
from synthetic_people.scene import Scene

__all__ = ["Scenes", "run_lengths", "write_coco"]

PARTS = "annotations.part.jsonl"
"""Annotations of the scenes written so far: a line with the options, then one line per scene."""


class Scenes(Protocol):
    """A source of numbered scenes."""

    def __len__(self) -> int: ...
    def scene(self, i: int) -> Scene:
        """Scene i."""
        ...


def write_coco(scenes: Scenes, out: Path, options: Mapping[str, Any]) -> int:
    """Write all scenes; an interrupted call is continued and gives the same files.

    Args:
        scenes: the scenes to write.
        out: the folder.
        options: of the scenes, stored in the file's ``info``.

    Returns:
        the number of scenes made by this call.

    Raises:
        ValueError: the folder holds scenes with other options.
        OSError: the folder cannot be written.
    """
    said, parts, whole = {k: str(v) for k, v in options.items()}, out / PARTS, out / "annotations.json"
    (out / "images").mkdir(parents=True, exist_ok=True)
    if whole.exists() and json.loads(whole.read_bytes()).get("info", {}).get("options") == said:
        return 0
    lines = parts.read_text().splitlines(keepends=True) if parts.exists() else []
    lines = [line for line in lines if line.endswith("\n")]  # the last one may have been cut short
    if whole.exists() or (lines and json.loads(lines[0]) != said):
        raise ValueError(f"{out}: holds scenes that were made with other options; name an empty folder with --out")
    lines = lines or [json.dumps(said) + "\n"]
    parts.write_text("".join(lines))
    first = len(lines) - 1
    with parts.open("a") as file:
        for i in range(first, len(scenes)):
            scene = scenes.scene(i)
            write_photo(out / "images" / _name(i), scene.sample.image)
            file.write(json.dumps(_annotations(scene)) + "\n")
            file.flush()
    described = [json.loads(line) for line in parts.read_text().splitlines()[1:]]
    write_text(whole, json.dumps(_joined(described, said), allow_nan=False))
    parts.unlink()
    return len(scenes) - first


def _name(i: int) -> str:
    return f"{i:08d}.png"


def _annotations(scene: Scene) -> dict[str, Any]:
    """One line of the parts: the picture's size and its people; people too hidden to be labelled are a crowd region."""
    sample, (h, w) = scene.sample, scene.owner.shape
    rows = [
        {
            "keypoints": np.round(joints.astype(float), 2).ravel().tolist(), "num_keypoints": int((joints[:, 2] > 0).sum()),
            "area": float(area), "iscrowd": 0, **_region(mask),
        }
        for joints, area, mask in zip(sample.keypoints, sample.areas, scene.masks, strict=True)
    ]  # fmt: skip
    if (hidden := scene.owner == -2).any():
        rows.append({"keypoints": [0] * 3 * len(COCO), "num_keypoints": 0, "area": float(hidden.sum()), "iscrowd": 1, **_region(hidden)})
    return {"height": h, "width": w, "people": rows}


def _region(mask: Bool[np.ndarray, "H W"]) -> dict[str, Any]:
    """COCO's box (xywh from the picture's edge) and run-length mask of a region."""
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    x, y = int(xs[0]), int(ys[0])
    return {
        "bbox": [x, y, int(xs[-1]) + 1 - x, int(ys[-1]) + 1 - y],
        "segmentation": {"size": list(mask.shape), "counts": run_lengths(mask)},
    }


def run_lengths(mask: Bool[np.ndarray, "H W"]) -> list[int]:
    """The lengths of the runs of 0 and 1, column by column, beginning with 0 (COCO's uncompressed form).

    >>> run_lengths(np.array([[True, False], [True, True]]))
    [0, 2, 1, 1]
    """
    flat = mask.T.ravel()
    ends = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1, [flat.size]])
    return [0] * bool(flat[0]) + np.diff(ends).tolist()


def _joined(scenes: list[dict[str, Any]], options: Mapping[str, str]) -> dict[str, Any]:
    """The annotation file of all scenes."""
    images, rows = [], []
    for i, scene in enumerate(scenes):
        images.append({"id": i, "file_name": _name(i), "height": scene["height"], "width": scene["width"]})
        rows += [{"id": len(rows) + n + 1, "image_id": i, "category_id": 1, **row} for n, row in enumerate(scene["people"])]
    limbs = [[a + 1, b + 1] for a, b in COCO.limbs]
    return {
        "info": {"description": "synthetic people", "options": dict(options)}, "images": images, "annotations": rows,
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO.joints), "skeleton": limbs}],
    }  # fmt: skip
