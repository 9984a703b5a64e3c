"""Calibration inputs: photos as the network sees them, for measuring the ranges of its activations."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import UInt8

from manypose.io.photos import read
from manypose.io.sources import sources
from manypose.methods.method import Method, TopDownMethod
from manypose.poses.warp import Warp

__all__ = ["batches"]

MOST = 64
"""Largest number of photos that are read."""


def batches(method: Method, photos: Sequence[str]) -> Iterator[UInt8[np.ndarray, "1 H W 3"]]:
    """One view of each photo: the whole photo for a bottom-up method, a central crop for a top-down method.

    Args:
        method: the method, for its sizes.
        photos: paths, folders or patterns; the first 64 photos are used.

    Raises:
        FileNotFoundError, ValueError: a photo cannot be read.
    """
    for path in sources(photos).paths[:MOST]:
        photo = read(path)
        hw = (photo.shape[0], photo.shape[1])
        if isinstance(method, TopDownMethod):
            box = np.array([hw[1] / 4, hw[0] / 8, hw[1] * 3 / 4, hw[0] * 7 / 8], np.float32)
            warp = method.people(photo, box[None])[0]
        else:
            warp = Warp.fit(hw, method.size, method.stride)
        yield warp.image(photo)[None]
