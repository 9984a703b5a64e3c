"""Reader of archives of annotated people (``.npz``)."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from manypose.io.files import check_unpacked
from manypose.poses.skeleton import COCO

__all__ = ["read_archive"]


def read_archive(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays image_id, keypoints, bbox, area, area_true of all people, and img_id, img_wh of all photos.

    Raises:
        ValueError: not an archive of people, or its arrays do not match.
    """
    try:
        check_unpacked(path)
        with np.load(path, allow_pickle=False, max_header_size=10_000) as z:
            arrays = {key: z[key] for key in ("image_id", "keypoints", "bbox", "area", "area_true", "img_id", "img_wh")}
    except Exception as e:  # zipfile, zlib and NumPy raise many types on damaged files
        raise ValueError(f"{path}: not an archive of annotated people ({str(e)[:100]})") from None
    if wrong := _wrong_in(arrays):
        raise ValueError(f"{path}: not an archive of annotated people: {wrong}")
    return arrays


def _wrong_in(z: Mapping[str, np.ndarray]) -> str:
    """What is wrong with the arrays of an archive; empty if they match."""
    people, photos = z["image_id"].shape[:1], z["img_id"].shape[:1]
    shapes: dict[str, tuple[int, ...]] = {
        "image_id": people, "keypoints": (*people, len(COCO), 3), "bbox": (*people, 4), "area": people,
        "area_true": people,
        "img_id": photos, "img_wh": (*photos, 2),
    }  # fmt: skip
    for name, array in z.items():
        dimensions = {"keypoints": 3, "bbox": 2, "img_wh": 2}.get(name, 1)
        if array.ndim != dimensions or array.shape != shapes[name]:
            return f"{name} has the shape {array.shape}, with {z['image_id'].size} people and {z['img_id'].size} photos"
        if array.dtype.kind not in "biuf":
            return f"{name} holds no numbers"
        if not array.size or not np.isfinite(array).all():
            return f"{name} is empty" if not array.size else f"{name} holds numbers that are not finite"
    return ""
