"""Checks of annotations when a data set is opened, and the report of problems by id."""

import logging
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from manypose.data.datasets.coco_json import AREA_OF_BOX, mask_fault

__all__ = ["Problem", "Report", "area_of", "finite_number", "person", "shape_of", "thing_box"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Problem:
    """One bad entry of an annotation file.

    Args:
        what: ``annotation`` or ``image``.
        id: its id in the file (or its index, as ``#12``, if it has none).
        kind: the kind of problem, a fixed phrase.
        detail: the wrong values.
        dropped: whether the entry is left out; otherwise it was corrected.
    """

    what: str
    id: int | str
    kind: str
    detail: str = ""
    dropped: bool = True


@dataclass
class Report:
    """The size of a data set and the problems of its annotations.

    Args:
        name: the file.
        images: number of usable photos.
        people: number of people with at least one labelled joint.
        regions: number of crowds and people without joints, where the loss is masked.
        problems: in the file's order.
    """

    name: str
    images: int = 0
    people: int = 0
    regions: int = 0
    problems: list[Problem] = field(default_factory=list)

    def add(self, what: str, id: int | str, kind: str, detail: str = "", dropped: bool = True) -> None:
        """Add a problem."""
        self.problems.append(Problem(what, id, kind, detail, dropped))

    @property
    def counts(self) -> dict[str, int]:
        """The number of problems of each kind."""
        return dict(Counter(p.kind for p in self.problems))

    def ids(self, kind: str) -> list[int | str]:
        """The ids of the entries with a kind of problem."""
        return [p.id for p in self.problems if p.kind == kind]

    def __str__(self) -> str:
        head = f"{self.name}: {self.images} photos, {self.people} people, {self.regions} regions masked, {len(self.problems)} problems"
        return "\n".join([head, *(f"  {self._line(kind)}" for kind in self.counts)])

    def _line(self, kind: str) -> str:
        some = [p for p in self.problems if p.kind == kind]
        shown = ", ".join(f"{p.id}" for p in some[:20]) + (f", and {len(some) - 20} more" if len(some) > 20 else "")
        done = "dropped" if some[0].dropped else "mended"
        return f"{len(some)} × {kind} ({done}): {some[0].what} {shown}" + (f"; first: {some[0].detail}" if some[0].detail else "")

    def log(self) -> "Report":
        """Log the report: a warning if there are problems."""
        log.log(logging.WARNING if self.problems else logging.INFO, "%s", self)
        return self


def numbers(values: Any) -> Float[np.ndarray, " v"] | None:
    """A flat list of numbers as an array, or None for anything else (strings, nested lists, null)."""
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        return None
    return array if array.ndim == 1 and not isinstance(values, str) else None


def thing_box(given: Mapping, size: tuple[int, int], report: Report) -> Float[np.ndarray, "4"] | None:
    """An annotation's ``bbox`` (xywh) as xyxy inside the photo; None and a reported problem if it is invalid."""
    h, w = size
    name, box = given["id"], numbers(given.get("bbox"))
    if box is None or len(box) != 4:
        return report.add("annotation", name, "box is not 4 numbers", f"bbox {str(given.get('bbox'))[:60]}")
    if not np.isfinite(box).all():
        return report.add("annotation", name, "box is not finite", f"bbox {box.tolist()}")
    if box[2] <= 0 or box[3] <= 0:
        return report.add("annotation", name, "box has no area", f"bbox {box.tolist()}")
    x0, y0, x1, y1 = box[0], box[1], box[0] + box[2], box[1] + box[3]
    if x0 >= w or y0 >= h or x1 <= 0 or y1 <= 0:
        return report.add("annotation", name, "box lies outside the photo", f"bbox {box.tolist()}, photo {w}x{h}")
    if min(x0, y0) < -2 or x1 > w + 2 or y1 > h + 2:
        report.add("annotation", name, "box reaches beyond the photo", f"bbox {box.tolist()}, photo {w}x{h}", dropped=False)
    return np.array([max(x0, 0.0), max(y0, 0.0), min(x1, float(w)), min(y1, float(h))])


def person(given: Mapping, joints: int, size: tuple[int, int], report: Report) -> Float[np.ndarray, "k 3"] | None:
    """An annotation's ``keypoints`` as x, y, visibility; None and a reported problem if they are invalid.

    A labelled joint outside the photo is reported and becomes unlabelled.
    """
    h, w = size
    name, flat = given["id"], numbers(given.get("keypoints", [0] * 3 * joints))
    if flat is None or len(flat) != 3 * joints:
        found = "no flat list" if flat is None else f"{len(flat)} numbers"
        return report.add("annotation", name, f"keypoints are not 3 x {joints} numbers", found)
    keypoints = flat.reshape(joints, 3)
    if not np.isfinite(keypoints).all():
        return report.add(
            "annotation", name, "keypoints are not finite", f"joints {np.flatnonzero(~np.isfinite(keypoints).all(1)).tolist()}"
        )
    if not np.isin(keypoints[:, 2], (0, 1, 2)).all():
        return report.add("annotation", name, "visibility is not 0, 1 or 2", f"{sorted(set(keypoints[:, 2]))}")
    x, y, there = keypoints[:, 0], keypoints[:, 1], keypoints[:, 2] > 0
    # COCO's coordinates range up to the width: a joint on the edge is valid.
    outside = there & ((x < -1) | (y < -1) | (x > w) | (y > h))
    if outside.any():
        where = f"joints {np.flatnonzero(outside).tolist()} at {keypoints[outside, :2].tolist()}, photo {w}x{h}"
        report.add("annotation", name, "keypoints outside the photo", where, dropped=False)
    keypoints[outside | ~there] = 0
    return keypoints


def finite_number(value: Any) -> float | None:
    """A number of a JSON file (integers of any length) as a float; None if it is not a finite number."""
    try:
        return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
    except OverflowError:
        return None


def area_of(a: Mapping, box: Float[np.ndarray, "4"], report: Report) -> float:
    """A person's area in square pixels: the annotation's, else `AREA_OF_BOX` of the box; a wrong one is reported."""
    area = a.get("area")
    number = finite_number(area)
    if number is not None and number > 0:
        return number
    if area is not None:
        report.add("annotation", a["id"], "area is not a positive number", f"{str(area)[:40]}; taken from the box", dropped=False)
    return AREA_OF_BOX * float((box[2] - box[0]) * (box[3] - box[1]))


def shape_of(a: Mapping, size: tuple[int, int], report: Report) -> Any:
    """A valid segmentation, or None; ``segmentation_coco_size`` is one at the photo's size before scaling."""
    shape = a.get("segmentation") or a.get("segmentation_coco_size")
    if not shape:
        return None
    fault: str | None = str(shape)[:60]
    if isinstance(shape, dict):
        fault = mask_fault(shape, size if a.get("segmentation") else None)
    elif isinstance(shape, list):
        try:
            polygons = [np.asarray(p, np.float32) for p in shape]
        except (TypeError, ValueError, OverflowError):
            polygons = []
        if polygons and all(p.ndim == 1 and len(p) % 2 == 0 and (np.abs(p) < 1e6).all() for p in polygons):
            return polygons
    return shape if fault is None else report.add("annotation", a["id"], "segmentation cannot be read", fault, dropped=False)
