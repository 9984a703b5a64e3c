"""Clothes of bodies: a colour for each vertex and its distance from the skin."""

import colorsys
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from synthetic_people.rendered.bodies import PARTS

__all__ = ["Dressed", "dress"]

_SLEEVES = ((), ("upper_arm",), ("upper_arm", "elbow"), ("upper_arm", "elbow", "lower_arm"))
_LEGS = (("hips",), ("hips", "upper_leg"), ("hips", "upper_leg", "knee"), ("hips", "upper_leg", "knee", "lower_leg"))


@dataclass(frozen=True)
class Dressed:
    """Of one body.

    Args:
        colours: 0 … 1, of each vertex.
        off: metres along the normal.
        rough: how much the cloth's folds turn the light, 0 for skin.
    """

    colours: Float[np.ndarray, "v 3"]
    off: Float[np.ndarray, " v"]
    rough: Float[np.ndarray, " v"]


def dress(
    rng: np.random.Generator, at: Float[np.ndarray, "v 3"], part: Int[np.ndarray, " v"], texture: UInt8[np.ndarray, "h w 3"]
) -> Dressed:
    """A random outfit.

    Args:
        at: the vertices of the average body at rest, so that patterns follow the body.
        part: of each vertex, as `Bodies.part`.
        texture: a piece of a photo, which some clothes are printed with.
    """
    v = len(at)
    skin = _skin(rng)
    colours = np.repeat(skin[None], v, 0) * (1 + 0.05 * _noise(rng, at, 8)[:, None])
    off, rough = np.zeros(v, np.float32), np.zeros(v, np.float32)
    is_ = lambda *names: np.isin(part, [PARTS.index(n) for n in names])  # noqa: E731
    _face(rng, colours, at, is_("head"))
    colours[is_("eye")] = 0.15

    def cover(where: Bool[np.ndarray, " v"], least: float, most: float, colour: Float[np.ndarray, "v 3"]) -> None:
        colours[where], off[where], rough[where] = colour[where], rng.uniform(least, most), rng.uniform(0.2, 1.0)

    shoes = rng.random()
    if shoes < 0.9:
        cover(is_("foot"), 0.004, 0.02, _pattern(rng, at, None))
    legs = _LEGS[rng.choice(4, p=(0.06, 0.18, 0.08, 0.68))]
    top_hides = rng.random() < 0.92
    bottom = _pattern(rng, at, texture if rng.random() < 0.15 else None)
    cover(is_(*legs), 0.006, 0.03, bottom)
    if top_hides:
        top = bottom if rng.random() < 0.08 else _pattern(rng, at, texture if rng.random() < 0.3 else None)
        sleeves = _SLEEVES[rng.choice(4, p=(0.12, 0.23, 0.2, 0.45))]
        long = ("hips",) if rng.random() < 0.3 else ()
        cover(is_("chest", "belly", *sleeves, *long), 0.006, 0.035, top)
        if rng.random() < 0.12:  # an open jacket or a vest in another colour
            cover(is_("chest", "belly") & (np.abs(at[:, 0]) > 0.06), 0.02, 0.04, _pattern(rng, at, None))
    if rng.random() < 0.06:
        cover(is_("hand"), 0.003, 0.01, _pattern(rng, at, None))
    _hair(rng, colours, off, rough, at, is_("head"))
    return Dressed(np.clip(colours, 0, 1).astype(np.float32), off, rough)


def _skin(rng: np.random.Generator) -> Float[np.ndarray, "3"]:
    light, dark = np.array([0.93, 0.76, 0.66]), np.array([0.28, 0.17, 0.12])
    tone = rng.beta(1.2, 2.2)
    return np.clip(light + (dark - light) * tone + rng.normal(0, 0.025, 3), 0.05, 1)


def _cloth(rng: np.random.Generator) -> Float[np.ndarray, "3"]:
    """A colour of clothes: often grey, black, white or blue."""
    kind = rng.random()
    if kind < 0.42:
        return np.clip(np.full(3, rng.choice((0.08, 0.2, 0.45, 0.7, 0.92))) + rng.normal(0, 0.04, 3), 0.02, 1)
    hue = rng.normal(0.61, 0.04) if kind < 0.6 else rng.random()
    return np.array(colorsys.hsv_to_rgb(hue % 1, rng.uniform(0.25, 0.95), rng.uniform(0.15, 0.95)))


def _pattern(
    rng: np.random.Generator, at: Float[np.ndarray, "v 3"], texture: UInt8[np.ndarray, "h w 3"] | None
) -> Float[np.ndarray, "v 3"]:
    first, second = _cloth(rng), _cloth(rng)
    if texture is not None:
        h, w = texture.shape[:2]
        x, y = ((at[:, i] * rng.uniform(60, 200)).astype(int) for i in (0, 2))
        return texture[y % h, x % w] / 255.0
    kind = rng.choice(["plain", "stripes", "upright", "checks", "blots", "print"], p=(0.56, 0.12, 0.06, 0.08, 0.08, 0.1))
    every = rng.uniform(0.04, 0.14)
    bands = lambda axis: (at[:, axis] / every) % 1 < rng.uniform(0.3, 0.7)  # noqa: E731
    if kind == "stripes":
        other = bands(2)
    elif kind == "upright":
        other = bands(0)
    elif kind == "checks":
        other = bands(0) ^ bands(2)
    elif kind == "blots":
        other = _noise(rng, at, rng.uniform(10, 30)) > 0.2
    elif kind == "print":
        centre = np.array([0, rng.uniform(0.2, 0.4)])
        other = (np.linalg.norm((at[:, [0, 2]] - centre) / (rng.uniform(0.05, 0.12), rng.uniform(0.05, 0.1)), axis=1) < 1) & (at[:, 1] < 0)
    else:
        other = np.zeros(len(at), bool)
    return np.where(other[:, None], second, first) * (1 + 0.04 * _noise(rng, at, 25)[:, None])


def _noise(rng: np.random.Generator, at: Float[np.ndarray, "v 3"], often: float) -> Float[np.ndarray, " v"]:
    """Smooth, about -1 … 1, `often` waves a metre or so."""
    waves = rng.normal(0, often, (4, 3))
    return np.sin(at @ waves.T + rng.uniform(0, 6.3, 4)).mean(1) * 1.4


def _face(rng: np.random.Generator, colours: Float[np.ndarray, "v 3"], at: Float[np.ndarray, "v 3"], head: Bool[np.ndarray, " v"]) -> None:
    """Darker brows and eye sockets and redder lips, the features of a face seen from afar."""
    tip = at[head][at[head, 1].argmin()]  # the nose
    spots = ((0.032, 0.035, 0.016, 0.55), (-0.032, 0.035, 0.016, 0.55), (0.032, 0.058, 0.014, 0.6), (-0.032, 0.058, 0.014, 0.6))
    for x, z, size, keep in spots:
        near = np.exp(-(((at[:, 0] - tip[0] - x) ** 2 * 0.5 + (at[:, 2] - tip[2] - z) ** 2) / (2 * (size * 0.6) ** 2))) * (
            head & (at[:, 1] < -0.05)
        )
        colours *= 1 - near[:, None] * (1 - keep)
    lips = np.exp(-(((at[:, 0] - tip[0]) / 0.025) ** 2 + ((at[:, 2] - tip[2] + 0.04) / 0.01) ** 2)) * (head & (at[:, 1] < -0.06))
    colours *= 1 - lips[:, None] * (np.array([0.15, 0.4, 0.35]) * rng.uniform(0.5, 1.2))


def _hair(
    rng: np.random.Generator,
    colours: np.ndarray,
    off: np.ndarray,
    rough: np.ndarray,
    at: Float[np.ndarray, "v 3"],
    head: Bool[np.ndarray, " v"],
) -> None:
    """Bald, short, long, or a hat."""
    points = at[head]
    tip, top, back = points[points[:, 1].argmin()], points[:, 2].max(), points[:, 1].max()
    height, depth = (at[:, 2] - tip[2]) / (top - tip[2]), (at[:, 1] - tip[1]) / (back - tip[1])
    kind = rng.choice(["bald", "short", "long", "hat"], p=(0.08, 0.46, 0.31, 0.15))
    hairline = rng.uniform(0.55, 0.75)
    short = head & ((height > hairline + 0.2 * (0.3 - depth)) | ((depth > 0.55) & (height > -0.15)))
    where = {"bald": np.zeros_like(head), "short": short, "long": short | (head & (depth > 0.5)), "hat": head & (height > 0.5)}[kind]
    tone = rng.choice(4, p=(0.45, 0.3, 0.15, 0.1))
    colour = np.array([[0.07, 0.05, 0.04], [0.27, 0.17, 0.1], [0.7, 0.55, 0.32], [0.6, 0.6, 0.6]])[tone] * rng.uniform(0.7, 1.3)
    if kind == "hat":
        short_below = short & ~where
        colours[short_below] = colour
        colour = _cloth(rng)
    colours[where] = colour * (1 + 0.15 * _noise(rng, at, 60)[where, None])
    off[where], rough[where] = rng.uniform(0.004, 0.035 if kind != "short" else 0.02), 0.8
