"""From maps to people, of a batch at once: candidates, assembly, completion, `Poses`."""

from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from manypose.geometry import cell_to_pixel
from manypose.methods.simple_pose.assembly import assemble
from manypose.methods.simple_pose.body import Body
from manypose.methods.simple_pose.candidates import Candidates, Links, find_joints, score_parts
from manypose.methods.simple_pose.completion import Groups, Ridges, attach, complete, follow, pair, wanted
from manypose.poses import Poses

__all__ = ["decode"]


def decode(
    part: Float[Tensor, "b c h w"],
    heat: Float[Tensor, "b j h w"],
    body: Body,
    size: tuple[int, int],
    *,
    rounds: int = 2,
    joints: dict[str, Any] | None = None,
    parts: dict[str, Any] | None = None,
    doubt: float = 0.2,
    ridges: dict[str, Any] | None = None,
    ends: dict[str, Any] | None = None,
    build: dict[str, Any] | None = None,
    lone: float = 0.6,
    largest: float = 0.6,
) -> list[Poses]:
    """The people of each image, in network pixels."""
    found = find_joints(heat, **(joints or {}))
    links = score_parts(part, found, body, **(parts or {}))
    people = _assembled(found, links, body, len(heat), doubt)
    for _ in range(rounds):
        if not _completed(people, part, body, ridges or {}, ends or {}):
            break
    return [_poses(groups, body, size, tuple(heat.shape[2:]), build, lone, largest) for groups in people]


def _assembled(found: Candidates, links: Links, body: Body, images: int, doubt: float) -> list[Groups]:
    """Groups of candidates, of each image."""
    j = len(body.sources)
    limits = found.first[::j]
    rows = found.image[links.a] if len(links.a) else np.zeros(0, np.int64)
    cuts = np.searchsorted(rows, np.arange(images + 1))
    out = []
    for i in range(images):
        low, high = limits[i], limits[i + 1]
        part = slice(cuts[i], cuts[i + 1])
        own = Links(links.a[part] - low, links.b[part] - low, links.part[part], links.score[part])
        groups = assemble(own, found.joint[low:high], found.score[low:high], body, doubt)
        xy, score = np.zeros((len(groups), j, 2)), np.zeros((len(groups), j))
        at = np.array([(g, k, x) for g, group in enumerate(groups) for k, x in group.items()], np.int64).reshape(-1, 3)
        xy[at[:, 0], at[:, 1]], score[at[:, 0], at[:, 1]] = found.xy[low:high][at[:, 2]], found.score[low:high][at[:, 2]]
        out.append(Groups(xy, score, score > 0))
    return out


def _completed(people: list[Groups], part: Tensor, body: Body, ridges: dict[str, Any], ends: dict[str, Any]) -> bool:
    """Follow all images' ridges at once; whether there were any."""
    asked = [wanted(groups, body) for groups in people]
    counts = [len(a[0]) for a in asked]
    if not sum(counts):
        return False
    pairs = np.array(body.parts)
    image = np.repeat(np.arange(len(people)), counts)
    group, kind, back = (np.concatenate([a[i] for a in asked]) for i in (0, 1, 2))
    source, joint = pairs[kind, back.astype(int)], pairs[kind, 1 - back.astype(int)]
    start = np.concatenate([groups.xy[a[0], pairs[a[1], a[2].astype(int)]] for groups, a in zip(people, asked, strict=True)])
    end, score, length = follow(part, image, kind, back, start, len(body.parts), **ridges)
    for i, groups in enumerate(people):
        rows = image == i
        complete(groups, Ridges(group[rows], kind[rows], source[rows], joint[rows], end[rows], score[rows], length[rows]), **ends)
    return bool((length > 0).any())


def _poses(
    groups: Groups, body: Body, size: tuple[int, int], grid: tuple[int, int], build: dict[str, Any] | None, lone: float, largest: float
) -> Poses:
    attach(groups, body, **(build or {}))
    sure = (groups.there.sum(1) > 1) | (groups.score.sum(1) >= lone)
    groups.keep(sure)
    pair(groups, body, largest * min(grid))
    order = list(body.back)
    xy, score = groups.xy[:, order], groups.score[:, order]
    keep = (score > 0).any(1)
    xy, score = xy[keep], score[keep]
    stride = np.array([size[1] / grid[1], size[0] / grid[0]])
    keypoints = np.where((score > 0)[..., None], cell_to_pixel(xy, stride), 0).astype(np.float32)
    people = Poses(body.skeleton, keypoints, score.astype(np.float32), (score.sum(1) / score.shape[1]).astype(np.float32))
    return people[np.argsort(-people.scores, kind="stable")]
