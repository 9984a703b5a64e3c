"""The type of error of each keypoint of each matched person.

Source: Ronchi and Perona, "Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation", ICCV 2017, Section 3.1. With the keypoint
similarity of detected joint i of person p to annotated joint j of person q, ks = exp(-d² / (2 s_q² k_j²)) (s² the area, k = 2 sigma):

- good: ks to the person's own joint i is at least 0.85, which is human precision;
- jitter: it is at least 0.5 and below 0.85;
- inversion: it is lower, but ks to the mirrored joint (left for right) of the same person is at least 0.5;
- swap: it is lower, but ks to joint i or its mirrored joint of another person is at least 0.5;
- miss: the detection is near none of these.

If both inversion and swap hold, the nearer joint (the larger ks) decides; the paper leaves this open. Results are matched to
people as in evaluation, but from OKS 0.1 on, so that bad detections are diagnosed too.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Int8

from manypose.evaluation.metrics.annotations import Results, Truth
from manypose.evaluation.metrics.matching import CHUNK, Pairs, match, ranks
from manypose.poses import oks

__all__ = ["GOOD", "KINDS", "LOOSE", "NEAR", "Diagnosis", "diagnose"]

KINDS = ("good", "jitter", "inversion", "swap", "miss")
NEAR, GOOD = 0.5, 0.85
LOOSE = 0.1
"""Smallest OKS at which a result is matched to a person."""


@dataclass(frozen=True)
class Diagnosis:
    """The matching of results to people, and the error of each joint.

    Args:
        rank: the rank by score of each of the m results in its image; -1 beyond the limit.
        person: for each of the m results the person it is matched to (perhaps an ignored one), or -1.
        found: indices of the q results matched to people who count, ascending.
        kind: indices in `KINDS` of their joints; -1 for joints that are not labelled.
        similar: ks with the person's own joint; 0 if it is not labelled.
        wrong: ks with the joint that an inversion or swap hit; 0 elsewhere.
    """

    rank: Int[np.ndarray, " m"]
    person: Int[np.ndarray, " m"]
    found: Int[np.ndarray, " q"]
    kind: Int8[np.ndarray, "q k"]
    similar: Float[np.ndarray, "q k"]
    wrong: Float[np.ndarray, "q k"]


def diagnose(truth: Truth, results: Results, pairs: Pairs, most: int = 20) -> Diagnosis:
    """Match results to people with an OKS of at least 0.1, and classify the error of each labelled joint.

    Args:
        truth: annotated people.
        results: predicted people.
        pairs: from `matching.pair_up`.
        most: largest number of results per image.
    """
    rank = ranks(truth, results, most)
    person = match(truth, results.image, pairs, rank, np.array([LOOSE]))[0]
    found = np.flatnonzero(~np.append(truth.ignored, True)[person])  # -1, matched to no person, is the last
    mine = person[found]
    same = np.arange(len(truth.skeleton))
    mirror = np.array(truth.skeleton.mirror)
    own = keypoint_similarity(truth, results, found, mine, same)
    inverted = np.where(mirror == same, 0, keypoint_similarity(truth, results, found, mine, mirror))
    swapped = _swapped(truth, results, pairs, person, found, mirror)
    wrong = np.maximum(inverted, swapped)
    near = np.where(wrong < NEAR, KINDS.index("miss"), np.where(inverted >= swapped, KINDS.index("inversion"), KINDS.index("swap")))
    kind = np.where(own >= GOOD, 0, np.where(own >= NEAR, 1, near))
    kind[truth.keypoints[mine, :, 2] == 0] = -1
    wrong = np.where((kind == KINDS.index("inversion")) | (kind == KINDS.index("swap")), wrong, 0)
    return Diagnosis(rank, person, found, kind.astype(np.int8), own, wrong)


def keypoint_similarity(
    truth: Truth, results: Results, found: Int[np.ndarray, " q"], person: Int[np.ndarray, " q"], joint: Int[np.ndarray, " k"]
) -> Float[np.ndarray, "q k"]:
    """ks of each result's joint i with joint ``joint[i]`` of a person; 0 if that is not labelled."""
    target = truth.keypoints[person][:, joint]
    away = ((results.keypoints[found, :, :2] - target[..., :2]) ** 2).sum(-1)
    similar = oks.keypoint_similarity(away, truth.areas[person], np.array(truth.skeleton.sigmas)[joint])
    return similar * (target[..., 2] > 0)


def _swapped(
    truth: Truth, results: Results, pairs: Pairs, person: Int[np.ndarray, " m"], found: Int[np.ndarray, " q"], mirror: Int[np.ndarray, " k"]
) -> Float[np.ndarray, "q k"]:
    """The largest ks of each joint with the same or the mirrored joint of any other person who counts."""
    place = np.full(len(results), -1)
    place[found] = np.arange(len(found))
    others = (place[pairs.found] >= 0) & (pairs.person != person[pairs.found]) & ~truth.ignored[pairs.person]
    result, other = pairs.found[others], pairs.person[others]
    out = np.zeros((len(found), len(mirror)))
    for i in range(0, len(result), CHUNK):
        r, o = result[i : i + CHUNK], other[i : i + CHUNK]
        near = np.maximum(
            keypoint_similarity(truth, results, r, o, np.arange(len(mirror))), keypoint_similarity(truth, results, r, o, mirror)
        )
        starts = np.flatnonzero(np.diff(r, prepend=-1))
        rows = place[r[starts]]
        out[rows] = np.maximum(out[rows], np.maximum.reduceat(near, starts))
    return out
