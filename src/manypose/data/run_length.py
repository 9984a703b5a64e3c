"""Decoding of COCO's run-length masks, with checks that bound the memory by the photo's size.

A mask is given by the lengths of its runs of 0 and 1 in column order, beginning with 0: a list of numbers, or a compressed string. In the
string each signed number is written in characters of six bits ("0" is 0): five bits of value, lowest first, and a continuation bit; from
the fourth number on, the difference to the number two before is written.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

__all__ = ["decode_runs", "run_lengths"]

BASE = 48
"""The code of the character "0"."""


def decode_runs(given: Mapping[str, Any], size: tuple[int, int] | None = None) -> Bool[np.ndarray, "H W"]:
    """The mask of a run-length segmentation.

    Args:
        given: a mapping with ``size`` (height, width) and ``counts`` (a list or a string).
        size: required height and width; None: the mask's own.

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
    """The run lengths of a mask.

    Args:
        counts: a list of numbers, or a compressed string (or bytes).
        pixels: required sum.

    Raises:
        ValueError: another form, a negative number, or another sum than `pixels`.
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
    """The numbers of a compressed string; stops after the first one beyond the mask, which the caller refuses."""
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
