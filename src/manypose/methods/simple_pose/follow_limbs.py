"""Missing joints, found by following limbs from the detected end.

The map of a part between a detected and a missing joint has a ridge, which is followed from the detected end. If it meets the ridge or
a joint of another group, the two groups are one person. Otherwise the missing joint is placed at its end.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from manypose.methods.simple_pose.body import Body
from manypose.methods.simple_pose.candidates import read
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
        length: in cells; 0 where there is no ridge.
    """

    group: Int[np.ndarray, " m"]
    joint: Int[np.ndarray, " m"]
    end: Float[np.ndarray, "m 2"]
    score: Float[np.ndarray, " m"]
    length: Float[np.ndarray, " m"]


def wanted(groups: Groups, body: Body) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"], Bool[np.ndarray, " m"]]:
    """Group and part of all parts with exactly one detected, fresh end, and whether that is the second end; clears `Groups.fresh`."""
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
    """Follow ridges from one end to the point where they fall below half of their mean.

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
        beyond: how far, in cells, ridges go on beyond joints on the mean: 1 as the authors paint parts, -0.5 as the paper defines them.

    Returns:
        Where each ends, its mean height, its length in cells (0: there is no ridge).
    """
    device = part.device
    turn = torch.arange(directions, device=device) * (2 * np.pi / directions)
    way = torch.stack([turn.cos(), turn.sin()], 1)
    start_ = torch.from_numpy(start.astype(np.float32)).to(device)
    image_, kind_, sign = (torch.from_numpy(a).to(device) for a in (image, kind, np.where(back, -1, 1).astype(np.float32)))

    def along(rows: Tensor, ways: Tensor, far: Tensor) -> Tensor:
        points = start_[rows, None] + ways[:, None] * far[:, None]
        return read(part, image_[rows], kind_[rows], points, ways * sign[rows, None], parts)

    # Most ends have no ridge at all, and a ridge leads in few directions: two cells a direction tell.
    rows = torch.arange(len(image), device=device).repeat_interleave(directions)
    ways = torch.arange(directions, device=device).repeat(len(image))
    near = (along(rows, way[ways], torch.tensor([2.0, 3.0], device=device)) > threshold).all(1)
    rows, ways = rows[near], ways[near]
    sums, run = _run(along(rows, way[ways], torch.arange(1, steps + 1, device=device, dtype=torch.float32)), threshold)
    gain, total, length = (sums.new_zeros(len(image), directions) for _ in range(3))
    gain[rows, ways], total[rows, ways], length[rows, ways] = sums - threshold / 2 * run, sums, run
    best = gain.argmax(1, keepdim=True)
    total, length = total.gather(1, best)[:, 0], length.gather(1, best)[:, 0]
    # The direction between those tried, by their gains.
    step = torch.arange(-2, 3, device=device)
    weight = gain.gather(1, (best + step) % directions)
    weight = (weight - 0.6 * weight.amax(1, keepdim=True)).clamp(min=0)
    angle = turn[best[:, 0]] + (weight * step).sum(1) / weight.sum(1).clamp(min=1e-9) * (2 * np.pi / directions)
    end = start_ + torch.stack([angle.cos(), angle.sin()], 1) * (length - beyond).clamp(min=0)[:, None]
    mean, length = total / length.clamp(min=1), length * (length < steps)
    found = torch.cat([end, mean[:, None], length[:, None]], 1).cpu().double().numpy()
    return found[:, :2], found[:, 2], found[:, 3]


def _run(values: Float[Tensor, "r s"], threshold: float) -> tuple[Float[Tensor, " r"], Float[Tensor, " r"]]:
    """Sum and length of the ridge at the start of each row of values.

    It goes on where three cells' mean is above half of the mean so far.
    """
    far = torch.arange(1, values.shape[1] + 1, device=values.device)
    three = values.clone()
    three[:, 1:-1] = (values[:, :-2] + values[:, 1:-1] + values[:, 2:]) / 3
    on = (three > (values.cumsum(1) / far / 2).clamp(min=threshold)).cumprod(1)
    return (values * on).sum(1), on.sum(1).to(values.dtype)


def complete(groups: Groups, ridges: Ridges, least: float = 0.15, shortest: float = 3.0, near: float = 3.0, worth: float = 0.3) -> None:
    """Join groups whose ridges meet, and place joints at the ends of other ridges.

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
    taken = np.any(to_joint < near**2, 1)  # another person's joint is there
    now = groups.merge([(int(a), int(b)) for a, b in pairs])
    for i in np.argsort(-total, kind="stable"):
        a, k = now[int(g[i])], int(joint[i])
        if groups.score[a, k] == 0 and not bool(taken[i]):
            groups.xy[a, k], groups.score[a, k], groups.fresh[a, k] = place[i], min(total[i], 1) * worth, True
