"""Heat maps: Gaussians, peaks and sub-pixel refinement, for batched tensors on any device."""

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

__all__ = ["gather", "gaussian_values", "gaussians", "mirror", "peaks", "quarter_offset", "quarter_offset_at", "subpixel", "subpixel_at"]

# ── Gaussians ──


def gaussians(
    cells: Float[Tensor, "b n k 2"], drawn: Bool[Tensor, "b n k"], size: tuple[int, int], sigma: float = 2.0, radius: int | None = None
) -> Float[Tensor, "b k h w"]:
    """Heat maps: for each joint the maximum of all people's Gaussians (SWAHR, Equations 1 and 2).

    A Gaussian covers a square around its nearest cell and is exactly 0 elsewhere, so ``> 0`` is its support.

    Args:
        cells: xy on the map, sub-pixel.
        drawn: mask of the joints to draw.
        size: height and width of the map.
        sigma: in cells.
        radius: half side of the square, in cells; default ``3σ + 1``.
    """
    values, index = _patches(cells, drawn, size, sigma, radius)
    return _splat(values, index, size)


def gaussian_values(
    cells: Float[Tensor, "b n k 2"],
    drawn: Bool[Tensor, "b n k"],
    values: Float[Tensor, "b n"],
    size: tuple[int, int],
    sigma: float = 2.0,
    radius: int | None = None,
) -> Float[Tensor, "b k h w"]:
    """For each cell the (positive) value of the person with the highest Gaussian (on a tie the largest); 0 outside all Gaussians."""
    heights, index = _patches(cells, drawn, size, sigma, radius)
    highest = _splat(heights, index, size).flatten(2).gather(2, index.flatten(2)).view_as(heights)
    owned = (heights == highest) & (heights > 0)
    per_cell = values[:, None, :, None].expand_as(heights)
    return _splat(per_cell.where(owned, per_cell.new_zeros(())), index, size)


def _patches(
    cells: Float[Tensor, "b n k 2"], drawn: Bool[Tensor, "b n k"], size: tuple[int, int], sigma: float, radius: int | None
) -> tuple[Float[Tensor, "b k n p"], Int[Tensor, "b k n p"]]:
    """Each Gaussian's square: heights (0 outside the map) and flat cell indices."""
    h, w = size
    radius = int(3 * sigma + 1) if radius is None else radius
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


# ── Peaks ──


def peaks(
    heat: Float[Tensor, "b k h w"], window: int = 5, threshold: float = 0.1, top: int = 30, keep_ties: bool = False
) -> tuple[Float[Tensor, "b k n"], Int[Tensor, "b k n 2"]]:
    """The highest peaks of every map: cells above `threshold` that are maximal in the `window` × `window` square around them.

    Of equally high ones in one square, as where mirrored views lie a cell apart or maps have few bits, the first alone is a peak.

    Args:
        heat: heat maps.
        window: odd, in cells.
        threshold: exclusive lower bound of a peak's height.
        top: number n of peaks per map, by falling height, then from the upper left.
        keep_ties: every one of the equally high cells is a peak, as in the authors' programs.

    Returns:
        Heights and xy cells; missing peaks have height 0 and cell (0, 0).
    """
    if window < 1 or window % 2 == 0:
        raise ValueError(f"the window of a peak must be odd, so that it has a middle; got {window}")
    heights, flat = (_peaks_cpu if heat.device.type == "cpu" else _peaks_pooled)(heat.detach(), window, max(threshold, 0.0), top)
    cells = torch.stack([flat % heat.shape[3], flat // heat.shape[3]], -1)
    tied = (heights[..., 1:] == heights[..., :-1]) & (heights[..., 1:] > 0)
    return (heights, cells) if keep_ties or not bool(tied.any()) else _untied(heights, cells, window // 2)


def _untied(heights: Float[Tensor, "b k n"], cells: Int[Tensor, "b k n 2"], radius: int) -> tuple[Tensor, Tensor]:
    """Peaks without those that lie within `radius` of an equally high one before them; the rest is 0."""
    near = ((cells[:, :, :, None] - cells[:, :, None]).abs() <= radius).all(-1) & (heights[..., None] == heights[:, :, None])
    kept = heights.where(~near.tril(-1).any(3), 0)
    heights, order = kept.sort(stable=True, dim=2, descending=True)
    return heights, cells.gather(2, order[..., None].expand_as(cells)) * (heights > 0)[..., None]


def _peaks_pooled(heat: Tensor, window: int, threshold: float, top: int) -> tuple[Tensor, Tensor]:
    pooled = functional.max_pool2d(heat, window, 1, window // 2)
    found = heat.where((heat == pooled) & (heat > threshold), 0).flatten(2)
    # A stable sort, since the order of equal heights in `topk` depends on device and batch size.
    heights, flat = found.topk(min(top, found.shape[2]), 2)
    order = flat.argsort(dim=2)
    heights, flat = heights.gather(2, order), flat.gather(2, order)
    order = heights.argsort(dim=2, stable=True, descending=True)
    heights, flat = heights.gather(2, order), flat.gather(2, order) * (heights.gather(2, order) > 0)
    short = (0, top - heights.shape[2])
    return functional.pad(heights, short), functional.pad(flat, short)


def _peaks_cpu(heat: Tensor, window: int, threshold: float, top: int) -> tuple[Tensor, Tensor]:
    """The same with OpenCV's dilation, map by map: 40 times faster than torch's pooling on one CPU thread."""
    b, k, h, w = heat.shape
    maps = heat.float().contiguous().numpy().reshape(b * k, h, w)
    heights, flat = np.zeros((b * k, top), np.float32), np.zeros((b * k, top), np.int64)
    square, highest, found, high = np.ones((window, window), np.uint8), np.empty((h, w), np.float32), *np.empty((2, h, w), bool)
    for i, plane in enumerate(maps):
        cv2.dilate(plane, square, dst=highest)
        np.greater_equal(plane, highest, out=found)
        np.logical_and(found, np.greater(plane, threshold, out=high), out=found)
        at = np.flatnonzero(found)
        values = plane.ravel()[at]
        order = np.argsort(-values, kind="stable")[:top]
        heights[i, : len(order)], flat[i, : len(order)] = values[order], at[order]
    return torch.from_numpy(heights).view(b, k, top).to(heat.dtype), torch.from_numpy(flat).view(b, k, top)


def gather(maps: Float[Tensor, "b k h w *t"], cells: Int[Tensor, "b k n 2"]) -> Float[Tensor, "b k n *t"]:
    """The maps' values at xy `cells`, which must lie on the map."""
    b, k, h, w = maps.shape[:4]
    index = cells[..., 1] * w + cells[..., 0]
    rows = torch.arange(b * k, device=maps.device).view(b, k, 1) * (h * w)
    return maps.reshape(b * k * h * w, *maps.shape[4:])[rows + index]


# ── Sub-pixel refinement ──


def quarter_offset(heat: Float[Tensor, "b k h w"], cells: Int[Tensor, "b k n 2"]) -> Float[Tensor, "b k n 2"]:
    """Peaks moved by a quarter cell in x and y towards the higher neighbour (the lower on a tie), as published; edges are repeated."""
    return quarter_offset_at(heat.flatten(0, 1), _planes(cells), cells.reshape(-1, 2)).view(*cells.shape)


def quarter_offset_at(heat: Float[Tensor, "c h w"], planes: Int[Tensor, " m"], cells: Int[Tensor, "m 2"]) -> Float[Tensor, "m 2"]:
    """`quarter_offset` for m peaks, each on the map that `planes` names."""
    h, w = heat.shape[1:]
    x, y = cells.unbind(1)
    right, left = heat[planes, y, (x + 1).clamp(max=w - 1)], heat[planes, y, (x - 1).clamp(min=0)]
    below, above = heat[planes, (y + 1).clamp(max=h - 1), x], heat[planes, (y - 1).clamp(min=0), x]
    return cells + (torch.stack([right > left, below > above], 1).to(heat.dtype) - 0.5) / 2


def _planes(cells: Int[Tensor, "b k n 2"]) -> Int[Tensor, " bkn"]:
    """The index of each cell's map."""
    b, k, n = cells.shape[:3]
    return torch.arange(b * k, device=cells.device).repeat_interleave(n)


def subpixel(
    heat: Float[Tensor, "b k h w"], cells: Int[Tensor, "b k n 2"], radius: int = 2, again: bool = True
) -> Float[Tensor, "b k n 2"]:
    """Peaks moved to the maximum of a Gaussian fitted to the square around them; exact for a noiseless Gaussian of any width.

    The logarithms of the square's column and row sums (again Gaussians) are fitted by parabolas in the least-squares sense. At the map's
    edge the square is moved inside. A result lies at most one cell from its peak.

    Args:
        heat: heat maps; values are clamped to at least a thousandth of the peak.
        cells: xy of peaks.
        radius: half side of the square, in cells; less on smaller maps.
        again: fit a second time, with weights symmetric about the first result (radius 2 or more). The mean of Gaussians of several widths,
            from several scales, then lies within 0.01 cells; without, within 0.1.
    """
    return subpixel_at(heat.flatten(0, 1), _planes(cells), cells.reshape(-1, 2), radius, again).view(*cells.shape)


def subpixel_at(
    heat: Float[Tensor, "c h w"], planes: Int[Tensor, " m"], cells: Int[Tensor, "m 2"], radius: int = 2, again: bool = True
) -> Float[Tensor, "m 2"]:
    """`subpixel` for m peaks, each on the map that `planes` names."""
    h, w = heat.shape[1:]
    radius = min(radius, (min(h, w) - 1) // 2)
    if radius < 1:
        return cells.to(heat.dtype)
    middle = torch.stack([cells[:, 0].clamp(radius, w - 1 - radius), cells[:, 1].clamp(radius, h - 1 - radius)], 1)
    step = torch.arange(-radius, radius + 1, device=heat.device)
    index = (planes * h + middle[:, 1])[:, None] + step  # rows of the square
    index = index[:, :, None] * w + (middle[:, :1] + step)[:, None, :]
    values = heat.reshape(-1)[index]
    values = values.maximum(values.amax((1, 2), keepdim=True) * 1e-3).clamp(min=torch.finfo(heat.dtype).tiny)
    sums = torch.stack([values.sum(1), values.sum(2)], 1).log()  # m xy side
    # Least squares on equidistant points: slope and curvature are fixed weighted sums.
    x = step.to(heat.dtype)
    bend = x**2 - (x**2).mean()
    slope, curvature = (sums * (x / (x**2).sum())).sum(2), (sums * (bend / (bend**2).sum())).sum(2)
    vertex = torch.where(curvature < 0, -slope / (2 * curvature), (cells - middle).to(heat.dtype))
    if radius > 1 and again:
        vertex = _fit_around(sums, step.to(heat.dtype), vertex.clamp(-radius, radius))
    return (middle + vertex).clamp(min=cells - 1.0, max=cells + 1.0)


def _fit_around(logs: Float[Tensor, "m 2 s"], x: Float[Tensor, " s"], first: Float[Tensor, "m 2"]) -> Float[Tensor, "m 2"]:
    """The vertices of parabolas fitted with weights symmetric about a first result, so that other symmetric peaks lie right too."""
    u = x - first[..., None]
    weights = (1 - (u / (x[-1] + 0.5)) ** 2).clamp(min=0) ** 2
    s0, s1, s2, s3, s4 = ((weights * u**i).sum(2) for i in range(5))
    t0, t1, t2 = ((weights * u**i * (logs - logs.amax(2, keepdim=True))).sum(2) for i in range(3))
    # Cramer's rule; the determinant, which is not negative, cancels.
    slope = s0 * (t1 * s4 - s3 * t2) - t0 * (s1 * s4 - s3 * s2) + s2 * (s1 * t2 - t1 * s2)
    curvature = s0 * (s2 * t2 - t1 * s3) - s1 * (s1 * t2 - t1 * s2) + t0 * (s1 * s3 - s2 * s2)
    return torch.where(curvature < 0, first - slope / (2 * curvature), first)


# ── Mirror ──


def mirror(maps: Float[Tensor, "b c h w *t"], order: tuple[int, ...] | None = None) -> Float[Tensor, "b c h w *t"]:
    """Maps mirrored left to right: columns flipped, channels reordered by `order`."""
    maps = maps.flip(3)
    return maps if order is None else maps[:, list(order)]
