"""Targets of SIMPLE: pose maps, and the centre and two corners of each box (Section 4; bumps as in CenterNet)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

from manypose.data.sample import Batch
from manypose.methods.method import Maps
from manypose.methods.simple.corner_pooling import POINTS
from manypose.nn.heatmaps import gaussians
from manypose.poses.warp import pixel_to_cell

__all__ = ["bump_radius", "bumps", "clipped_boxes", "joint_cells", "points_of", "targets"]

STRIDE = 4
SPREAD = {"centre": 5.0, "top_left": 6.0, "bottom_right": 6.0}  # a bump's deviation is (2 radius + 1) over this (CenterNet's program)


def targets(people: Batch, size: tuple[int, int], sigma: float = 2.0, iou: float = 0.7, smallest: float = 2.0) -> Maps:
    """Targets for a network input of `size`.

    Args:
        people: joints and boxes in network pixels.
        size: height and width of the input.
        sigma: of the joints' Gaussians, in cells.
        iou: a box whose corner errs by a bump's radius still overlaps the true one by this.
        smallest: boxes with a side below this many cells (after what lies outside the picture is cut off) are not learnt.

    Returns:
        ``pose`` (b, k, h, w); ``mask`` (b, 1 or k, h, w), 1 where the loss may look.
        For each point p: ``p`` (b, 1, h, w), 1 at the point and falling off around it; ``p_cell`` (b, n), the flat cell it stands in;
        ``p_offset`` (b, n, 2), from that cell's centre to the point, in cells.
        ``box`` (b, n, 4), xyxy in network pixels, cut at the picture's edge; ``boxed`` (b, n), whether there is one.
        ``joints`` (b, n, k, 2), in cells; ``cell``, ``tagged`` (b, n, k): the flat cell of each, and whether it is labelled and on the map.
    """
    h, w = size[0] // STRIDE, size[1] // STRIDE
    cells, drawn = joint_cells(people, (h, w))
    flat = cells.where(drawn[..., None], cells.new_zeros(())).round().long()
    boxes, boxed = clipped_boxes(people, size, smallest)
    out: Maps = {
        "pose": gaussians(cells, drawn, (h, w), sigma),
        "mask": (avg_pool2d(people.mask.float(), STRIDE) > 0.5).float(),
        "box": boxes,
        "boxed": boxed,
        "joints": cells.where(drawn[..., None], cells.new_zeros(())),
        "cell": flat[..., 1].clamp(0, h - 1) * w + flat[..., 0].clamp(0, w - 1),
        "tagged": drawn,
    }
    sides = (boxes[..., 2:] - boxes[..., :2]) / STRIDE
    radius = bump_radius(sides, iou).floor().clamp(min=0)
    for point, xy in points_of(boxes).items():
        place = pixel_to_cell(xy, STRIDE)
        nearest = place.round().clamp(min=0).minimum(place.new_tensor([w - 1, h - 1]))
        out[point] = bumps(nearest, boxed, radius, (h, w), SPREAD[point])
        out[f"{point}_cell"] = (nearest[..., 1] * w + nearest[..., 0]).long()
        out[f"{point}_offset"] = place - nearest
    return out


def joint_cells(people: Batch, size: tuple[int, int]) -> tuple[Float[Tensor, "b n k 2"], Bool[Tensor, "b n k"]]:
    """Joints in cells of a map of `size`, and which of them are labelled and on it."""
    cells = pixel_to_cell(people.keypoints[..., :2], STRIDE)
    high = cells.new_tensor([size[1] - 0.5, size[0] - 0.5])
    on_map = ((cells >= -0.5) & (cells < high)).all(-1)
    return cells, (people.keypoints[..., 2] > 0) & people.there[..., None] & on_map


def clipped_boxes(people: Batch, size: tuple[int, int], smallest: float = 2.0) -> tuple[Float[Tensor, "b n 4"], Bool[Tensor, "b n"]]:
    """The people's boxes cut at the picture's edge, and which of them are left with both sides of `smallest` cells or more."""
    limits = people.boxes.new_tensor([size[1], size[0]] * 2) - 0.5
    boxes = people.boxes.clamp(min=-0.5).minimum(limits)
    boxed = people.there & (boxes[..., 2:] - boxes[..., :2] >= smallest * STRIDE).all(-1)
    return boxes.where(boxed[..., None], boxes.new_zeros(())), boxed


def points_of(boxes: Float[Tensor, "*n 4"]) -> dict[str, Float[Tensor, "*n 2"]]:
    """The centre and the two corners of xyxy boxes."""
    corners = {"top_left": boxes[..., :2], "bottom_right": boxes[..., 2:]}
    return {p: corners.get(p, (boxes[..., :2] + boxes[..., 2:]) / 2) for p in POINTS}


def bump_radius(sides: Float[Tensor, "*n 2"], iou: float = 0.7) -> Float[Tensor, "*n"]:
    """CornerNet's radius: how far both corners may err before a box of these sides overlaps by less.

    As in its authors' program, the roots of the quadratics for errors outwards, inwards and both alike are halved instead of divided by
    twice the leading coefficient. The first root, at most a quarter of the sides' sum, is then always the smallest; it alone is computed.
    """
    area, around = sides.prod(-1), sides.sum(-1)
    return (-2 * iou * around + (4 * iou**2 * around**2 + 16 * iou * (1 - iou) * area).sqrt()) / 2


def bumps(
    cells: Float[Tensor, "b n 2"], drawn: Bool[Tensor, "b n"], radius: Float[Tensor, "b n"], size: tuple[int, int], spread: float = 6.0
) -> Float[Tensor, "b 1 h w"]:
    """A Gaussian at each whole cell, cut off beyond its own radius: 1 in the middle, the largest of all; 0 elsewhere.

    Args:
        cells: xy, whole numbers.
        drawn: which to draw.
        radius: in cells, whole numbers.
        size: height and width of the map.
        spread: the deviation is ``(2 radius + 1) / spread``.
    """
    h, w = size
    sigma = (2 * radius + 1) / spread

    def profile(middle: Tensor, side: int) -> Tensor:
        away = torch.arange(side, device=cells.device, dtype=cells.dtype) - middle[..., None]
        bell = torch.exp(-(away**2) / (2 * sigma[..., None] ** 2))
        return bell * (away.abs() <= radius[..., None]) * drawn[..., None]

    across, down = profile(cells[..., 0], w), profile(cells[..., 1], h)
    out = cells.new_zeros(len(cells), h, w)
    for person in range(cells.shape[1]):  # one person of every image at a time: n maps at once would take n times the memory
        out = torch.maximum(out, down[:, person, :, None] * across[:, person, None, :])
    return out[:, None]
