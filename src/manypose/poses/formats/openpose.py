"""OpenPose's JSON format, one file per image."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from manypose.poses.arrays import People, PoseArrays
from manypose.poses.formats.triples import from_triples, reading, triples
from manypose.poses.skeleton import COCO, Skeleton

__all__ = ["from_openpose", "to_openpose"]

_R, _L = "right_", "left_"
_COCO_18 = (
    "nose", "neck", _R + "shoulder", _R + "elbow", _R + "wrist", _L + "shoulder", _L + "elbow", _L + "wrist", _R + "hip", _R + "knee",
    _R + "ankle", _L + "hip", _L + "knee", _L + "ankle", _R + "eye", _L + "eye", _R + "ear", _L + "ear",
)  # fmt: skip
_FEET = ("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel")
_BODY_25 = (*_COCO_18[:8], "mid_hip", *_COCO_18[8:], *_FEET)
_MIDDLES = {"neck": ("left_shoulder", "right_shoulder"), "mid_hip": ("left_hip", "right_hip")}


def to_openpose(poses: People, order: Literal["body_25", "coco_18"] = "body_25") -> dict[str, Any]:
    """OpenPose's JSON of one image (version 1.3).

    Without such joints in the skeleton, the neck and mid-hip are the midpoints of the shoulders and hips, with the lower of the two scores;
    joints that OpenPose lacks (such as ``head``) are left out.
    """
    values = np.array(triples(poses), np.float64).reshape(len(poses), len(poses.skeleton), 3)
    names = _BODY_25 if order == "body_25" else _COCO_18
    columns = np.stack([_openpose_column(values, poses.skeleton, name) for name in names], 1)
    empty = {"face_keypoints_2d": [], "hand_left_keypoints_2d": [], "hand_right_keypoints_2d": []}
    empty |= {"pose_keypoints_3d": [], "face_keypoints_3d": [], "hand_left_keypoints_3d": [], "hand_right_keypoints_3d": []}
    people = [
        {"person_id": [int(poses.ids[i]) if poses.ids is not None else -1], "pose_keypoints_2d": row.ravel().tolist(), **empty}
        for i, row in enumerate(columns)
    ]
    return {"version": 1.3, "people": people}


def _openpose_column(values: Float[np.ndarray, "n k 3"], skeleton: Skeleton, name: str) -> Float[np.ndarray, "n 3"]:
    if name in skeleton.joints:
        return values[:, skeleton.index(name)]
    pair = _MIDDLES.get(name, ())
    if not pair or not all(j in skeleton.joints for j in pair):
        return np.zeros((len(values), 3))
    a, b = (values[:, skeleton.index(j)] for j in pair)
    middle = np.concatenate([(a[:, :2] + b[:, :2]) / 2, np.minimum(a, b)[:, 2:]], 1).round(6)
    return np.where((a[:, 2:] > 0) & (b[:, 2:] > 0), middle, 0)


@reading("OpenPose's JSON")
def from_openpose(content: Any, skeleton: Skeleton = COCO) -> PoseArrays:
    """People from OpenPose's JSON of one image, BODY_25 or COCO 18; a person's score is the mean of the found joints' scores.

    Raises:
        ValueError: not an OpenPose file, or another number of joints.
    """
    people = content.get("people") if isinstance(content, Mapping) else None
    if not isinstance(people, list):
        raise ValueError("an OpenPose file has a list 'people'")
    flat, scores, ids = [], [], []
    for i, person in enumerate(people):
        values = person.get("pose_keypoints_2d", [])
        names = {75: _BODY_25, 54: _COCO_18}.get(len(values))
        if names is None:
            raise ValueError(f"person {i}: {len(values)} values; BODY_25 has 75 and COCO has 54")
        triples = {name: values[3 * j : 3 * j + 3] for j, name in enumerate(names)}
        row = [triples.get(joint, [0, 0, 0]) for joint in skeleton.joints]
        flat.append([v for triple in row for v in triple])
        found = [s for _, _, s in row if s > 0]
        scores.append(sum(found) / max(1, len(found)))
        ids.append(person.get("person_id", [-1])[0])
    tracked = bool(ids) and all(i >= 0 for i in ids)
    return from_triples(skeleton, flat, scores, "OpenPose file", ids=np.array(ids, np.int64) if tracked else None)
