"""Drawing of a figure: colours, cover, and COCO's 17 joints with self-occlusion."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from manypose.poses.skeleton import COCO
from synthetic_people.drawn.draw_body import Canvas, ellipsoid, hull, limb
from synthetic_people.drawn.figure import Figure, project
from synthetic_people.drawn.look import Look, head_paint, limb_paint, plain

__all__ = ["Drawn", "draw_person", "figure_joints", "turned_away"]

PARTS = (
    "trunk", "neck", "head", "left_ear", "right_ear", "nose", "hair", "left_upper_arm", "right_upper_arm", "left_forearm", "right_forearm",
    "left_hand", "right_hand", "left_thigh", "right_thigh", "left_shin", "right_shin", "left_foot", "right_foot", "skirt",
)  # fmt: skip
_NUMBER = {name: i for i, name in enumerate(PARTS)}

# On the unit skull: x left, y up, z forward.
_FACE = {
    "nose": (0, -0.16, 1.1), "left_eye": (0.36, 0.14, 0.92), "right_eye": (-0.36, 0.14, 0.92),
    "left_ear": (1.06, -0.05, -0.05), "right_ear": (-1.06, -0.05, -0.05),
}  # fmt: skip

# Where a joint shows: the parts that carry it, and how far (in body heights) their surface may lie before the joint itself.
_CARRIED = {
    "nose": (("nose", "head"), 0.03), "eye": (("head", "nose"), 0.012), "ear": (("{s}_ear", "head", "hair"), 0.03),
    "shoulder": (("trunk", "{s}_upper_arm"), 0.085), "elbow": (("{s}_upper_arm", "{s}_forearm"), 0.06),
    "wrist": (("{s}_forearm", "{s}_hand"), 0.045), "hip": (("trunk", "{s}_thigh", "skirt"), 0.115),
    "knee": (("{s}_thigh", "{s}_shin", "skirt"), 0.09), "ankle": (("{s}_shin", "{s}_foot", "skirt"), 0.065),
}  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """A drawn person.

    Args:
        canvas: the part of the picture they cover.
        keypoints: COCO's joints: x, y, and 2 seen, 1 hidden by the own body, 0 outside the picture.
        scale: pixels a body height.
    """

    canvas: Canvas
    keypoints: Float[np.ndarray, "17 3"]
    scale: float


def figure_joints(figure: Figure) -> Float[np.ndarray, "17 3"]:
    """COCO's joints of a figure in camera axes, body heights."""
    skull, radii = figure.points["skull"], np.asarray(figure.body.head)
    face = {name: skull + figure.head @ (np.array(v) * radii) for name, v in _FACE.items()}
    return np.stack([face[j] if j in face else figure.points[j] for j in COCO.joints])


def draw_person(
    figure: Figure, look: Look, scale: float, at: tuple[float, float], size: tuple[int, int], light: Float[np.ndarray, "3"], strength: float
) -> Drawn:
    """Draw a person whose hips' middle is at pixel `at`, `scale` pixels a body height, in a picture of `size` (height, width)."""
    names = list(figure.points)
    xyz, local = project(np.stack([figure.points[n] for n in names]), scale, at)
    p = dict(zip(names, xyz, strict=True))
    reach = np.array([0.16, 0.16]) * scale
    low, high = np.floor(xyz[:, :2].min(0) - reach).astype(int), np.ceil(xyz[:, :2].max(0) + reach).astype(int) + 1
    box = (max(0, low[0]), max(0, low[1]), min(size[1], high[0]), min(size[0], high[1]))
    canvas = Canvas.blank((int(box[0]), int(box[1]), int(box[2]), int(box[3])), light, strength)
    if canvas.alpha.size:
        unit = dict(zip(names, local, strict=True))
        shapes = _trunk(figure, look, p, unit) + _limbs(figure, look, p, unit) + _head(figure, look, p, unit)
        for _, draw in sorted(shapes, key=lambda s: -s[0]):
            draw(canvas)
    joints, _ = project(figure_joints(figure), scale, at)
    return Drawn(canvas, _seen(canvas, joints, scale, size), scale)


def _seen(canvas: Canvas, joints: Float[np.ndarray, "17 3"], scale: float, size: tuple[int, int]) -> Float[np.ndarray, "17 3"]:
    """Joints with visibility: visible if the nearest surface belongs to a part of the joint and is close to it."""
    out = np.zeros((17, 3), np.float32)
    h, w = size
    for i, (name, (x, y, z)) in enumerate(zip(COCO.joints, joints, strict=True)):
        if not (-0.5 <= x < w - 0.5 and -0.5 <= y < h - 0.5):
            continue
        parts, before = _CARRIED[name.split("_")[-1]]
        column, row = round(float(x)) - canvas.origin[0], round(float(y)) - canvas.origin[1]
        seen = False
        if 0 <= row < canvas.part.shape[0] and 0 <= column < canvas.part.shape[1] and canvas.part[row, column] >= 0:
            carried = {_NUMBER[part.format(s=name.split("_")[0])] for part in parts}
            near = canvas.depth[row, column] > z - before * scale - 0.7
            seen = int(canvas.part[row, column]) in carried and bool(near) and canvas.alpha[row, column] > 0.5
        out[i] = x, y, 2 if seen else 1
    return out


def _length(a: Float[np.ndarray, "3"], b: Float[np.ndarray, "3"]) -> float:
    return float(np.hypot(*(b - a)[:2]))


def _trunk(figure: Figure, look: Look, p: dict, unit: dict) -> list:
    """The trunk, the neck and a skirt."""
    g, up = figure.body.girth, figure.chest[:, 1]
    middle, top = p["pelvis"], p["chest"]
    balls = []
    for s in ("left", "right"):
        shoulder, hip = p[f"{s}_shoulder"], p[f"{s}_hip"]
        u, v = unit[f"{s}_shoulder"], unit[f"{s}_hip"]
        balls.append([*(shoulder + 0.22 * (top - shoulder) - 0.012 * u * up), 0.046 * g**0.5 * u])
        balls.append([*(middle + 0.66 * (top - middle) + 0.62 * (shoulder - top)), 0.066 * g * u])
        balls.append([*(middle + 0.33 * (top - middle) + 0.75 * (hip - middle)), 0.068 * g * v])
        balls.append([*(hip + 0.05 * (top - middle)), 0.073 * g * v])
    balls = np.array(balls, np.float32)
    balls[:, 3] *= 1 + 0.25 * (look.loose - 1)
    neck_end = p["skull"] - 0.45 * figure.head[:, 1] * figure.body.head[1] * unit["skull"]
    r, low = 0.033 * g**0.5 * unit["chest"], middle + 0.35 * (middle - top)
    paint = limb_paint(look, look.top, look.hem, _length(top, low), look.bottom)
    shapes = [
        (float(balls[:, 2].mean()), lambda c: hull(c, _NUMBER["trunk"], balls, (top, low), paint)),
        (float(top[2]), lambda c: limb(c, _NUMBER["neck"], top, neck_end, (1.5 * r, 1.05 * r, r), plain(look.skin * 0.93))),
    ]
    if look.skirt:
        hips = balls[[3, 7]]
        ends = []
        for s, ball in zip(("left", "right"), hips, strict=True):
            thigh, shin = p[f"{s}_knee"] - p[f"{s}_hip"], p[f"{s}_ankle"] - p[f"{s}_knee"]
            hem = p[f"{s}_hip"] + min(look.skirt, 1) * thigh + max(0.0, look.skirt - 1) * shin
            ends.append([*hem, ball[3] * (0.95 + 0.2 * look.skirt)])
        skirt = np.concatenate([hips, np.array(ends, np.float32)])
        hem = skirt[2:, :3].mean(0)
        shapes.append((float(skirt[:, 2].mean()) - 1, lambda c: hull(c, _NUMBER["skirt"], skirt, (middle, hem), look.bottom)))
    return shapes


def _limbs(figure: Figure, look: Look, p: dict, unit: dict) -> list:
    """Arms, hands, legs and feet: (mean depth, how to draw it)."""
    g, shapes = figure.body.girth, []

    def add(name: str, a: str, b: str, radii: tuple[float, float, float], paint, widen: float = 1.0, sunk: float = 0.0) -> None:
        r0, r1, r2 = (r * widen for r in radii)
        u, v, start, end = unit[a], unit[b], p[a] + np.array([0, 0, sunk * unit[a]]), p[b]
        shapes.append((float(start[2] + end[2]) / 2, lambda c: limb(c, _NUMBER[name], start, end, (r0 * u, r1 * u, r2 * v), paint)))

    for s in ("left", "right"):
        wide = lambda covered: 1 + (look.loose - 1) * min(1.0, max(0.0, covered))  # noqa: E731
        arm, hand = _length(p[f"{s}_shoulder"], p[f"{s}_elbow"]), look.hat_colour if look.gloves else look.skin
        add(
            f"{s}_upper_arm",
            f"{s}_shoulder",
            f"{s}_elbow",
            (0.041 * g, 0.040 * g, 0.031 * g),
            limb_paint(look, look.top, look.sleeve, arm),
            wide(look.sleeve),
        )
        paint = limb_paint(look, look.top, look.sleeve - 1, _length(p[f"{s}_elbow"], p[f"{s}_wrist"]))
        add(f"{s}_forearm", f"{s}_elbow", f"{s}_wrist", (0.031 * g, 0.032 * g, 0.020 * g**0.5), paint, wide(look.sleeve - 1))
        add(f"{s}_hand", f"{s}_wrist", f"{s}_fingers", (0.018, 0.026, 0.011), plain(hand * 0.97))
        thigh, shin = _length(p[f"{s}_hip"], p[f"{s}_knee"]), _length(p[f"{s}_knee"], p[f"{s}_ankle"])
        add(
            f"{s}_thigh",
            f"{s}_hip",
            f"{s}_knee",
            (0.074 * g, 0.069 * g, 0.046 * g**0.7),
            limb_paint(look, look.bottom, look.leg, thigh),
            wide(0.6 * look.leg),
            0.045,
        )
        sock = plain(look.skin) if look.leg > 1.4 or look.skirt else limb_paint(look, _sock(look), 0.0, shin)
        paint = sock if look.leg <= 1 else limb_paint(look, look.bottom, look.leg - 1, shin, look.socks)
        add(f"{s}_shin", f"{s}_knee", f"{s}_ankle", (0.046 * g**0.7, 0.050 * g, 0.028 * g**0.5), paint, wide(look.leg - 1))
        add(f"{s}_foot", f"{s}_heel", f"{s}_toe", (0.034, 0.036, 0.022), plain(look.shoes))
    return shapes


def _head(figure: Figure, look: Look, p: dict, unit: dict) -> list:
    """Skull with the face painted on, ears, nose, hair and a hat's brim."""
    scale, axes, centre = unit["skull"], figure.head, p["skull"]
    radii = np.asarray(figure.body.head) * scale
    place = lambda *v: centre + axes @ (np.array(v) * radii)  # noqa: E731
    skull = radii * (1.12 if look.hat == "helmet" else 1.0)
    z = float(centre[2])
    shapes = [(z, lambda c: ellipsoid(c, _NUMBER["head"], centre, axes, skull, head_paint(look, float(radii[1]))))]
    for s, x in (("left", 1.0), ("right", -1.0)):
        ear = place(x * 1.0, -0.05, -0.08)
        shapes.append(
            (
                float(ear[2]),
                lambda c, e=ear, n=f"{s}_ear": ellipsoid(c, _NUMBER[n], e, axes, radii * [0.14, 0.2, 0.17], plain(look.skin * 0.92)),
            )
        )
    bridge, tip, r = place(0, 0.12, 0.93), place(0, -0.18, 1.06), float(radii[1])
    shapes.append((float(tip[2]), lambda c: limb(c, _NUMBER["nose"], bridge, tip, (0.05 * r, 0.09 * r, 0.14 * r), plain(look.skin * 1.02))))
    if look.volume > 1.02 and look.hat == "none":
        bun = place(0, 0.12, -0.3)
        shapes.append(
            (float(bun[2]), lambda c: ellipsoid(c, _NUMBER["hair"], bun, axes, radii * look.volume * [1, 0.98, 0.95], plain(look.hair)))
        )
    if look.long:
        start, end = place(0, 0.1, -0.45), place(0, -0.6 - 1.3 * look.long, -0.75)
        fall = (0.75 * r, 0.82 * r, 0.5 * r)
        shapes.append((float(end[2]), lambda c: limb(c, _NUMBER["hair"], start, end, fall, plain(look.hair * 0.92))))
    if look.hat == "cap":
        brim = place(0, 0.42, 1.0)
        shapes.append(
            (float(brim[2]), lambda c: ellipsoid(c, _NUMBER["head"], brim, axes, radii * [0.85, 0.07, 0.65], plain(look.hat_colour * 0.85)))
        )
    return shapes


def _sock(look: Look):
    return look.bottom


def turned_away(figure: Figure) -> Bool[np.ndarray, "17"]:
    """Which of COCO's joints are face points on the far side of the head."""
    away = np.zeros(17, bool)
    for name, v in _FACE.items():
        away[COCO.index(name)] = (figure.head @ (np.array(v) / np.linalg.norm(v)))[2] > 0.15
    return away
