"""Optical flow between the frames of a video, by OpenCV on the CPU.

DIS: Kroeger et al., Fast Optical Flow using Dense Inverse Search, ECCV 2016. Farnebäck: Two-Frame Motion Estimation Based on Polynomial
Expansion, SCIA 2003.
"""

from collections.abc import Callable
from typing import Literal, get_args

import cv2
import numpy as np
from jaxtyping import Float, UInt8

__all__ = ["Flow", "Kind", "Step"]

Kind = Literal["dis", "farneback"]

Step = Callable[["Float[np.ndarray, '*p 2']"], "Float[np.ndarray, '*p 2']"]
"""A function from points of a frame (xy pixels) to their displacements in the next frame."""


class Flow:
    """Optical flow from each frame to the next; keeps only the last frame, reduced and in grey.

    Args:
        kind: ``dis`` or ``farneback`` (six times slower).
        side: long side in pixels to which frames are reduced. Raising it detects finer motion and takes more time.

    Raises:
        ValueError: unknown kind, or a side below 32.
    """

    def __init__(self, kind: Kind = "dis", side: int = 512) -> None:
        if kind not in get_args(Kind):
            raise ValueError(f"flow is {' or '.join(get_args(Kind))}, got {kind!r}")
        if side < 32:
            raise ValueError(f"flow needs frames with a long side of 32 pixels or more, got {side}")
        self._flow = _dis() if kind == "dis" else _farneback
        self._side = side
        self._size: tuple[int, ...] = ()
        self._last: np.ndarray | None = None

    def step(self, frame: UInt8[np.ndarray, "H W 3"]) -> Step:
        """The flow from the previous frame to this one; zero for the first frame. Points outside move as the nearest pixel inside.

        Raises:
            ValueError: the frame's size differs from the previous one's.
        """
        grey = _grey(frame, self._side)
        if self._last is not None and frame.shape[:2] != self._size:
            (h, w), (H, W) = frame.shape[:2], self._size
            raise ValueError(f"optical flow needs frames of one size: a frame of {w}x{h} follows one of {W}x{H}; track without flow")
        last, self._last, self._size = self._last, grey, frame.shape[:2]
        if last is None:
            return np.zeros_like
        field = self._flow(last, grey)
        return lambda points: _sampled(field, points, frame.shape[:2])


def _dis() -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    found = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return lambda last, grey: found.calc(last, grey, None)  # type: ignore[arg-type]


def _farneback(last: np.ndarray, grey: np.ndarray) -> np.ndarray:
    # Half-size pyramid, windows of 15: OpenCV's own example values.
    return cv2.calcOpticalFlowFarneback(last, grey, None, 0.5, 3, 15, 3, 5, 1.1, 0)  # type: ignore[call-overload]


def _grey(frame: UInt8[np.ndarray, "H W 3"], side: int) -> UInt8[np.ndarray, "h w"]:
    """The frame in grey, with a long side of at most `side` and at least OpenCV's minimum size."""
    h, w = frame.shape[:2]
    scale = min(1.0, side / max(h, w))
    size = (max(16, round(w * scale)), max(16, round(h * scale)))
    small = frame if size == (w, h) else cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(np.ascontiguousarray(small), cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)


def _sampled(field: np.ndarray, points: Float[np.ndarray, "*p 2"], size: tuple[int, int]) -> Float[np.ndarray, "*p 2"]:
    """The flow at points of the full frame, bilinear, in its pixels."""
    h, w = field.shape[:2]
    ratio = np.array([size[1] / w, size[0] / h])
    x, y = np.moveaxis((np.asarray(points, np.float64) + 0.5) / ratio - 0.5, -1, 0)
    # Not SciPy, which the light installation lacks, nor cv2.remap, which rounds positions to 1/32 pixel.
    x, y = np.clip(x, 0, w - 1), np.clip(y, 0, h - 1)
    x0, y0 = np.minimum(x.astype(np.intp), w - 2), np.minimum(y.astype(np.intp), h - 2)
    u, v = (x - x0)[..., None], (y - y0)[..., None]
    top = field[y0, x0] * (1 - u) + field[y0, x0 + 1] * u
    low = field[y0 + 1, x0] * (1 - u) + field[y0 + 1, x0 + 1] * u
    return (top * (1 - v) + low * v) * ratio
