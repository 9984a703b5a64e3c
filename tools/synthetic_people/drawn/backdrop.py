"""Backgrounds, pieces of them, and objects in front of synthetic people."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

__all__ = ["backdrop", "patch", "shape"]


def backdrop(rng: np.random.Generator, size: tuple[int, int], photo: UInt8[np.ndarray, "h w 3"] | None) -> Float[np.ndarray, "H W 3"]:
    """A background of `size` (height, width): a random part of a photo, or a drawn one. Colours 0 … 255."""
    return _drawn(rng, size) if photo is None else _part(rng, size, photo)


def _part(rng: np.random.Generator, size: tuple[int, int], photo: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "H W 3"]:
    (h, w), (ph, pw) = size, photo.shape[:2]
    scale = min(ph / h, pw / w) * rng.uniform(0.5, 1.0)
    ch, cw = max(2, int(h * scale)), max(2, int(w * scale))
    y, x = int(rng.integers(0, ph - ch + 1)), int(rng.integers(0, pw - cw + 1))
    part = photo[y : y + ch, x : x + cw]
    part = cv2.resize(part, (w, h), interpolation=cv2.INTER_AREA if ch > h else cv2.INTER_LINEAR)
    return (part[:, ::-1] if rng.random() < 0.5 else part).astype(np.float32)


def _drawn(rng: np.random.Generator, size: tuple[int, int]) -> Float[np.ndarray, "H W 3"]:
    """Two colours with a horizon, clouds of several sizes, and random boxes, ellipses and bars."""
    h, w = size
    ramp = np.clip((np.arange(h, dtype=np.float32) / h - rng.uniform(0.2, 0.8)) * rng.choice([1.5, 40.0]) + 0.5, 0, 1)[:, None, None]
    image = np.broadcast_to(_tone(rng) * (1 - ramp) + _tone(rng) * ramp, (h, w, 3)).astype(np.float32)
    for cells in (3, 9, 30, 90):
        noise = rng.normal(0, 1, (cells, cells, 3)).astype(np.float32)
        noise = 0.6 * noise + 0.8 * noise.mean(-1, keepdims=True)
        image += cv2.resize(noise, (w, h), interpolation=cv2.INTER_CUBIC) * rng.uniform(2, 16)
    for _ in range(rng.integers(0, 25)):
        cover = shape(rng, size, float(np.exp(rng.uniform(np.log(0.03), np.log(0.5)))))
        colour = _tone(rng) if rng.random() < 0.7 else cv2.resize(patch(rng, image), (w, h)).astype(np.float32) * rng.uniform(0.5, 1.4)
        image += (cover * np.float32(rng.uniform(0.4, 1)))[..., None] * (colour - image)
    return np.clip(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 2.0)), 0, 255)


def _tone(rng: np.random.Generator) -> Float[np.ndarray, "3"]:
    return np.clip(rng.uniform(20, 230) + rng.normal(0, 30, 3), 0, 255).astype(np.float32)


def shape(rng: np.random.Generator, size: tuple[int, int], part: float | None = None) -> Float[np.ndarray, "H W"]:
    """Cover (0 … 1) of a random box, round or bar that measures `part` of the picture (default 0.08 … 0.4) somewhere in it."""
    (h, w), kind = size, rng.choice(["box", "round", "bar"])
    long = (rng.uniform(0.08, 0.4) if part is None else part) * min(h, w)
    wide = long * (rng.uniform(0.08, 0.25) if kind == "bar" else rng.uniform(0.4, 1.0))
    x, y, angle = rng.uniform(0, w), rng.uniform(0, h), rng.choice([0.0, 90.0]) + rng.normal(0, 12)
    cover = np.zeros((h, w), np.uint8)
    if kind == "round":
        axes = (max(1, int(long * 8)), max(1, int(wide * 8)))
        cv2.ellipse(cover, (int(x * 16), int(y * 16)), axes, angle, 0, 360, 255, -1, cv2.LINE_AA, 4)
    else:
        corners = cv2.boxPoints(((x, y), (long * (3 if kind == "bar" else 1), wide), angle))
        cv2.fillConvexPoly(cover, np.round(corners * 16).astype(np.int32), 255, cv2.LINE_AA, 4)
    return cover.astype(np.float32) / 255


def patch(rng: np.random.Generator, image: Float[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """A square piece of a picture, a tenth to a third of it."""
    h, w = image.shape[:2]
    side = max(4, int(min(h, w) * rng.uniform(0.1, 0.35)))
    y, x = int(rng.integers(0, h - side + 1)), int(rng.integers(0, w - side + 1))
    return np.clip(image[y : y + side, x : x + side], 0, 255).astype(np.uint8)
