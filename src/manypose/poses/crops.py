"""Crops for top-down methods: one `Warp` for each box (MSPN, Section 4.2)."""

import numpy as np
from jaxtyping import Float

from manypose.poses.warp import Warp

__all__ = ["aspect_box", "crop", "crops"]


def aspect_box(box: Float[np.ndarray, "4"], size: tuple[int, int], extend: tuple[float, float]) -> Float[np.ndarray, "4"]:
    """A box enlarged about its centre by the factors `extend`, then to the aspect ratio of `size`.

    Args:
        box: xyxy.
        size: height and width of the network's input.
        extend: factors of width and height.
    """
    x0, y0, x1, y1 = (float(v) for v in box)
    width, height = (x1 - x0) * extend[0], (y1 - y0) * extend[1]
    width, height = max(width, height * size[1] / size[0]), max(height, width * size[0] / size[1])
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])


def crop(box: Float[np.ndarray, "4"], size: tuple[int, int], extend: tuple[float, float], published: bool = False) -> Warp:
    """The map from a photo to the crop of a box, enlarged by `aspect_box`.

    Args:
        box: xyxy in photo pixels, with an area.
        size: height and width.
        extend: factors of width and height.
        published: the authors' alignment: the box's centre maps to (w/2, h/2), half a pixel off the crop's centre.

    Raises:
        ValueError: the box is not finite or has no area.
    """
    if not np.isfinite(box).all() or box[2] <= box[0] or box[3] <= box[1]:
        raise ValueError(f"a box must be finite with x1 > x0 and y1 > y0, got {[float(v) for v in box]}")
    around = aspect_box(box, size, extend)
    if not published:
        return Warp.crop(around, size)
    scale = size[1] / (around[2] - around[0])
    middle = (around[:2] + around[2:]) / 2
    shift = np.array([size[1] / 2, size[0] / 2]) - scale * middle
    return Warp(np.column_stack([np.eye(2) * scale, shift]), size)


def crops(
    boxes: Float[np.ndarray, "n 4"], photo: tuple[int, int], size: tuple[int, int], extend: tuple[float, float], published: bool = False
) -> list[Warp]:
    """A `Warp` for each box.

    Boxes are clipped at one photo width and height outside the photo, which bounds the crop of a wrong, huge box.

    Raises:
        ValueError: a box is not finite, has no area, or does not touch the photo; the message gives the first and the number.
    """
    h, w = photo
    boxes = np.asarray(boxes, np.float64)
    with np.errstate(invalid="ignore"):
        sound = np.isfinite(boxes).all(1) & (boxes[:, 2:] > boxes[:, :2]).all(1)
        sound &= (boxes[:, 0] < w) & (boxes[:, 1] < h) & (boxes[:, 2] > -1) & (boxes[:, 3] > -1)
    if not sound.all():
        first = int(np.flatnonzero(~sound)[0])
        raise ValueError(
            f"{int((~sound).sum())} of {len(boxes)} boxes are not finite, have no area or lie outside the photo of {w} x {h} pixels; "
            f"the first is box {first}: {[float(v) for v in boxes[first]]}"
        )
    limits = np.array([-w, -h, -w, -h]), np.array([2 * w, 2 * h, 2 * w, 2 * h])
    return [crop(box, size, extend, published) for box in np.clip(boxes, *limits)]
