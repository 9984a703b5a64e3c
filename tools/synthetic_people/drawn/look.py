"""How a synthetic person looks: skin, hair, face and clothes, drawn at random; and the paints that put them on shapes."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Shaped, UInt8

__all__ = ["Cloth", "Look", "head_paint", "limb_paint", "plain", "random_look"]

Colour = Float[np.ndarray, "3"]

# Dark to light skin and common hair, RGB.
_SKINS = np.array([[72, 46, 34], [116, 76, 52], [160, 110, 78], [198, 148, 112], [224, 180, 148], [242, 208, 184]], np.float32)
_HAIRS = np.array(
    [[18, 16, 16], [40, 28, 22], [70, 46, 30], [112, 76, 44], [176, 138, 82], [150, 70, 36], [150, 148, 146], [222, 220, 214]]
)


@dataclass(frozen=True)
class Cloth:
    """A woven square, repeated over a shape.

    Args:
        weave: colours.
        repeat: how often it fits along a shape.
    """

    weave: Float[np.ndarray, "s s 3"]
    repeat: float

    def __call__(self, along: Shaped[np.ndarray, "h w"], across: Shaped[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 3"]:
        """Colours at places along (0 … 1) and across (-1 … 1)."""
        s = len(self.weave)
        i = (along * (s * self.repeat)).astype(np.int32) % s
        j = (across * (s * self.repeat / 2)).astype(np.int32) % s
        return self.weave[i, j]


@dataclass(frozen=True)
class Look:
    """The appearance of a person, independent of the pose.

    Args:
        sleeve: how far the top covers the arm: 0 … 1 the upper arm, 1 … 2 the forearm.
        leg: how far the trousers cover the leg: 0 … 1 the thigh, 1 … 2 the shin.
        skirt: its length in thighs, or 0 without one.
        hem: where the top ends on the trunk: 0.74 at the hips' height, 1 below the hips.
        loose: how much wider clothes are than the limbs in them.
        hairline: height over the ears and slope from back to front of the hair's edge on the unit skull.
        volume: of the hair around the skull, as a factor; 1 is flat.
        long: length of hair behind the head, in skull heights.
        hat: none, a cap with a brim, or a helmet.
    """

    skin: Colour
    hair: Colour
    top: Cloth
    bottom: Cloth
    shoes: Colour
    socks: Colour
    sleeve: float
    leg: float
    skirt: float
    hem: float
    loose: float
    hairline: tuple[float, float]
    volume: float
    long: float
    beard: float
    glasses: bool
    hat: str
    hat_colour: Colour
    gloves: bool


def random_look(rng: np.random.Generator, patches: Callable[[], UInt8[np.ndarray, "h w 3"]] | None = None) -> Look:
    """A look; `patches` gives pieces of photos, of which some clothes are cut."""
    tone = rng.uniform(0, len(_SKINS) - 1)
    low = int(tone)
    skin = _SKINS[low] + (tone - low) * (_SKINS[min(low + 1, len(_SKINS) - 1)] - _SKINS[low])
    hair = _HAIRS[rng.choice(len(_HAIRS), p=np.array([6, 6, 5, 4, 3, 1, 2, 1]) / 28)].astype(np.float32)
    female, top = rng.random() < 0.5, _cloth(rng, patches)
    skirt = float(rng.choice([0.5, 0.9, 1.5])) * rng.uniform(0.85, 1.15) if female and rng.random() < 0.25 else 0.0
    bottom = top if rng.random() < (0.5 if skirt else 0.12) else _cloth(rng, patches)
    bald = not female and rng.random() < 0.15
    hairline = (rng.uniform(0.5, 0.9) if bald else rng.uniform(-0.25, 0.2) if female else rng.uniform(0.05, 0.35), rng.uniform(0.45, 0.65))
    return Look(
        skin=np.clip(skin * rng.uniform(0.9, 1.08) * rng.normal(1, 0.03, 3), 5, 250).astype(np.float32),
        hair=_colour(rng) if rng.random() < 0.04 else np.clip(hair * rng.uniform(0.7, 1.3), 5, 245).astype(np.float32),
        top=top,
        bottom=bottom,
        shoes=_colour(rng) if rng.random() < 0.5 else np.full(3, rng.choice([20, 40, 120, 225]), np.float32),
        socks=np.full(3, rng.choice([30, 225]), np.float32) if rng.random() < 0.5 else _colour(rng),
        sleeve=float(rng.choice([0.0, 0.45, 0.6, 1.4, 1.95], p=[0.12, 0.25, 0.18, 0.07, 0.38])),
        leg=float(rng.choice([0.25, 0.7, 0.95, 1.5, 1.93], p=[0.06, 0.12, 0.12, 0.06, 0.64])) if not skirt else 0.25,
        skirt=skirt,
        hem=float(rng.uniform(0.6, 0.72) if rng.random() < 0.4 else rng.uniform(0.75, 1.0)),
        loose=float(rng.uniform(1.03, 1.3)),
        hairline=hairline,
        volume=1.0 if bald else float(rng.uniform(1.0, 1.22 if female else 1.1)),
        long=float(rng.uniform(0.6, 2.4)) if female and rng.random() < 0.65 else 0.0,
        beard=float(rng.uniform(0.3, 0.9)) if not female and rng.random() < 0.3 else 0.0,
        glasses=bool(rng.random() < 0.15),
        hat=str(rng.choice(["none", "cap", "helmet"], p=[0.8, 0.13, 0.07])),
        hat_colour=_colour(rng),
        gloves=bool(rng.random() < 0.06),
    )  # fmt: skip


def _colour(rng: np.random.Generator) -> Colour:
    """A colour of clothes: often dark, white, blue or grey, sometimes bright."""
    kind = rng.random()
    if kind < 0.25:
        return np.clip(rng.uniform(12, 60) + rng.normal(0, 6, 3), 0, 255).astype(np.float32)
    if kind < 0.42:
        return np.clip(rng.uniform(185, 245) + rng.normal(0, 6, 3), 0, 255).astype(np.float32)
    if kind < 0.58:
        return (np.array([50, 70, 115]) * rng.uniform(0.5, 1.6) + rng.normal(0, 8, 3)).clip(0, 255).astype(np.float32)
    hsv = np.array([[[rng.integers(180), rng.integers(30, 220), rng.integers(60, 240)]]], np.uint8)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0].astype(np.float32)


def _cloth(rng: np.random.Generator, patches: Callable[[], UInt8[np.ndarray, "h w 3"]] | None, s: int = 48) -> Cloth:
    """Plain, striped, checked, dotted, in two halves, or cut from a photo; always with some folds."""
    weave = np.broadcast_to(_colour(rng), (s, s, 3)).copy()
    other, i = _colour(rng), np.arange(s)
    pattern = rng.choice(["plain", "stripes", "bars", "checks", "halves", "dots", "photo"], p=[0.5, 0.1, 0.06, 0.09, 0.05, 0.05, 0.15])
    n = int(rng.integers(2, 7))
    band = (i * n // s) % 2 == 1
    if pattern == "stripes":
        weave[band] = other
    elif pattern == "bars":
        weave[:, band] = other
    elif pattern == "checks":
        weave += ((band[:, None].astype(np.float32) + band[None]) / 2)[..., None] * (other - weave)
    elif pattern == "halves":
        weave[: int(s * rng.uniform(0.3, 0.7))] = other
    elif pattern == "dots":
        y, x = np.mgrid[:s, :s] % (s // n) - s // n / 2
        weave[x * x + y * y < (s / n / 4) ** 2] = other
    elif pattern == "photo" and patches is not None:
        weave = cv2.resize(patches(), (s, s), interpolation=cv2.INTER_AREA).astype(np.float32)
    folds = cv2.resize(rng.normal(0, 1, (6, 8)).astype(np.float32), (s, s), interpolation=cv2.INTER_CUBIC)
    grain = rng.normal(0, 0.02, (s, s)).astype(np.float32)
    weave *= (1 + rng.uniform(0.03, 0.14) * folds + grain)[..., None]
    return Cloth(np.clip(weave, 4, 250), float(rng.choice([1.0, 1.0, 2.0])))


def plain(colour: Colour):
    """One colour everywhere, for limbs and ellipsoids alike."""
    return lambda *places: np.broadcast_to(colour, (1, 1, 3))


def limb_paint(look: Look, cloth: Cloth, until: float, length: float, beyond: "Colour | Cloth | None" = None):
    """Cloth up to `until` of a limb of `length` pixels, then skin (or the colour or cloth `beyond`)."""
    rest = beyond if isinstance(beyond, Cloth) else plain(look.skin if beyond is None else beyond)
    if until <= 0:
        return rest
    if until >= 1:
        return cloth

    def paint(along: Shaped[np.ndarray, "h w"], across: Shaped[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 3"]:
        covered = np.clip((until - along) * length + 0.5, 0, 1)[..., None]
        other = rest(along, across)
        return other + covered * (cloth(along, across) - other)

    return paint


def head_paint(look: Look, pixels: float):
    """Hair, brows, eyes, mouth, beard, glasses and hat on the unit skull (x left, y up, z forward); `pixels`: the skull's half height."""

    def soft(inside: Shaped[np.ndarray, "h w"], width: float = 1.0) -> Float[np.ndarray, "h w 1"]:
        return np.clip(inside * (pixels * width) + 0.5, 0, 1)[..., None]

    def paint(own: Shaped[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
        x, y, z = own[..., 0], own[..., 1], own[..., 2]
        side = np.abs(x)
        colour = np.broadcast_to(look.skin, own.shape).astype(np.float32)
        front = np.clip(z * 4, 0, 1)[..., None]
        if pixels > 2.5:
            sockets = np.exp(-(((side - 0.36) / 0.22) ** 2) - ((y - 0.17) / 0.13) ** 2) + 0.6 * np.exp(
                -((x / 0.2) ** 2) - ((y + 0.27) / 0.08) ** 2
            )
            colour = colour * (1 - 0.28 * front * sockets[..., None])
            dark, lips = look.hair * 0.8, look.skin * np.array([0.85, 0.58, 0.58], np.float32)
            ex, ey = (side - 0.36) / 0.15, (y - 0.14) / 0.075
            colour = _mix(colour, lips, front * soft(1 - np.hypot(x / 0.27, (y + 0.47) / 0.075), 0.08))
            colour = _mix(colour, np.array([225, 222, 218], np.float32), front * soft(1 - np.hypot(ex, ey), 0.08))
            colour = _mix(
                colour, np.array([40, 28, 22], np.float32), front * soft(1 - np.hypot((side - 0.36) / 0.07, (y - 0.14) / 0.075), 0.07)
            )
            colour = _mix(colour, dark, front * soft(1 - np.hypot((side - 0.36) / 0.2, (y - 0.33) / 0.045), 0.05) * 0.8)
            if look.glasses:
                ring = 0.18 - np.abs(np.hypot((side - 0.37) / 0.24, (y - 0.12) / 0.19) - 1)
                colour = _mix(colour, np.array([25, 22, 22], np.float32), front * soft(ring, 0.2))
        if look.beard:
            chin = np.minimum(-0.3 - y + 0.35 * np.minimum(side, 0.6), z + 0.25)
            colour = _mix(colour, look.hair, soft(chin) * look.beard * np.clip(np.hypot(x / 0.25, (y + 0.47) / 0.09)[..., None], 0.25, 1))
        edge = y - look.hairline[0] - look.hairline[1] * z + 0.06 * np.sin(9 * x)
        strands = 1 + 0.1 * np.sin(25 * np.arctan2(x, z + 0.3)) * np.sin(7 * y)
        colour = _mix(colour, look.hair * strands[..., None], soft(edge))
        if look.hat != "none":
            rim = y - 0.38 + 0.1 * z if look.hat == "cap" else y - 0.15 - 0.3 * z
            colour = _mix(colour, look.hat_colour, soft(rim))
        return colour

    return paint


def _mix(a: Float[np.ndarray, "h w 3"], b: Shaped[np.ndarray, "..."], share: Shaped[np.ndarray, "h w 1"]) -> Float[np.ndarray, "h w 3"]:
    return (a + share * (b - a)).astype(np.float32)
