"""COCO keypoint results and annotation files."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from manypose.poses.arrays import People, PoseArrays, in_skeleton, result_boxes
from manypose.poses.formats.triples import from_triples, px, reading, score, triples
from manypose.poses.skeleton import COCO, Skeleton

__all__ = ["coco_annotations", "from_coco", "from_coco_annotations", "to_coco"]

# ── results: one list for a data set ──


def to_coco(poses: People, image_id: int | str, category_id: int = 1) -> list[dict[str, Any]]:
    """The entries of one image in a COCO keypoint results file, one per person.

    Each has ``image_id``, ``category_id``, ``keypoints`` (x, y, score of each joint), ``score``, ``bbox`` (xywh; the detector's box if
    known) and, for tracked people, ``track_id``.
    """
    out = []
    for i, (flat, (x0, y0, x1, y1)) in enumerate(zip(triples(poses), result_boxes(poses), strict=True)):
        row: dict[str, Any] = {"image_id": image_id, "category_id": category_id, "keypoints": flat, "score": score(poses.scores[i])}
        row["bbox"] = [px(x0), px(y0), px(x1 - x0), px(y1 - y0)]
        if poses.ids is not None:
            row["track_id"] = int(poses.ids[i])
        out.append(row)
    return out


@reading("a COCO results list")
def from_coco(results: Iterable[Any], skeleton: Skeleton = COCO) -> dict[Any, PoseArrays]:
    """The people of each image id of a COCO results list, in the list's order.

    Raises:
        ValueError: an entry lacks a key or has the joints of another skeleton; the message gives its index.
    """
    images: dict[Any, list[tuple[int, Mapping[str, Any]]]] = {}
    if isinstance(results, (str, Mapping)):
        raise ValueError("a COCO results file is a list of people")
    for i, row in enumerate(results):
        if not isinstance(row, Mapping) or not {"image_id", "keypoints", "score"} <= row.keys():
            raise ValueError(f"result {i}: needs image_id, keypoints and score")
        if not isinstance(row["image_id"], (int, float, str)):
            raise ValueError(f"result {i}: its image_id is a number or a text, got {str(row['image_id'])[:40]}")
        images.setdefault(row["image_id"], []).append((i, row))
    return {image: _people(rows, skeleton, "result") for image, rows in images.items()}


def _people(rows: Sequence[tuple[Any, Mapping[str, Any]]], skeleton: Skeleton, what: str) -> PoseArrays:
    name: Any = "list"
    try:
        for name, row in rows:  # one by one, for the number in the message
            from_triples(skeleton, [row["keypoints"]], [row.get("score", 1.0)], f"{what} {name}", **_more([row]))
        keypoints, scores = [row["keypoints"] for _, row in rows], [row.get("score", 1.0) for _, row in rows]
        return from_triples(skeleton, keypoints, scores, what, **_more([row for _, row in rows]))
    except (TypeError, OverflowError) as e:
        raise ValueError(f"{what} {str(name)[:40]}: not numbers where numbers belong ({str(e)[:80]})") from None


def _more(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Boxes and track ids, if every row has them."""
    boxes, ids = ([row.get(key) for row in rows] for key in ("bbox", "track_id"))
    more: dict[str, Any] = {}
    if rows and None not in boxes:
        xywh = np.array(boxes, np.float32)
        if xywh.ndim != 2 or xywh.shape[1] != 4:
            raise TypeError("bbox is 4 numbers")
        more["boxes"] = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1)
    if rows and None not in ids:
        more["ids"] = np.array(ids, np.int64)
    return more


# ── annotations ──


def coco_annotations(images: Iterable[tuple[str, tuple[int, int], People]], skeleton: Skeleton) -> dict[str, Any]:
    """The content of a COCO annotation file from file names, sizes (h, w) and people; found joints get visibility 2.

    ``area`` is the area of the box. ``score`` and ``track_id`` are added to each annotation; other readers ignore them.
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
        for row in to_coco(_with_joints(poses, skeleton), number):
            flat = row["keypoints"]
            flat[2::3] = [2 if s > 0 else 0 for s in flat[2::3]]
            more = {"id": len(annotations) + 1, "num_keypoints": sum(s > 0 for s in flat[2::3]), "iscrowd": 0}
            annotations.append({**row, **more, "area": px(row["bbox"][2] * row["bbox"][3])})
    return {"images": listed, "annotations": annotations, "categories": [category]}


def _with_joints(people: People, skeleton: Skeleton) -> People:
    if people.skeleton == skeleton:
        return people
    keypoints, scores = in_skeleton(people, skeleton)
    return PoseArrays(skeleton, keypoints, scores, people.scores, people.boxes, people.detections, people.ids)


@reading("a COCO annotation file")
def from_coco_annotations(content: Any, skeleton: Skeleton | None = None) -> dict[str, PoseArrays]:
    """The people of each file name of a COCO annotation file (crowds left out); labelled joints get score 1.

    Args:
        content: the parsed file.
        skeleton: default: that of the file's category.

    Raises:
        ValueError: a key is missing or has a wrong type or shape.
    """
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, Mapping) or not isinstance(content.get(key), list):
            raise ValueError(f"a COCO annotation file has a list {key!r}")
        odd = next((i for i, entry in enumerate(content[key]) if not isinstance(entry, Mapping)), None)
        if odd is not None:
            raise ValueError(f"entry {odd} of {key!r} is not an object")
    if skeleton is None:
        category = next((c for c in content["categories"] if c.get("keypoints")), None)
        if category is None:
            raise ValueError("no category with keypoints")
        skeleton = Skeleton.from_coco_category(category)
    names = _file_names(content["images"])
    rows: dict[Any, list[tuple[Any, Mapping[str, Any]]]] = {name: [] for name in names}
    for i, a in enumerate(content["annotations"]):
        called, image = a.get("id", f"#{i}"), a.get("image_id")
        if a.get("iscrowd") or "keypoints" not in a:
            continue
        if not isinstance(image, (int, float, str)) or image not in rows:
            raise ValueError(f"annotation {str(called)[:40]}: image {str(image)[:40]} is not in the file")
        flat = a["keypoints"]
        if not isinstance(flat, list) or not all(isinstance(v, (int, float)) for v in flat):
            raise ValueError(f"annotation {str(called)[:40]}: its keypoints are not a list of numbers")
        labelled = [v if i % 3 != 2 else float(v > 0) for i, v in enumerate(flat)]
        rows[image].append((called, {**a, "keypoints": labelled}))
    return {name: _people(rows[image], skeleton, "annotation") for image, name in names.items()}


def _file_names(images: Sequence[Mapping[str, Any]]) -> dict[Any, str]:
    """File names by image id; both are required and unique."""
    names: dict[Any, str] = {}
    for i, image in enumerate(images):
        number, name = image.get("id"), image.get("file_name")
        if not isinstance(number, (int, float, str)) or not isinstance(name, str):
            raise ValueError(f"image {i}: needs an id and a file_name")
        if number in names:
            raise ValueError(f"image {i}: the id {str(number)[:40]} is used twice")
        names[number] = name
    twice = next((name for name, n in Counter(names.values()).items() if n > 1), None)
    if twice is not None:
        raise ValueError(f"two images have the file name {twice!r}; names with their folders (cam1/1.jpg) keep them apart")
    return names
