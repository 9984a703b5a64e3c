"""Keypoints as flat triples (x, y, score), as in most formats; coordinates to 0.001 px, scores to six digits."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from manypose.poses.arrays import People, PoseArrays
from manypose.poses.skeleton import Skeleton

__all__ = ["from_triples", "px", "reading", "score", "triples"]


@contextmanager
def reading(what: str) -> Iterator[None]:
    """A context manager or decorator for readers that turns errors from a wrong shape or type of the content into `ValueError`."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError) as e:
        raise ValueError(f"not {what} ({type(e).__name__}: {' '.join(str(e).split())[:100]})") from None


def px(value: Any) -> float:
    """A coordinate rounded for output."""
    return round(float(value), 3)


def score(value: Any) -> float:
    """A score rounded for output."""
    return float(f"{float(value):.6g}")


def triples(poses: People) -> list[list[float]]:
    """(x, y, score) of every joint of each person, flat; x = y = 0 for a joint that was not found."""
    if not (np.isfinite(poses.keypoints).all() and np.isfinite(poses.keypoint_scores).all() and np.isfinite(poses.scores).all()):
        raise ValueError("people with coordinates or scores that are not finite cannot be written")
    found = poses.keypoint_scores > 0
    return [
        [v for (x, y), s, f in zip(xy, values, there, strict=True) for v in ((px(x), px(y), score(s)) if f else (0.0, 0.0, 0.0))]
        for xy, values, there in zip(poses.keypoints, poses.keypoint_scores, found, strict=True)
    ]


def from_triples(skeleton: Skeleton, flat: Sequence[Sequence[float]], scores: Sequence[float], where: str, **more: Any) -> PoseArrays:
    """People from flat triples; a joint with a third value of 0 (or less) was not found."""
    k = len(skeleton)
    wrong = next((len(row) for row in flat if len(row) != 3 * k), None)
    if wrong is not None:
        raise ValueError(f"{where}: {wrong} keypoint values, but the {k} joints of skeleton {skeleton.name!r} have {3 * k}")
    values = np.asarray(flat, np.float32).reshape(-1, k, 3)
    if not np.isfinite(values).all() or not np.isfinite(scores).all():
        raise ValueError(f"{where}: a coordinate or score is not finite")
    found = values[..., 2] > 0
    return PoseArrays(
        skeleton,
        np.where(found[..., None], values[..., :2], np.float32(0)),
        np.where(found, values[..., 2], np.float32(0)),
        np.asarray(scores, np.float32),
        **more,
    )
