"""Targets of SWAHR: heat maps (Equations 1 and 2), cells of tags, masks."""

from typing import Literal

from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import avg_pool2d

from manypose.data.sample import Batch
from manypose.methods.method import Maps
from manypose.nn.heatmaps import gaussian_values, gaussians
from manypose.poses.warp import pixel_to_cell

__all__ = ["TRUNCATED", "cells_of", "mask_at", "shift", "tag_cells", "targets"]

TRUNCATED = 0.5
"""Network pixels, right and down, from a cell's centre to the mean of the positions that published targets round to it."""


def shift(published: bool, mirrored: bool = False) -> tuple[float, float]:
    """The offset (x, y), in network pixels, from a peak of the targets to its joint, which decoding adds.

    Args:
        published: whether the targets' joints were rounded down to cells.
        mirrored: whether the maps are the mean of a view and its mirror image, where joints are rounded to the other side.
    """
    return (TRUNCATED * published * (not mirrored), TRUNCATED * published)


def targets(
    people: Batch,
    size: tuple[int, int],
    sigma: float = 2.0,
    published: bool = False,
    naive_scale: float | None = None,
    window: Literal["published", "paper"] = "published",
) -> Maps:
    """Targets for a network input of `size`.

    Args:
        people: joints in network pixels; every joint with visibility > 0 counts.
        size: height and width of the input.
        sigma: of all Gaussians, in cells at both strides (the paper's σ₀ = 2).
        published: round joints down to cells, as in the authors' program, instead of sub-pixel positions.
        naive_scale: width in pixels (before rotation) of a box with scale factor 1; then ``s4`` and ``s2`` are the boxes' factors (SHR,
            Table 4).
        window: side of a Gaussian's square: 6σ + 3 cells as in the authors' program, or 6σ + 1, the ±3σ of Equation 1.

    Returns:
        ``heat4``, ``heat2``: (b, k, h, w), above 0 exactly in the square around a labelled joint.
        ``mask4``, ``mask2``: (b, 1 or k, h, w), 1 in regions with a loss.
        ``cell``, ``tagged``: (b, n, k), the flat cell of a joint's tag at stride 4, and whether there is one.
        ``s4``, ``s2``: (b, k, h, w), the scale factor of the person a Gaussian belongs to; 0 elsewhere.
    """
    out: Maps = {}
    radius = int(3 * sigma + (window == "published"))
    for stride in (4, 2):
        h, w = size[0] // stride, size[1] // stride
        cells, drawn = cells_of(people, stride, (h, w), published)
        out[f"heat{stride}"] = gaussians(cells, drawn, (h, w), sigma, radius)
        out[f"mask{stride}"] = mask_at(people.mask, stride)
        if stride == 4:
            out["cell"], out["tagged"] = tag_cells(cells, drawn, (h, w))
        if naive_scale is not None:
            # The smallest Gaussian is a single cell.
            factor = (people.widths() / naive_scale).clamp(min=0.01)
            out[f"s{stride}"] = gaussian_values(cells, drawn, factor, (h, w), sigma, radius)
    return out


def cells_of(
    people: Batch, stride: int, size: tuple[int, int], published: bool = False
) -> tuple[Float[Tensor, "b n k 2"], Bool[Tensor, "b n k"]]:
    """Joints in cells of a map, and a mask of labelled joints on the map."""
    cells = people.keypoints[..., :2]
    cells = (cells / stride).trunc() if published else pixel_to_cell(cells, stride)
    margin = 0.0 if published else 0.5  # the map extends half a cell beyond its first and last cell centre
    x, y = cells.unbind(-1)
    h, w = size
    on_map = (x >= -margin) & (y >= -margin) & (x < w - 1 + margin + published) & (y < h - 1 + margin + published)
    return cells, (people.keypoints[..., 2] > 0) & people.there[..., None] & on_map


def tag_cells(
    cells: Float[Tensor, "b n k 2"], drawn: Bool[Tensor, "b n k"], size: tuple[int, int]
) -> tuple[Int[Tensor, "b n k"], Bool[Tensor, "b n k"]]:
    """The flat index ``y · w + x`` of each joint's nearest cell (0 if there is none)."""
    h, w = size
    nearest = cells.where(drawn[..., None], cells.new_zeros(())).round().long()
    return nearest[..., 1].clamp(0, h - 1) * w + nearest[..., 0].clamp(0, w - 1), drawn


def mask_at(mask: UInt8[Tensor, "b m H W"], stride: int) -> Float[Tensor, "b m h w"]:
    """1 for cells with the mask 1 in more than half of their pixels."""
    return (avg_pool2d(mask.float(), stride) > 0.5).float()
