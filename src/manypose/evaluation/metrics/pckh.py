"""MPII's metrics, with distances in head sizes: PCKh for single people, and keypoint AP for several.

PCKh: Andriluka et al., 2D Human Pose Estimation: New Benchmark and State of the Art Analysis, CVPR 2014. A joint is correct if it lies
within a fraction (0.5) of the head size (0.6 of the head box's diagonal) of the annotated joint. Keypoint AP: Pishchulin et al., DeepCut,
CVPR 2016; PoseTrack uses it too. All figures are percentages.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from manypose.data.datasets.head_sizes import HeadScaledTruth, without_ignored
from manypose.poses.poses import Poses
from manypose.poses.skeleton import MPII, Skeleton

__all__ = ["PCKh", "PartAP", "average_precision", "distances", "keypoint_ap", "match", "parts", "pckh"]

PARTS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
HEAD = ("nose", "head_top", "upper_neck", "head_bottom")
NOT_EVALUATED = ("pelvis", "thorax")
"""Joints that MPII annotates but does not evaluate."""


def parts(skeleton: Skeleton) -> dict[str, tuple[int, ...]]:
    """The seven pooled parts that MPII and PoseTrack report: head (head top and neck; in PoseTrack the nose too), shoulder … ankle.

    >>> parts(MPII)["head"], parts(MPII)["wrist"]
    ((8, 9), (10, 15))
    """
    found = {"head": tuple(i for i, j in enumerate(skeleton.joints) if j in HEAD)}
    found |= {p: tuple(i for i, j in enumerate(skeleton.joints) if j in (f"left_{p}", f"right_{p}")) for p in PARTS}
    if missing := [p for p, joints in found.items() if not joints]:
        raise ValueError(f"skeleton {skeleton.name!r} has no {', '.join(missing)}: MPII's and PoseTrack's measures need head to ankles")
    return found


def evaluated(skeleton: Skeleton) -> list[int]:
    """The joints that count: all but pelvis and thorax."""
    return [i for i, j in enumerate(skeleton.joints) if j not in NOT_EVALUATED]


def _mean(values: Float[np.ndarray, " n"]) -> float:
    """The mean of those that are defined, NaN where none is."""
    return float(values[~np.isnan(values)].mean()) if not np.isnan(values).all() else float("nan")


def _pooled(rates: Float[np.ndarray, " k"], skeleton: Skeleton) -> dict[str, float]:
    return {part: _mean(rates[list(joints)]) for part, joints in parts(skeleton).items()}


# ── one prediction for every annotated person ──


@dataclass(frozen=True)
class PCKh:
    """Percentage of correct joints; NaN if nothing is annotated.

    Args:
        threshold: in head sizes.
        joints: PCKh of each joint, by name. ``head_top`` is Head in HRNet's tables.
        parts: head, shoulder, elbow, wrist, hip, knee, ankle: the mean of their joints' rates, as MPII's evaluation pools them.
        mean: correct fraction of all annotated joints except pelvis and thorax (MPII's Total; the Mean of HRNet's tables).
        mean_of_parts: the mean of the seven parts (the Mean of some papers' tables).
        count: number of annotated joints in `mean`.
    """

    threshold: float
    joints: dict[str, float]
    parts: dict[str, float]
    mean: float
    mean_of_parts: float
    count: int


def pckh(
    keypoints: Float[np.ndarray, "n k 2"],
    truth: Float[np.ndarray, "n k 2"],
    labelled: Bool[np.ndarray, "n k"],
    head_sizes: Float[np.ndarray, " n"],
    skeleton: Skeleton = MPII,
    threshold: float = 0.5,
) -> PCKh:
    """PCKh of n people with one prediction each, in the same order; a predicted joint that is NaN is wrong.

    Every annotated joint counts, visible or hidden (MPII's rule). A distance equal to the threshold is correct.

    Args:
        keypoints: predicted, pixels.
        truth: annotated, in the same coordinates.
        labelled: which joints are annotated.
        head_sizes: 0.6 of each head box's diagonal, pixels.
        skeleton: names the k joints.
        threshold: in head sizes; papers give 0.5 and 0.1.

    Raises:
        ValueError: a head size is not positive (the message names the person), or shapes differ.

    >>> truth = np.zeros((1, 16, 2)); found = truth + 3.0
    >>> result = pckh(found, truth, np.ones((1, 16), bool), np.array([10.0]))
    >>> result.mean, pckh(found, truth, np.ones((1, 16), bool), np.array([8.0])).mean
    (100.0, 0.0)
    """
    if keypoints.shape != truth.shape or labelled.shape != truth.shape[:2] or head_sizes.shape != truth.shape[:1]:
        raise ValueError(f"predictions {keypoints.shape} and truth {truth.shape} must be the same people, with one head size each")
    bad = np.flatnonzero(~(head_sizes > 0))
    if len(bad):
        raise ValueError(
            f"{len(bad)} people have no head size, first is person {bad[0]} (from 0): give annotations with head boxes (.mat, .h5) "
            "or, for JSON, the file that has them (gt_valid.mat, valid.h5)"
        )
    with np.errstate(invalid="ignore"):
        right = (np.linalg.norm(keypoints.astype(np.float64) - truth, axis=-1) <= threshold * head_sizes[:, None]) & labelled
    return _summary(right.sum(0), labelled.sum(0), skeleton, threshold)


def _summary(right: Int[np.ndarray, " k"], total: Int[np.ndarray, " k"], skeleton: Skeleton, threshold: float) -> PCKh:
    rates = np.where(total > 0, 100 * right / np.maximum(total, 1), np.nan)
    pooled, counted = _pooled(rates, skeleton), evaluated(skeleton)
    count = int(total[counted].sum())
    mean = 100 * float(right[counted].sum()) / count if count else float("nan")
    by_name = dict(zip(skeleton.joints, rates.tolist(), strict=True))
    return PCKh(threshold, by_name, pooled, mean, _mean(np.array(list(pooled.values()))), count)


# ── many people, found without annotated boxes ──


@dataclass(frozen=True)
class PartAP:
    """Keypoint AP, precision and recall; NaN if nothing is annotated.

    Args:
        joints: AP of each joint, by name.
        parts: AP of the seven parts: the mean over their joints.
        mean: mAP, the mean over the joints (not pelvis and thorax).
        precision: of all predictions, the mean over the joints.
        recall: of all annotated joints, the mean over the joints.
    """

    joints: dict[str, float]
    parts: dict[str, float]
    mean: float
    precision: float
    recall: float


def distances(poses: Poses, truth: HeadScaledTruth) -> Float[np.ndarray, "n m k"]:
    """Distances of the joints of predicted to annotated people, in the latter's head sizes; infinite if either lacks the joint.

    Raises:
        ValueError: the skeletons differ, or a person has no head size.
    """
    if poses.skeleton.joints != truth.skeleton.joints:
        raise ValueError(
            f"image {truth.image_id}: predictions are of skeleton {poses.skeleton.name!r}, the truth is of {truth.skeleton.name!r}; "
            "convert them with Poses.to"
        )
    if not (truth.head_sizes > 0).all():
        raise ValueError(f"image {truth.image_id}: {int((~(truth.head_sizes > 0)).sum())} people have no head box; this measure needs one")
    away = np.linalg.norm(poses.keypoints[:, None].astype(np.float64) - truth.keypoints[None, ..., :2], axis=-1)
    away /= truth.head_sizes[None, :, None]
    return np.where((poses.keypoint_scores > 0)[:, None] & truth.labelled[None], away, np.inf)


def match(near: Bool[np.ndarray, "n m k"], labelled: Bool[np.ndarray, "m k"]) -> Int[np.ndarray, " n"]:
    """The annotated person matched to each detected one, or -1.

    A detected person selects the annotated person with the largest share of correct joints. Of several that select the same person, the
    one with the largest share is matched (the first of equals) and the others are not matched.

    Args:
        near: which joints are within the threshold.
        labelled: which joints are annotated.
    """
    n, m, _ = near.shape
    partner = np.full(n, -1)
    if n == 0 or m == 0:
        return partner
    part = near.sum(-1) / np.maximum(labelled.sum(-1), 1)
    wanted, value = part.argmax(1), part.max(1)
    for person in range(m):
        bids = np.where(wanted == person, value, 0)
        if bids.max() > 0:
            partner[bids.argmax()] = person
    return partner


def average_precision(scores: Float[np.ndarray, " p"], right: Bool[np.ndarray, " p"], total: int) -> float:
    """Area under the precision-recall curve, precision made monotone (Pascal VOC's, all points). Percent; NaN where `total` is 0.

    >>> average_precision(np.array([0.9, 0.8]), np.array([False, True]), 2)
    25.0
    """
    if total == 0:
        return float("nan")
    hits = np.cumsum(right[np.argsort(-scores, kind="stable")])
    precision = hits / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(100 * (np.diff(hits / total, prepend=0) * envelope).sum())


def keypoint_ap(poses: Sequence[Poses], truths: Sequence[HeadScaledTruth], threshold: float = 0.5) -> PartAP:
    """Keypoint AP over photos, video frames or MPII groups.

    People are matched image by image (`match`). All joints of a matched person are ranked by their own scores: right within `threshold`
    head sizes of the annotated joint, else wrong, as are the joints of people without a match.
    Joints in ignored regions count on neither side.

    Args:
        poses: the predictions of each image; joint scores rank.
        truths: the annotated people, image by image.
        threshold: in head sizes.

    Raises:
        ValueError: the lists differ in length, skeletons differ, or a person has no head size.
    """
    if len(poses) != len(truths) or not truths:
        raise ValueError(f"keypoint AP needs predictions and truth of the same images, got {len(poses)} and {len(truths)}")
    skeleton = truths[0].skeleton
    scores, right, total = [], [], np.zeros(len(skeleton), int)
    for found, truth in zip(poses, truths, strict=True):
        found, truth = without_ignored(found, truth)
        near = distances(found, truth) <= threshold
        partner = match(near, truth.labelled)
        hit = near[np.arange(len(found)), partner] if len(truth) else np.zeros((len(found), len(skeleton)), bool)
        scores.append(found.keypoint_scores)
        right.append(hit & (partner >= 0)[:, None])
        total += truth.labelled.sum(0)
    return _ap(np.concatenate(scores), np.concatenate(right), total, skeleton)


def _ap(scores: Float[np.ndarray, "n k"], right: Bool[np.ndarray, "n k"], total: Int[np.ndarray, " k"], skeleton: Skeleton) -> PartAP:
    there = scores > 0
    ap = np.array([average_precision(scores[there[:, j], j], right[there[:, j], j], int(total[j])) for j in range(len(skeleton))])
    hits, found, counted = (right & there).sum(0), there.sum(0), evaluated(skeleton)
    precision = np.where(found > 0, 100 * hits / np.maximum(found, 1), np.nan)
    recall = np.where(total > 0, 100 * hits / np.maximum(total, 1), np.nan)
    by_name = dict(zip(skeleton.joints, ap.tolist(), strict=True))
    return PartAP(by_name, _pooled(ap, skeleton), _mean(ap[counted]), _mean(precision[counted]), _mean(recall[counted]))
