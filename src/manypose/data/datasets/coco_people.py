"""Checks of the people of COCO's annotations, vectorized except for unusual entries."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from manypose.data.datasets.annotation_report import Report, area_of, person, shape_of, thing_box
from manypose.data.datasets.coco_json import Category, Rows, whole_id

__all__ = ["Checked", "Row", "checked_people", "rows_of"]

Row = tuple[int, dict[str, Any]]
"""An image's id and one of its annotations."""


class Checked(NamedTuple):
    """The valid parts of an annotation.

    Args:
        box: xyxy, or None.
        joints: x, y, visibility, or None if they are invalid or the annotation is a crowd.
        shape: see `manypose.data.photos.Region`, or None.
        area: of a person in square pixels, else 0.
        crowd: whether it is a crowd region.
        area_given: whether the file has an area.
        posed: whether it is a person with a labelled joint.
    """

    box: Float[np.ndarray, "4"] | None
    joints: Float[np.ndarray, "k 3"] | None
    shape: Any
    area: float
    crowd: bool
    area_given: bool
    posed: bool


def rows_of(given: Mapping[str, Any], listed: Mapping[int, Any], category: Category, report: Report) -> Iterator[Row]:
    """The category's annotations of the listed images, in the file's order.

    An id used twice is reported; only exact repetitions are left out.
    """
    annotations: Sequence[Any] = given["annotations"]
    seen: dict[int | str, int] = {}
    every = {whole_id(i.get("id")) for i in given["images"] if isinstance(i, dict)}
    for place, a in enumerate(annotations):
        if not category.has(a):
            continue
        if not isinstance(a, dict):
            report.add("annotation", f"#{place}", "annotation is not a mapping", str(a)[:80])
            continue
        name, image_id = a.get("id"), a.get("image_id")
        image_id = image_id if type(image_id) is int else whole_id(image_id)
        if not isinstance(name, (int, str)):
            a = {**a, "id": (name := f"#{place}")}
        first = seen.setdefault(name, place)
        if first != place:
            same = annotations[first] == annotations[place]
            report.add("annotation", name, "annotation id used twice", dropped=same)
            if same:
                continue
        if image_id is None or image_id not in every:
            report.add("annotation", name, "annotation of an unknown image", f"image_id {str(a.get('image_id'))[:40]}")
        elif image_id in listed:
            yield image_id, a


def checked_people(rows: Iterable[Row], size: Callable[[int], tuple[int, int] | None], k: int, report: Report) -> dict[int, list[Checked]]:
    """Checked annotations by image id; empty for an image without a size.

    Args:
        rows: see `rows_of`.
        size: height and width by image id, or None if the image cannot be used.
        k: number of joints.
        report: the report to which problems are added.
    """
    people: dict[int, list[Checked]] = {}
    rows = iter(rows)
    while some := list(islice(rows, Rows.CHUNK)):
        sizes = [size(image_id) for image_id, _ in some]
        for image_id, _ in some:
            people.setdefault(image_id, [])
        usable = [(image_id, a, s) for (image_id, a), s in zip(some, sizes, strict=True) if s is not None]
        if usable:
            for (image_id, _, _), found in zip(usable, _chunk([a for _, a, _ in usable], [s for *_, s in usable], k, report), strict=True):
                people[image_id].append(found)
    return people


def _chunk(rows: Sequence[dict[str, Any]], sizes: Sequence[tuple[int, int]], k: int, report: Report) -> Iterator[Checked]:
    boxes, joints, good = _arrays(rows, sizes, k)
    labelled: Any = (joints[..., 2] > 0).any(1).tolist()
    shapes = _shapes(rows)
    for i, (a, size) in enumerate(zip(rows, sizes, strict=True)):
        crowd, area = bool(a.get("iscrowd")), a.get("area")
        box, own = boxes[i], joints[i]
        if not good[i]:
            box = thing_box(a, size, report)
            own = None if box is None or crowd else person(a, k, size, report)
        shape = shape_of(a, size, report) if shapes is None or shapes[i] is None else shapes[i]
        posed = box is not None and own is not None and (labelled[i] if good[i] else bool(own[:, 2].any()))
        if box is None or not posed:
            area = 0.0
        elif type(area) is not float or not 0 < area < math.inf:
            area = area_of(a, box, report)
        yield Checked(box, own, shape, area, crowd, "area" in a, posed)


def _arrays(rows: Sequence[dict[str, Any]], sizes: Sequence[tuple[int, int]], k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes and joints of annotations, and a mask of the ordinary ones."""
    empty, nowhere = [0] * (3 * k), [0] * 4
    flat = [a.get("keypoints", empty) for a in rows]
    given = [a.get("bbox") for a in rows]
    good = np.array([
        type(f) is list and len(f) == 3 * k and type(b) is list and len(b) == 4 and not a.get("iscrowd")
        for f, b, a in zip(flat, given, rows, strict=True)
    ], bool)  # fmt: skip
    try:
        joints = np.array([f if g else empty for f, g in zip(flat, good, strict=True)], np.float64).reshape(-1, k, 3)
        boxes = np.array([b if g else nowhere for b, g in zip(given, good, strict=True)], np.float64).reshape(-1, 4)
    except (TypeError, ValueError):  # text or lists among the numbers
        return np.zeros((len(rows), 4)), np.zeros((len(rows), k, 3)), np.zeros(len(rows), bool)
    h, w = np.array(sizes, np.float64).T
    x, y, v = joints[..., 0], joints[..., 1], joints[..., 2]
    within = (x >= -1) & (y >= -1) & (x <= w[:, None]) & (y <= h[:, None])
    good &= (((v == 0) | (v == 1) | (v == 2)) & (within | (v == 0)) & np.isfinite(joints).all(-1)).all(1)
    boxes[:, 2:] += boxes[:, :2]
    x0, y0, x1, y1 = boxes.T
    good &= (x0 >= -2) & (y0 >= -2) & (x1 <= w + 2) & (y1 <= h + 2) & (x1 > x0) & (y1 > y0) & (x0 < w) & (y0 < h) & (x1 > 0) & (y1 > 0)
    joints[v == 0] = 0
    return np.clip(boxes, 0, np.stack([w, h, w, h], 1)), joints, good


def _shapes(rows: Sequence[dict[str, Any]]) -> list[list[np.ndarray] | None] | None:
    """The polygons of annotations with ordinary ones, None for the others; None if a list has anything but numbers."""
    given = [a.get("segmentation") or a.get("segmentation_coco_size") for a in rows]
    lists = [s if type(s) is list and all(type(p) is list for p in s) else () for s in given]
    lengths = np.array([len(p) for s in lists for p in s], np.int64)
    try:
        flat = np.array(list(chain.from_iterable(chain.from_iterable(lists))), np.float32)
    except (TypeError, ValueError, OverflowError):
        return None
    if len(flat) != lengths.sum() or flat.ndim != 1:
        return None
    ends = np.concatenate([[0], lengths.cumsum()])
    large = np.concatenate([[0], np.cumsum(~(np.abs(flat) < 1e6))])
    fine = ((lengths % 2 == 0) & (large[ends[1:]] == large[ends[:-1]])).tolist()
    found: list[list[np.ndarray] | None] = []
    at, ends = 0, ends.tolist()
    for s in lists:
        own = range(at, at + len(s))
        found.append([flat[ends[q] : ends[q + 1]] for q in own] if s and all(fine[q] for q in own) else None)
        at += len(s)
    return found
