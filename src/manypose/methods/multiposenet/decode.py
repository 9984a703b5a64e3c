"""Decoding: box NMS, keypoint candidates, the Pose Residual Network, OKS-NMS (Section 3.5, "Inference")."""

from dataclasses import replace

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from manypose.methods.multiposenet.assign import assign, match
from manypose.methods.multiposenet.detections import candidates, people_boxes
from manypose.methods.multiposenet.roi import Candidates, Chooser, inside
from manypose.nn.heatmaps import subpixel_at
from manypose.poses.oks import oks_nms
from manypose.poses.poses import Poses
from manypose.poses.skeleton import Skeleton
from manypose.poses.warp import cell_to_pixel

__all__ = ["decode"]


def decode(
    heat: Float[Tensor, "b c h w"],
    boxes: Float[Tensor, "b m 5"],
    skeleton: Skeleton,
    size: tuple[int, int],
    prn: Chooser | None = None,
    *,
    box_threshold: float = 0.05,
    box_overlap: float = 0.3,
    max_people: int = 300,
    threshold: float = 0.1,
    window: int = 3,
    max_peaks: int = 300,
    sure: bool = False,
    refill: bool = True,
    same: float = 0.9,
    masks: bool = True,
) -> list[Poses]:
    """The people of each image, in network pixels, by falling score.

    Args:
        heat: a map per joint and, last, the person mask; of any resolution.
        boxes: xyxy and score of all views, before NMS; rows of score 0 are padding.
        skeleton: of the k joints.
        size: height and width of the network's input.
        prn: assigns candidates to boxes; None: each box takes the highest candidate of each joint (Section 3.4's "Max").
        box_threshold: smallest score of a box.
        box_overlap: IoU above which the lower of two boxes is removed (0.3).
        max_people: largest number of boxes per photo.
        threshold: smallest height of a keypoint candidate.
        window: window of the candidates' non-maximum suppression in cells.
        max_peaks: largest number of candidates per joint.
        sure: give all candidates height 1 in the PRN, as in its training.
        refill: place a joint without a candidate at the highest cell of its map in the box.
        same: OKS above which the lower of two people is removed.
        masks: give each person the part of the person mask in its box.

    Returns:
        A person's score is its box's times the mean height of its joints; its box is the detected one.
    """
    if heat.shape[1] != len(skeleton) + 1 or boxes.shape[0] != heat.shape[0]:
        raise ValueError(
            f"skeleton {skeleton.name!r} needs heat (b,{len(skeleton) + 1},h,w) and boxes (b,m,5); "
            f"got {tuple(heat.shape)}, {tuple(boxes.shape)}"
        )
    stride = (size[1] / heat.shape[3], size[0] / heat.shape[2])
    points = candidates(heat[:, :-1], stride, threshold, window, max_peaks)
    found, scores, image = people_boxes(boxes, box_threshold, box_overlap, max_people)
    if prn is None:
        keypoints, heights = _highest(points, found, image, len(skeleton))
    else:
        seen = replace(points, scores=torch.ones_like(points.scores)) if sure else points
        keypoints, heights = assign(prn, seen, found, image)
        if sure:
            heights = heights * _heights(keypoints, points, heights > 0, image)
    people = [t.cpu().numpy() for t in (keypoints, heights, found, scores)]
    out = []
    for i in range(len(heat)):
        xy, high, box, sureness = (t[(image == i).cpu().numpy()].astype(np.float32) for t in people)
        if refill and len(box):
            _refill(heat[i, :-1], box, stride, xy, high)
        high = high.clip(0, 1)
        poses = Poses(skeleton, xy, high, sureness * high.mean(1), box)
        poses = oks_nms(poses, same)
        out.append(replace(poses, masks=_masks(heat[i, -1], poses.boxes, size)) if masks else poses)
    return out


def _highest(
    points: Candidates, boxes: Float[Tensor, "n 4"], image: Int[Tensor, " n"], k: int
) -> tuple[Float[Tensor, "n k 2"], Float[Tensor, "n k"]]:
    """The baseline "Max" of Section 3.4: every box takes its highest candidate; boxes may share one."""
    pairs = inside(points.xy, points.image, boxes, image, margin=0.05)
    chosen = match(pairs, points.scores[pairs.candidate].clamp(min=1e-9).log(), points.joint, (len(boxes), k), "each")
    there = chosen >= 0
    xy, heights = boxes.new_zeros(len(boxes), k, 2), boxes.new_zeros(len(boxes), k)
    rows = pairs.candidate[chosen[there]]
    xy[there], heights[there] = points.xy[rows], points.scores[rows]
    return xy, heights


def _heights(xy: Tensor, points: Candidates, there: Bool[Tensor, "n k"], image: Int[Tensor, " n"]) -> Float[Tensor, "n k"]:
    """The heights of the candidates at the given positions."""
    out = xy.new_zeros(there.shape)
    box, joint = there.nonzero(as_tuple=True)
    far = (points.xy - xy[box, joint][:, None]).abs().sum(2)
    far = far.masked_fill((points.joint != joint[:, None]) | (points.image != image[box][:, None]), torch.inf)
    out[box, joint] = points.scores[far.argmin(1)] if len(box) else out[box, joint]
    return out


def _refill(
    heat: Float[Tensor, "k h w"],
    boxes: Float[np.ndarray, "n 4"],
    stride: tuple[float, float],
    xy: Float[np.ndarray, "n k 2"],
    heights: Float[np.ndarray, "n k"],
) -> None:
    """Place missing joints at the highest cell of their map in the box, in place."""
    maps = heat.cpu().numpy()
    limit = np.array([maps.shape[2], maps.shape[1]])
    corners = ((boxes.reshape(-1, 2, 2) + 0.5) / np.array(stride)).round().astype(int)
    low, high = np.clip(corners[:, 0], 0, limit - 1), np.clip(corners[:, 1], 1, limit)
    cells = np.zeros((*heights.shape, 2), np.int64)
    for i, lacks in enumerate(heights == 0):
        (x0, y0), (x1, y1) = low[i], np.maximum(high[i], low[i] + 1)
        best = maps[lacks, y0:y1, x0:x1].reshape(int(lacks.sum()), (y1 - y0) * (x1 - x0)).argmax(1)
        cells[i, lacks] = np.stack([x0 + best % (x1 - x0), y0 + best // (x1 - x0)], 1)
    who, joint = np.nonzero(heights == 0)
    if not len(who):
        return
    at = torch.from_numpy(cells[who, joint]).to(heat.device)
    planes = torch.from_numpy(joint).to(heat.device)
    heights[who, joint] = heat[planes, at[:, 1], at[:, 0]].clamp(1e-6, 1).cpu().numpy()
    refined = subpixel_at(heat, planes, at).cpu().numpy()
    xy[who, joint] = cell_to_pixel(refined, np.array(stride))


def _masks(person: Float[Tensor, "h w"], boxes: Float[np.ndarray, "n 4"], size: tuple[int, int]) -> Bool[np.ndarray, "n H W"]:
    """The person mask above one half within each box, at the input's size."""
    whole = cv2.resize(person.float().cpu().numpy(), size[::-1], interpolation=cv2.INTER_LINEAR) > 0.5
    out = np.zeros((len(boxes), *size), np.bool_)
    for mask, box in zip(out, boxes, strict=True):
        x0, y0, x1, y1 = (int(v) for v in np.clip(np.round(box), 0, None))
        mask[y0 : y1 + 1, x0 : x1 + 1] = whole[y0 : y1 + 1, x0 : x1 + 1]
    return out
