"""Poses as plain arrays: the input of file writers and drawing, and the output of file readers.

`manypose.poses.poses.Poses` satisfies `People`.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from manypose.io.shapes import Float, Int
from manypose.poses.boxes import boxes_around, counted
from manypose.poses.skeleton import Skeleton

__all__ = ["People", "PoseArrays", "in_skeleton", "result_boxes"]


@runtime_checkable
class People(Protocol):
    """The people of one image. Coordinates are xy pixels, boxes xyxy; a joint with score 0 was not found."""

    def __len__(self) -> int: ...

    @property
    def skeleton(self) -> Skeleton:
        """Names and order of the k joints."""
        ...

    @property
    def keypoints(self) -> Float[np.ndarray, "n k 2"]:
        """Positions of the joints."""
        ...

    @property
    def keypoint_scores(self) -> Float[np.ndarray, "n k"]:
        """Confidence of each joint, 0 where it was not found."""
        ...

    @property
    def scores(self) -> Float[np.ndarray, " n"]:
        """Confidence of each person."""
        ...

    @property
    def boxes(self) -> Float[np.ndarray, "n 4"] | None:
        """Boxes around the joints."""
        ...

    @property
    def detections(self) -> Float[np.ndarray, "n 4"] | None:
        """The person detector's boxes."""
        ...

    @property
    def ids(self) -> Int[np.ndarray, " n"] | None:
        """Track ids."""
        ...


@dataclass(frozen=True, eq=False)
class PoseArrays:
    """The people of one image of a file; ``Poses.of(arrays)`` converts them. Fields as in `People`."""

    skeleton: Skeleton
    keypoints: Float[np.ndarray, "n k 2"]
    keypoint_scores: Float[np.ndarray, "n k"]
    scores: Float[np.ndarray, " n"]
    boxes: Float[np.ndarray, "n 4"] | None = None
    detections: Float[np.ndarray, "n 4"] | None = None
    ids: Int[np.ndarray, " n"] | None = None

    def __len__(self) -> int:
        return len(self.scores)


def in_skeleton(people: People, skeleton: Skeleton) -> tuple[Float[np.ndarray, "n j 2"], Float[np.ndarray, "n j"]]:
    """Keypoints and scores in the order of another skeleton, matched by name; joints that `people` lack get score 0."""
    source = np.array(skeleton.from_skeleton(people.skeleton))
    there = source >= 0
    keypoints = np.where(there[None, :, None], people.keypoints[:, source], 0).astype(people.keypoints.dtype)
    return keypoints, np.where(there, people.keypoint_scores[:, source], 0).astype(people.keypoint_scores.dtype)


def result_boxes(people: People) -> Float[np.ndarray, "n 4"]:
    """The xyxy boxes that result files hold: the detector's where there was one, else those around the joints."""
    if people.detections is not None:
        return people.detections
    return boxes_around(people.keypoints, counted(people.keypoint_scores)) if people.boxes is None else people.boxes
