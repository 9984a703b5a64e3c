"""Merging of the predictions of several models (MultiPoseNet, Section 4.2)."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from manypose.poses.oks import oks_nms
from manypose.poses.poses import Poses

__all__ = ["ensemble"]


def ensemble(people: Sequence[Poses], same: float = 0.7, weights: Sequence[float] | None = None) -> Poses:
    """The people predicted by several models for a photo, after OKS-NMS over all (Section 4.2).

    Args:
        people: of each model, in the same pixels.
        same: OKS above which the lower-scoring of two people is removed.
        weights: factors of each model's scores; default 1.

    Raises:
        ValueError: no results, different skeletons, or another number of weights.
    """
    if not people:
        raise ValueError("an ensemble needs the results of at least one model")
    if any(p.skeleton != people[0].skeleton for p in people):
        raise ValueError(f"an ensemble needs one skeleton, got {sorted({p.skeleton.name for p in people})}")
    factors = [1.0] * len(people) if weights is None else list(weights)
    if len(factors) != len(people):
        raise ValueError(f"{len(people)} results but {len(factors)} weights")
    masks = None if any(p.masks is None for p in people) else np.concatenate([p.masks for p in people])  # type: ignore[arg-type]
    names = ("keypoints", "keypoint_scores", "boxes")
    joined = {n: np.concatenate([getattr(p, n) for p in people]) for n in names}
    scores = np.concatenate([(p.scores * f).astype(np.float32) for p, f in zip(people, factors, strict=True)])
    return oks_nms(replace(people[0], **joined, scores=scores, masks=masks, ids=None), same)
