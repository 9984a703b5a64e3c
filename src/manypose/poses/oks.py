"""Object keypoint similarity (OKS) as defined by COCO, and OKS-NMS."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from manypose.poses.poses import Poses

__all__ = ["keypoint_similarity", "oks", "oks_nms"]

BLOCK = 64
"""Block size of `oks_nms` in people."""


def keypoint_similarity(
    square_distances: Float[np.ndarray, "*n k"], areas: Float[np.ndarray, "*n"], sigmas: Sequence[float] | Float[np.ndarray, " k"]
) -> Float[np.ndarray, "*n k"]:
    """COCO's similarity of a joint to its ground truth, ``exp(-d² / (2 area (2 sigma)²))``, in double precision."""
    variance = (2 * np.asarray(sigmas, np.float64)) ** 2
    return np.exp(-(square_distances / variance / (np.asarray(areas, np.float64)[..., None] + np.spacing(1)) / 2))


def oks(
    keypoints: Float[np.ndarray, "n k 2"],
    truth: Float[np.ndarray, "m k 2"],
    labelled: Bool[np.ndarray, "m k"],
    areas: Float[np.ndarray, " m"],
    sigmas: tuple[float, ...],
) -> Float[np.ndarray, "n m"]:
    """OKS of every predicted person to every ground-truth person (COCO's definition, double precision).

    The mean of `keypoint_similarity` over the labelled joints; 0 for a ground-truth person without labelled joints.
    """
    d2 = ((keypoints[:, None].astype(np.float64) - truth[None]) ** 2).sum(-1)
    similar = keypoint_similarity(d2, np.broadcast_to(areas, d2.shape[:2]), sigmas)
    count = labelled.sum(1)
    return np.where(count > 0, (similar * labelled).sum(-1) / np.maximum(count, 1), 0.0)


def oks_nms(poses: Poses, threshold: float = 0.9) -> Poses:
    """The people kept by NMS: by falling score, a person with an OKS above `threshold` to a kept one is removed.

    The kept person serves as ground truth, with its found joints as labelled and its box's area. A person with fewer than half of the
    joints of another does not remove it.
    """
    if len(poses) < 2:
        return poses
    areas = np.maximum(poses.boxes[:, 2:] - poses.boxes[:, :2], 1).prod(1)
    found = poses.keypoint_scores > 0
    joints = found.sum(1)
    order = np.argsort(-poses.scores, kind="stable")
    kept: list[int] = []
    # In blocks, to bound the memory.
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
    """A mask of the people of `order` that each person of `block` removes."""
    similar = oks(poses.keypoints[order], poses.keypoints[block], found[block], areas[block], poses.skeleton.sigmas)
    return (similar > threshold) & (2 * joints[block] >= joints[order, None])
