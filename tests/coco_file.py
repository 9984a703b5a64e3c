"""A COCO annotation file of one photo: a whole one, whose parts tests spoil."""

from typing import Any

from manypose.poses.skeleton import COCO

__all__ = ["annotations", "person"]


def person(**change: Any) -> dict:
    keypoints = [v for i in range(17) for v in (20 + i, 30 + 2 * i, 2)]
    whole = {"id": 7, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [15, 25, 40, 50], "area": 1500.0, "num_keypoints": 17}
    return {**whole, "keypoints": keypoints, **change}


def annotations(*people: Any, **change: Any) -> dict:
    category = {"id": 1, "name": "person", "keypoints": list(COCO.joints), "skeleton": []}
    image = {"id": 1, "file_name": "a.png", "width": 160, "height": 120}
    return {"images": [image], "annotations": list(people or [person()]), "categories": [category], **change}
