"""Maps: what networks paint and decoders read. Tensors in, tensors out, batched, on any device."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["gaussian_values", "gaussians"]

# ── Gaussians ──


def gaussians(
    cells: Float[Tensor, "b n k 2"], drawn: Bool[Tensor, "b n k"], size: tuple[int, int], sigma: float = 2.0
) -> Float[Tensor, "b k h w"]:
    """Heat maps: a Gaussian a joint, the largest of all people's (SWAHR, Equations 1 and 2).

    A Gaussian covers the ``6σ + 3`` cells square around its nearest cell and is exactly 0 elsewhere, so ``> 0`` is its support.

    Args:
        cells: xy on the map, sub-pixel.
        drawn: which to draw; what is left of a Gaussian outside the map is cut off.
        size: height and width of the map.
        sigma: in cells.
    """
    values, index = _patches(cells, drawn, size, sigma)
    return _splat(values, index, size)


def gaussian_values(
    cells: Float[Tensor, "b n k 2"], drawn: Bool[Tensor, "b n k"], values: Float[Tensor, "b n"], size: tuple[int, int], sigma: float = 2.0
) -> Float[Tensor, "b k h w"]:
    """For each cell that `gaussians` covers the value of the person whose Gaussian is highest there (on a tie the largest); else 0.

    `values` must be positive.
    """
    heights, index = _patches(cells, drawn, size, sigma)
    highest = _splat(heights, index, size).flatten(2).gather(2, index.flatten(2)).view_as(heights)
    owned = (heights == highest) & (heights > 0)
    per_cell = values[:, None, :, None].expand_as(heights)
    return _splat(per_cell.where(owned, per_cell.new_zeros(())), index, size)


def _patches(
    cells: Float[Tensor, "b n k 2"], drawn: Bool[Tensor, "b n k"], size: tuple[int, int], sigma: float
) -> tuple[Float[Tensor, "b k n p"], Int[Tensor, "b k n p"]]:
    """Each Gaussian's square: its heights (0 where cut off) and flat cell indices."""
    h, w = size
    radius = int(3 * sigma + 1)
    xy = cells.transpose(1, 2).where(drawn.transpose(1, 2)[..., None], cells.new_zeros(()))  # NaN or far away where not drawn
    step = torch.arange(-radius, radius + 1, device=cells.device)
    at = xy.round().long()[..., None] + step  # b k n xy side
    inside = (at >= 0) & (at < at.new_tensor([w, h])[:, None])
    bell = torch.exp(-((at - xy[..., None]) ** 2) / (2 * sigma**2)) * inside
    values = bell[..., 1, :, None] * bell[..., 0, None, :] * drawn.transpose(1, 2)[..., None, None]
    at = at.clamp(min=0).minimum(at.new_tensor([w - 1, h - 1])[:, None])
    index = at[..., 1, :, None] * w + at[..., 0, None, :]
    return values.flatten(-2), index.flatten(-2)


def _splat(values: Float[Tensor, "b k n p"], index: Int[Tensor, "b k n p"], size: tuple[int, int]) -> Float[Tensor, "b k h w"]:
    out = values.new_zeros((*values.shape[:2], size[0] * size[1]))
    return out.scatter_reduce_(2, index.flatten(2), values.flatten(2), "amax").unflatten(2, size)
