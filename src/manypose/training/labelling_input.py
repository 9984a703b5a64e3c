"""Checks of an annotation file for self-training, whose entries are all copied to the new file."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from manypose.data.datasets.annotation_report import numbers
from manypose.data.datasets.coco_json import whole_id

__all__ = ["check_entries"]


def check_entries(given: Mapping[str, Any], where: str) -> None:
    """Check the images and annotations of a file of COCO's format.

    Raises:
        ValueError: the first entry that cannot be used; the message names the file and the entry.
    """

    def fault(kind: str, place: int, entry: Any, said: str) -> ValueError:
        name = str(entry.get("id", f"#{place}") if isinstance(entry, Mapping) else f"#{place}")[:40]
        return ValueError(f"{where}: {kind} {name}: {said}; `manypose doctor data` lists all faults")

    try:
        json.dumps({**given, "annotations": list(given["annotations"])}, allow_nan=False)
    except (ValueError, RecursionError):
        raise ValueError(f"{where}: holds NaN or infinity, which JSON does not have and the new file cannot keep") from None
    if not all(isinstance(category, Mapping) and whole_id(category.get("id")) is not None for category in given["categories"]):
        raise ValueError(f"{where}: a category is an object with a whole number as id")
    known: set[Any] = set()
    for place, image in enumerate(given["images"]):
        size = [image.get(side) for side in ("height", "width")] if isinstance(image, Mapping) else []
        if not size or not all(isinstance(v, int) and v > 0 for v in size) or not isinstance(image.get("file_name"), str):
            raise fault("image", place, image, "needs a file_name, and whole numbers as height and width")
        if whole_id(image.get("id")) is None or image["id"] in known:
            raise fault("image", place, image, "needs a whole number of its own as id")
        known.add(image["id"])
    for place, row in enumerate(given["annotations"]):
        image = row.get("image_id") if isinstance(row, Mapping) else None
        if not isinstance(image, int | float | str) or image not in known:
            raise fault("annotation", place, row, "its image_id is that of no image")
        box, joints = numbers(row.get("bbox")), numbers(row.get("keypoints") or [])
        if box is None or len(box) != 4 or not np.isfinite(box).all():
            raise fault("annotation", place, row, "its bbox is not 4 numbers")
        if joints is None or len(joints) % 3 or not np.isfinite(joints).all():
            raise fault("annotation", place, row, "its keypoints are not 3 numbers a joint")
