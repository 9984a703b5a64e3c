"""Decoding of pose maps and boxes (Section 4.2): each box keeps the points of its person.

Points are the pose maps' peaks with sub-pixel positions (Equation 7), where the grouping CNN's output for an RoI is sampled. Points are
selected and not moved ("reserve, not refine"), so that the RoI's resolution does not limit the accuracy.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from manypose.methods.simple.boxes_from_points import keep_best
from manypose.methods.simple.grouping import GroupingCNN
from manypose.methods.simple.peak_assignment import hand_out, odds_of_peaks
from manypose.methods.simple.roi import enlarged
from manypose.nn.heatmaps import peaks, subpixel, subpixel_at
from manypose.poses.oks import oks_nms
from manypose.poses.poses import Poses
from manypose.poses.skeleton import Skeleton
from manypose.poses.warp import cell_to_pixel

__all__ = ["decode"]

Rest = Callable[[Int[np.ndarray, " m"], Int[np.ndarray, " m"]], Float[np.ndarray, "m 3"]]
"""A function from m RoIs and joint types to the places of the highest kept responses; see `_rest`."""


def decode(
    pose: Float[Tensor, "b k h w"],
    boxes: Float[Tensor, "b n 5"],
    grouping: GroupingCNN | None,
    skeleton: Skeleton,
    size: tuple[int, int],
    *,
    threshold: float = 0.1,
    top: int = 32,
    window: int = 5,
    least: float = 0.1,
    share: float = 3.0,
    refill: bool = True,
    same: float = 0.9,
    overlap: float = 0.65,
    most: int = 32,
) -> list[Poses]:
    """The people of each image, in network pixels, by falling score.

    Args:
        pose: pose maps.
        boxes: xyxy in network pixels and a score (0: no box), of one or several views.
        grouping: the CNN; None: each box takes its highest points.
        skeleton: of the k joints.
        size: height and width of the network's input.
        threshold: smallest height of a point (the paper's phi_pose).
        top: number of points of each joint type.
        window: window of the points' non-maximum suppression, in cells.
        least: smallest probability of a point of a person.
        share: see `peak_assignment.hand_out`.
        refill: place a joint without a point at the highest kept response in the person's RoI.
        same: OKS above which the lower-scoring of two people is removed.
        overlap: IoU above which the lower-scoring of two boxes is removed.
        most: number of boxes to group, the best first (Section 6.1).

    Returns:
        A joint's score is its height times its probability of belonging to the person; a person's is the geometric mean of its box's
        score and the mean of its joints' scores over all k, with 0 for refilled ones. (Their product gives the same order, and scores
        far below those of the other methods.)
    """
    boxes = keep_best(boxes, overlap, most)
    image, place = (boxes[..., 4] > 0).nonzero(as_tuple=True)
    if not len(image):
        return [Poses.empty(skeleton) for _ in boxes]
    frames = boxes[image, place, :4]
    heights, cells = peaks(pose, window, threshold, top)
    stride = size[0] / pose.shape[2]
    xy = cell_to_pixel(subpixel(pose, cells), stride)
    rest = None
    if grouping is None:
        odds = _highest_in_box(heights, xy, frames, image, stride / 2)
    else:
        rois = grouping.rois(pose, frames, image)
        logits = grouping.logits(rois.contiguous(memory_format=torch.channels_last)).float()  # faster on a CPU
        odds = odds_of_peaks(pose, xy, heights, frames, image, grouping, logits)
        rest = partial(_rest, rois, logits, frames, grouping) if refill else None
    odds = odds.where(odds >= np.log(least / (1 - least)), -torch.inf) if grouping is not None else odds
    odds_, frames_ = odds.float().cpu().numpy(), boxes[image, place].float().cpu().numpy()
    found = torch.cat([xy, heights[..., None]], -1).float().cpu().numpy()
    rows = [np.flatnonzero(image.cpu().numpy() == i) for i in range(len(boxes))]
    return [_people(odds_[own], rest, own, frames_[own], at, share, same, skeleton) for own, at in zip(rows, found, strict=True)]


def _highest_in_box(
    heights: Float[Tensor, "b k n"], xy: Float[Tensor, "b k n 2"], boxes: Float[Tensor, "r 4"], image: Int[Tensor, " r"], margin: float
) -> Float[Tensor, "r k n"]:
    """Odds without a CNN: heights of the points in the box, -inf elsewhere.

    Smaller boxes have precedence, since corners of different people may form a box around several.
    """
    low, high = boxes[:, None, None, :2] - margin, boxes[:, None, None, 2:] + margin  # includes joints on the edge
    inside = ((xy[image] >= low) & (xy[image] <= high)).all(-1)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1).clamp(min=1).log()[:, None, None]
    return heights[image].where(inside, 0.0).log() + 20 - 0.1 * area


def _rest(
    rois: Float[Tensor, "r k h w"],
    logits: Float[Tensor, "r k h w"],
    boxes: Float[Tensor, "r 4"],
    grouping: GroupingCNN,
    row: Int[np.ndarray, " m"],
    joint: Int[np.ndarray, " m"],
) -> Float[np.ndarray, "m 3"]:
    """The highest kept response of m joints in their RoIs (`row`): x, y in network pixels, height."""
    roi, kind = torch.from_numpy(row).to(rois.device), torch.from_numpy(joint).to(rois.device)
    kept = rois[roi, kind] * logits[roi, kind].sigmoid()
    m, h, w = kept.shape
    height, flat = kept.flatten(1).max(1)
    cells = torch.stack([flat % w, flat // w], -1)
    fine = subpixel_at(kept, torch.arange(m, device=kept.device), cells)
    around = enlarged(boxes[roi], grouping.extend)
    xy = around[:, :2] + (fine + 0.5) / fine.new_tensor([w, h]) * (around[:, 2:] - around[:, :2])
    return torch.cat([xy, height[:, None]], 1).float().cpu().numpy()


def _people(
    odds: Float[np.ndarray, "r k n"],
    rest: Rest | None,
    rows: Int[np.ndarray, " r"],
    boxes: Float[np.ndarray, "r 5"],
    found: Float[np.ndarray, "k n 3"],
    share: float,
    same: float,
    skeleton: Skeleton,
) -> Poses:
    """People after removal of boxes that choose the same points as a better one, and assignment of the points to the others."""
    if not len(odds):
        return Poses.empty(skeleton)
    chosen = np.where(np.isfinite(odds).any(2), odds.argmax(2), -1)
    alone = _poses(chosen, odds, None, rows, boxes, found, skeleton)
    alone = Poses(alone.skeleton, alone.keypoints, alone.keypoint_scores, alone.scores, alone.boxes, ids=np.arange(len(odds)))
    kept = oks_nms(alone[np.flatnonzero((alone.keypoint_scores > 0).any(1))], same).ids
    people = np.sort(np.zeros(0, int) if kept is None else kept)
    odds, boxes, rows = odds[people], boxes[people], rows[people]
    lowest = float(odds[np.isfinite(odds)].min()) if len(odds) else 0.0
    poses = _poses(hand_out(odds.astype(np.float64), lowest - 1e-3, share), odds, rest, rows, boxes, found, skeleton)
    order = np.argsort(-poses.scores, kind="stable")
    return poses[order[poses.scores[order] > 0]]  # people without any point are left out


def _poses(
    chosen: Int[np.ndarray, "r k"],
    odds: Float[np.ndarray, "r k n"],
    rest: Rest | None,
    rows: Int[np.ndarray, " r"],
    boxes: Float[np.ndarray, "r 5"],
    found: Float[np.ndarray, "k n 3"],
    skeleton: Skeleton,
) -> Poses:
    there, at = chosen >= 0, np.maximum(chosen, 0)
    taken = found[np.arange(len(found)), at]
    sure = 1 / (1 + np.exp(-np.take_along_axis(odds, at[..., None], 2)[..., 0]))
    scores = np.where(there, taken[..., 2] * sure, 0)
    keypoints, total = taken[..., :2], np.sqrt(scores.mean(1) * boxes[:, 4])
    if rest is not None and not there.all():
        person, joint = np.nonzero(~there)
        filled = rest(rows[person], joint)
        keypoints = keypoints.copy()
        keypoints[person, joint], scores[person, joint] = filled[:, :2], np.maximum(filled[:, 2], 1e-6)
    keypoints = np.where(scores[..., None] > 0, keypoints, 0)
    arrays = (keypoints, scores, total, boxes[:, :4])
    return Poses(skeleton, *(a.astype(np.float32) for a in arrays))
