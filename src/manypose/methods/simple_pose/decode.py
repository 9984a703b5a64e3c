"""Decoding (Section "Keypoint Assignment Algorithm") in the steps `candidates`, `assembly`, `follow_limbs`, `merge_by_proportions`.

`candidates` and `follow_limbs.follow` run on the maps' device for the whole batch; the other steps use candidates only.
"""

from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

from manypose.methods.simple_pose.assembly import assemble
from manypose.methods.simple_pose.body import Body, body_of
from manypose.methods.simple_pose.candidates import Candidates, Links, find_joints, score_parts
from manypose.methods.simple_pose.follow_limbs import Ridges, complete, follow, wanted
from manypose.methods.simple_pose.merge_by_proportions import attach, pair
from manypose.methods.simple_pose.people_in_progress import Groups
from manypose.poses.poses import Poses
from manypose.poses.warp import cell_to_pixel

__all__ = ["decode"]


def decode(
    part: Float[Tensor, "b c h w"],
    heat: Float[Tensor, "b j h w"],
    body: Body,
    size: tuple[int, int],
    *,
    joints: dict[str, Any] | None = None,
    parts: dict[str, Any] | None = None,
    redundant: bool = True,
    doubt: float = 0.2,
    rounds: int = 2,
    ridges: dict[str, Any] | None = None,
    ends: dict[str, Any] | None = None,
    build: dict[str, Any] | None = None,
    lone: float = 0.6,
    largest: float = 0.6,
) -> list[Poses]:
    """The people of each image, in network pixels.

    Args:
        part: maps of the body's parts, or fields with four times as many planes, see `candidates.read`.
        heat: maps of the body's joints, of the same size. Maps finer than 1/3 of the input are averaged to about 1/4.
        body: the joints and parts.
        size: height and width of the network's input.
        joints: arguments of `candidates.find_joints`.
        parts: arguments of `candidates.score_parts`.
        redundant: whether to use all parts or only those of a spanning tree (Table 1, experiment 12).
        doubt: see `assembly.assemble`.
        rounds: number of passes of following limbs to joints without a peak.
        ridges: arguments of `follow_limbs.follow`.
        ends: arguments of `follow_limbs.complete`.
        build: arguments of `merge_by_proportions.attach`.
        lone: smallest height of a single joint that is a person.
        largest: largest size of a person of two such joints, as a fraction of the image's short side (`merge_by_proportions.pair`).

    Returns:
        For each image the people, by falling score, the sum of the joints' scores divided by the number of joints.

    Raises:
        ValueError: shapes do not match.
    """
    j, p = len(body.sources), len(body.parts)
    if heat.shape[1] != j or part.shape[1] not in (p, 4 * p) or (part.shape[0], *part.shape[2:]) != (heat.shape[0], *heat.shape[2:]):
        raise ValueError(
            f"skeleton {body.skeleton.name!r} needs heat (b,{j},h,w) and part (b,{p},h,w), or (b,{4 * p},h,w) for fields; "
            f"got {tuple(heat.shape)}, {tuple(part.shape)}"
        )
    if not redundant:
        part, body = _tree(part, body)
    finer = round(4 * heat.shape[2] / size[0])
    if finer > 1:
        part, heat = avg_pool2d(part, finer), avg_pool2d(heat, finer)
    part, heat = part.detach().float().contiguous(), heat.detach().float().contiguous()  # once for all steps
    found = find_joints(heat, **(joints or {}))
    links = score_parts(part, found, body, **(parts or {}))
    people = _assembled(found, links, body, len(heat), doubt)
    for _ in range(rounds):
        if not _completed(people, part, body, ridges or {}, ends or {}):
            break
    grid = (int(heat.shape[2]), int(heat.shape[3]))
    for groups in people:
        attach(groups, body, **(build or {}))
        groups.keep((groups.there.sum(1) > 1) | (groups.score.sum(1) >= lone))
        pair(groups, body, largest * min(grid))
    return [_poses(groups, body, size, grid) for groups in people]


def _tree(part: Tensor, body: Body) -> tuple[Tensor, Body]:
    """The maps of a spanning tree's parts, and the tree."""
    tree, p = body_of(body.skeleton, redundant=False), len(body.parts)
    own = [body.parts.index(pair) for pair in tree.parts]
    return part[:, [i + plane for plane in range(0, part.shape[1], p) for i in own]], tree


def _assembled(found: Candidates, links: Links, body: Body, images: int, doubt: float) -> list[Groups]:
    """The groups of candidates of each image."""
    j = len(body.sources)
    limits = found.first[::j]
    cuts = np.searchsorted(found.image[links.a], np.arange(images + 1))
    out = []
    for i in range(images):
        low, high = limits[i], limits[i + 1]
        own = slice(cuts[i], cuts[i + 1])
        joint, height, place = found.joint[low:high], found.score[low:high], found.xy[low:high]
        members = assemble(Links(links.a[own] - low, links.b[own] - low, links.part[own], links.score[own]), joint, height, body, doubt)
        xy, score = np.zeros((len(members), j, 2)), np.zeros((len(members), j))
        at = np.array([(g, k, x) for g, group in enumerate(members) for k, x in group.items()], np.int64).reshape(-1, 3)
        xy[at[:, 0], at[:, 1]], score[at[:, 0], at[:, 1]] = place[at[:, 2]], height[at[:, 2]]
        out.append(Groups(xy, score, score > 0))
    return out


def _completed(people: list[Groups], part: Tensor, body: Body, ridges: dict[str, Any], ends: dict[str, Any]) -> bool:
    """Follow the limbs of all images and apply the results; returns whether there were any."""
    asked = [wanted(groups, body) for groups in people]
    counts = [len(a[0]) for a in asked]
    if not sum(counts):
        return False
    image = np.repeat(np.arange(len(people)), counts)
    group, kind = (np.concatenate([a[i] for a in asked]) for i in (0, 1))
    back = np.concatenate([a[2] for a in asked])
    pairs = np.array(body.parts)
    near, far = pairs[kind, back.astype(int)], pairs[kind, 1 - back.astype(int)]
    first = np.cumsum([0, *(len(groups.xy) for groups in people)])
    start = np.concatenate([groups.xy for groups in people])[first[image] + group, near]
    end, score, length = follow(part, image, kind, back, start, len(body.parts), **ridges)
    for i, groups in enumerate(people):
        rows = (image == i) & (length > 0)
        complete(groups, Ridges(group[rows], far[rows], end[rows], score[rows], length[rows]), **ends)
    return bool((length > 0).any())


def _poses(groups: Groups, body: Body, size: tuple[int, int], grid: tuple[int, int]) -> Poses:
    order = list(body.back)
    xy, score = groups.xy[:, order], groups.score[:, order].astype(np.float32)
    shown = (score > 0).any(1)  # leaves out people with only joints that the skeleton lacks
    xy, score = xy[shown], score[shown]
    stride = np.array([size[1] / grid[1], size[0] / grid[0]])
    keypoints = np.where((score > 0)[..., None], cell_to_pixel(xy, stride), 0).astype(np.float32)
    people = Poses(body.skeleton, keypoints, score, score.sum(1) / score.shape[1])
    return people[np.argsort(-people.scores, kind="stable")]
