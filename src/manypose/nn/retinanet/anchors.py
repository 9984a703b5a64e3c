"""Anchors of the person subnet, box encoding, and matching of anchors to people (RetinaNet: Lin et al., ICCV 2017, Section 4)."""

import math
from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchvision.models.detection.anchor_utils import AnchorGenerator

__all__ = ["ANCHORS", "anchors", "assign_anchors", "from_shifts", "to_shifts"]

SIZES, RATIOS = (1.0, 2 ** (1 / 3), 2 ** (2 / 3)), (0.5, 1.0, 2.0)

ANCHORS = len(SIZES) * len(RATIOS)
"""Anchors per cell."""

SPREAD = (0.1, 0.1, 0.2, 0.2)
"""Scale of shifts: 1 is a tenth of the anchor's side for the centre, a fifth for the log side."""

LARGEST = math.log(1000 / 16)
"""Upper bound of a predicted log side, against overflow of exp."""


def anchors(size: tuple[int, int], output_stride: int = 32, scale: float = 4.0, device: torch.device | str = "cpu") -> Float[Tensor, "a 4"]:
    """The anchors (xyxy), ordered by level (P3 … P7), row, column and shape.

    Cell i of a level lies at pixel i · stride, the centre of the receptive field of a ResNet's stride-2 convolutions.

    Args:
        size: height and width of the network's input.
        output_stride: of C5; less than 32 for a dilated backbone.
        scale: side of the smallest square anchor on each level, in multiples of the level's usual stride (8, 16, 32, 64, 128).
        device: of the result.
    """
    return _anchors(size[0], size[1], output_stride, scale).to(device)


@lru_cache(maxsize=64)
def _anchors(height: int, width: int, output_stride: int, scale: float) -> Tensor:
    with torch.device("cpu"):
        made = AnchorGenerator(tuple(tuple(scale * 2**level * s for s in SIZES) for level in range(3, 8)), (RATIOS,) * 5)
        strides = [8, min(16, output_stride), output_stride]
        grids = [(-(-height // s), -(-width // s)) for s in strides]
        for _ in range(2):  # P6 and P7: convolutions of stride 2
            strides.append(2 * strides[-1])
            grids.append(((grids[-1][0] + 1) // 2, (grids[-1][1] + 1) // 2))
        return torch.cat(made.grid_anchors([list(g) for g in grids], [[torch.tensor(s)] * 2 for s in strides]))


def to_shifts(boxes: Float[Tensor, "n 4"], at: Float[Tensor, "n 4"]) -> Float[Tensor, "n 4"]:
    """Boxes relative to anchors: offsets of the centre over the anchor's side and logarithms of the side ratios, over `SPREAD`."""
    (centre, side), (own, own_side) = _centre_and_side(boxes), _centre_and_side(at)
    return torch.cat([(centre - own) / own_side, (side / own_side).log()], 1) / at.new_tensor(SPREAD)


def from_shifts(shifts: Float[Tensor, "n 4"], at: Float[Tensor, "n 4"]) -> Float[Tensor, "n 4"]:
    """The inverse of `to_shifts`."""
    own, own_side = _centre_and_side(at)
    move, grow = (shifts * at.new_tensor(SPREAD)).split(2, 1)
    centre, side = own + move * own_side, own_side * grow.clamp(max=LARGEST).exp()
    return torch.cat([centre - side / 2, centre + side / 2], 1)


def _centre_and_side(boxes: Float[Tensor, "n 4"]) -> tuple[Float[Tensor, "n 2"], Float[Tensor, "n 2"]]:
    low, high = boxes.split(2, 1)
    return (low + high) / 2, high - low


def assign_anchors(
    iou: Float[Tensor, "b n a"], there: Bool[Tensor, "b n"], high: float = 0.5, low: float = 0.4
) -> tuple[Int[Tensor, "b a"], Bool[Tensor, "b a"]]:
    """The person that each anchor is matched to.

    An anchor is matched to the person with the highest IoU if that is at least `high`, and is background if it is below `low`; a person
    without an anchor above `high` is matched to its best anchor.

    Args:
        iou: of people's boxes with anchors.
        there: mask of the rows that are people.
        high, low: RetinaNet's 0.5 and 0.4.

    Returns:
        For each anchor the row of its person, or -1; and a mask of the anchors that are neither matched nor background.
    """
    iou = iou.where(there[..., None], -1.0)
    most, who = iou.max(1)
    best = iou.amax(2, keepdim=True)
    forced = (iou == best) & (best > 0)
    owner = torch.where(forced.any(1), forced.to(torch.uint8).argmax(1), torch.where(most >= high, who, -1))
    return owner, (owner < 0) & (most >= low)
