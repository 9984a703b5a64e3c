"""What candidates alone do not give: joints without a peak that parts point at, and groups that no part joins.

A part between a joint that was found and one that was not is a ridge that leads from the one to the other: it is followed to its end.
Where two groups' ridges meet, or a ridge and another group's joint, the groups are one person. What is left over is joined by build:
joints lie where joints of a person of that size lie.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from manypose.methods.simple_pose.body import Body
from manypose.methods.simple_pose.candidates import read

__all__ = ["Groups", "Ridges", "attach", "complete", "follow", "pair", "wanted"]


@dataclass
class Groups:
    """g people in the making.

    Args:
        xy: places of their joints, in cells.
        score: heights of their joints, 0 where they have none.
        fresh: joints from which no ridge was followed yet.
    """

    xy: Float[np.ndarray, "g j 2"]
    score: Float[np.ndarray, "g j"]
    fresh: Bool[np.ndarray, "g j"]

    @property
    def there(self) -> Bool[np.ndarray, "g j"]:
        """Which joints they have."""
        return self.score > 0

    def keep(self, rows: Shaped[np.ndarray, " _g"]) -> None:
        """Only some of the groups, by index or mask."""
        self.xy, self.score, self.fresh = self.xy[rows], self.score[rows], self.fresh[rows]

    def merge(self, pairs: list[tuple[int, int]]) -> dict[int, int]:
        """Join groups with no joint in common, in the given order; gives for each old index the new one."""
        into = list(range(len(self.xy)))

        def root(i: int) -> int:
            while into[i] != i:
                i = into[i]
            return i

        there = self.there
        for a, b in pairs:
            a, b = root(a), root(b)
            if a == b or (there[a] & there[b]).any():
                continue
            new = there[b]
            for of in (self.xy, self.score, self.fresh):
                of[a, new] = of[b, new]
            there[a] |= new
            into[b] = a
        kept = [i for i in range(len(into)) if into[i] == i]
        self.keep(np.array(kept))
        place = {i: n for n, i in enumerate(kept)}
        return {i: place[root(i)] for i in range(len(into))}


@dataclass(frozen=True)
class Ridges:
    """m parts of which one end was found.

    Args:
        group: whose.
        part: which.
        source: the joint that was found.
        joint: the joint at the other end.
        end: where the ridge ends, in cells.
        score: mean of the map along it.
        length: in cells; 0 where there is no ridge.
    """

    group: Int[np.ndarray, " m"]
    part: Int[np.ndarray, " m"]
    source: Int[np.ndarray, " m"]
    joint: Int[np.ndarray, " m"]
    end: Float[np.ndarray, "m 2"]
    score: Float[np.ndarray, " m"]
    length: Float[np.ndarray, " m"]


def wanted(groups: Groups, body: Body) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"], Bool[np.ndarray, " m"]]:
    """Group and part of all parts of which one end was found and is fresh, and whether it is the second; nothing is fresh then."""
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
) -> tuple[Float[np.ndarray, "m 2"], Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Follow parts' ridges from one end to where they fall to half of their mean.

    Args:
        part: the parts' maps, as `read` takes them.
        image: which image of the batch each ridge is on.
        kind: which part.
        back: it is followed from the part's second end.
        start: where from, in cells.
        parts: how many parts there are.
        threshold: a ridge is higher.
        steps: cells to go at most; a longer ridge counts as none.
        directions: tried in a circle.
        beyond: how far, in cells, a part is painted beyond its joints.

    Returns:
        Where each ends, its mean height, its length in cells (0: there is no ridge).
    """
    m = len(image)
    end, score, length = start.copy(), np.zeros(m), np.zeros(m)
    device = part.device
    turn = torch.arange(directions, device=device) * (2 * np.pi / directions)
    way = torch.stack([turn.cos(), turn.sin()], 1)
    which = torch.arange(m, device=device)
    image_, kind_ = torch.from_numpy(image).to(device), torch.from_numpy(kind).to(device)
    start_ = torch.from_numpy(start.astype(np.float32)).to(device)
    sign = torch.from_numpy(np.where(back, -1, 1).astype(np.float32)).to(device)

    def along(rows: Tensor, ways: Tensor, far: Tensor) -> Tensor:
        points = start_[rows, None] + ways[:, None] * far[:, None]
        return read(part, image_[rows], kind_[rows], points, ways * sign[rows, None], parts)

    # Most ends have no ridge at all, and a ridge leads in few directions: two cells a direction tell.
    rows, ways = which.repeat_interleave(directions), torch.arange(directions, device=device).repeat(m)
    near = (along(rows, way[ways], torch.tensor([2.0, 3.0], device=device)) > threshold).all(1)
    rows, ways = rows[near], ways[near]
    if not len(rows):
        return end, score, length
    far = torch.arange(1, steps + 1, device=device, dtype=torch.float32)
    values = along(rows, way[ways], far)
    # A ridge goes on where three cells' mean is above half of the mean so far.
    three = values.clone()
    three[:, 1:-1] = (values[:, :-2] + values[:, 1:-1] + values[:, 2:]) / 3
    on = (three > (values.cumsum(1) / far / 2).clamp(min=threshold)).cumprod(1)
    sums, runs = (values * on).sum(1), on.sum(1)
    gain, total, run = (values.new_zeros(m, directions) for _ in range(3))
    gain[rows, ways], total[rows, ways], run[rows, ways] = sums - threshold / 2 * runs, sums, runs.to(values.dtype)
    which = gain.amax(1).nonzero()[:, 0]
    gain = gain[which]
    best = gain.argmax(1)
    row = torch.arange(len(which), device=device)
    run = run[which, best]
    mean = total[which, best] / run.clamp(min=1)
    # The direction between those tried, by their gains.
    step = torch.arange(-2, 3, device=device)
    weight = gain[row[:, None], (best[:, None] + step) % directions]
    weight = (weight - 0.6 * weight.amax(1, keepdim=True)).clamp(min=0)
    angle = turn[best] + (weight * step).sum(1) / weight.sum(1).clamp(min=1e-9) * (2 * np.pi / directions)
    ends = start_[which] + torch.stack([angle.cos(), angle.sin()], 1) * (run - beyond).clamp(min=0)[:, None]
    found = torch.cat([which[:, None].float(), ends, mean[:, None], (run * (run < steps))[:, None].float()], 1).cpu().numpy()
    rows = found[:, 0].astype(int)
    end[rows], score[rows], length[rows] = found[:, 1:3], found[:, 3], found[:, 4]
    return end, score, length


def complete(groups: Groups, ridges: Ridges, least: float = 0.15, shortest: float = 3.0, near: float = 3.0, worth: float = 0.3) -> None:
    """Join groups whose ridges meet, and give joints to the ends of ridges.

    Args:
        groups: changed in place.
        ridges: of these groups.
        least: a ridge's mean height.
        shortest: a ridge's length, in cells.
        near: ends that meet lie within so many cells.
        worth: such a joint's score is the ridges' heights times this.
    """
    keep = np.flatnonzero((ridges.score > least) & (ridges.length >= shortest))
    if not len(keep):
        return
    g, joint, end = ridges.group[keep], ridges.joint[keep], ridges.end[keep]
    weight = ridges.score[keep] * np.minimum(ridges.length[keep], 10) / 10
    # One place for each group's joint: the strongest end, and those that agree with it.
    key = g * groups.xy.shape[1] + joint
    order = np.lexsort((-weight, key))
    key, g, joint, end, weight = key[order], g[order], joint[order], end[order], weight[order]
    first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
    of = np.repeat(np.arange(len(first)), np.diff(np.r_[first, len(key)]))
    agrees = weight * (((end - end[first][of]) ** 2).sum(1) < near**2)
    total = np.bincount(of, agrees)
    place = np.stack([np.bincount(of, agrees * end[:, i]) for i in (0, 1)], 1) / total[:, None]
    g, joint = g[first], joint[first]
    # Pairs that meet: an end and another group's joint, or two ends.
    to_joint = ((groups.xy[:, joint].transpose(1, 0, 2) - place[:, None]) ** 2).sum(2)
    to_joint = np.where(groups.there[:, joint].T & (np.arange(len(groups.xy)) != g[:, None]), to_joint, np.inf)
    to_end = ((place[:, None] - place) ** 2).sum(2)
    to_end = np.where((joint[:, None] == joint) & (g[:, None] < g), to_end, np.inf)
    (e1, h1), (e2, f2) = np.nonzero(to_joint < near**2), np.nonzero(to_end < near**2)
    meets = np.concatenate([to_joint[e1, h1], to_end[e2, f2]])
    pairs = np.concatenate([np.stack([g[e1], h1], 1), np.stack([g[e2], g[f2]], 1)])[np.argsort(meets, kind="stable")]
    taken = (to_joint < near**2).any(1)  # somebody's joint is there
    now = groups.merge([(int(a), int(b)) for a, b in pairs])
    for i in np.argsort(-total, kind="stable"):
        a, k = now[int(g[i])], joint[i]
        if groups.score[a, k] == 0 and not taken[i]:
            groups.xy[a, k], groups.score[a, k], groups.fresh[a, k] = place[i], min(total[i], 1) * worth, True


def attach(
    groups: Groups, body: Body, limit: float = 10.0, small: int = 6, ratio: float = 3.3, variance: float = 0.3, firm: float = 0.1
) -> None:
    """Join small groups to the person whose build they fit best.

    From the nearest joint that a person has, a small group's joint is looked for where it would be in a person of that size. How large a
    person is follows from the distances between its joints.

    Args:
        groups: changed in place.
        body: its mean places and variances.
        limit: squared distance from there, in deviations.
        small: a group of more joints is a person of its own.
        ratio: two groups that are larger and smaller by more are two people.
        variance: no joint is looked for where its place is less certain, see `body.Body`.
    """
    while len(groups.xy) > 1:
        there = groups.there
        count = there.sum(1)
        size = _sizes(groups, body)
        turn = _turns(groups, body, size, firm)
        few = np.flatnonzero(count <= small)
        if not len(few):
            return
        # For each joint k of a person, the joint of the small group whose place follows best from it.
        from_k = np.where(there[few][:, None], body.variance, np.inf)
        best, sure = from_k.argmin(2), from_k.min(2)
        spread = np.where(there, sure[:, None], np.inf)
        k = spread.argmin(2)
        spread = np.take_along_axis(spread, k[..., None], 2)[..., 0]
        j = np.take_along_axis(best, k, 1)
        own, other = np.arange(len(few))[:, None], np.arange(len(count))
        expected = np.einsum("gxy,fgy->fgx", turn, body.place[j] - body.place[k])
        offset = groups.xy[few[own], j] - groups.xy[other, k] - expected
        with np.errstate(divide="ignore", invalid="ignore"):
            deviation = size**2 * spread
            distance = (offset**2).sum(2) / deviation
            value = -distance / 2 - np.log(deviation)
            fits = (distance < limit) & (spread <= variance) & ~(np.abs(np.log(size[few][:, None] / size)) > np.log(ratio))
        fits &= (there[few].astype(float) @ there.T == 0) & (
            (count > count[few][:, None]) | ((count == count[few][:, None]) & (other < few[:, None]))
        )
        value = np.where(fits, value, -np.inf)
        choice = value.argmax(1)
        pairs, used = [], set()
        for f in np.argsort(-value[np.arange(len(few)), choice], kind="stable"):
            a, b = int(choice[f]), int(few[f])
            if value[f, a] > -np.inf and a not in used and b not in used:
                pairs.append((a, b))
                used |= {a, b}
        if not pairs:
            return
        groups.merge(pairs)


def pair(groups: Groups, body: Body, largest: float) -> None:
    """Join single joints that are left over, two by two, the nearest by build first, where a person no larger than `largest` has them so.

    Args:
        groups: changed in place.
        body: its mean places and variances.
        largest: size of a person in cells, as `body.Body` has it: the root of its area.
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
    """Of each group, in cells: its joints' distances relative to those of a person of unit size; NaN for a single joint."""
    expected = ((body.place[:, None] - body.place) ** 2).sum(2) + 2 * body.variance
    known = np.isfinite(np.diagonal(expected))
    there = (groups.there & known).astype(float)
    norm = ((there @ np.where(np.isfinite(expected), expected, 0)) * there).sum(1)
    # The sum of all squared distances between points follows from their moments.
    squared = there.sum(1) * ((groups.xy**2).sum(2) * there).sum(1) - ((groups.xy * there[..., None]).sum(1) ** 2).sum(1)
    return np.sqrt(np.where(norm > 0, 2 * squared.clip(min=0) / np.where(norm > 0, norm, 1), np.nan))


def _turns(groups: Groups, body: Body, size: Float[np.ndarray, " g"], firm: float) -> Float[np.ndarray, "g 2 2"]:
    """How each person is turned: the linear map from mean places to its joints, in cells; an upright person half facing us where unknown.

    By ridge regression: the fewer the joints, and the less spread, the nearer to that person (`firm`).
    """
    place = np.where(np.isnan(body.place), 0, body.place)
    weight = (groups.there & ~np.isnan(body.place[:, 0]))[..., None].astype(float)
    count = np.maximum(weight.sum(1, keepdims=True), 1)
    from_mean = (place - (weight * place).sum(1, keepdims=True) / count) * weight
    to_mean = (groups.xy - (weight * groups.xy).sum(1, keepdims=True) / count) * weight
    first = np.diag([0.5, 1.0]) * np.where(np.isnan(size), 0, size)[:, None, None]
    moments = np.einsum("gjx,gjy->gxy", from_mean, from_mean) + firm * np.eye(2)
    return (np.einsum("gjx,gjy->gxy", to_mean, from_mean) + firm * first) @ np.linalg.inv(moments)
