"""A check for arrays in OpenCV's BGR order that were given as RGB. Needs no PyTorch."""

import warnings
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from jaxtyping import UInt8

from manypose.inference.photos import Result
from manypose.poses.poses import Poses

__all__ = ["looks_swapped", "watched"]

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
