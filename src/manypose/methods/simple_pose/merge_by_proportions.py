"""Joining of groups without a common part, by body proportions."""

import numpy as np
from jaxtyping import Float, Int

from manypose.methods.simple_pose.body import Body
from manypose.methods.simple_pose.people_in_progress import Groups

__all__ = ["attach", "pair"]


def attach(
    groups: Groups, body: Body, limit: float = 10.0, small: int = 6, ratio: float = 3.3, variance: float = 0.3, firm: float = 0.1
) -> None:
    """Join small groups to the person whose proportions they fit best.

    The expected position of a small group's joint follows from the person's nearest joint and size, which is estimated from the distances
    between its joints.

    Args:
        groups: modified in place.
        body: mean positions and variances of joints.
        limit: largest squared distance from the expected position, in deviations.
        small: largest number of joints of a group that is joined to another.
        ratio: largest ratio of the sizes of two groups of one person.
        variance: largest variance of an expected position, see `body.Body`.
        firm: weight of the prior against a rotation of the person, see `_turns`.
    """
    while len(groups.xy) > 1:
        there = groups.there
        count = there.sum(1)
        few = np.flatnonzero(count <= small)
        larger = (count > count[few][:, None]) | ((count == count[few][:, None]) & (np.arange(len(count)) < few[:, None]))
        possible = larger & (there[few].astype(np.float32) @ there.T == 0)  # no joint in common
        few, large = few[possible.any(1)], np.flatnonzero(possible.any(0))
        if not len(few):
            return
        value = _fit(groups, few, large, body, limit, ratio, variance, firm)
        value[~possible[possible.any(1)][:, large]] = -np.inf
        choice = value.argmax(1)
        best = value[np.arange(len(few)), choice]
        pairs: list[tuple[int, int]] = []
        used: set[int] = set()
        for f in np.argsort(-best, kind="stable"):
            a, b = int(large[choice[f]]), int(few[f])
            if best[f] > -np.inf and a not in used and b not in used:
                pairs.append((a, b))
                used |= {a, b}
        if not pairs:
            return
        groups.merge(pairs)


def _fit(
    groups: Groups,
    few: Int[np.ndarray, " f"],
    large: Int[np.ndarray, " g"],
    body: Body,
    limit: float,
    ratio: float,
    variance: float,
    firm: float,
) -> Float[np.ndarray, "f g"]:
    """Log density of each of `few` as part of each of the groups `large`; -inf if they cannot be one person."""
    there, row, own = groups.there, np.arange(len(few))[:, None], np.arange(len(large))
    sizes = _sizes(groups, body)
    size = sizes[large]
    # For each joint k of a person, the best predicted joint of the small group; then the best k.
    from_k = np.where(there[few][:, None], body.variance, np.inf)
    spread = np.where(there[large], from_k.min(2)[:, None], np.inf)
    k = spread.argmin(2)
    j, spread = from_k.argmin(2)[row, k], spread[row, own, k]
    expected = (_turns(groups, large, body, size, firm) @ (body.place[j] - body.place[k])[..., None])[..., 0]
    offset = groups.xy[few[:, None], j] - groups.xy[large, k] - expected
    with np.errstate(divide="ignore", invalid="ignore"):
        deviation = size**2 * spread
        distance = (offset**2).sum(2) / deviation
        value = -distance / 2 - np.log(deviation)
        other_size = np.abs(np.log(sizes[few][:, None] / size)) > np.log(ratio)  # False for unknown sizes
    return np.where((distance < limit) & (spread <= variance) & ~other_size, value, -np.inf)


def pair(groups: Groups, body: Body, largest: float) -> None:
    """Join pairs of remaining single joints, the best fit first, that fit a person no larger than `largest`.

    Args:
        groups: modified in place.
        body: mean positions and variances of joints.
        largest: largest size of a person in cells, the square root of its area (see `body.Body`).
    """
    single = np.flatnonzero(groups.there.sum(1) == 1)
    if len(single) < 2:
        return
    joint = groups.there[single].argmax(1)
    xy = groups.xy[single, joint]
    expected = ((body.place[:, None] - body.place) ** 2).sum(2) + 2 * body.variance
    with np.errstate(invalid="ignore"):
        size = np.sqrt(((xy[:, None] - xy) ** 2).sum(2) / np.where(joint[:, None] == joint, np.nan, expected[joint][:, joint]))
    first, second = np.triu_indices(len(single), 1)
    size = np.nan_to_num(size[first, second], nan=np.inf)
    pairs, used = [], set()
    for i in np.argsort(size, kind="stable"):
        a, b = int(single[first[i]]), int(single[second[i]])
        if size[i] <= largest and not {a, b} & used:
            pairs.append((a, b))
            used |= {a, b}
    groups.merge(pairs)


def _sizes(groups: Groups, body: Body) -> Float[np.ndarray, " g"]:
    """Size of each group in cells, from its joints' distances relative to those of a person of unit size; NaN for a single joint."""
    expected = ((body.place[:, None] - body.place) ** 2).sum(2) + 2 * body.variance
    known = np.isfinite(np.diagonal(expected))
    there = (groups.there & known).astype(float)
    norm = ((there @ np.where(np.isfinite(expected), expected, 0)) * there).sum(1)
    # The sum of all squared distances between points follows from their moments.
    squared = there.sum(1) * ((groups.xy**2).sum(2) * there).sum(1) - ((groups.xy * there[..., None]).sum(1) ** 2).sum(1)
    return np.sqrt(np.where(norm > 0, 2 * squared.clip(min=0) / np.where(norm > 0, norm, 1), np.nan))


def _turns(
    groups: Groups, rows: Int[np.ndarray, " g"], body: Body, size: Float[np.ndarray, " g"], firm: float
) -> Float[np.ndarray, "g 2 2"]:
    """The linear map from mean positions to the joints of each of `rows`, in cells, by ridge regression.

    The prior (`firm`) is an upright person half facing the camera.
    """
    place = np.where(np.isnan(body.place), 0, body.place)
    xy, weight = groups.xy[rows], (groups.there[rows] & ~np.isnan(body.place[:, 0]))[..., None].astype(float)
    count = np.maximum(weight.sum(1, keepdims=True), 1)
    from_mean = (place - (weight * place).sum(1, keepdims=True) / count) * weight
    to_mean = (xy - (weight * xy).sum(1, keepdims=True) / count) * weight
    first = np.diag([0.5, 1.0]) * np.where(np.isnan(size), 0, size)[:, None, None]
    moments = from_mean.transpose(0, 2, 1) @ from_mean + firm * np.eye(2)
    return (to_mean.transpose(0, 2, 1) @ from_mean + firm * first) @ np.linalg.inv(moments)
