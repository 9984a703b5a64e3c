"""Regions of 56 × 36 cells: cells of points, and maps with a Gaussian at each point (MultiPoseNet, Sections 3.4, 3.5)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

__all__ = ["SIZE", "cells_of", "render", "stamps", "window_sums"]

SIZE = (56, 36)
"""Height and width of a region (the paper's 36 × 56 is width × height)."""


def cells_of(place: Float[Tensor, "*p 2"], size: tuple[int, int] = SIZE) -> Int[Tensor, "*p 2"]:
    """The xy cells of positions in a box; positions outside are clipped to its border cells."""
    limit = place.new_tensor([size[1], size[0]])
    return (place * limit).floor().clamp(min=0).minimum(limit - 1).long()


def stamps(
    place: Float[Tensor, "p 2"], size: tuple[int, int] = SIZE, sharp: bool = False
) -> tuple[Int[Tensor, "p r"], Float[Tensor, "p r"]]:
    """The four nearest cells of a point, as flat indices ``y w + x``, and its bilinear weights; with ``sharp`` one cell with weight 1."""
    if sharp:
        cells = cells_of(place, size)
        return cells[:, 1:] * size[1] + cells[:, :1], torch.ones_like(place[:, :1])
    limit = place.new_tensor([size[1] - 1, size[0] - 1])
    at = (place * (limit + 1) - 0.5).clamp(min=0).minimum(limit)
    low = at.floor().minimum(limit - 1)
    part, (x, y) = at - low, low.long().unbind(1)
    flat = (y * size[1] + x)[:, None] + torch.tensor([0, 1, size[1], size[1] + 1], device=place.device)
    fx, fy = torch.stack([1 - part[:, 0], part[:, 0]], 1), torch.stack([1 - part[:, 1], part[:, 1]], 1)
    return flat, (fy[:, :, None] * fx[:, None, :]).flatten(1)


def render(
    row: Int[Tensor, " p"],
    joint: Int[Tensor, " p"],
    cells: Int[Tensor, "p 2"],
    shape: tuple[int, int, int, int],
    sigma: float = 1.0,
    heights: Float[Tensor, " p"] | None = None,
    nearest: bool = True,
) -> Float[Tensor, "n k h w"]:
    """Maps with a Gaussian of sum 1 at each cell with a point; of several points in a cell the highest counts.

    Args:
        row: the region.
        joint: the channel.
        cells: xy.
        shape: n, k, h, w.
        sigma: deviation in cells.
        heights: of the points; default 1.
        nearest: padding of the filter with the border cells (the authors' inputs) or with 0 (their targets).
    """
    n, k, h, w = shape
    flat = (row * k + joint) * (h * w) + cells[:, 1] * w + cells[:, 0]
    ones = torch.ones_like(flat, dtype=torch.float32) if heights is None else heights.float()
    points, place = flat.unique(return_inverse=True)
    height = ones.new_zeros(len(points)).scatter_reduce_(0, place, ones, "amax")
    plane, y, x = points // (h * w), points % (h * w) // w, points % w
    down, across = (_bell(side, sigma, nearest).to(ones.device) for side in (h, w))
    reach = int(4 * sigma + 0.5)
    (ys, fy), (xs, fx) = _window(y, down, reach), _window(x, across, reach)
    values = height[:, None, None] * fy[:, :, None] * fx[:, None, :]
    index = plane[:, None, None] * (h * w) + ys[:, :, None] * w + xs[:, None, :]
    return values.new_zeros(n * k * h * w).index_add_(0, index.flatten(), values.flatten()).view(shape)


def _bell(side: int, sigma: float, nearest: bool) -> Float[Tensor, "side side"]:
    """The value in cell j of a point at cell i, along one axis; the Gaussian is truncated at 4 σ."""
    at, reach = torch.arange(side), int(4 * sigma + 0.5)
    far = torch.arange(-reach, reach + 1)
    bell = torch.exp(-(far.double() ** 2) / (2 * sigma**2))
    bell = (bell / bell.sum()).float()
    reads = at[:, None] + far  # cell j reads the points j - reach … j + reach
    gives = torch.zeros(side, side)
    there = torch.ones_like(reads, dtype=torch.bool) if nearest else (reads >= 0) & (reads < side)
    gives.index_put_((reads.clamp(0, side - 1), at[:, None].expand_as(reads)), bell.expand_as(reads) * there, accumulate=True)
    return gives


def _window(at: Int[Tensor, " p"], bell: Float[Tensor, "side side"], reach: int) -> tuple[Int[Tensor, "p r"], Float[Tensor, "p r"]]:
    """The cells of points' Gaussians along one axis, and their values; 0 outside the map."""
    side = len(bell)
    cells = at[:, None] + torch.arange(-reach, reach + 1, device=at.device)
    inner = cells.clamp(0, side - 1)
    return inner, bell[at[:, None], inner] * (cells == inner)


def window_sums(maps: Float[Tensor, "n k h w"], reach: int = 7) -> Float[Tensor, "n k h w"]:
    """The sum of the ``2 reach + 1`` cells wide square around each cell."""
    return functional.avg_pool2d(maps, 2 * reach + 1, 1, reach, divisor_override=1)
