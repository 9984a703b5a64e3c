"""Grouping of peaks into people by associative embedding tags (Newell et al. 2017; SWAHR, Section 3.5).

Joint type by joint type, an optimal assignment gives each person at most one peak with a tag near the person's mean tag; unmatched peaks
start new people.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from manypose.poses.skeleton import Skeleton

__all__ = ["joint_order", "match_rounded", "match_strong", "published_order"]

PUBLISHED_ORDER = (0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16)
FIRST, LAST = ("neck", "shoulder", "hip", "thorax", "pelvis"), ("wrist", "ankle")


def published_order(joints: int) -> tuple[int, ...]:
    """The authors' joint order, made for COCO; for CrowdPose they use its first 14 entries, although these are other joints there."""
    if joints == 14:
        return PUBLISHED_ORDER[:14]
    return (*(j for j in PUBLISHED_ORDER if j < joints), *range(17, joints))


def joint_order(skeleton: Skeleton) -> tuple[int, ...]:
    """Joints by reliability: torso first, wrists and ankles last, the rest in the skeleton's order."""

    def rank(j: int) -> int:
        name = skeleton.joints[j]
        return 0 if any(part in name for part in FIRST) else 2 if any(part in name for part in LAST) else 1

    return tuple(sorted(range(len(skeleton)), key=rank))


def match_strong(
    heights: Float[np.ndarray, "k n"],
    tags: Float[np.ndarray, "k n t"],
    order: Sequence[int],
    tag_threshold: float = 1.0,
    rounds: int = 2,
) -> Int[np.ndarray, "p k"]:
    """Our matching, which prefers close tags and assigns high peaks to people with high peaks.

    The value of a pair is ``(1 - (d / threshold)²)² v m`` for a peak of height v at tag distance d from a person with a mean peak height m,
    so that a weak spurious peak does not displace a real one. A person's tag is the mean of its peaks' tags, weighted by height.

    Args:
        heights: peak heights; 0 for no peak.
        tags: tags of the peaks.
        order: order of the joints.
        tag_threshold: tag distance from which a peak and a person do not match.
        rounds: number of passes; from the second on, each joint is matched with the people that the other joints form.

    Returns:
        For each person and joint the index of its peak, or -1.
    """
    found = [np.flatnonzero(row > 0) for row in heights]
    # One row per peak, since each peak may start a person.
    people = np.full((sum(map(len, found)), len(heights)), -1)
    sums, weights, counts = np.zeros((len(people), tags.shape[2])), np.zeros(len(people)), np.zeros(len(people))
    for j in [j for _ in range(rounds) for j in order if len(found[j])]:
        v, tag = heights[j, found[j]].astype(np.float64), tags[j, found[j]].astype(np.float64)
        if (had := np.flatnonzero(people[:, j] >= 0)).size:
            at = np.searchsorted(found[j], people[had, j])
            sums[had] -= tag[at] * v[at, None]
            weights[had] -= v[at]
            counts[had] -= 1
            people[had, j] = -1
        there = np.flatnonzero(counts)
        which = np.full(len(v), -1)
        if len(there):
            d2 = ((tag[:, None] - sums[there] / weights[there, None]) ** 2).sum(2) / tag_threshold**2
            worth = np.maximum(1 - d2, 0) ** 2 * v[:, None] * (weights[there] / counts[there])
            rows, columns = linear_sum_assignment(worth, maximize=True)
            near = worth[rows, columns] > 0
            which[rows[near]] = there[columns[near]]
        starts = np.flatnonzero(which < 0)
        which[starts] = np.flatnonzero(counts == 0)[: len(starts)]
        people[which, j] = found[j]
        # Reset empty people, to remove rounding errors of former members.
        empty = counts[which] == 0
        sums[which[empty]], weights[which[empty]] = 0, 0
        sums[which] += tag * v[:, None]
        weights[which] += v
        counts[which] += 1
    return people[counts > 0]


def match_rounded(
    heights: Float[np.ndarray, "k n"], tags: Float[np.ndarray, "k n t"], order: Sequence[int], tag_threshold: float = 1.0
) -> Int[np.ndarray, "p k"]:
    """The published matching: the cost is ``100 round(d) - v``; pairs with d below the threshold match.

    Only the first n people take part. Ties are common, so the authors' result also depends on their solver; without ties ours is equal.
    Arguments and result as in `match_strong`.
    """
    heights, tags = heights.astype(np.float64), tags.astype(np.float64)  # single precision would break ties
    people: list[np.ndarray] = []
    members: list[list[np.ndarray]] = []
    keys: dict[float, int] = {}
    for j in order:
        index = np.flatnonzero(heights[j] > 0)
        which = np.full(len(index), -1)
        if people and len(index):
            means = np.stack([np.mean(m, axis=0) for m in members[: heights.shape[1]]])
            distance = np.linalg.norm(tags[j, index, None] - means, axis=2)
            cost = np.round(distance) * 100 - heights[j, index, None]
            # Padded as published, which decides between assignments of equal cost.
            spare = max(0, len(index) - cost.shape[1])
            rows, columns = linear_sum_assignment(np.pad(cost, ((0, 0), (0, spare)), constant_values=1e10))
            real = columns < distance.shape[1]
            rows, columns = rows[real], columns[real]
            near = distance[rows, columns] < tag_threshold
            which[rows[near]] = columns[near]
        for i, person in zip(index, which, strict=True):
            tag = tags[j, i]
            if person >= 0:
                members[person].append(tag)
            elif float(tag[0]) in keys:  # as published, people are identified by their first tag
                person = keys[float(tag[0])]
                members[person] = [tag]
            else:
                keys[float(tag[0])] = person = len(people)
                people.append(np.full(len(heights), -1))
                members.append([tag])
            people[person][j] = i
    return np.stack(people) if people else np.zeros((0, len(heights)), np.int64)
