"""Annotated people and results as checked arrays from COCO-style files: the input of every metric.

Real data sets lack areas or counts, and result files name images or categories that do not exist; public tools then print 0 or -1.
Here each such fault is one error that names the file and the entry.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from manypose.data.datasets.coco_json import AREA_OF_BOX, Category, keypoint_category, read_json, whole_id
from manypose.evaluation.metrics.checks import (
    annotation_faults,
    check,
    name_of,
    namer,
    number,
    numbers,
    result_faults,
    shown,
    unique,
    whole,
)
from manypose.poses.skeleton import COCO, Skeleton

__all__ = ["Results", "Truth", "read_results", "read_truth"]


@dataclass(frozen=True)
class Truth:
    """The annotated people of a data set. Images are ordered by id, people by image and then as in the file.

    Args:
        skeleton: the k joints.
        name: the file, for messages and protocols.
        category: the id of the person category in the file.
        image_ids: the images that are evaluated.
        sizes: their heights and widths; 0 if missing in the file.
        files: their file names; empty if missing in the file.
        crowd_index: CrowdPose's measure of crowding; NaN if missing in the file.
        ids: the people's annotation ids.
        image: for each person the index of the image in `image_ids`.
        keypoints: x, y, visibility (0 not labelled, 1 hidden, 2 visible).
        boxes: xywh, as in the file.
        areas: square pixels.
        crowd: whether it is a region with many people, which any number of results may match.
        ignored: whether AP ignores it: crowds and people without a labelled joint.
        other: ids of images in the file that are not evaluated.
        partial: number of images in which some people are not annotated (``all_persons_labelled: false``).
        without_area: number of people who count and have no area in the file; it is computed from the box.
        chosen: the name of the category, if the file has several.
        estimated: number of people who count and have an estimated area (``area_source`` other than ``coco``).
    """

    skeleton: Skeleton
    name: str
    category: int
    image_ids: Int[np.ndarray, " i"]
    sizes: Int[np.ndarray, "i 2"]
    files: tuple[str, ...]
    crowd_index: Float[np.ndarray, " i"]
    ids: Int[np.ndarray, " n"]
    image: Int[np.ndarray, " n"]
    keypoints: Float[np.ndarray, "n k 3"]
    boxes: Float[np.ndarray, "n 4"]
    areas: Float[np.ndarray, " n"]
    crowd: Bool[np.ndarray, " n"]
    ignored: Bool[np.ndarray, " n"]
    other: frozenset[int] = frozenset()
    partial: int = 0
    estimated: int = 0
    without_area: int = 0
    chosen: str = ""

    @property
    def people(self) -> int:
        """Number of people that count."""
        return int((~self.ignored).sum())

    @property
    def with_people(self) -> Bool[np.ndarray, " i"]:
        """Mask of the images with at least one person that counts."""
        return np.bincount(self.image[~self.ignored], minlength=len(self.image_ids)) > 0


@dataclass(frozen=True)
class Results:
    """The results of a program, in their original order.

    Args:
        name: the file, for messages.
        image: for each person the place of the image in `Truth.image_ids`.
        keypoints: x, y, and the third number of the file.
        scores: confidence of the person.
        boxes: xywh, if every result has one.
        place: index of the result in the file.
    """

    name: str
    image: Int[np.ndarray, " m"]
    keypoints: Float[np.ndarray, "m k 3"]
    scores: Float[np.ndarray, " m"]
    boxes: Float[np.ndarray, "m 4"] | None
    place: Int[np.ndarray, " m"]

    def __len__(self) -> int:
        return len(self.scores)


def read_truth(
    source: str | Path | Mapping[str, Any],
    skeleton: Skeleton | None = None,
    area: Literal["annotated", "box"] = "annotated",
    images: Literal["all", "people"] | Sequence[int] = "all",
    category: str | None = None,
    name: str = "",
) -> Truth:
    """Annotated people from a COCO-style file.

    Args:
        source: the JSON file, or its content.
        skeleton: the people's joints; by default those of the file's category (or COCO's if it names none).
        area: the file's, or 0.53 · width · height of the box (CrowdPose), which also replaces missing areas.
        images: the images to evaluate: all, those with at least one labelled person, or those with these ids.
        category: name of the category to evaluate; by default the one with keypoints (`keypoint_category`).
        name: the file's name for messages, if `source` is its content.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is invalid; the message names the file and the first bad entry.
    """
    given, where = _load(source, "annotation")
    where = name or where
    given = {**given, "annotations": given.get("annotations", [])} if isinstance(given, Mapping) else given  # test sets have none
    if not isinstance(given, Mapping) or not all(isinstance(given.get(key), list) for key in ("images", "annotations")):
        raise ValueError(f"{where}: an annotation file is a JSON object with the lists 'images' and 'annotations'; is it a result file?")
    listed = _images(given["images"], where)
    chosen_category = keypoint_category(given, where, skeleton, category)
    skeleton = _skeleton(chosen_category, skeleton, where)
    rows = [_with_whole_ids(a) for a in chosen_category.of(given["annotations"])]
    check(rows, annotation_faults(listed, area), namer(rows, "annotation"), where)
    unique([a["id"] for a in rows], "annotation", where)
    k = len(skeleton)
    keypoints = numbers([a.get("keypoints") or [0] * 3 * k for a in rows], 3 * k, namer(rows, "annotation"), "keypoints", where)
    keypoints = keypoints.reshape(-1, k, 3)
    labelled = (keypoints[..., 2] > 0).sum(1)
    bad = ~np.isin(keypoints[..., 2], (0, 1, 2)).all(1)
    if bad.any():
        a = rows[int(bad.argmax())]
        raise ValueError(f"{where}: annotation {a['id']}: a visibility is 0, 1 or 2, got {sorted(set(a['keypoints'][2::3]))}")
    boxes = numbers([a["bbox"] for a in rows], 4, namer(rows, "annotation"), "bbox", where)
    areas = boxes[:, 3] * boxes[:, 2] * AREA_OF_BOX
    own = np.array([area == "annotated" and a.get("area") is not None for a in rows], bool)
    areas[own] = [a["area"] for a, said in zip(rows, own, strict=True) if said]
    crowd = np.array([bool(a.get("iscrowd", 0)) for a in rows], bool)
    counted = np.array([a.get("num_keypoints", n) for a, n in zip(rows, labelled, strict=True)], np.int64)
    if ((areas <= 0) & ~crowd & (counted > 0)).any():
        i = int(((areas <= 0) & ~crowd & (counted > 0)).argmax())
        raise ValueError(f"{where}: annotation {rows[i]['id']}: its area is {areas[i]:g}; OKS needs a positive area")
    all_ids = np.array(sorted(listed), np.int64)
    place = np.searchsorted(all_ids, np.array([a["image_id"] for a in rows], np.int64))
    chosen = _chosen(images, all_ids, place[(counted > 0) & ~crowd], where)
    order = np.argsort(place, kind="stable")
    order = order[chosen[place[order]]]
    kept = all_ids[chosen]
    entries = [listed[int(i)] for i in kept]
    return Truth(
        skeleton,
        where,
        _category_id(chosen_category, rows),
        kept,
        np.array([(whole_id(e.get("height")) or 0, whole_id(e.get("width")) or 0) for e in entries], np.int64).reshape(-1, 2),
        tuple(str(e.get("file_name", "")) for e in entries),
        np.array([np.nan if e.get("crowdIndex") is None else e["crowdIndex"] for e in entries], np.float64),
        np.array([a["id"] for a in rows], np.int64)[order],
        (np.cumsum(chosen) - 1)[place[order]],
        keypoints[order],
        boxes[order],
        areas[order],
        crowd[order],
        ((counted == 0) | crowd)[order],
        frozenset(int(i) for i in all_ids[~chosen]),
        sum(e.get("all_persons_labelled", True) is False for e in entries),
        sum(rows[i].get("area_source", "coco") != "coco" for i in order if counted[i] and not crowd[i]) if area == "annotated" else 0,
        int((~own & (counted > 0) & ~crowd)[order].sum()) if area == "annotated" else 0,
        chosen_category.name if chosen_category.others else "",
    )


def read_results(source: str | Path | Sequence[Any], truth: Truth, needs: Literal["keypoints", "bbox"] = "keypoints") -> Results:
    """Results from a COCO result file (a JSON list), checked against the data set; those of images that are not evaluated are left out.

    Args:
        source: the file, or what it holds.
        truth: the data set.
        needs: the required entry of each result. With ``bbox``, results of a plain detector are accepted too; their joints are zeros.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a result is invalid; the message names the file, the index of the result and its image.
    """
    given, where = _load(source, "result")
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise ValueError(f"{where}: a result file is a JSON list of people; is it an annotation file?")
    given = [_with_whole_ids(r) for r in given]
    known = set(truth.image_ids.tolist())
    label = namer(given, "result")
    check(given, result_faults(known | truth.other, truth.category, needs), label, where)
    unique([r["id"] for r in given if "id" in r], "result", where)
    keep = [i for i, r in enumerate(given) if r["image_id"] in known]
    rows = [given[i] for i in keep]
    k = len(truth.skeleton)
    blank = [0] * 3 * k if needs == "bbox" else []
    keypoints = numbers([r.get("keypoints") or blank for r in rows], 3 * k, lambda i, _: label(keep[i], rows[i]), "keypoints", where)
    # As in the COCO API, the first result decides: if it has a box, all sizes come from boxes.
    boxed = bool(rows) and bool(rows[0].get("bbox"))
    boxes = numbers([r.get("bbox") or [] for r in rows], 4, lambda i, _: label(keep[i], rows[i]), "bbox", where) if boxed else None
    image = np.searchsorted(truth.image_ids, np.array([r["image_id"] for r in rows], np.int64))
    scores = np.array([r["score"] for r in rows], np.float64)
    return Results(where, image, keypoints.reshape(-1, k, 3), scores, boxes, np.array(keep, np.int64))


def _load(source: Any, kind: str) -> tuple[Any, str]:
    return (read_json(source, kind), str(source)) if isinstance(source, (str, Path)) else (source, f"{kind}s")


def _with_whole_ids(entry: Any) -> Any:
    """The entry with its ids converted to whole numbers where possible."""
    if not isinstance(entry, Mapping):
        return entry
    return {**entry, **{key: n for key in ("id", "image_id", "category_id") if (n := whole_id(entry.get(key))) is not None}}


def _images(entries: Sequence[Any], where: str) -> dict[int, Mapping]:
    entries = [_with_whole_ids(e) for e in entries]

    def fault(e: Any) -> str | None:
        if not isinstance(e, Mapping) or e.get("id") is None:
            return "an image needs an 'id'"
        if not whole(e["id"]):
            return f"its id is {shown(e['id'])}; ids are whole numbers below 2^63"
        odd = [key for key in ("height", "width") if e.get(key) is not None and whole_id(e[key]) is None]
        if odd:
            return f"its {odd[0]} is {shown(e[odd[0]])}; it is a whole number"
        index = e.get("crowdIndex")
        return None if index is None or number(index) else f"its crowdIndex is {shown(index)}; it is a number"

    check(entries, fault, lambda i, e: f"image {name_of(e, i)}", where)
    unique([e["id"] for e in entries], "image", where)
    if not entries:
        raise ValueError(f"{where}: the list 'images' is empty")
    return {e["id"]: e for e in entries}


def _skeleton(category: Category, skeleton: Skeleton | None, where: str) -> Skeleton:
    """The joints: the requested ones if the file agrees; else the file's, else COCO's."""
    if skeleton is None:
        return Skeleton.from_coco_category(category.entry, where=where) if category.joints else COCO
    if category.joints and len(category.joints) != len(skeleton):
        raise ValueError(f"{where}: its people have {len(category.joints)} joints, but skeleton {skeleton.name!r} has {len(skeleton)}")
    return skeleton


def _category_id(category: Category, rows: Sequence[Mapping]) -> int:
    """The category's id; in a file without categories, the id that its annotations name, else 1."""
    said = {a["category_id"] for a in rows if whole(a.get("category_id"))}
    return category.id if category.id is not None else said.pop() if len(said) == 1 else 1


def _chosen(
    images: str | Sequence[int], all_ids: Int[np.ndarray, " i"], occupied: Int[np.ndarray, " n"], where: str
) -> Bool[np.ndarray, " i"]:
    if isinstance(images, str):
        if images not in ("all", "people"):
            raise ValueError(f"images must be 'all', 'people' or a list of ids, got {images!r}")
        return np.ones(len(all_ids), bool) if images == "all" else np.isin(np.arange(len(all_ids)), occupied)
    unknown = sorted(set(images) - set(all_ids.tolist()))
    if unknown:
        raise ValueError(f"{where}: has no image with id {unknown[0]}")
    return np.isin(all_ids, np.asarray(images, np.int64))
