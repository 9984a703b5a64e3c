"""Whether red and blue of a photo are swapped, as in OpenCV's BGR arrays that are given as RGB. Needs no PyTorch.

Faces decide; in photos without a visible face a logistic regression on colour histograms does (`tools/channel_order.py` fits it): skin,
wood and earth are redder than blue, sky and water bluer than red.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from manypose.inference.photos import Result
from manypose.io.safetensors import read_arrays
from manypose.poses.poses import Poses

__all__ = ["WEIGHTS", "features", "looks_swapped", "swapped", "swapped_by_colours", "watched"]

WEIGHTS = Path(__file__).with_name("channel_order.safetensors")
"""Weights of the histograms' bins. On 93 photos that they were not fitted to, 90 % of the signs are correct."""

SIDE = 96
"""Side in pixels to which a photo is resized for its histograms: one of each third of its height."""

REDNESS, GREENNESS, LIGHTNESS = (0.015, 0.04, 0.08, 0.15, 0.25, 0.4), (-0.08, -0.03, -0.01, 0.01, 0.03, 0.08), (0.2, 0.4, 0.65)
"""Edges of the histograms' bins: |red - blue|, green - 1/3 and the mean, of channels divided by their sum (the mean: by 255)."""

FACE = ("nose", "left_eye", "right_eye")
CERTAIN = 0.3
"""Smallest score of a face joint that is used."""

DIFFERENCE = 8
"""Smallest difference of a face's mean red and blue, in grey levels, that is used."""

PHOTOS = 16
"""Number of photos checked in a call."""


def looks_swapped(photo: UInt8[np.ndarray, "H W 3"], poses: Poses) -> bool | None:
    """Whether most faces in a photo are bluer than red, unlike skin; None if no face decides.

    Args:
        photo: presumably RGB.
        poses: its people, whose skeleton has nose and eyes.
    """
    if not set(FACE) <= set(poses.skeleton.joints):
        return None
    joints, votes = [poses.skeleton.index(j) for j in FACE], 0
    for xy, scores in zip(poses.keypoints[:, joints], poses.keypoint_scores[:, joints], strict=True):
        (x0, y0), (x1, y1) = np.floor(xy.min(0)).astype(int), np.ceil(xy.max(0)).astype(int) + 1
        part = photo[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)].reshape(-1, 3).astype(int)
        if scores.min() >= CERTAIN and len(part) >= 9:
            redder = float(np.median(part[:, 0] - part[:, 2]))
            votes += (redder < -DIFFERENCE) - (redder > DIFFERENCE)
    return None if votes == 0 else votes > 0


def features(photo: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, " f"]:
    """Square roots of a photo's colour histograms, minus those of the photo with red and blue swapped.

    Args:
        photo: RGB or BGR; the features of one are the negative ones of the other.
    """
    small = cv2.resize(photo, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    total = small.sum(2) + 1
    redness = (small[..., 0] - small[..., 2]) / total
    side = np.sign(redness).astype(int) * np.digitize(abs(redness), REDNESS)
    green = np.digitize(small[..., 1] / total - 1 / 3, GREENNESS)
    light = np.digitize(total / (3 * 255), LIGHTNESS)
    third = np.arange(SIDE)[:, None] * 3 // SIDE
    shape = (3, 2 * len(REDNESS) + 1, len(GREENNESS) + 1, len(LIGHTNESS) + 1)
    cells = np.ravel_multi_index((np.broadcast_to(third, side.shape), side + len(REDNESS), green, light), shape)
    counts = np.sqrt(np.bincount(cells.ravel(), minlength=int(np.prod(shape))) / (SIDE * SIDE / 3)).reshape(shape)
    return (counts - counts[:, ::-1])[:, : len(REDNESS)].ravel()


@cache
def _weights() -> Float[np.ndarray, " f"]:
    return read_arrays(WEIGHTS)["weights"].astype(float)


def swapped_by_colours(photo: UInt8[np.ndarray, "H W 3"]) -> float:
    """Logarithm of the odds that red and blue are swapped, from all colours of a photo; 0 for a grey one."""
    return -float(features(photo) @ _weights())


def swapped(photo: UInt8[np.ndarray, "H W 3"], poses: Poses) -> bool:
    """Whether red and blue of a photo are more likely swapped than not: see `looks_swapped`, then `swapped_by_colours`."""
    faces = looks_swapped(photo, poses)
    return swapped_by_colours(photo) > 0 if faces is None else faces


def watched(results: Iterable[Result], people_in: Callable[[np.ndarray], int] | None = None) -> Iterator[Result]:
    """The same results, with one warning if the arrays are probably BGR.

    Args:
        results: results of arrays.
        people_in: counts the people in a picture; called once with red and blue swapped if none are found; None: never called.
    """
    left = PHOTOS
    for result in results:
        pixels, poses = result.item.pixels, result.poses
        if left and isinstance(result.item.photo, np.ndarray) and pixels is not None and poses is not None:
            left -= 1
            swapped = looks_swapped(pixels, poses)
            if not len(poses) and people_in is not None:
                swapped, people_in = people_in(np.ascontiguousarray(pixels[..., ::-1])) > 0, None
            if swapped:
                left = 0
                warnings.warn(
                    "the given arrays seem to be BGR, as OpenCV's are, and manypose expects RGB; give "
                    'colour="bgr" (or colour="rgb" if they are RGB, to silence this warning)',
                    stacklevel=2,
                )
        yield result
