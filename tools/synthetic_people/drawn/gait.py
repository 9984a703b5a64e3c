"""A body in the middle of walking: both legs, arms and the trunk at one phase of the stride."""

import numpy as np
from jaxtyping import Float

from synthetic_people.drawn.figure import Figure, Proportions

__all__ = ["STRIDE", "walking"]

STRIDE = 0.8
"""How far two steps carry a body, in its heights (a usual walk)."""


def walking(body: Proportions, phase: float, facing: float, arms: float = 25.0, lean: float = 3.0) -> Figure:
    """A walking figure.

    Args:
        body: its proportions.
        phase: of the stride, 0 … 1; at 0 the left leg swings through.
        facing: degrees; 0 towards the camera, 90 to the right of the picture, -90 to the left.
        arms: how far they swing, in degrees.
        lean: of the trunk, in degrees.
    """
    camera = np.diag([1.0, -1.0, -1.0]) @ _turn(1, facing)
    left = np.sin(2 * np.pi * phase)
    spine, pelvis = _turn(0, lean) @ _turn(1, 5 * left), _turn(1, -5 * left)
    up = np.array([0.0, 1.0, 0.0])
    p = {"pelvis": np.zeros(3), "chest": spine @ (up * body.trunk)}
    p["skull"] = p["chest"] + spine @ np.array([0, body.neck, 0.02])
    for side, s, swing, through in (("left", 1.0, left, np.cos(2 * np.pi * phase)), ("right", -1.0, -left, -np.cos(2 * np.pi * phase))):
        p[f"{side}_hip"] = pelvis @ np.array([s * body.hip, 0, 0])
        p[f"{side}_shoulder"] = p["chest"] + spine @ np.array([s * body.shoulder, 0, 0])
        upper = spine @ _turn(2, s * 6) @ _turn(0, arms * swing)  # arms go against the legs
        lower = upper @ _turn(0, -15 - 12 * max(0.0, -swing))
        p[f"{side}_elbow"] = p[f"{side}_shoulder"] - upper @ (up * body.upper_arm)
        p[f"{side}_wrist"] = p[f"{side}_elbow"] - lower @ (up * body.forearm)
        p[f"{side}_fingers"] = p[f"{side}_wrist"] - lower @ (up * 0.085)
        thigh = pelvis @ _turn(0, -(4 + 24 * swing))
        shin = thigh @ _turn(0, 6 + 50 * max(0.0, through))  # the knee bends while the leg swings forward
        foot = shin @ _turn(0, -5 + 20 * max(0.0, -swing))
        p[f"{side}_knee"] = p[f"{side}_hip"] - thigh @ (up * body.thigh)
        p[f"{side}_ankle"] = p[f"{side}_knee"] - shin @ (up * body.shin)
        p[f"{side}_heel"] = p[f"{side}_ankle"] + foot @ np.array([0, -0.032, -0.025])
        p[f"{side}_toe"] = p[f"{side}_ankle"] + foot @ np.array([0, -0.038, body.foot])
    return Figure({name: camera @ v for name, v in p.items()}, camera @ spine, camera @ spine, body)


def _turn(axis: int, degrees: float) -> Float[np.ndarray, "3 3"]:
    """A right-handed turn about one axis."""
    a, (i, j) = np.deg2rad(degrees), ((1, 2), (2, 0), (0, 1))[axis]
    out = np.eye(3)
    out[i, i] = out[j, j] = np.cos(a)
    out[i, j], out[j, i] = -np.sin(a), np.sin(a)
    return out
