"""COCO's matching of results to people by OKS, for all images and thresholds at once in NumPy.

This makes the error analysis affordable, which evaluates a result once for each corrected type of error. Tested equal to
pycocotools.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from manypose.evaluation.metrics.annotations import Results, Truth
from manypose.poses.oks import keypoint_similarity

__all__ = ["RECALLS", "THRESHOLDS", "Pairs", "curve", "match", "pair_up", "precision_curves", "ranks", "similarity"]

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
CHUNK = 100_000
"""Number of pairs processed at once, which limits the memory."""


@dataclass(frozen=True)
class Pairs:
    """All pairs of a result and an annotated person in the same image.

    Args:
        found: p indices of results in `Results`, ascending.
        person: p indices of people in `Truth`.
        oks: their OKS.
    """

    found: Int[np.ndarray, " p"]
    person: Int[np.ndarray, " p"]
    oks: Float[np.ndarray, " p"]


def ranks(truth: Truth, results: Results, most: int = 20, removed: Bool[np.ndarray, " m"] | None = None) -> Int[np.ndarray, " m"]:
    """The rank of each result in its image by descending score (ties in file order); -1 beyond `most` and for those `removed`."""
    scores = results.scores if removed is None else np.where(removed, -np.inf, results.scores)
    order = np.lexsort((-scores, results.image))
    first = np.searchsorted(results.image[order], np.arange(len(truth.image_ids)))
    rank = np.empty(len(results), np.int64)
    rank[order] = np.arange(len(results)) - first[results.image[order]]
    rank[(rank >= most) | (scores == -np.inf)] = -1
    return rank


def pair_up(truth: Truth, results: Results) -> Pairs:
    """All pairs of a result and a person of the same image, with their OKS (COCO's; see `similarity`)."""
    images = len(truth.image_ids)
    first, count = np.searchsorted(truth.image, np.arange(images)), np.bincount(truth.image, minlength=images)
    times = count[results.image]
    found = np.repeat(np.arange(len(results)), times)
    within = np.arange(len(found)) - np.repeat(np.cumsum(times) - times, times)
    person = first[results.image[found]] + within
    parts = [similarity(truth, person[i : i + CHUNK], results.keypoints[found[i : i + CHUNK], :, :2]) for i in range(0, len(found), CHUNK)]
    return Pairs(found, person, np.concatenate([np.zeros(0), *parts]))


def similarity(truth: Truth, person: Int[np.ndarray, " p"], points: Float[np.ndarray, "p k 2"]) -> Float[np.ndarray, " p"]:
    """OKS of points to people, pairwise: the mean over labelled joints of `keypoint_similarity`.

    Where no joint is labelled (crowds), d is the distance to twice the person's box, and all joints count.
    """
    joints, labelled = truth.keypoints[person], truth.keypoints[person, :, 2] > 0
    away = points - joints[..., :2]
    none = ~labelled.any(1)
    if none.any():
        low = (truth.boxes[person[none], :2] - truth.boxes[person[none], 2:])[:, None]
        high = (truth.boxes[person[none], :2] + 2 * truth.boxes[person[none], 2:])[:, None]
        away[none] = np.maximum(0, low - points[none]) + np.maximum(0, points[none] - high)
        labelled[none] = True
    similar = keypoint_similarity((away**2).sum(-1), truth.areas[person], truth.skeleton.sigmas)
    return (similar * labelled).sum(1) / labelled.sum(1)


def match(
    truth: Truth,
    image: Int[np.ndarray, " m"],
    pairs: Pairs,
    rank: Int[np.ndarray, " m"],
    thresholds: Float[np.ndarray, " t"],
    ignored: Bool[np.ndarray, " n"] | None = None,
) -> Int[np.ndarray, "t m"]:
    """For each threshold and result the matched person, or -1: in order of score, each result takes the most similar free person.

    A person is matched once, a crowd any number of times; `ignored` people are matched only if no other person can be.

    Args:
        truth: annotated people.
        image: the results' images.
        pairs: from `pair_up`.
        rank: from `ranks`.
        thresholds: smallest OKS of a match.
        ignored: which people are ignored; by default as `truth` says.
    """
    ignored = truth.ignored if ignored is None else ignored
    out = np.full((len(thresholds), len(image)), -1, np.int64)
    least = np.minimum(thresholds, 1 - 1e-10)
    use = rank[pairs.found] >= 0
    found, person, oks = pairs.found[use], pairs.person[use], pairs.oks[use]
    many = np.bincount(truth.image, minlength=len(truth.image_ids))[image[found]]
    low = 0
    for high in (2, 4, 8, 16, 32, 64, 128, 1 << 30):  # images with like numbers of people together: little padding
        some = (many > low) & (many <= high)
        low = high
        if some.any():
            _match_some(truth, image, found[some], person[some], oks[some], rank, least, ignored, out)
    return out


def _match_some(truth, image, found, person, oks, rank, least, ignored, out) -> None:
    """`match` for the pairs of images with like numbers of people; fills `out`."""
    images, row = np.unique(image[found], return_inverse=True)
    first = np.searchsorted(truth.image, images)
    order, column = rank[found], person - first[row]
    width, depth = int(column.max()) + 1, int(order.max()) + 1
    table = np.full((depth, len(images), width), -1.0)
    table[order, row, column] = oks
    holder = np.full((depth, len(images)), -1)
    holder[order, row] = found
    passed, crowd = np.zeros((2, len(images), width), bool)
    passed[row, column], crowd[row, column] = ignored[person], truth.crowd[person]
    free = np.ones((len(least), len(images), width), bool)
    for r in range(depth):
        here = np.flatnonzero(holder[r] >= 0)
        able = np.where(free[:, here] | crowd[here], table[r, here], -1.0)
        able[able < least[:, None, None]] = -1.0
        proper = np.where(passed[here], -1.0, able)
        able = np.where((proper.max(-1) >= 0)[..., None], proper, able)
        best = width - 1 - able[..., ::-1].argmax(-1)  # of equals the last, as the COCO API has it
        t, i = np.nonzero(np.take_along_axis(able, best[..., None], -1)[..., 0] >= 0)
        free[t, here[i], best[t, i]] = False
        out[t, holder[r, here[i]]] = first[here[i]] + best[t, i]


def curve(
    truth: Truth,
    results: Results,
    matched: Int[np.ndarray, "t m"],
    rank: Int[np.ndarray, " m"],
    ignored: Bool[np.ndarray, " n"] | None = None,
) -> Float[np.ndarray, "t 101"]:
    """Interpolated precision at the 101 recalls of `RECALLS`, for each threshold; NaN if no person counts.

    Results matched to ignored people are neither true nor false positives.
    """
    ignored = truth.ignored if ignored is None else ignored
    total = int((~ignored).sum())
    if total == 0:
        return np.full((len(matched), len(RECALLS)), np.nan)
    counted = np.flatnonzero(rank >= 0)
    order = counted[np.lexsort((rank[counted], results.image[counted], -results.scores[counted]))]
    out = np.zeros((len(matched), len(RECALLS)))
    for row, people in zip(out, matched[:, order], strict=True):
        right = people >= 0
        kept = ~(right & ignored[people])
        hits, tries = np.cumsum(right[kept]), np.arange(1, kept.sum() + 1)
        envelope = np.maximum.accumulate((hits / (tries + np.spacing(1)))[::-1])[::-1]
        place = np.searchsorted(hits / total, RECALLS, side="left")
        row[place < len(envelope)] = envelope[place[place < len(envelope)]]
    return out


def precision_curves(
    truth: Truth,
    results: Results,
    pairs: Pairs | None = None,
    ignored: Bool[np.ndarray, " n"] | None = None,
    removed: Bool[np.ndarray, " m"] | None = None,
    most: int = 20,
) -> Float[np.ndarray, "10 101"]:
    """Precision at OKS 0.50, 0.55 … 0.95 and the recalls of `RECALLS`; its mean is COCO's AP.

    Args:
        truth: annotated people.
        results: predicted people.
        pairs: from `pair_up`, if already computed.
        ignored: which people are ignored; by default as `truth` says.
        removed: results that are left out.
        most: largest number of results per image.
    """
    pairs, rank = pairs or pair_up(truth, results), ranks(truth, results, most, removed)
    return curve(truth, results, match(truth, results.image, pairs, rank, THRESHOLDS, ignored), rank, ignored)
