"""Person boxes from centres, top left and bottom right corners (Section 4.1; CenterNet, Section 3.1)."""

import torch
from jaxtyping import Float
from torch import Tensor
from torchvision.ops import nms as box_nms

from manypose.methods.method import Maps
from manypose.methods.simple.corner_pooling import POINTS
from manypose.nn.heatmaps import gather, peaks
from manypose.poses.warp import cell_to_pixel

__all__ = ["boxes_of_points", "central", "find", "keep_best", "pairs", "point_maps", "with_centres"]

STRIDE = 4


def point_maps(outputs: Maps) -> Float[Tensor, "b c h w"]:
    """The input of `boxes_of_points` from the network's outputs."""
    maps = [outputs[p].float().sigmoid() for p in POINTS] + [outputs[f"{p}_offset"].float() for p in POINTS]
    return torch.cat(maps + [outputs[f"{p}_tag"].float() for p in POINTS if f"{p}_tag" in outputs], 1)


def boxes_of_points(
    points: Float[Tensor, "b c h w"],
    *,
    threshold: float = 0.05,
    top: int = 32,
    tag_threshold: float = 0.5,
    small: float = 150.0,
    overlap: float = 0.65,
) -> Float[Tensor, "b n 5"]:
    """The best boxes of each image (xyxy in network pixels) and their scores, the means of their three points' (0: no box).

    Args:
        points: 9 maps of stride 4: centre, top left and bottom right after the sigmoid, and x, y offset in cells of each; 11 with
            two maps of corner tags.
        threshold: smallest height of a point (the paper's phi_det).
        top: number of points of each type, and of boxes.
        tag_threshold: largest tag distance of a box's corners.
        small: side (square root of the area, network pixels) up to which boxes need a centre in their middle third, larger ones in their
            middle fifth.
        overlap: IoU above which the lower-scoring of two boxes is removed.

    Raises:
        ValueError: neither 9 nor 11 maps.
    """
    if points.shape[1] not in (9, 11):
        raise ValueError(f"points need 9 maps, or 11 with tags, got {points.shape[1]}")
    found = [find(points[:, i : i + 1], points[:, 3 + 2 * i : 5 + 2 * i], top, threshold) for i in range(3)]
    centres, scores = cell_to_pixel(found[0][1], STRIDE), found[0][0]
    tags = None
    if points.shape[1] == 11:
        tags = [gather(points[:, 9 + i : 10 + i], found[1 + i][2])[:, 0] for i in range(2)]
    boxes, means = pairs(found[1][1], found[1][0], found[2][1], found[2][0], tags, tag_threshold)
    boxes = torch.cat([cell_to_pixel(boxes[..., :2], STRIDE), cell_to_pixel(boxes[..., 2:], STRIDE)], -1)
    means = with_centres(boxes, means, centres, scores, small)
    return keep_best(torch.cat([boxes, means[..., None]], -1), overlap, top)


def find(
    heat: Float[Tensor, "b 1 h w"], offset: Float[Tensor, "b 2 h w"], top: int, threshold: float
) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b n 2"], Tensor]:
    """The `top` highest local maxima: heights (0: none), positions, and cells (b, 1, n, 2)."""
    heights, cells = peaks(heat, 3, threshold, top)
    both = cells.expand(-1, 2, -1, -1)
    return heights[:, 0], (cells[:, 0] + gather(offset, both).transpose(1, 2)), cells


def pairs(
    top_left: Float[Tensor, "b n 2"],
    first: Float[Tensor, "b n"],
    bottom_right: Float[Tensor, "b m 2"],
    second: Float[Tensor, "b m"],
    tags: list[Float[Tensor, "b _n"]] | None = None,
    tag_threshold: float = 0.5,
) -> tuple[Float[Tensor, "b n*m 4"], Float[Tensor, "b n*m"]]:
    """All boxes from a top left to a bottom right corner, and the mean scores (0: no box, or different tags)."""
    b, n, m = len(first), first.shape[1], second.shape[1]
    boxes = torch.cat([top_left[:, :, None].expand(b, n, m, 2), bottom_right[:, None].expand(b, n, m, 2)], -1)
    right = (boxes[..., 2:] > boxes[..., :2]).all(-1) & (first > 0)[:, :, None] & (second > 0)[:, None]
    if tags is not None:
        right &= (tags[0][:, :, None] - tags[1][:, None]).abs() <= tag_threshold
    means = (first[:, :, None] + second[:, None]) / 2
    return boxes.flatten(1, 2), (means * right).flatten(1)


def central(boxes: Float[Tensor, "*n 4"], small: float = 150.0) -> Float[Tensor, "*n 4"]:
    """The middle third of boxes of up to ``small²`` square pixels, the middle fifth of larger ones (CenterNet, Equation 1)."""
    middle, side = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    part = torch.where(side.prod(-1, keepdim=True) <= small**2, 3.0, 5.0)
    return torch.cat([middle - side / (2 * part), middle + side / (2 * part)], -1)


def with_centres(
    boxes: Float[Tensor, "b m 4"],
    means: Float[Tensor, "b m"],
    centres: Float[Tensor, "b n 2"],
    scores: Float[Tensor, "b n"],
    small: float = 150.0,
) -> Float[Tensor, "b m"]:
    """The mean scores of boxes' three points, with the best centre in the box's middle; 0 without one."""
    region = central(boxes, small)
    inside = (centres[:, None] > region[:, :, None, :2]).all(-1) & (centres[:, None] < region[:, :, None, 2:]).all(-1)
    best = (scores[:, None] * inside).amax(2)
    return torch.where((best > 0) & (means > 0), (2 * means + best) / 3, 0.0)


def keep_best(boxes: Float[Tensor, "b m 5"], overlap: float, top: int) -> Float[Tensor, "b n 5"]:
    """The `top` best boxes (xyxy, score) after NMS, by falling score, padded with zeros."""
    out = boxes.new_zeros(len(boxes), top, 5)
    for i, rows in enumerate(boxes):
        there = rows[rows[:, 4] > 0]
        order = box_nms(there[:, :4].float(), there[:, 4].float(), overlap)[:top]
        out[i, : len(order)] = there[order]
    return out
