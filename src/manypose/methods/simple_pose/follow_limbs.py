"""Search for missing joints by following limbs from the detected end.

The map of a part from a detected to a missing joint has a ridge. If the ridge ends at a ridge or joint of another group, the two groups are
joined; otherwise the missing joint is placed at its end.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from manypose.methods.simple_pose.body import Body
from manypose.methods.simple_pose.candidates import at, read
from manypose.methods.simple_pose.people_in_progress import Groups

__all__ = ["Ridges", "complete", "follow", "wanted"]


@dataclass(frozen=True)
class Ridges:
    """m parts with one detected end.

    Args:
        group: index of the group.
        joint: the joint at the missing end.
        end: position of the ridge's end, in cells.
        score: mean of the map along it.
        length: in cells; 0 if there is no ridge.
    """

    group: Int[np.ndarray, " m"]
    joint: Int[np.ndarray, " m"]
    end: Float[np.ndarray, "m 2"]
    score: Float[np.ndarray, " m"]
    length: Float[np.ndarray, " m"]


def wanted(groups: Groups, body: Body) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"], Bool[np.ndarray, " m"]]:
    """Group, part, and whether the second end is detected, for all parts with one detected, fresh end; clears `Groups.fresh`."""
    ends = np.array(body.parts)
    first, second = groups.there[:, ends[:, 0]], groups.there[:, ends[:, 1]]
    fresh = groups.fresh & groups.there
    (g1, p1), (g2, p2) = np.nonzero(fresh[:, ends[:, 0]] & ~second), np.nonzero(fresh[:, ends[:, 1]] & ~first)
    groups.fresh[:] = False
    return np.concatenate([g1, g2]), np.concatenate([p1, p2]), np.repeat([False, True], [len(g1), len(g2)])


def follow(
    part: Float[Tensor, "b c h w"],
    image: Int[np.ndarray, " m"],
    kind: Int[np.ndarray, " m"],
    back: Bool[np.ndarray, " m"],
    start: Float[np.ndarray, "m 2"],
    parts: int,
    threshold: float = 0.1,
    steps: int = 40,
    directions: int = 48,
    beyond: float = 1.0,
    short: int = 9,
) -> tuple[Float[np.ndarray, "m 2"], Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """The ends of ridges, where they fall below half of their mean.

    Args:
        part: the parts' maps, as in `read`.
        image: index of each ridge's image.
        kind: index of the part.
        back: whether it is followed from the part's second end.
        start: its start, in cells.
        parts: number of parts.
        threshold: smallest height of a ridge.
        steps: largest length in cells; longer ridges are discarded.
        directions: number of directions tried.
        beyond: mean extension of ridges beyond joints in cells: 1 for the authors' parts, -0.5 for the paper's.
        short: number of cells read first; only ridges that continue there are read up to `steps`.

    Returns:
        The end of each ridge, its mean height, and its length in cells (0: no ridge).
    """
    xy = np.ascontiguousarray(start.T, np.float32)
    turn = np.arange(directions, dtype=np.float32) * np.float32(2 * np.pi / directions)
    way = np.stack([np.cos(turn), np.sin(turn)])

    def along(rows: Int[np.ndarray, " r"], ways: Int[np.ndarray, " r"], far: Int[np.ndarray, " s"]) -> Float[np.ndarray, "s r"]:
        to = way[:, ways]
        points = xy[:, rows][:, None] + to[:, None] * far[:, None].astype(np.float32)
        return read(part, image[rows], kind[rows], points, np.where(back[rows], -to, to), parts)

    # Test two cells per direction first, since most directions have no ridge.
    ends = np.arange(len(image))
    if part.shape[1] == parts:
        ends = ends[_high_around(part, image * parts + kind, start, threshold)]
    rows, ways = np.repeat(ends, directions), np.tile(np.arange(directions), len(ends))
    near = (along(rows, ways, np.array([2, 3])) > threshold).all(0)
    rows, ways = rows[near], ways[near]
    if not len(rows):
        return start, np.zeros(len(start)), np.zeros(len(start))
    total, length = _run(along(rows, ways, np.arange(1, short + 1)), threshold)
    long = np.flatnonzero(length >= short - 1)  # most ridges end sooner
    if len(long) and short < steps:
        total[long], length[long] = _run(along(rows[long], ways[long], np.arange(1, steps + 1)), threshold)
    gain, sums, lengths = np.zeros((3, len(image), directions))
    gain[rows, ways], sums[rows, ways], lengths[rows, ways] = total - threshold / 2 * length, total, length
    best, each = gain.argmax(1), np.arange(len(image))
    total, length = sums[each, best], lengths[each, best]
    # Interpolate the direction by the gains.
    step = np.arange(-2, 3)
    weight = gain[each[:, None], (best[:, None] + step) % directions]
    weight = np.maximum(weight - 0.6 * weight.max(1, keepdims=True), 0)
    angle = turn[best] + (weight @ step) / np.maximum(weight.sum(1), 1e-9) * (2 * np.pi / directions)
    end = start + np.stack([np.cos(angle), np.sin(angle)], 1) * np.maximum(length - beyond, 0)[:, None]
    return end, total / np.maximum(length, 1), length * (length < steps)


def _high_around(
    part: Float[Tensor, "b p h w"], plane: Int[np.ndarray, " m"], start: Float[np.ndarray, "m 2"], threshold: float
) -> Bool[np.ndarray, " m"]:
    """A mask of the ridges whose map exceeds `threshold` in a cell about two cells from `start`."""
    h, w = part.shape[2:]
    step = np.arange(-3, 4)
    away = step[:, None] ** 2 + step**2
    ring = (step[:, None] * w + step)[(away > 0) & (away < 12)]
    x, y = np.floor(start.T + 0.5).astype(np.int64)
    index = ring[:, None] + (plane * (h * w) + y * w + x)  # outside the map another cell
    return np.any(at(part, index.clip(0, part.numel() - 1)) > threshold, axis=0)


def _run(values: Float[np.ndarray, "s r"], threshold: float) -> tuple[Float[np.ndarray, " r"], Int[np.ndarray, " r"]]:
    """Sum and length of the ridge at the start of each column of values.

    It continues while the mean of three cells is above half of the mean so far.
    """
    three = values.copy()
    three[1:-1] = (values[:-2] + values[1:-1] + values[2:]) / 3
    total = values.cumsum(0)
    on = three > np.maximum(total / np.arange(1, len(values) + 1, dtype=np.float32)[:, None] / 2, np.float32(threshold))
    length = np.logical_and.accumulate(on, 0).sum(0)
    return np.where(length > 0, total[np.maximum(length, 1) - 1, np.arange(len(length))], 0), length


def complete(groups: Groups, ridges: Ridges, least: float = 0.15, shortest: float = 3.0, near: float = 3.0, worth: float = 0.3) -> None:
    """Join groups whose ridges meet, and place joints at the ends of other ridges.

    Args:
        groups: modified in place.
        ridges: of these groups.
        least: smallest mean height of a ridge.
        shortest: smallest length of a ridge, in cells.
        near: largest distance of matching ends, in cells.
        worth: factor from a ridge's height to the joint's score.
    """
    keep = np.flatnonzero((ridges.score > least) & (ridges.length >= shortest))
    if not len(keep):
        return
    g, joint, end = ridges.group[keep], ridges.joint[keep], ridges.end[keep]
    weight = ridges.score[keep] * np.minimum(ridges.length[keep], 10) / 10
    # One position for each group's joint: the strongest end, averaged with those near it.
    key = g * groups.xy.shape[1] + joint
    order = np.lexsort((-weight, key))
    key, g, joint, end, weight = key[order], g[order], joint[order], end[order], weight[order]
    first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
    of = np.repeat(np.arange(len(first)), np.diff(np.r_[first, len(key)]))
    agrees = weight * (((end - end[first][of]) ** 2).sum(1) < near**2)
    total = np.bincount(of, agrees)
    place = np.stack([np.bincount(of, agrees * end[:, i]) for i in (0, 1)], 1) / total[:, None]
    g, joint = g[first], joint[first]
    # Matches: an end and another group's joint, or two ends.
    to_joint = ((groups.xy[:, joint].transpose(1, 0, 2) - place[:, None]) ** 2).sum(2)
    to_joint = np.where(groups.there[:, joint].T & (np.arange(len(groups.xy)) != g[:, None]), to_joint, np.inf)
    to_end = ((place[:, None] - place) ** 2).sum(2)
    to_end = np.where((joint[:, None] == joint) & (g[:, None] < g), to_end, np.inf)
    (e1, h1), (e2, f2) = np.nonzero(to_joint < near**2), np.nonzero(to_end < near**2)
    meets = np.concatenate([to_joint[e1, h1], to_end[e2, f2]])
    pairs = np.concatenate([np.stack([g[e1], h1], 1), np.stack([g[e2], g[f2]], 1)])[np.argsort(meets, kind="stable")]
    taken = np.any(to_joint < near**2, 1)  # near another person's joint
    now = groups.merge([(int(a), int(b)) for a, b in pairs])
    for i in np.argsort(-total, kind="stable"):
        a, k = now[int(g[i])], int(joint[i])
        if groups.score[a, k] == 0 and not bool(taken[i]):
            groups.xy[a, k], groups.score[a, k], groups.fresh[a, k] = place[i], min(total[i], 1) * worth, True
