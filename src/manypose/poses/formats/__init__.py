"""Conversion to and from file formats: COCO, OpenPose, CSV, JSON Lines, supervision.

Coordinates are pixels; integers are pixel centres. Writers take `People` such as `Poses`; readers return `PoseArrays`, which
``Poses.of`` converts.
"""

from manypose.poses.formats.coco import coco_annotations, from_coco, from_coco_annotations, to_coco
from manypose.poses.formats.interop import from_supervision, to_supervision
from manypose.poses.formats.openpose import from_openpose, to_openpose
from manypose.poses.formats.tables import CSV_HEADER, from_csv, from_jsonl, to_csv, to_csv_rows, to_jsonl, to_pandas

__all__ = [
    "CSV_HEADER", "coco_annotations", "from_coco", "from_coco_annotations", "from_csv", "from_jsonl", "from_openpose", "from_supervision",
    "to_coco", "to_csv", "to_csv_rows", "to_jsonl", "to_openpose", "to_pandas", "to_supervision",
]  # fmt: skip
