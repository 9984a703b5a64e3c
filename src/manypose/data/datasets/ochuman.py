"""OCHuman: heavily occluded people, COCO's joints, segmentations; for validation and testing.

Source: Zhang et al., Pose2Seg: Detection Free Human Instance Segmentation, CVPR 2019. Inputs are its COCO-format
files (such as ``ochuman_coco_format_val_range_0.00_1.00.json``). People who are not occluded are not annotated, so the loss is masked
outside the annotated ones, and precision is low for a method that finds the others. ``area`` is that of the box.
"""

from pathlib import Path

from typing_extensions import Unpack

from manypose.data.datasets.annotation_report import Report
from manypose.data.datasets.coco import Keep, Reading, dataset, photos_of
from manypose.data.datasets.coco_json import load_json
from manypose.data.packed_photos import PackedPhotos
from manypose.data.photos import Photos
from manypose.poses.skeleton import COCO

__all__ = ["ochuman", "read_ochuman"]


def ochuman(images: str | Path, annotations: str | Path, keep: Keep = "annotated", **reading: Unpack[Reading]) -> Photos:
    """The photos of an OCHuman file as samples, masked outside the annotated people. Arguments and errors as of `manypose.data.coco`."""
    photos, report = read_ochuman(images, annotations, keep)
    return dataset(photos, COCO, report, **reading)


def read_ochuman(images: str | Path, annotations: str | Path, keep: Keep = "annotated") -> tuple[PackedPhotos, Report]:
    """Read and check an OCHuman file in COCO's format."""
    given = load_json(annotations, ("images",))
    if "annotations" not in given and any("annotations" in image for image in given["images"] if isinstance(image, dict)):
        raise ValueError(
            f"{annotations}: this is OCHuman's own format with 19 joints; give the COCO-format file that OCHuman publishes beside it "
            "(ochuman_coco_format_val_range_0.00_1.00.json or …_test_…)"
        )
    given, report = load_json(annotations), Report(str(annotations))
    return photos_of(given, Path(images), COCO, report, keep, complete=False), report
