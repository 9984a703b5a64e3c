"""Object keypoint similarity (OKS): how alike two people are, as COCO defines it, and suppression of duplicates by it."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from manypose.poses.poses import Poses

__all__ = ["keypoint_similarity", "oks", "oks_nms"]

BLOCK = 64
"""People compared with all others at once."""


def keypoint_similarity(
    square_distances: Float[np.ndarray, "*n k"], areas: Float[np.ndarray, "*n"], sigmas: Sequence[float] | Float[np.ndarray, " k"]
) -> Float[np.ndarray, "*n k"]:
    """COCO's similarity of a joint to its true place, ``exp(-d² / (2 area (2 sigma)²))``, in double precision."""
    variance = (2 * np.asarray(sigmas, np.float64)) ** 2
    return np.exp(-(square_distances / variance / (np.asarray(areas, np.float64)[..., None] + np.spacing(1)) / 2))


def oks(
    keypoints: Float[np.ndarray, "n k 2"],
    truth: Float[np.ndarray, "m k 2"],
    labelled: Bool[np.ndarray, "m k"],
    areas: Float[np.ndarray, " m"],
    sigmas: tuple[float, ...],
) -> Float[np.ndarray, "n m"]:
    """Object keypoint similarity of every person to every true person (COCO's definition, double precision).

    The mean over the labelled joints of ``exp(-d² / (2 area (2 sigma)²))``; 0 where a true person has no labelled joint.
    """
    d2 = ((keypoints[:, None].astype(np.float64) - truth[None]) ** 2).sum(-1)
    similar = keypoint_similarity(d2, np.broadcast_to(areas, d2.shape[:2]), sigmas)
    count = labelled.sum(1)
    return np.where(count > 0, (similar * labelled).sum(-1) / np.maximum(count, 1), 0.0)


def oks_nms(poses: Poses, threshold: float = 0.9) -> Poses:
    """Keep people by falling score; drop a person with an OKS above `threshold` to one kept before.

    The kept one counts as the truth: its found joints as labelled, the area of its box as its area. A fragment does not remove a whole
    person: one with fewer than half of another's joints leaves it alone.
    """
    if len(poses) < 2:
        return poses
    areas = np.maximum(poses.boxes[:, 2:] - poses.boxes[:, :2], 1).prod(1)
    found = poses.keypoint_scores > 0
    joints = found.sum(1)
    order = np.argsort(-poses.scores, kind="stable")
    kept: list[int] = []
    # In blocks, so that thousands of people take no more memory than a few.
    while len(order):
        block, rest = order[:BLOCK], order[BLOCK:]
        same = _same(poses, found, areas, joints, order, block, threshold)
        left = np.ones(len(order), bool)
        for i in range(len(block)):
            if left[i]:
                kept.append(int(block[i]))
                left[i + 1 :] &= ~same[i + 1 :, i]
        order = rest[left[BLOCK:]]
    return poses[np.array(kept)]


def _same(poses: Poses, found, areas, joints, order, block, threshold: float) -> Bool[np.ndarray, "n b"]:
    """Which people of `order` one of `block` would remove."""
    similar = oks(poses.keypoints[order], poses.keypoints[block], found[block], areas[block], poses.skeleton.sigmas)
    return (similar > threshold) & (2 * joints[block] >= joints[order, None])
