"""Keypoint candidates in person boxes (MultiPoseNet, Section 3.4).

Candidates up to a margin outside a box are included, since annotated joints may lie outside their box, and detected boxes are often
small.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from manypose.poses.skeleton import Skeleton

__all__ = ["MARGIN", "Candidates", "Chooser", "Inside", "Regions", "inside"]

MARGIN = 0.21
"""Fraction of a box's sides up to which candidates outside it are included (the authors' program; not in the paper)."""


@dataclass(frozen=True)
class Candidates:
    """Keypoint candidates of any number of images, one per row, in any order.

    Args:
        xy: pixels; integers are pixel centres.
        scores: confidences of the keypoint detector, 0 … 1.
        joint: joint types.
        image: index of each one's image in the batch; default 0.
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


@dataclass(frozen=True)
class Regions:
    """The candidates in n regions: one row for each pair of a region and a candidate in it.

    Args:
        n: number of regions.
        row: region of each pair, ascending.
        joint: joint type of its candidate.
        place: xy of the candidate in the region's box, 0 … 1 inside.
        heights: height of the candidate's peak.
        candidate: index of the candidate, equal in all regions that contain it; None: all differ.
    """

    n: int
    row: Int[Tensor, " p"]
    joint: Int[Tensor, " p"]
    place: Float[Tensor, "p 2"]
    heights: Float[Tensor, " p"]
    candidate: Int[Tensor, " p"] | None = None


@runtime_checkable
class Chooser(Protocol):
    """A network or rule that scores candidates of boxes: `PRN`, `DensePRN`, `AttentionPRN`, `PublishedPRN`, `UCR`.

    Attributes:
        skeleton: the joints k.
        margin: fraction of a box's sides up to which candidates outside it are included.
    """

    skeleton: Skeleton
    margin: float

    def __call__(self, seen: Regions) -> Float[Tensor, " p"]:
        """A score for each pair, before the softmax over the pairs of one region and joint."""
        ...


@dataclass(frozen=True)
class Inside:
    """Pairs of a box and a candidate in it, in the order of the boxes.

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
    """All pairs of a box and a point of the same image inside the box enlarged by `margin`."""
    low, size = boxes[:, None, :2], (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-6)[:, None]
    place = (xy - low) / size
    near = ((place > -margin) & (place < 1 + margin)).all(2) & (box_image[:, None] == image)
    box, candidate = near.nonzero(as_tuple=True)
    return Inside(box, candidate, place[box, candidate])
