"""Annotations for evaluations with distances relative to the head size: MPII and PoseTrack."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from manypose.poses.poses import Poses
from manypose.poses.skeleton import Skeleton

__all__ = ["HeadScaledTruth", "head_size", "outside", "without_ignored"]

OF_HEAD_BOX = 0.6
"""Head size over the diagonal of the head box (MPII's evaluation)."""


def head_size(boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, " n"]:
    """Head sizes, the unit of distances: 0.6 of the diagonal of head boxes (xyxy).

    >>> head_size(np.array([[0.0, 0.0, 30.0, 40.0]])).tolist()
    [30.0]
    """
    return OF_HEAD_BOX * np.linalg.norm(boxes[:, 2:] - boxes[:, :2], axis=1)


@dataclass(frozen=True)
class HeadScaledTruth:
    """The ground truth of one photo, video frame or MPII group. Coordinates are pixels; integers are pixel centres.

    Args:
        skeleton: names of the k joints.
        image_id: of the data set.
        keypoints: x, y, visibility (0: not labelled).
        head_sizes: 0.6 of the head box's diagonal, in pixels; NaN without a head box.
        ids: track ids, if the data set has them.
        ignored: polygons in which neither annotated nor predicted joints count.
        sequence: name of the video; frames of a video are consecutive.
    """

    skeleton: Skeleton
    image_id: int
    keypoints: Float[np.ndarray, "n k 3"]
    head_sizes: Float[np.ndarray, " n"]
    ids: Int[np.ndarray, " n"] | None = None
    ignored: Sequence[Float[np.ndarray, "_ 2"]] = ()
    sequence: str = ""

    def __post_init__(self) -> None:
        n, k = len(self.keypoints), len(self.skeleton)
        if self.keypoints.shape != (n, k, 3) or self.head_sizes.shape != (n,) or (self.ids is not None and len(self.ids) != n):
            raise ValueError(
                f"image {self.image_id}: {n} people of skeleton {self.skeleton.name!r} need keypoints ({n},{k},3) and {n} head sizes"
            )

    def __len__(self) -> int:
        return len(self.keypoints)

    @property
    def labelled(self) -> Bool[np.ndarray, "n k"]:
        """A mask of the labelled joints."""
        return self.keypoints[..., 2] > 0


def outside(points: Float[np.ndarray, "*n 2"], polygons: Sequence[Float[np.ndarray, "_ 2"]]) -> Bool[np.ndarray, "*n"]:
    """A mask of the points outside all polygons (even-odd rule).

    >>> square = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]])
    >>> outside(np.array([[1.0, 1.0], [5.0, 1.0]]), [square]).tolist()
    [False, True]
    """
    x, y = points[..., 0, None], points[..., 1, None]
    inside = np.zeros(points.shape[:-1], bool)
    for polygon in polygons:
        (x0, y0), (x1, y1) = polygon.T, np.roll(polygon, -1, axis=0).T
        crosses = (y0 > y) != (y1 > y)  # edges that a ray to the right may intersect
        with np.errstate(divide="ignore", invalid="ignore"):
            meets = x < (x1 - x0) * (y - y0) / (y1 - y0) + x0
        inside |= (crosses & meets).sum(-1) % 2 == 1
    return ~inside


def without_ignored(poses: Poses, truth: HeadScaledTruth) -> tuple[Poses, HeadScaledTruth]:
    """Predictions and ground truth without joints in ignored regions, and without people who then have no joints."""
    if not truth.ignored:
        return poses, truth
    scores = np.where(outside(poses.keypoints, truth.ignored), poses.keypoint_scores, 0).astype(poses.keypoint_scores.dtype)
    keypoints = truth.keypoints.copy()
    keypoints[~outside(keypoints[..., :2], truth.ignored)] = 0
    left = (keypoints[..., 2] > 0).any(1)
    kept = replace(truth, keypoints=keypoints[left], head_sizes=truth.head_sizes[left], ids=None if truth.ids is None else truth.ids[left])
    return replace(poses, keypoint_scores=scores)[np.flatnonzero((scores > 0).any(1))], kept
