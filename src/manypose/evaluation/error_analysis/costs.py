"""What each kind of error costs: the AP after it is corrected.

Source: Ronchi and Perona, ICCV 2017, Section 3. A joint is moved along the line from its true place to where it was found: after
a jitter to a distance of ks 0.85, after a miss to one of ks 0.5, after an inversion or swap to one as large (in ks) as it had to the
joint it took for its own. Scoring is corrected by the best scores there can be: each result's OKS to the person it is most similar to.
Background results are those with an OKS below 0.1 to everyone; missed are the people whom no result matches from OKS 0.1 on. Duplicates,
which the paper does not count apart, are results near a person who has a more similar result.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from manypose.evaluation.error_analysis.errors import GOOD, KINDS, LOOSE, NEAR, Diagnosis
from manypose.evaluation.metrics.annotations import Results, Truth
from manypose.evaluation.metrics.matching import Pairs, match, precision_curves, ranks, similarity

__all__ = ["STEPS", "Cost", "background", "best_scores", "corrected", "costs", "duplicates", "missed", "scoring_errors"]

STEPS = ("miss", "swap", "inversion", "jitter", "scores", "duplicates", "background", "missed")
"""What is corrected, in the paper's order."""


@dataclass(frozen=True)
class Cost:
    """What correcting an error changes.

    Args:
        step: one of `STEPS`, or ``none`` for the results as they are.
        alone: AP at the 10 thresholds with this error alone corrected.
        so_far: the same with all steps up to this one corrected.
        curves: precision at the 10 thresholds and 101 recalls, all steps up to this one corrected.
    """

    step: str
    alone: Float[np.ndarray, " 10"]
    so_far: Float[np.ndarray, " 10"]
    curves: Float[np.ndarray, "10 101"]


def costs(truth: Truth, results: Results, pairs: Pairs, found: Diagnosis, most: int = 20) -> list[Cost]:
    """The AP as it is, then with each of `STEPS` corrected, alone and one after the other.

    Args:
        truth: annotated people.
        results: people found.
        pairs: from `matching.pair_up`.
        found: from `errors.diagnose`.
        most: results of an image that count.
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
    """The results with joints of these kinds of error moved to where the correction puts them."""
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
    """For each result its largest OKS to a person who counts: no other scores give a better order."""
    best = np.zeros(len(results))
    np.maximum.at(best, pairs.found, np.where(truth.ignored[pairs.person], 0, pairs.oks))
    return best


def background(pairs: Pairs, found: Diagnosis) -> Bool[np.ndarray, " m"]:
    """Results near no person: every OKS, to crowds too, is below 0.1."""
    near = np.zeros(len(found.rank), bool)
    near[pairs.found[pairs.oks >= LOOSE]] = True
    return ~near & (found.rank >= 0)


def duplicates(truth: Truth, results: Results, pairs: Pairs, found: Diagnosis, most: int = 20) -> Bool[np.ndarray, " m"]:
    """Results near a person that a perfect non-maximum suppression would remove: the most similar ones take the people first."""
    rank = ranks(truth, replace(results, scores=best_scores(truth, results, pairs)), most)
    taken = match(truth, results.image, pairs, rank, np.array([LOOSE]))[0]
    return (taken < 0) & (found.rank >= 0) & ~background(pairs, found)


def missed(truth: Truth, found: Diagnosis) -> Bool[np.ndarray, " n"]:
    """People who count and are matched by no result."""
    return ~truth.ignored & ~np.isin(np.arange(len(truth.ids)), found.person[found.found])


def scoring_errors(truth: Truth, results: Results, pairs: Pairs, found: Diagnosis) -> tuple[int, int]:
    """How many people have several results, and for how many of them the best-scored is not the most similar (Section 3.2).

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
