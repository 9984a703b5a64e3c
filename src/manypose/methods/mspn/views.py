"""Crops and argument checks of both top-down methods."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, UInt8

from manypose.poses.crops import crops
from manypose.poses.warp import Warp

__all__ = ["Decoding", "PersonViews"]

Decoding = Literal["gaussian", "dark", "published"]


@dataclass(frozen=True)
class PersonViews:
    """The geometry of a person's crop.

    Args:
        size: height and width of a crop.
        extend: factors by which a box's width and height are enlarged.
        decoding: with ``published``, the box's centre lies half a pixel off the crop's, as in the authors' programs.

    Raises:
        ValueError: a size that is not a multiple of 32, or an argument out of range.
    """

    size: tuple[int, int]
    extend: tuple[float, float]
    decoding: Decoding = "gaussian"

    def __post_init__(self) -> None:
        if len(self.size) != 2 or min(self.size) < 64 or any(side % 32 for side in self.size):
            raise ValueError(f"input_size is a height and a width, multiples of 32 from 64 on, got {tuple(self.size)}")
        if len(self.extend) != 2 or not all(0.1 <= e <= 10 for e in self.extend):
            raise ValueError(f"extend is a factor for a box's width and one for its height, from 0.1 to 10, got {tuple(self.extend)}")
        if self.decoding not in get_args(Decoding):
            raise ValueError(f"decoding is {', '.join(get_args(Decoding))}, got {self.decoding!r}")

    @classmethod
    def of(cls, size: Sequence[int], extend: Sequence[float], decoding: Decoding) -> "PersonViews":
        """From the arguments of a config."""
        return cls(tuple(int(s) for s in size), tuple(float(e) for e in extend), decoding)  # type: ignore[arg-type]

    def cut(self, photo: UInt8[np.ndarray, "H W 3"], boxes: Float[np.ndarray, "n 4"]) -> list[Warp]:
        """The crop of each box (xyxy in photo pixels).

        Raises:
            ValueError: boxes are not finite, have no area or lie outside the photo.
        """
        return crops(boxes, (photo.shape[0], photo.shape[1]), self.size, self.extend, self.decoding == "published")
