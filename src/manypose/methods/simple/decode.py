"""From pose maps and boxes to people (Section 4.2): each box keeps the points that are its person's.

Points are the pose maps' peaks at their sub-pixel places (Equation 7); what the grouping CNN says about an RoI is read at those places. So
a box chooses among points and moves none ("reserve, not refine"), and no accuracy is lost to the RoI's cells.
"""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from manypose.geometry import cell_to_pixel
from manypose.maps import peaks, subpixel, subpixel_at
from manypose.methods.simple.grouping import GroupingCNN, at_points
from manypose.methods.simple.roi import enlarged
from manypose.poses import Poses, oks_nms
from manypose.skeleton import Skeleton

__all__ = ["decode", "worth"]


def decode(
    pose: Float[Tensor, "b k h w"],
    boxes: Float[Tensor, "b n 4"],
    scores: Float[Tensor, "b n"],
    grouping: GroupingCNN | None,
    skeleton: Skeleton,
    size: tuple[int, int],
    *,
    threshold: float = 0.1,
    top: int = 32,
    window: int = 5,
    least: float = 0.1,
    refill: bool = True,
    same: float = 0.7,
) -> list[Poses]:
    """The people of each image, in network pixels, by falling score.

    Args:
        pose: pose maps of stride 4.
        boxes: xyxy in network pixels.
        scores: theirs; 0 where there is no box.
        grouping: None: each box keeps all that is in it, and its highest peaks win.
        skeleton: what the k joints are.
        size: height and width of the network's input.
        threshold: a point is higher (the paper's phi_pose).
        top: so many points of each type are taken.
        window: in which a point is the highest, in cells.
        least: a point that the CNN gives a smaller probability is not the person's.
        refill: where a person has no point of a type, take the highest kept response in its RoI.
        same: two people with a higher OKS are one; the better stays.

    Returns:
        A joint's score is its height times the probability that it is the person's; a person's is its box's score times the mean of its
        joints' scores over all k.
    """
    image = torch.arange(len(boxes), device=boxes.device)[:, None].expand(scores.shape)[scores > 0]
    flat, sure = boxes[scores > 0], scores[scores > 0].float().cpu().numpy()
    heights, cells = peaks(pose, window, threshold, top)
    places = subpixel(pose, cells)
    stride = size[0] / pose.shape[2]
    xy = cell_to_pixel(places, stride)
    value, second = worth(pose, flat, image, heights, xy, grouping, least, refill)
    value, which = value.float().cpu().numpy(), image.cpu().numpy()
    found, at = heights.float().cpu().numpy(), xy.float().cpu().numpy()
    more = None if second is None else second.float().cpu().numpy()
    frames = flat.float().cpu().numpy()
    out = []
    for i in range(len(boxes)):
        own = which == i
        rest = None if more is None else more[own]
        out.append(_people(value[own], found[i], at[i], rest, sure[own], frames[own], skeleton, same))
    return out


def worth(
    pose: Float[Tensor, "b k h w"],
    boxes: Float[Tensor, "r 4"],
    image: Int[Tensor, " r"],
    heights: Float[Tensor, "b k n"],
    xy: Float[Tensor, "b k n 2"],
    grouping: GroupingCNN | None,
    least: float,
    refill: bool,
) -> tuple[Float[Tensor, "r k n"], Float[Tensor, "r k 3"] | None]:
    """For each box and point the point's height times the probability that it is the person's, 0 where it is not.

    Returns:
        also, with `refill`, the x, y and height of the highest kept response of each RoI.
    """
    high, at = heights[image], xy[image]
    if grouping is None:
        low, top = boxes[:, None, None, :2], boxes[:, None, None, 2:]
        return high * ((at >= low) & (at <= top)).all(-1), None
    rois = grouping.rois(pose, boxes, image)
    odds = grouping.logits(rois)
    cells = grouping.points(at, boxes)
    limit = cells.new_tensor([grouping.size[1] - 0.5, grouping.size[0] - 0.5])
    inside = ((cells >= -0.5) & (cells <= limit)).all(-1) & (high > 0)
    roi, joint, _ = inside.nonzero(as_tuple=True)
    belongs = at_points(odds, roi, joint, cells[inside]).sigmoid()
    value = torch.zeros_like(high)
    value[inside] = high[inside] * belongs * (belongs >= least)
    return value, _highest(rois * odds.sigmoid(), boxes, grouping) if refill else None


def _highest(kept: Float[Tensor, "r k h w"], boxes: Float[Tensor, "r 4"], grouping: GroupingCNN) -> Float[Tensor, "r k 3"]:
    """The highest kept response of each joint in each RoI: x, y in network pixels, height."""
    r, k, h, w = kept.shape
    height, flat = kept.flatten(2).max(2)
    cells = torch.stack([flat % w, flat // w], -1)
    planes = torch.arange(r * k, device=kept.device)
    fine = subpixel_at(kept.flatten(0, 1), planes, cells.flatten(0, 1)).view(r, k, 2)
    around = enlarged(boxes, grouping.extend)
    side = (around[:, 2:] - around[:, :2])[:, None]
    return torch.cat([around[:, None, :2] + (fine + 0.5) / fine.new_tensor([w, h]) * side, height[..., None]], -1)


def _people(
    value: Float[np.ndarray, "r k n"],
    heights: Float[np.ndarray, "k n"],
    xy: Float[np.ndarray, "k n 2"],
    rest: Float[np.ndarray, "r k 3"] | None,
    sure: Float[np.ndarray, " r"],
    boxes: Float[np.ndarray, "r 4"],
    skeleton: Skeleton,
    same: float,
) -> Poses:
    """Two boxes of one person first choose the same points, and the worse box is dropped; then no point is given twice."""
    k = len(skeleton)
    if not len(value):
        return Poses.empty(skeleton)
    chosen = np.where(value.max(2) > 0, value.argmax(2), -1)
    alone = _poses(chosen, value, xy, rest, sure, boxes, skeleton)
    kept = oks_nms(replace(alone, ids=np.arange(len(alone))), same).ids
    assert kept is not None
    people = np.sort(kept)
    value, rest = value[people], None if rest is None else rest[people]
    chosen = np.stack([_shared_out(value[:, j] * sure[people, None]) for j in range(k)], 1)
    poses = _poses(chosen, value, xy, rest, sure[people], boxes[people], skeleton)
    poses = poses[np.flatnonzero((poses.keypoint_scores > 0).any(1))]
    return poses[np.argsort(-poses.scores, kind="stable")]


def _shared_out(worth: Float[np.ndarray, "r n"]) -> Int[np.ndarray, " r"]:
    """Which of the points each box gets, each point once, for the largest sum; -1 for none."""
    chosen = np.full(len(worth), -1)
    rows, columns = linear_sum_assignment(worth, maximize=True)
    there = worth[rows, columns] > 0
    chosen[rows[there]] = columns[there]
    return chosen


def _poses(
    chosen: Int[np.ndarray, "r k"],
    value: Float[np.ndarray, "r k n"],
    xy: Float[np.ndarray, "k n 2"],
    rest: Float[np.ndarray, "r k 3"] | None,
    sure: Float[np.ndarray, " r"],
    boxes: Float[np.ndarray, "r 4"],
    skeleton: Skeleton,
) -> Poses:
    there: Bool[np.ndarray, "r k"] = chosen >= 0
    keypoints = xy[np.arange(xy.shape[0]), np.maximum(chosen, 0)]
    scores = np.where(there, np.take_along_axis(value, np.maximum(chosen, 0)[..., None], 2)[..., 0], 0).astype(np.float32)
    total = scores.mean(1)
    if rest is not None:
        keypoints = np.where(there[..., None], keypoints, rest[..., :2])
        scores = np.where(there, scores, np.maximum(rest[..., 2], 0))
    keypoints = np.where(scores[..., None] > 0, keypoints, 0).astype(np.float32)
    return Poses(skeleton, keypoints, scores.astype(np.float32), (total * sure).astype(np.float32), boxes.astype(np.float32))
