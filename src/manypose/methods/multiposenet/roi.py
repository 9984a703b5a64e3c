"""Regions of interest: the keypoint candidates in person boxes, as cells and as maps of 56 × 36 (MultiPoseNet, Sections 3.4, 3.5).

A box fills the whole map. Candidates up to `MARGIN` of the box's size outside it are seen too and lie on the map's border: annotated joints
may stick out of their box, and detected boxes are often small.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from manypose.poses.skeleton import Skeleton

__all__ = ["MARGIN", "SIZE", "Candidates", "Chooser", "Inside", "cells_of", "inside", "render", "stamps"]

SIZE = (56, 36)
"""Height and width of a region (the paper's 36 × 56 is width × height)."""

MARGIN = 0.21
"""How far outside a box candidates are seen, as a part of its width and height (the authors' program; the paper does not say)."""


@dataclass(frozen=True)
class Candidates:
    """Keypoint candidates of any number of images, one a row, in any order.

    Args:
        xy: pixels; integers are pixel centres.
        scores: how sure the keypoint detector is, 0 … 1.
        joint: which joint each may be.
        image: which image of the batch each lies in; left out, all lie in image 0.
    """

    xy: Float[Tensor, "c 2"]
    scores: Float[Tensor, " c"]
    joint: Int[Tensor, " c"]
    image: Int[Tensor, " c"] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.image is None:
            object.__setattr__(self, "image", torch.zeros_like(self.joint))
        if not len(self.xy) == len(self.scores) == len(self.joint) == len(self.image):
            rows = len(self.xy), len(self.scores), len(self.joint), len(self.image)
            raise ValueError(f"candidates need xy, scores, joint and image of one length, got {rows}")

    def __len__(self) -> int:
        return len(self.joint)


@runtime_checkable
class Chooser(Protocol):
    """Whoever says how likely candidates are a box's person's: `PRN`, `AttentionPRN`, `PublishedPRN`, `Baseline`."""

    skeleton: Skeleton
    margin: float

    def __call__(
        self,
        row: Int[Tensor, " p"],
        joint: Int[Tensor, " p"],
        place: Float[Tensor, "p 2"],
        heights: Float[Tensor, " p"],
        n: int,
        candidate: Int[Tensor, " p"] | None = None,
    ) -> Float[Tensor, " p"]:
        """See `PRN.forward`."""
        ...


@dataclass(frozen=True)
class Inside:
    """Which candidates are seen in which box: one row a pair, by box.

    Args:
        box: row of the box.
        candidate: row of the candidate.
        place: xy in the box; 0 is its left or upper edge, 1 its right or lower one.
    """

    box: Int[Tensor, " p"]
    candidate: Int[Tensor, " p"]
    place: Float[Tensor, "p 2"]


def inside(
    xy: Float[Tensor, "c 2"], image: Int[Tensor, " c"], boxes: Float[Tensor, "n 4"], box_image: Int[Tensor, " n"], margin: float = MARGIN
) -> Inside:
    """All pairs of a box and a point of the same image that lies in the box or less than `margin` of its size outside."""
    low, size = boxes[:, None, :2], (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-6)[:, None]
    place = (xy - low) / size
    near = ((place > -margin) & (place < 1 + margin)).all(2) & (box_image[:, None] == image)
    box, candidate = near.nonzero(as_tuple=True)
    return Inside(box, candidate, place[box, candidate])


def cells_of(place: Float[Tensor, "*p 2"], size: tuple[int, int] = SIZE) -> Int[Tensor, "*p 2"]:
    """The xy cells of places in a box; what lies outside goes to the border, each coordinate by itself."""
    limit = place.new_tensor([size[1], size[0]])
    return (place * limit).floor().clamp(min=0).minimum(limit - 1).long()


def stamps(
    place: Float[Tensor, "p 2"], size: tuple[int, int] = SIZE, sharp: bool = False
) -> tuple[Int[Tensor, "p r"], Float[Tensor, "p r"]]:
    """The cells that a point touches, as flat indices ``y w + x``, and how much it gives to each; the sum is 1.

    A point is shared by the four cells whose middles are nearest (bilinear), so nothing is rounded; ``sharp``: its own cell gets all.
    """
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
    """Maps with a Gaussian of sum 1 at each cell that has a point; several points in one cell count once (the highest).

    These are the authors' maps; the `PRN` itself needs none.

    Args:
        row: the map's region.
        joint: its channel.
        cells: xy.
        shape: n, k, h, w.
        sigma: deviation in cells.
        heights: of the points; left out, 1.
        nearest: the border goes on outside, as in the authors' inputs: a point on the border counts as if it had been drawn on all cells
            beyond too. Else what falls outside is lost, as in their targets.
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
    """What a point at i gives to cell j, along one axis, cut at 4 σ as usual."""
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
    """The cells along one axis that points touch, and what they get; cells off the map get 0."""
    side = len(bell)
    cells = at[:, None] + torch.arange(-reach, reach + 1, device=at.device)
    inner = cells.clamp(0, side - 1)
    return inner, bell[at[:, None], inner] * (cells == inner)
