"""Conversion of HDR pictures (PQ and HLG, BT.2020 colours) to 8-bit RGB, by the formulas of ITU-R BT.2100.

Diffuse white is 203 nits (ITU-R BT.2408); brighter values are compressed into the last tenth of the range.
"""

from functools import cache

import numpy as np
from jaxtyping import Float, UInt8, UInt16

__all__ = ["is_hdr", "to_sdr"]

PQ, HLG = 16, 18
"""Transfer characteristics by their number in ITU-T H.273."""

WHITE = 203.0
PEAK = 1000.0
"""Luminance (nits) of diffuse white and of HLG's nominal display."""

KNEE = 0.9

BT709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32)
"""BT.2020's linear RGB to BT.709's (ITU-R BT.2087)."""


def is_hdr(transfer: int) -> bool:
    """Whether a transfer characteristic is PQ or HLG."""
    return transfer in (PQ, HLG)


def to_sdr(code: UInt16[np.ndarray, "H W 3"], transfer: int) -> UInt8[np.ndarray, "H W 3"]:
    """16-bit code values of PQ or HLG in BT.2020 as 8-bit RGB."""
    light = _table(transfer)[code >> 4]
    if transfer == HLG:  # the opto-optical transfer function depends on the luminance
        luminance = light @ np.array([0.2627, 0.6780, 0.0593], np.float32)
        light = light * (PEAK / WHITE * np.maximum(luminance, 1e-6) ** 0.2)[..., None]
    light = np.clip(light @ BT709.T, 0, None)
    light = np.where(light > KNEE, KNEE + (1 - KNEE) * np.tanh((light - KNEE) / (1 - KNEE) / 4), light)
    return (np.clip(light, 0, 1) ** np.float32(1 / 2.2) * 255 + 0.5).astype(np.uint8)


@cache
def _table(transfer: int) -> Float[np.ndarray, "4096"]:
    """The linear light of each 12-bit code value: for PQ in units of diffuse white, for HLG scene light in 0 … 1."""
    code = np.arange(4096) / 4095
    if transfer == PQ:
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        power = code ** (1 / m2)
        light = 10_000 / WHITE * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
    else:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    return light.astype(np.float32)
