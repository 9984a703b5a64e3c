"""Targets of SIMPLE: pose maps, and the centre and two corners of each box (Section 4; Gaussians as in CenterNet)."""

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
        iou: smallest IoU of a box with corners displaced by the Gaussian's radius. Raising it makes the Gaussians smaller.
        smallest: smallest side in cells of a box (clipped to the image).

    Returns:
        ``pose`` (b, k, h, w); ``mask`` (b, 1 or k, h, w), 1 in regions with a loss.
        For each point p: ``p`` (b, 1, h, w), a Gaussian with peak 1; ``p_cell`` (b, n), its flat cell; ``p_offset`` (b, n, 2), from that
        cell's centre to the point, in cells.
        ``box`` (b, n, 4), xyxy in network pixels, clipped to the image; ``boxed`` (b, n), a mask of the boxes.
        ``joints`` (b, n, k, 2), in cells; ``cell``, ``tagged`` (b, n, k): flat cells, and a mask of labelled joints on the map.
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
    """Joints in cells of a map of `size`, and a mask of labelled joints on the map."""
    cells = pixel_to_cell(people.keypoints[..., :2], STRIDE)
    high = cells.new_tensor([size[1] - 0.5, size[0] - 0.5])
    on_map = ((cells >= -0.5) & (cells < high)).all(-1)
    return cells, (people.keypoints[..., 2] > 0) & people.there[..., None] & on_map


def clipped_boxes(people: Batch, size: tuple[int, int], smallest: float = 2.0) -> tuple[Float[Tensor, "b n 4"], Bool[Tensor, "b n"]]:
    """The people's boxes clipped to the image, and a mask of those with both sides of at least `smallest` cells."""
    limits = people.boxes.new_tensor([size[1], size[0]] * 2) - 0.5
    boxes = people.boxes.clamp(min=-0.5).minimum(limits)
    boxed = people.there & (boxes[..., 2:] - boxes[..., :2] >= smallest * STRIDE).all(-1)
    return boxes.where(boxed[..., None], boxes.new_zeros(())), boxed


def points_of(boxes: Float[Tensor, "*n 4"]) -> dict[str, Float[Tensor, "*n 2"]]:
    """The centre and the two corners of xyxy boxes."""
    corners = {"top_left": boxes[..., :2], "bottom_right": boxes[..., 2:]}
    return {p: corners.get(p, (boxes[..., :2] + boxes[..., 2:]) / 2) for p in POINTS}


def bump_radius(sides: Float[Tensor, "*n 2"], iou: float = 0.7) -> Float[Tensor, "*n"]:
    """CornerNet's radius: the largest error of both corners for which a box of these sides has an IoU of at least `iou`.

    As in the authors' program, the roots of the three quadratics are halved instead of divided by twice the leading coefficient. The first
    root is then always the smallest and the only one computed.
    """
    area, around = sides.prod(-1), sides.sum(-1)
    return (-2 * iou * around + (4 * iou**2 * around**2 + 16 * iou * (1 - iou) * area).sqrt()) / 2


def bumps(
    cells: Float[Tensor, "b n 2"], drawn: Bool[Tensor, "b n"], radius: Float[Tensor, "b n"], size: tuple[int, int], spread: float = 6.0
) -> Float[Tensor, "b 1 h w"]:
    """The maximum of Gaussians at integer cells with peak 1, truncated at their radii.

    Args:
        cells: xy, integers.
        drawn: mask of those to draw.
        radius: in cells, integers.
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
    for person in range(cells.shape[1]):  # one person per image at a time, to save memory
        out = torch.maximum(out, down[:, person, :, None] * across[:, person, None, :])
    return out[:, None]
