"""`PredictOptions`: how to predict, defined once for the command line, `Model.predict`, evaluation and labelling. Needs no PyTorch."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from math import isfinite
from numbers import Integral, Real
from typing import Any, Literal

__all__ = ["EVALUATION", "PredictOptions", "changed"]


@dataclass(frozen=True)
class PredictOptions:
    """How to predict.

    Args:
        flip: also run the network on the mirrored photo and average both: slightly more accurate, twice the time.
        scales: run the network at several scales and merge; 1 is the model's own size. More scales find smaller and larger people.
        size: the short side (see edge) of the network's input in pixels, for models that take whole photos; by default the model's own.
            A larger one finds smaller people and takes more time.
        edge: the side of the photo that is resized to size: the short one; the long one, as in Simple Pose's tables; or the long one,
            padded to a square, as SIMPLE's 512 x 512. At the same size, long and square take less time and miss smaller people.
        threshold: people with a lower score are left out. Raising it gives fewer false positives and misses more people.
        joint_threshold: joints with a lower score are left out, and so are people without any joint above it. Raising it gives fewer
            misplaced joints. At 0, results keep every joint, and pictures show those with a score of at least 0.1.
        detector_threshold: boxes of the person detector with a lower score are left out. Raising it saves time and misses more people.
        batch_size: number of views in one forward pass. It changes time and memory, not the result.
        turned: if a model with a person detector finds no person with a score of at least 0.2, process the photo again: rotated by 90, 180
            and 270 degrees, and with the red and blue channels swapped; if the best person is tilted by more than 60 degrees, rotated so
            that they stand; if the colours look swapped, with red and blue swapped back (not in videos). Turning it off saves time on
            photos without people, and misses people in photos that are stored sideways.
        mixed: half precision where PyTorch considers it safe: faster on a GPU; keypoints may differ by a few hundredths of a pixel.
        published: the input sizes and merging of HigherHRNet's and SWAHR's authors, to reproduce their figures; heat maps are upsampled
            first, which is slower.

    Raises:
        ValueError: a value is out of range; the message names the option.
    """

    flip: bool = False
    scales: tuple[float, ...] = (1.0,)
    size: int | None = None
    edge: Literal["short", "long", "square"] = "short"
    threshold: float = 0.17
    joint_threshold: float = 0.0
    detector_threshold: float = 0.3
    batch_size: int = 8
    turned: bool = True
    mixed: bool = False
    published: bool = False

    def __post_init__(self) -> None:
        for name in ("flip", "turned", "mixed", "published"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False, got {getattr(self, name)!r}")
        if not _numbers(self.scales, 0.05, 20) or len(set(self.scales)) != len(self.scales) or not self.scales:
            raise ValueError(f"scales must be different numbers from 0.05 to 20, got {self.scales!r}")
        if self.size is not None and not (_whole(self.size) and 16 <= self.size <= 10_000):
            raise ValueError(f"size must be 16 to 10,000 pixels, got {self.size!r}")
        if self.edge not in ("short", "long", "square") or (self.published and self.edge != "short"):
            raise ValueError(f"edge must be short, long or square, and short where published; got {self.edge!r}")
        for name in ("threshold", "joint_threshold", "detector_threshold"):
            if not _numbers([getattr(self, name)], 0, 1):
                raise ValueError(f"{name} must be a number from 0 to 1, got {getattr(self, name)!r}")
        if not (_whole(self.batch_size) and self.batch_size >= 1):
            raise ValueError(f"batch_size must be a whole number from 1 on, got {self.batch_size!r}")


def changed(options: PredictOptions, **changes: Any) -> PredictOptions:
    """The options with some of them changed.

    Raises:
        TypeError: there is no such option; the message says which one was perhaps meant.
        ValueError: a value is out of range.
    """
    names = [f.name for f in fields(PredictOptions)]
    for name in changes:
        if name not in names:
            near = get_close_matches(name, [*names, "boxes", "detector", "track"], 1)
            raise TypeError(f"there is no option {name!r}; " + (f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"))
    if isinstance(changes.get("scales"), Iterable):
        changes["scales"] = tuple(float(s) if _numbers([s], float("-inf"), float("inf")) else s for s in changes["scales"])
    for name in ("threshold", "joint_threshold", "detector_threshold"):
        if _whole(changes.get(name)) and _numbers([changes[name]], float("-inf"), float("inf")):
            changes[name] = float(changes[name])
    return replace(options, **changes)


def _whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _numbers(values: Any, low: float, high: float) -> bool:
    try:
        return all(isinstance(v, Real) and not isinstance(v, bool) and isfinite(v) and low <= float(v) <= high for v in values)
    except (TypeError, OverflowError):  # not several; a whole number beyond all floats
        return False


EVALUATION = PredictOptions(threshold=0.0, detector_threshold=0.1)
"""The preset of evaluation: faint people count for AP too, in the order of their scores."""
