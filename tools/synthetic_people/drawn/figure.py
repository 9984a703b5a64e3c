"""A person as bones: random proportions, random plausible poses from joint-angle ranges, and their projection to a picture.

Body axes: x to the person's left, y up, z forward; lengths in body heights. Camera axes: x right, y down, z away.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

__all__ = ["Figure", "Proportions", "project", "random_figure", "random_proportions"]

Vector = Float[np.ndarray, "3"]
Matrix = Float[np.ndarray, "3 3"]


@dataclass(frozen=True)
class Proportions:
    """Lengths and half-widths in body heights (means of adults: Drillis and Contini's segment table, rounded).

    Args:
        trunk: from the hips' height to the shoulders'.
        neck: from the shoulders' height to the skull's centre.
        shoulder: half the distance of the shoulder joints.
        hip: half the distance of the hip joints.
        head: half axes of the skull: breadth, height, depth.
        girth: factor on all radii.
    """

    trunk: float = 0.288
    neck: float = 0.125
    shoulder: float = 0.112
    hip: float = 0.062
    upper_arm: float = 0.172
    forearm: float = 0.148
    thigh: float = 0.243
    shin: float = 0.240
    foot: float = 0.105
    head: tuple[float, float, float] = (0.047, 0.068, 0.058)
    girth: float = 1.0


def random_proportions(rng: np.random.Generator) -> Proportions:
    """Adults of all builds and, one in five, children (large heads, short limbs)."""
    around = lambda mean, spread: float(mean * np.clip(rng.normal(1, spread), 1 - 2 * spread, 1 + 2 * spread))  # noqa: E731
    base, child = Proportions(), rng.random() < 0.2
    grow, limb = (rng.uniform(1.15, 1.5), rng.uniform(0.85, 0.95)) if child else (1.0, 1.0)
    return Proportions(
        trunk=around(base.trunk, 0.04),
        neck=around(base.neck, 0.05) * grow**0.7,
        shoulder=around(base.shoulder, 0.08),
        hip=around(base.hip, 0.08),
        upper_arm=around(base.upper_arm, 0.05) * limb,
        forearm=around(base.forearm, 0.05) * limb,
        thigh=around(base.thigh, 0.05) * limb,
        shin=around(base.shin, 0.05) * limb,
        foot=around(base.foot, 0.06),
        head=tuple(around(v, 0.05) * grow for v in base.head),  # type: ignore[arg-type]
        girth=float(np.clip(rng.lognormal(0, 0.18), 0.75, 1.5)),
    )


@dataclass(frozen=True)
class Figure:
    """A posed body in camera axes, the middle of its hips at the origin.

    Args:
        points: named places: ``left_shoulder`` … ``right_toe``, ``pelvis``, ``chest`` (shoulders' height), ``skull`` (its centre),
            ``left_fingers``, ``left_heel``.
        head: from skull axes to camera axes.
        chest: from chest axes to camera axes.
        body: the proportions.
    """

    points: dict[str, Vector]
    head: Matrix
    chest: Matrix
    body: Proportions


def _turn(axis: int, degrees: float) -> Matrix:
    """A right-handed turn about one axis."""
    a, (i, j) = np.deg2rad(degrees), ((1, 2), (2, 0), (0, 1))[axis]
    out = np.eye(3)
    out[i, i] = out[j, j] = np.cos(a)
    out[i, j], out[j, i] = -np.sin(a), np.sin(a)
    return out


# Angle ranges in degrees (least, most) by posture, after how common it is. `thigh`, `arm`: forward lift; `open`, `lift`: sideways lift of
# leg and arm; `knee`, `elbow`: bend; `lean`: trunk forward. Every limb draws its own.
_ANGLES: tuple[str, ...] = ("thigh", "open", "knee", "arm", "lift", "elbow", "lean")
_POSTURES = {
    "stand": (4, (-8, 12), (0, 10), (0, 12), (-20, 25), (2, 22), (5, 45), (-4, 8)),
    "talk": (2.5, (-8, 12), (0, 12), (0, 12), (-15, 70), (2, 40), (20, 140), (-4, 10)),
    "walk": (2.5, (-25, 35), (-2, 6), (5, 45), (-35, 40), (2, 18), (10, 60), (0, 10)),
    "run": (2, (-35, 80), (-2, 10), (20, 125), (-60, 60), (5, 30), (60, 120), (5, 30)),
    "sit": (2.5, (65, 100), (0, 25), (60, 110), (0, 60), (2, 25), (20, 110), (-10, 25)),
    "squat": (1, (60, 125), (5, 40), (70, 145), (0, 90), (2, 40), (10, 110), (10, 50)),
    "reach": (1.5, (-15, 25), (0, 20), (0, 30), (60, 175), (0, 50), (0, 70), (-8, 25)),
    "cheer": (1, (-10, 20), (0, 20), (0, 30), (-10, 30), (70, 170), (0, 110), (-8, 10)),
    "sport": (2.5, (-35, 95), (-5, 55), (0, 120), (-45, 160), (0, 110), (0, 130), (-15, 50)),
    "bend": (0.7, (0, 30), (0, 15), (0, 40), (10, 90), (0, 30), (0, 60), (40, 85)),
    "lie": (0.6, (-5, 50), (0, 30), (0, 80), (-20, 170), (0, 90), (0, 120), (-5, 15)),
}  # fmt: skip


def random_figure(rng: np.random.Generator, body: Proportions | None = None) -> Figure:
    """A body in a random posture, seen from a random side (more often from the front) and from a little above."""
    body = random_proportions(rng) if body is None else body
    names = list(_POSTURES)
    odds = np.array([_POSTURES[n][0] for n in names], np.float64)
    name = names[rng.choice(len(names), p=odds / odds.sum())]
    ranges = dict(zip(_ANGLES, _POSTURES[name][1:], strict=True))
    facing = rng.normal(0, 50) if rng.random() < 0.6 else rng.uniform(-180, 180)
    # Above the camera's height is rare; a lying body is turned onto its back, front or side.
    pitch = float(np.clip(rng.normal(8, 10), -15, 50))
    roll = rng.normal(0, 4) if name in ("stand", "talk", "walk", "sit") else rng.normal(0, 10)
    if name == "lie":
        roll, pitch = rng.choice([-90, 90]) + rng.normal(0, 20), rng.uniform(-10, 60)
    # Person to camera: turn about the vertical, lean the view, then x stays right, y and z change sign (both axes systems right-handed).
    view = _turn(2, roll) @ _turn(0, pitch) @ _turn(1, facing)
    camera = np.diag([1.0, -1.0, -1.0]) @ view
    return _pose(rng, ranges, body, camera)


def _pose(rng: np.random.Generator, ranges: dict[str, tuple[float, float]], body: Proportions, camera: Matrix) -> Figure:
    draw = lambda key: float(rng.uniform(*ranges[key]))  # noqa: E731
    spine = _turn(0, draw("lean")) @ _turn(2, rng.normal(0, 5)) @ _turn(1, rng.normal(0, 10))
    pelvis = _turn(1, rng.normal(0, 6)) @ _turn(2, rng.normal(0, 3))
    neck = spine @ _turn(0, rng.normal(4, 10))
    skull = (
        neck @ _turn(1, np.clip(rng.normal(0, 25), -70, 70)) @ _turn(0, np.clip(rng.normal(5, 14), -35, 45)) @ _turn(2, rng.normal(0, 7))
    )
    up = np.array([0.0, 1.0, 0.0])
    p: dict[str, Vector] = {"pelvis": np.zeros(3)}
    p["chest"] = spine @ (up * body.trunk)
    p["skull"] = p["chest"] + neck @ np.array([0, body.neck, 0.02])
    for side, s in (("left", 1.0), ("right", -1.0)):
        p[f"{side}_hip"] = pelvis @ np.array([s * body.hip, 0, 0])
        lift, shrug = draw("lift"), 0.0
        shrug = 0.03 * max(0.0, lift - 60) / 90
        p[f"{side}_shoulder"] = p["chest"] + spine @ np.array([s * (body.shoulder - shrug), shrug, 0])
        upper = spine @ _turn(2, s * lift) @ _turn(0, -draw("arm")) @ _turn(1, -s * rng.uniform(-20, 70))
        lower = upper @ _turn(0, -draw("elbow"))
        p[f"{side}_elbow"] = p[f"{side}_shoulder"] - upper @ (up * body.upper_arm)
        p[f"{side}_wrist"] = p[f"{side}_elbow"] - lower @ (up * body.forearm)
        hand = lower @ _turn(0, rng.normal(-5, 15)) @ _turn(2, rng.normal(0, 12))
        p[f"{side}_fingers"] = p[f"{side}_wrist"] - hand @ (up * 0.085)
        thigh = pelvis @ _turn(2, s * draw("open")) @ _turn(0, -draw("thigh")) @ _turn(1, s * rng.normal(8, 12))
        shin = thigh @ _turn(0, draw("knee"))
        p[f"{side}_knee"] = p[f"{side}_hip"] - thigh @ (up * body.thigh)
        p[f"{side}_ankle"] = p[f"{side}_knee"] - shin @ (up * body.shin)
        foot = shin @ _turn(0, np.clip(rng.normal(5, 15), -20, 45)) @ _turn(1, s * rng.normal(8, 8))
        p[f"{side}_heel"] = p[f"{side}_ankle"] + foot @ np.array([0, -0.032, -0.025])
        p[f"{side}_toe"] = p[f"{side}_ankle"] + foot @ np.array([0, -0.038, body.foot])
    return Figure({name: camera @ v for name, v in p.items()}, camera @ skull, camera @ spine, body)


def project(
    points: Float[np.ndarray, "p 3"], scale: float, at: tuple[float, float], distance: float = 5.0
) -> tuple[Float[np.ndarray, "p 3"], Float[np.ndarray, " p"]]:
    """Camera axes to the picture: x, y in pixels and depth in pixels (away is positive), and each point's pixels a body height.

    Args:
        points: in body heights.
        scale: pixels a body height at the body's own depth.
        at: pixel of the origin.
        distance: of the camera, in body heights.
    """
    local = scale * distance / (distance + points[:, 2])
    return np.column_stack([points[:, :2] * local[:, None] + np.asarray(at), points[:, 2] * scale]), local
