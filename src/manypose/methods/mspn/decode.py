"""Decoding of one person's heat maps (MSPN, Section 4.2, "Testing"; and the authors' programs of MSPN and HRNet).

Runs on the maps' device for all people at once; only joints and scores are transferred to the CPU.
"""

from typing import Literal

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from manypose.methods.mspn.targets import FIRST_CELL
from manypose.nn.heatmaps import gather, subpixel
from manypose.nn.smoothing import convolve, smooth
from manypose.poses.poses import Poses
from manypose.poses.skeleton import Skeleton

__all__ = [
    "COUNTS",
    "Refinement",
    "decode",
    "highest",
    "published_hrnet",
    "published_mspn",
    "refine_dark",
    "refine_second",
    "to_poses",
]

COUNTS = 0.05
"""Smallest score of a joint that counts for the person's score, so that truncated people keep their score."""

Refinement = Literal["gaussian", "dark", "published"]


def decode(
    heat: Float[Tensor, "b k h w"],
    size: tuple[int, int],
    refinement: Literal["gaussian", "dark"] = "gaussian",
    sigma: float = 1.0,
    first: float = FIRST_CELL["ours"],
) -> tuple[Float[Tensor, "b k 2"], Float[Tensor, "b k"]]:
    """Our decoding: the maximum of a Gaussian fitted around the highest cell of the smoothed map.

    Args:
        heat: heat maps with peaks of about 1.
        size: height and width of the network's input.
        refinement: ``gaussian`` fits the unfiltered map (exact for a noiseless Gaussian, also at the edge); ``dark`` is DARK's Taylor step
            on the filtered map's logarithm (Zhang et al. 2020).
        sigma: of the post-Gaussian filter, in cells; 0: none. Raising it ignores narrower noise peaks.
        first: see `manypose.methods.mspn.targets.FIRST_CELL`.

    Returns:
        xy in input pixels, and heights, 0 … 1.
    """
    heat = heat.detach()
    filtered = smooth(heat, sigma)
    cells, _ = highest(filtered)
    if refinement == "dark":
        xy = refine_dark(filtered, cells)
    else:
        # The filter may have moved the maximum by a cell; the fit starts at the highest neighbour.
        cells = _climb(heat, cells)
        xy = _fitted(heat, cells)
    heights = gather(heat, cells[:, :, None])[..., 0].clamp(0, 1)
    return _to_pixels(xy, heat, size, first), heights


def published_mspn(
    heat: Float[Tensor, "b k h w"], size: tuple[int, int], kernel: int = 5, shift: float = 0.25, first: float = FIRST_CELL["mspn"]
) -> tuple[Float[Tensor, "b k 2"], Float[Tensor, "b k"]]:
    """The decoding of MSPN's authors: filter, a quarter cell from the highest towards the second highest cell, ``4 x + 2``.

    For a peak at a cell's centre it is off by -1 pixel in y, since the tie for the second highest cell is resolved upwards.

    Args:
        heat: peaks are about 1.
        size: of the network's input.
        kernel: width of the filter, 5 (COCO) or 9 (MPII).
        shift: the quarter.
        first: see `manypose.methods.mspn.targets.FIRST_CELL`.

    Returns:
        xy in input pixels of a crop with the published alignment, and scores with half a peak's height added.
    """
    h, w = heat.shape[2:]
    row = torch.from_numpy(np.asarray(cv2.getGaussianKernel(kernel, 0, cv2.CV_64F))[:, 0])
    filtered = convolve(heat.double(), row.to(heat.device))
    xy = refine_second(filtered, shift)
    xy = xy.clamp(min=0).minimum(xy.new_tensor([w - 1, h - 1]))
    scores = gather(heat, xy.round().long()[:, :, None])[..., 0] + 0.5
    return _to_pixels(xy, heat, size, first), scores


def published_hrnet(heat: Float[Tensor, "b k h w"], size: tuple[int, int]) -> tuple[Float[Tensor, "b k 2"], Float[Tensor, "b k"]]:
    """The decoding of HRNet's authors: highest cell, a quarter towards the higher neighbour in x and y (none at the edge), ``4 x``.

    Returns:
        xy in input pixels of a crop with the published alignment, and the peaks' heights.
    """
    heat = heat.detach()
    h, w = heat.shape[2:]
    cells, heights = highest(heat)
    x, y = cells.unbind(-1)
    inner = (x > 1) & (x < w - 1) & (y > 1) & (y < h - 1)
    offsets = []
    for axis in (0, 1):
        step = torch.tensor([1 - axis, axis], device=heat.device)
        limit = cells.new_tensor([w - 1, h - 1])
        after, before = (gather(heat, (cells + s * step).clamp(min=0).minimum(limit)[:, :, None])[..., 0] for s in (1, -1))
        offsets.append((after - before).sign() * 0.25 * inner)
    found = heights > 0
    xy = (cells + torch.stack(offsets, -1)) * found[..., None]
    return _to_pixels(xy, heat, size, FIRST_CELL["hrnet"]), heights.clamp(min=0)


def to_poses(
    skeleton: Skeleton,
    xy: Float[Tensor, "b k 2"],
    heights: Float[Tensor, "b k"],
    min_height: float | None = None,
    joint_penalty: float | None = None,
) -> list[Poses]:
    """`Poses` with one person per row; see `Poses.of_joints` (HRNet's authors count joints above 0.2)."""
    found = torch.cat([xy, heights[..., None]], -1).float().cpu().numpy()
    return [Poses.of_joints(skeleton, person, min_height, joint_penalty) for person in found]


# ── steps ──


def highest(heat: Float[Tensor, "b k h w"]) -> tuple[Int[Tensor, "b k 2"], Float[Tensor, "b k"]]:
    """xy and height of each map's highest cell, the upper left on a tie."""
    flat = heat.flatten(2)
    if heat.device.type == "cpu":
        at = torch.from_numpy(flat.numpy().argmax(2))
    else:
        at = (flat == flat.amax(2, keepdim=True)).to(torch.uint8).argmax(2)  # torch does not define the index on a tie
    return torch.stack([at % heat.shape[3], at // heat.shape[3]], -1), flat.gather(2, at[..., None])[..., 0]


def refine_second(heat: Float[Tensor, "b k h w"], shift: float = 0.25) -> Float[Tensor, "b k 2"]:
    """The highest cell, moved by `shift` cells towards the second highest (the quarter offset of Hourglass and MSPN)."""
    first, _ = highest(heat)
    index = (first[..., 1] * heat.shape[3] + first[..., 0])[..., None]
    second, _ = highest(heat.flatten(2).scatter(2, index, 0.0).view_as(heat))
    step = (second - first).to(heat.dtype)
    return first + shift * step / step.norm(dim=-1, keepdim=True).clamp(min=1e-12)


def refine_dark(heat: Float[Tensor, "b k h w"], cells: Int[Tensor, "b k 2"]) -> Float[Tensor, "b k 2"]:
    """DARK's refinement: one Newton step on the logarithm, ``μ = m - H⁻¹ g``, from finite differences; none in edge cells."""
    h, w = heat.shape[2:]
    middle = cells.clamp(min=1).minimum(cells.new_tensor([w - 2, h - 2]))
    steps = torch.tensor([[x, y] for y in (-1, 0, 1) for x in (-1, 0, 1)], device=heat.device)
    values = gather(heat, (middle[:, :, None] + steps).flatten(2, 3).view(*cells.shape[:2], 9, 2)).clamp(min=1e-10).log()
    v = values.unflatten(2, (3, 3)).double()
    gx, gy = (v[..., 1, 2] - v[..., 1, 0]) / 2, (v[..., 2, 1] - v[..., 0, 1]) / 2
    xx, yy = v[..., 1, 2] - 2 * v[..., 1, 1] + v[..., 1, 0], v[..., 2, 1] - 2 * v[..., 1, 1] + v[..., 0, 1]
    xy = (v[..., 2, 2] - v[..., 2, 0] - v[..., 0, 2] + v[..., 0, 0]) / 4
    det = xx * yy - xy**2
    good = (xx < 0) & (det > 1e-12) & (middle == cells).all(-1)
    move = torch.stack([xy * gy - yy * gx, xy * gx - xx * gy], -1) / det.where(good, det.new_ones(()))[..., None]
    return cells + (move.clamp(-1, 1) * good[..., None]).to(heat.dtype)


def _fitted(heat: Float[Tensor, "b k h w"], cells: Int[Tensor, "b k 2"]) -> Float[Tensor, "b k 2"]:
    """The maximum of a Gaussian fitted to 5×5 cells, or to 3×3 at the edge."""
    limit = cells.new_tensor([heat.shape[3] - 3, heat.shape[2] - 3])
    inner = ((cells >= 2) & (cells <= limit)).all(-1, keepdim=True)
    wide, narrow = (subpixel(heat, cells[:, :, None], radius, again=False)[:, :, 0] for radius in (2, 1))
    return torch.where(inner, wide, narrow)


def _climb(heat: Float[Tensor, "b k h w"], cells: Int[Tensor, "b k 2"]) -> Int[Tensor, "b k 2"]:
    """The highest of the 3×3 cells around each cell."""
    limit = cells.new_tensor([heat.shape[3] - 1, heat.shape[2] - 1])
    steps = torch.tensor([[x, y] for y in (-1, 0, 1) for x in (-1, 0, 1)], device=heat.device)
    near = (cells[:, :, None] + steps).clamp(min=0).minimum(limit)
    best = gather(heat, near).argmax(2)
    return near.gather(2, best[..., None, None].expand(*best.shape, 1, 2))[:, :, 0]


def _to_pixels(xy: Float[Tensor, "b k 2"], heat: Float[Tensor, "b k h w"], size: tuple[int, int], first: float) -> Float[Tensor, "b k 2"]:
    stride = xy.new_tensor([size[1] / heat.shape[3], size[0] / heat.shape[2]])
    return xy * stride + first * stride / 4
