"""CrowdPose: crowded photos, 14 joints, a crowd index per photo.

Source: Li et al., CrowdPose: Efficient Crowded Scenes Pose Estimation and a New Benchmark, CVPR 2019. The annotation files have no
areas; CrowdPose's own rule is 0.53 · width · height of the box.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import Unpack

from manypose.data.datasets.annotation_report import Report, finite_number, numbers
from manypose.data.datasets.coco import Keep, Reading, dataset, photos_of
from manypose.data.datasets.coco_json import AREA_OF_BOX, load_json
from manypose.data.packed_photos import PackedPhotos
from manypose.data.photos import Photos
from manypose.poses.skeleton import CROWDPOSE

__all__ = ["crowdpose", "read_crowdpose"]


def crowdpose(images: str | Path, annotations: str | Path, keep: Keep = "annotated", **reading: Unpack[Reading]) -> Photos:
    """The photos of a CrowdPose file as samples. Arguments and errors as of `manypose.data.coco`."""
    photos, report = read_crowdpose(images, annotations, keep)
    return dataset(photos, CROWDPOSE, report, **reading)


def read_crowdpose(images: str | Path, annotations: str | Path, keep: Keep = "annotated") -> tuple[PackedPhotos, Report]:
    """Read and check a CrowdPose file; photos without a crowd index are reported, since easy, medium and hard AP leave them out."""
    given, report = load_json(annotations), Report(str(annotations))
    _joints(given, report.name)
    for place, image in enumerate(given["images"]):
        index = image.get("crowdIndex") if isinstance(image, dict) else None
        if not isinstance(index, (int, float)) or not 0 <= index < np.inf:  # the published ones go up to 3
            name = image.get("id", f"#{place}") if isinstance(image, dict) else f"#{place}"
            report.add("image", name, "no crowd index", f"crowdIndex {str(index)[:40]}", dropped=False)
    listed = [{**image, "crowdIndex": _index(image)} if isinstance(image, dict) else image for image in given["images"]]
    rows = [_with_area(a) if isinstance(a, dict) else a for a in given["annotations"]]
    return photos_of({**given, "images": listed, "annotations": rows}, Path(images), CROWDPOSE, report, keep), report


def _index(image: Mapping[str, Any]) -> float | None:
    return finite_number(image.get("crowdIndex"))


def _with_area(a: dict[str, Any]) -> dict[str, Any]:
    """The annotation with CrowdPose's area, from the unclipped box; an invalid box is reported later."""
    box = numbers(a.get("bbox"))
    usable = box is not None and len(box) == 4 and np.isfinite(box).all() and (box[2:] > 0).all()
    return {**a, "area": AREA_OF_BOX * float(box[2] * box[3]) if usable and box is not None else None}


def _joints(given: Mapping[str, Any], where: str) -> None:
    listed = given.get("categories")
    for category in listed if isinstance(listed, list) else ():
        joints = tuple(category.get("keypoints") or ()) if isinstance(category, dict) else ()
        if joints and len(joints) != len(CROWDPOSE):
            raise ValueError(f"{where}: its people have {len(joints)} joints, CrowdPose's have {len(CROWDPOSE)}; is it another data set?")
        known = [j for j in joints if j in CROWDPOSE.joints]
        if known != [j for j in CROWDPOSE.joints if j in known]:
            raise ValueError(f"{where}: its joints are in another order ({', '.join(joints)}) than CrowdPose's")
