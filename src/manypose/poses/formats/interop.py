"""supervision: its `KeyPoints` object (extra ``interop``)."""

from typing import Any

import numpy as np

from manypose.poses.arrays import People, PoseArrays
from manypose.poses.skeleton import COCO, Skeleton

__all__ = ["from_supervision", "to_supervision"]


def _supervision() -> Any:
    try:
        import supervision
    except ImportError:
        raise ImportError("this needs supervision: pip install 'manypose[interop]'") from None
    return supervision


def to_supervision(poses: People) -> Any:
    """``supervision.KeyPoints``; track ids go to ``data["tracker_id"]``."""
    return _supervision().KeyPoints(
        xy=poses.keypoints.astype(np.float32),
        class_id=np.zeros(len(poses), int),
        keypoint_confidence=poses.keypoint_scores.astype(np.float32),
        detection_confidence=poses.scores.astype(np.float32),
        data={} if poses.ids is None else {"tracker_id": poses.ids},
    )


def from_supervision(points: Any, skeleton: Skeleton = COCO) -> PoseArrays:
    """People from ``supervision.KeyPoints``; without confidences a joint at (0, 0) counts as not found, by its convention."""
    xy = np.asarray(points.xy, np.float32).reshape(-1, len(skeleton), 2)
    joints, people, ids = points.keypoint_confidence, points.detection_confidence, points.data.get("tracker_id")
    joints = (xy != 0).any(-1) if joints is None else np.asarray(joints).reshape(xy.shape[:2])
    joints = joints.astype(np.float32)
    people = joints.mean(1) if people is None else np.asarray(people, np.float32)
    return PoseArrays(skeleton, xy, joints, people, ids=None if ids is None else np.asarray(ids, np.int64))
