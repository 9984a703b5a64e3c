"""The cost of each type of error: the AP after it is corrected.

Source: Ronchi and Perona, ICCV 2017, Section 3. A joint is moved on the line from its annotated to its predicted location: a jitter to a
distance of ks 0.85, a miss to ks 0.5, an inversion or swap to the ks that it had with the wrong joint. Scores are replaced by the best
possible ones: each result's OKS with the person it is most similar to. Background results have an OKS below 0.1 with every person; missed
people are matched by no result with an OKS of at least 0.1. Duplicates, which the paper does not count separately, are results near a
person who has a more similar result.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from manypose.evaluation.error_analysis.errors import GOOD, KINDS, LOOSE, NEAR, Diagnosis
from manypose.evaluation.metrics.annotations import Results, Truth
from manypose.evaluation.metrics.matching import Pairs, match, precision_curves, ranks, similarity

__all__ = ["STEPS", "Cost", "background", "best_scores", "corrected", "costs", "duplicates", "missed", "scoring_errors"]

STEPS = ("miss", "swap", "inversion", "jitter", "scores", "duplicates", "background", "missed")
"""The corrections, in the paper's order."""


@dataclass(frozen=True)
class Cost:
    """The AP after the correction of one type of error.

    Args:
        step: one of `STEPS`, or ``none`` for the unchanged results.
        alone: AP at the 10 thresholds with only this error corrected.
        so_far: the same with all errors up to this one corrected.
        curves: precision at the 10 thresholds and 101 recalls, with all errors up to this one corrected.
    """

    step: str
    alone: Float[np.ndarray, " 10"]
    so_far: Float[np.ndarray, " 10"]
    curves: Float[np.ndarray, "10 101"]


def costs(truth: Truth, results: Results, pairs: Pairs, found: Diagnosis, most: int = 20) -> list[Cost]:
    """The AP of the unchanged results, then with each of `STEPS` corrected, alone and cumulatively.

    Args:
        truth: annotated people.
        results: predicted people.
        pairs: from `matching.pair_up`.
        found: from `errors.diagnose`.
        most: largest number of results per image.
    """
    plain = precision_curves(truth, results, pairs, most=most)
    out = [Cost("none", plain.mean(1), plain.mean(1), plain)]
    for i, step in enumerate(STEPS):
        alone = _corrected_precision(truth, results, pairs, found, {step}, most).mean(1)
        curves = _corrected_precision(truth, results, pairs, found, set(STEPS[: i + 1]), most)
        out.append(Cost(step, alone, curves.mean(1), curves))
    return out


def _corrected_precision(
    truth: Truth, results: Results, pairs: Pairs, found: Diagnosis, steps: set[str], most: int
) -> Float[np.ndarray, "10 101"]:
    better = corrected(truth, results, found, steps)
    removed = background(pairs, found) if "background" in steps else np.zeros(len(results), bool)
    if better is not results:
        moved = (better.keypoints != results.keypoints).any((1, 2))[pairs.found]
        oks = pairs.oks.copy()
        oks[moved] = similarity(truth, pairs.person[moved], better.keypoints[pairs.found[moved], :, :2])
        pairs = replace(pairs, oks=oks)
    if "duplicates" in steps:
        removed |= duplicates(truth, better, pairs, found, most)
    if "scores" in steps:
        better = replace(better, scores=best_scores(truth, better, pairs))
    ignored = truth.ignored | missed(truth, found) if "missed" in steps else None
    return precision_curves(truth, better, pairs, ignored, removed, most)


def corrected(truth: Truth, results: Results, found: Diagnosis, steps: set[str]) -> Results:
    """The results with joints of these types of error moved to their corrected locations."""
    kinds = [KINDS.index(step) for step in steps if step in KINDS]
    if not kinds:
        return results
    aim = np.where(found.kind == KINDS.index("jitter"), GOOD, np.where(found.kind == KINDS.index("miss"), NEAR, found.wrong))
    row, joint = np.nonzero(np.isin(found.kind, kinds))
    result, person = found.found[row], found.person[found.found[row]]
    true = truth.keypoints[person, joint, :2]
    away = results.keypoints[result, joint, :2] - true
    sigma = 2 * np.array(truth.skeleton.sigmas)[joint]
    radius = np.sqrt(-2 * np.log(aim[row, joint]) * truth.areas[person]) * sigma
    keypoints = results.keypoints.copy()
    keypoints[result, joint, :2] = true + away * (radius / np.linalg.norm(away, axis=1))[:, None]
    return replace(results, keypoints=keypoints)


def best_scores(truth: Truth, results: Results, pairs: Pairs) -> Float[np.ndarray, " m"]:
    """For each result its largest OKS with a person who counts, which is the best possible score."""
    best = np.zeros(len(results))
    np.maximum.at(best, pairs.found, np.where(truth.ignored[pairs.person], 0, pairs.oks))
    return best


def background(pairs: Pairs, found: Diagnosis) -> Bool[np.ndarray, " m"]:
    """Mask of the results near no person: every OKS, crowds included, is below 0.1."""
    near = np.zeros(len(found.rank), bool)
    near[pairs.found[pairs.oks >= LOOSE]] = True
    return ~near & (found.rank >= 0)


def duplicates(truth: Truth, results: Results, pairs: Pairs, found: Diagnosis, most: int = 20) -> Bool[np.ndarray, " m"]:
    """Mask of the results that a perfect non-maximum suppression would remove: those near a person with a more similar result."""
    rank = ranks(truth, replace(results, scores=best_scores(truth, results, pairs)), most)
    taken = match(truth, results.image, pairs, rank, np.array([LOOSE]))[0]
    return (taken < 0) & (found.rank >= 0) & ~background(pairs, found)


def missed(truth: Truth, found: Diagnosis) -> Bool[np.ndarray, " n"]:
    """Mask of the people who count and have no matching result."""
    return ~truth.ignored & ~np.isin(np.arange(len(truth.ids)), found.person[found.found])


def scoring_errors(truth: Truth, results: Results, pairs: Pairs, found: Diagnosis) -> tuple[int, int]:
    """Number of people with several results, and of those whose highest-scoring result is not the most similar (Section 3.2).

    A person's results are those more similar to this person than to anyone else, from OKS 0.1 on.
    """
    use = (found.rank[pairs.found] >= 0) & ~truth.ignored[pairs.person] & (pairs.oks >= LOOSE)
    result, person, oks = pairs.found[use], pairs.person[use], pairs.oks[use]
    order = np.lexsort((-oks, result))
    first = order[np.diff(result[order], prepend=-1) != 0]  # each result's most similar person
    result, person, oks = result[first], person[first], oks[first]
    several = np.bincount(person, minlength=len(truth.ids)) > 1
    use = several[person]
    result, person, oks = result[use], person[use], oks[use]
    best = np.zeros(len(truth.ids))
    np.maximum.at(best, person, oks)
    trusted = np.lexsort((-results.scores[result], person))
    trusted = trusted[np.diff(person[trusted], prepend=-1) != 0]
    return int(several.sum()), int((oks[trusted] < best[person[trusted]]).sum())
