"""COCO's run-length masks, checked before anything is decoded: a mask's memory is that of its photo, whatever the file claims.

A mask is the lengths of its runs of 0 and 1, column by column, beginning with 0: a list of numbers, or compressed, a string. In the string
each number is written in characters of six bits ("0" is 0), the lower five bits of value first, the sixth set where more characters
follow, as a signed number; from the fourth number on the difference to the number two before is written.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

__all__ = ["decode_runs", "run_lengths"]

BASE = 48
"""The character "0", which is zero."""


def decode_runs(given: Mapping[str, Any], size: tuple[int, int] | None = None) -> Bool[np.ndarray, "H W"]:
    """The mask of a run-length segmentation.

    Args:
        given: with ``size`` (height, width) and ``counts`` (a list or a string).
        size: the height and width that it must have; None takes the mask's own.

    Raises:
        ValueError: another size, negative numbers, or runs that do not fill the mask exactly.
    """
    own = given.get("size")
    if not isinstance(own, (list, tuple)) or len(own) != 2 or not all(isinstance(v, int) and v > 0 for v in own):
        raise ValueError(f"a run-length mask needs its size (height, width), got {str(own)[:40]}")
    h, w = own
    if size is not None and (h, w) != tuple(size):
        raise ValueError(f"a run-length mask of {w}x{h} pixels for a photo of {size[1]}x{size[0]}")
    lengths = run_lengths(given.get("counts"), h * w)
    values = np.zeros(len(lengths), bool)
    values[1::2] = True
    return np.repeat(values, lengths).reshape(w, h).T


def run_lengths(counts: Any, pixels: int) -> Int[np.ndarray, " r"]:
    """The runs of a mask, as numbers.

    Args:
        counts: a list of numbers, or a string (or bytes) in the compressed form.
        pixels: how many the runs must cover.

    Raises:
        ValueError: no such form, a negative number, or another sum than `pixels`.
    """
    if isinstance(counts, (str, bytes)):
        lengths = _uncompressed(counts.encode() if isinstance(counts, str) else counts, pixels)
    else:
        try:
            lengths = np.asarray(counts, np.int64)
        except (TypeError, ValueError, OverflowError):
            lengths = np.zeros((0, 0), np.int64)
    if lengths.ndim != 1 or not len(lengths) or (lengths < 0).any() or (lengths > pixels).any() or int(lengths.sum()) != pixels:
        raise ValueError(f"run lengths are not negative and cover the mask's {pixels} pixels exactly, got {str(counts)[:40]}")
    return lengths


def _uncompressed(text: bytes, pixels: int) -> Int[np.ndarray, " r"]:
    """Numbers beyond the mask end the reading; the caller refuses them."""
    found: list[int] = []
    value = shift = 0
    for character in text:
        bits = character - BASE
        if not 0 <= bits < 64 or shift > 60:
            break
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        found.append(value + (found[-2] if len(found) > 2 else 0))
        value = shift = 0
        if not 0 <= found[-1] <= pixels:
            break
    else:
        return np.asarray(found if shift == 0 else [], np.int64)
    return np.asarray([-1], np.int64)
