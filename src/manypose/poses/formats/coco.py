"""COCO: keypoint results (one list for a whole data set) and annotations (a data set others can train on)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from manypose.poses.formats.triples import from_triples, px, score, triples
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO, Skeleton

__all__ = ["coco_annotations", "from_coco", "from_coco_annotations", "to_coco"]

# ── COCO results: one list for a whole data set ──


def to_coco(poses: Poses, image_id: int | str, category_id: int = 1) -> list[dict[str, Any]]:
    """One image's part of a COCO keypoint results file, one mapping a person.

    Each has ``image_id``, ``category_id``, ``keypoints`` (x, y, score of each joint), ``score``, ``bbox`` (xywh) and, where people are
    tracked, ``track_id``.
    """
    out = []
    for i, flat in enumerate(triples(poses)):
        x0, y0, x1, y1 = poses.boxes[i]
        row: dict[str, Any] = {"image_id": image_id, "category_id": category_id, "keypoints": flat, "score": score(poses.scores[i])}
        row["bbox"] = [px(x0), px(y0), px(x1 - x0), px(y1 - y0)]
        if poses.ids is not None:
            row["track_id"] = int(poses.ids[i])
        out.append(row)
    return out


def from_coco(results: Iterable[Any], skeleton: Skeleton = COCO) -> dict[Any, Poses]:
    """A COCO results list as Poses of each image id, people in the list's order.

    Raises:
        ValueError: an entry lacks something or has the joints of another skeleton; the message gives its number.
    """
    images: dict[Any, list[tuple[int, Mapping[str, Any]]]] = {}
    for i, row in enumerate(results):
        if not isinstance(row, Mapping) or not {"image_id", "keypoints", "score"} <= row.keys():
            raise ValueError(f"result {i}: needs image_id, keypoints and score")
        images.setdefault(row["image_id"], []).append((i, row))
    return {image: _people(rows, skeleton, "result") for image, rows in images.items()}


def _people(rows: Sequence[tuple[int, Mapping[str, Any]]], skeleton: Skeleton, what: str) -> Poses:
    try:
        for i, row in rows:
            from_triples(skeleton, [row["keypoints"]], [0.0], f"{what} {i}")  # for the number in its message
        boxes, ids = ([row.get(key) for _, row in rows] for key in ("bbox", "track_id"))
        more: dict[str, Any] = {}
        if rows and None not in boxes:
            xywh = np.array(boxes, np.float32).reshape(-1, 4)
            more["boxes"] = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1)
        if rows and None not in ids:
            more["ids"] = np.array(ids, np.int64)
        keypoints, scores = [row["keypoints"] for _, row in rows], [row.get("score", 1.0) for _, row in rows]
        return from_triples(skeleton, keypoints, scores, what, **more)
    except TypeError as e:
        raise ValueError(f"{what} {rows[0][0]}: {e}") from None


# ── COCO annotations: a data set others can train on ──


def coco_annotations(images: Iterable[tuple[str, tuple[int, int], Poses]], skeleton: Skeleton) -> dict[str, Any]:
    """A COCO annotation file's content from file names, sizes (h, w) and people; found joints get visibility 2.

    ``area`` is the box's. ``score`` and ``track_id`` are added to each annotation; readers of the format pass them over.
    """
    category = {
        "id": 1,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(skeleton.joints),
        "skeleton": [[a + 1, b + 1] for a, b in skeleton.limbs],
        "sigmas": list(skeleton.sigmas),
    }
    listed, annotations = [], []
    for number, (name, (h, w), poses) in enumerate(images, 1):
        listed.append({"id": number, "file_name": name, "height": h, "width": w})
        for row in to_coco(poses.to(skeleton) if poses.skeleton != skeleton else poses, number):
            flat = row["keypoints"]
            flat[2::3] = [2 if s > 0 else 0 for s in flat[2::3]]
            more = {"id": len(annotations) + 1, "num_keypoints": sum(s > 0 for s in flat[2::3]), "iscrowd": 0}
            annotations.append({**row, **more, "area": px(row["bbox"][2] * row["bbox"][3])})
    return {"images": listed, "annotations": annotations, "categories": [category]}


def from_coco_annotations(content: Any, skeleton: Skeleton | None = None) -> dict[str, Poses]:
    """A COCO annotation file's people of each file name (crowds left out); labelled joints get score 1.

    Args:
        content: the file's content.
        skeleton: default: what the file's own category says.

    Raises:
        ValueError: a part is missing or has the wrong shape.
    """
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, Mapping) or not isinstance(content.get(key), list):
            raise ValueError(f"a COCO annotation file has a list {key!r}")
    if skeleton is None:
        category = next((c for c in content["categories"] if c.get("keypoints")), None)
        if category is None:
            raise ValueError("no category with keypoints")
        skeleton = Skeleton.from_coco_category(category)
    rows: dict[Any, list[tuple[int, Mapping[str, Any]]]] = {image["id"]: [] for image in content["images"]}
    for a in content["annotations"]:
        if a.get("iscrowd") or "keypoints" not in a:
            continue
        if a.get("image_id") not in rows:
            raise ValueError(f"annotation {a.get('id')}: image {a.get('image_id')} is not in the file")
        flat = [v if i % 3 != 2 else float(v > 0) for i, v in enumerate(a["keypoints"])]
        rows[a["image_id"]].append((a.get("id", 0), {**a, "keypoints": flat}))
    return {image["file_name"]: _people(rows[image["id"]], skeleton, "annotation") for image in content["images"]}
