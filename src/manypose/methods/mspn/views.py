"""Views of people and checks of arguments that both top-down methods share."""

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
    """How the view of a person is cut out of a photo around a box.

    Args:
        size: height and width of a view.
        extend: factors by which a box's width and height grow.
        decoding: ``published`` places views as the authors' programs do: the box's centre half a pixel off the view's.

    Raises:
        ValueError: a size that is no multiple of 32, or an argument out of its range.
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
        """From arguments as a config has them."""
        return cls(tuple(int(s) for s in size), tuple(float(e) for e in extend), decoding)  # type: ignore[arg-type]

    def cut(self, photo: UInt8[np.ndarray, "H W 3"], boxes: Float[np.ndarray, "n 4"]) -> list[Warp]:
        """One view for each box (xyxy in photo pixels).

        Raises:
            ValueError: boxes that are not finite, have no area or lie outside the photo; the message says which.
        """
        return crops(boxes, (photo.shape[0], photo.shape[1]), self.size, self.extend, self.decoding == "published")
