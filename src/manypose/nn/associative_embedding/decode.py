"""Decoding of heat maps and tags: peaks, grouping, sub-pixel refinement, missing joints (SWAHR, Section 3.5 and the authors' program).

Only the matching of the peaks runs on the CPU; the rest runs on the maps' device.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import interpolate

from manypose.nn.associative_embedding.matching import joint_order, match_rounded, match_strong, published_order
from manypose.nn.associative_embedding.refill import refill_evidence, refill_highest
from manypose.nn.heatmaps import gather, peaks, quarter_offset, quarter_offset_at, subpixel, subpixel_at
from manypose.poses.poses import Poses
from manypose.poses.skeleton import Skeleton
from manypose.poses.warp import cell_to_pixel

__all__ = ["PUBLISHED", "decode", "published_grouping"]

MATCHING, REFINEMENT, REFILL = ("strong", "rounded"), ("gaussian", "quarter"), ("evidence", "highest", "none")

PUBLISHED: dict[str, Any] = {
    "matching": "rounded",
    "refinement": "quarter",
    "refill": "highest",
    "least_evidence": 0.0,
    "enlarge": True,
    "shift": 0.5,
    "order": "published",
    "keep_ties": True,
}
"""Arguments of `decode` that give the authors' grouping."""


def decode(
    heat: Float[Tensor, "b k h w"],
    tag: Float[Tensor, "b k h w *t"],
    skeleton: Skeleton,
    size: tuple[int, int],
    *,
    threshold: float = 0.1,
    tag_threshold: float = 1.0,
    max_people: int = 30,
    nms: int = 5,
    matching: Literal["strong", "rounded"] = "strong",
    refinement: Literal["gaussian", "quarter"] = "gaussian",
    refill: Literal["evidence", "highest", "none"] = "evidence",
    least_evidence: float = 0.2,
    order: Sequence[int] | Literal["torso first", "published"] = "torso first",
    enlarge: bool = False,
    shift: float | tuple[float, float] = 0.0,
    keep_ties: bool = False,
) -> list[Poses]:
    """The people of each image, in network pixels. `published_grouping` is the authors' procedure; the defaults are ours.

    Args:
        heat: heat maps of any resolution.
        tag: tags at the same resolution; one per cell, or t (one per flipped view).
        skeleton: of the k joints.
        size: height and width of the network's input.
        threshold: heat above which a local maximum is a peak. Raising it gives fewer false joints and misses more.
        tag_threshold: largest tag distance of a peak to its person.
        max_people: number of peaks per joint.
        nms: window of the non-maximum suppression, in cells.
        matching: `match_strong` or `match_rounded` of `matching`.
        refinement: `subpixel` or `quarter_offset` of `manypose.nn.heatmaps`.
        refill: search for joints without a peak: `refill_evidence` or `refill_highest` of `refill`, or none.
        least_evidence: smallest sum of a person's peak heights for the refill; below it are mostly spurious peaks.
        order: order in which joints are grouped.
        enlarge: whether to enlarge the maps to the input's size first, as published (slow, without gain).
        shift: added to the positions, in network pixels; one value or (x, y).
        keep_ties: see `manypose.nn.heatmaps.peaks`.

    Returns:
        For each image the people, by falling score; with `match_rounded` in order of creation. A person's score is the mean peak height
        over all k joints, with 0 for missing ones.

    Raises:
        ValueError: shapes do not match, or an argument is not one of its choices.
    """
    k = len(skeleton)
    if heat.shape[1] != k or tag.shape[:4] != heat.shape:
        raise ValueError(
            f"skeleton {skeleton.name!r} needs heat (b,{k},h,w) and tag (b,{k},h,w[,t]); got {tuple(heat.shape)}, {tuple(tag.shape)}"
        )
    _known(matching=(matching, MATCHING), refinement=(refinement, REFINEMENT), refill=(refill, REFILL))
    joints = _joints(order, skeleton)
    tag = tag if tag.dim() == 5 else tag[..., None]
    if enlarge and tuple(heat.shape[2:]) != tuple(size):
        heat, tag = _enlarged(heat, tag, size)
    stride = np.array([size[1] / heat.shape[3], size[0] / heat.shape[2]])
    heights, cells = peaks(heat, nms, threshold, max_people, keep_ties)
    xy = subpixel(heat, cells) if refinement == "gaussian" else quarter_offset(heat, cells)
    # One transfer for the whole batch: height, x, y, tags of each peak.
    found = torch.cat([heights[..., None], xy, gather(tag, cells)], -1).float().cpu().numpy()
    match = match_strong if matching == "strong" else match_rounded
    people = [match(image[..., 0], image[..., 3:], joints, tag_threshold) for image in found]
    taken = [_taken(image, who) for image, who in zip(found, people, strict=True)]
    poses = []
    for i, person in enumerate(taken):
        keypoints, keypoint_scores = person[..., 1:3].copy(), person[..., 0].copy()
        scores = keypoint_scores.mean(1)
        if refill != "none":
            _refill(heat[i], tag[i], person, keypoints, keypoint_scores, refill, least_evidence, refinement, float(stride.mean()))
        keypoints = (cell_to_pixel(keypoints, stride) + shift).astype(np.float32)
        keypoints[keypoint_scores == 0] = 0
        result = Poses(skeleton, keypoints, keypoint_scores, scores)
        poses.append(result if matching == "rounded" else result[np.argsort(-scores, kind="stable")])
    return poses


def published_grouping(
    heat: Float[Tensor, "b k h w"], tag: Float[Tensor, "b k h w *t"], skeleton: Skeleton, size: tuple[int, int], **other: Any
) -> list[Poses]:
    """`decode` with the authors' procedure: maps of the input's size, rounded tag distances, quarter offsets, half a pixel added."""
    return decode(heat, tag, skeleton, size, **{**PUBLISHED, **other})


def _known(**given: tuple[str, tuple[str, ...]]) -> None:
    for name, (value, choices) in given.items():
        if value not in choices:
            raise ValueError(f"grouping: {name} is one of {', '.join(choices)}; got {value!r}")


def _joints(order: Sequence[int] | str, skeleton: Skeleton) -> tuple[int, ...]:
    named = {"torso first": joint_order(skeleton), "published": published_order(len(skeleton))}
    joints = named.get(order, ()) if isinstance(order, str) else tuple(order)
    if sorted(joints) != list(range(len(skeleton))):
        raise ValueError(f"grouping: order is one of {', '.join(named)}, or all joints from 0 to {len(skeleton) - 1}; got {order!r}")
    return joints


def _enlarged(heat: Tensor, tag: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    planes = tag.movedim(4, 2).flatten(1, 2)
    heat, planes = (interpolate(m, size=size, mode="bilinear", align_corners=False) for m in (heat, planes))
    return heat, planes.unflatten(1, (heat.shape[1], tag.shape[4])).movedim(2, 4)


def _taken(found: Float[np.ndarray, "k n c"], people: Int[np.ndarray, "p k"]) -> Float[np.ndarray, "p k c"]:
    """Height, x, y and tags of each person's joints; 0 for missing ones."""
    return np.where((people >= 0)[..., None], found[np.arange(len(found)), people], 0).astype(np.float32)


def _refill(
    heat: Tensor,
    tag: Tensor,
    taken: Float[np.ndarray, "p k c"],
    keypoints: Float[np.ndarray, "p k 2"],
    keypoint_scores: Float[np.ndarray, "p k"],
    rule: str,
    least_evidence: float,
    refinement: str,
    stride: float,
) -> None:
    """Fill in missing joints in `keypoints` and `keypoint_scores`, in place."""
    there = taken[..., 0] > 0
    count = there.sum(1)
    means = taken[..., 3:].sum(1) / np.maximum(count, 1)[:, None]
    lacks = ~there & (taken[..., 0].sum(1) >= least_evidence)[:, None]
    who, joints = np.nonzero(lacks)
    if not len(who):
        return
    mean, planes = torch.from_numpy(means[who]).to(heat), torch.from_numpy(joints).to(heat.device)
    if rule == "evidence":
        xy, height = refill_evidence(heat, tag, planes, mean, stride)
    else:
        cells, height = refill_highest(heat, tag, planes, mean)
        xy = subpixel_at(heat, planes, cells) if refinement == "gaussian" else quarter_offset_at(heat, planes, cells)
    values = torch.cat([xy, height[:, None]], 1).float().cpu().numpy()
    keypoints[who, joints], keypoint_scores[who, joints] = values[:, :2], values[:, 2]
