"""Object keypoint similarity (OKS): how alike two people are, as COCO defines it, and suppression of duplicates by it."""

import numpy as np
from jaxtyping import Bool, Float

from manypose.poses.poses import Poses

__all__ = ["oks", "oks_nms"]


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
    variance = (2 * np.asarray(sigmas)) ** 2
    similar = np.exp(-d2 / (2 * (np.asarray(areas, np.float64)[:, None] + np.spacing(1)) * variance))
    count = labelled.sum(1)
    return np.where(count > 0, (similar * labelled).sum(-1) / np.maximum(count, 1), 0.0)


def oks_nms(poses: Poses, threshold: float = 0.9) -> Poses:
    """Keep people by falling score; drop whoever has an OKS above `threshold` to one kept before. An area is that of a person's box."""
    if len(poses) < 2:
        return poses
    size = np.maximum(poses.boxes[:, 2:] - poses.boxes[:, :2], 1)
    areas, found = size.prod(1), poses.keypoint_scores > 0
    order = np.argsort(-poses.scores, kind="stable")
    kept: list[int] = []
    # The same measure as evaluation uses; of two people the kept one is "the truth", its found joints the labelled ones.
    if len(order) <= 64:
        alike = oks(poses.keypoints[order], poses.keypoints[order], found[order], areas[order], poses.skeleton.sigmas)
        same = np.tril(~(alike <= threshold), -1)
        left = np.ones(len(order), bool)
        for i in range(len(order) if same.any() else 0):
            if left[i]:
                left &= ~same[:, i]
        return poses[order[left]]
    # One kept person at a time, so that thousands of people take no more memory than a few.
    while len(order):
        best, order = int(order[0]), order[1:]
        kept.append(best)
        one = slice(best, best + 1)
        similar = oks(poses.keypoints[order], poses.keypoints[one], found[one], areas[one], poses.skeleton.sigmas)[:, 0]
        order = order[similar <= threshold]
    return poses[np.array(kept)]
