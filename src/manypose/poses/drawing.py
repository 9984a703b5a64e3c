"""Drawing of poses: left green, right orange, torso and face blue, or a colour per person; line widths by person size."""

import colorsys
from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from manypose.io.shapes import Float, UInt8
from manypose.poses.arrays import People, result_boxes
from manypose.poses.skeleton import Skeleton

__all__ = ["LEFT", "MIDDLE", "RIGHT", "ColourBy", "draw", "joint_colour", "limb_colour", "line_width", "person_colour"]

Colour = tuple[int, int, int]
ColourBy = Literal["side", "person", "id"]

LEFT: Colour = (0, 255, 0)
RIGHT: Colour = (255, 128, 0)
MIDDLE: Colour = (51, 153, 255)

_FACE = ("nose", "eye", "ear", "head", "neck")
_TRUNK = (*_FACE, "shoulder", "hip", "pelvis", "thorax")
_SHIFT = 4  # OpenCV draws to 1/16 px
_OUTLINE: Colour = (20, 20, 20)


def draw(
    photo: UInt8[np.ndarray, "H W 3"],
    poses: People,
    *,
    joint_threshold: float = 0.1,
    boxes: bool = False,
    ids: bool = True,
    scores: bool = False,
    colour_by: ColourBy = "side",
    alpha: float = 0.9,
    width: float | None = None,
) -> UInt8[np.ndarray, "H W 3"]:
    """The photo with the people drawn on it (a new array).

    Args:
        photo: RGB.
        poses: in the photo's pixels.
        joint_threshold: joints with a lower score, and their limbs, are not drawn.
        boxes: whether to draw each person's box.
        ids: whether to write track ids.
        scores: whether to write each person's score.
        colour_by: a colour per side (``side``), person (``person``) or track id (``id``; without ids, per person).
        alpha: opacity of the drawing, 0 … 1.
        width: line width in pixels; default: `line_width` of each person.
    """
    if colour_by not in ("side", "person", "id"):
        raise ValueError(f"colour_by is side, person or id, got {colour_by!r}")
    picture = np.ascontiguousarray(photo).copy()
    around = result_boxes(poses)
    widths = [width if width is not None else line_width(box, photo.shape[:2]) for box in around]
    numbers = poses.ids if colour_by == "id" and poses.ids is not None else range(len(poses))
    colours = [None if colour_by == "side" else person_colour(int(n)) for n in numbers]
    # Large people first, so that small ones stay visible.
    for i in sorted(range(len(poses)), key=lambda i: -widths[i]):
        there = poses.keypoint_scores[i] > max(joint_threshold, 0)
        _person(picture, poses.skeleton, poses.keypoints[i], there, widths[i], colours[i])
        if boxes:
            _box(picture, around[i], widths[i], colours[i] or (255, 255, 255))
    texts = [[str(n)] if ids else [] for n in poses.ids] if poses.ids is not None else [[] for _ in around]
    texts = [" ".join([*t, *([f"{score:.2f}"] if scores else [])]) for t, score in zip(texts, poses.scores, strict=True)]
    drawn = [i for i, s in enumerate(poses.keypoint_scores) if texts[i] and (boxes or (s > max(joint_threshold, 0)).any())]
    if drawn:
        _labels(picture, around[drawn], [texts[i] for i in drawn], [widths[i] for i in drawn])
    return picture if alpha >= 1 else cv2.addWeighted(picture, alpha, np.ascontiguousarray(photo), 1 - alpha, 0).astype(np.uint8)


def line_width(box: Float[np.ndarray, "4"], photo: tuple[int, int]) -> float:
    """The line width in pixels for a person (xyxy box) in a photo (h, w): about 1.5 % of the box diagonal, within limits."""
    person, picture = float(np.hypot(*(box[2:] - box[:2]))), max(photo)
    return float(np.clip(0.015 * person, max(1.0, 0.0016 * picture), max(1.5, 0.007 * picture)))


def person_colour(number: int) -> Colour:
    """The colour of a person or track id; consecutive numbers have clearly different colours."""
    red, green, blue = colorsys.hsv_to_rgb(number * 0.61803398875 % 1.0, 0.75 if number // 8 % 2 else 1.0, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def joint_colour(skeleton: Skeleton, joint: int) -> Colour:
    """The colour of a joint by side; blue for the face and for joints without a side."""
    side = "middle" if _is(skeleton, joint, _FACE) else skeleton.side(joint)
    return {"left": LEFT, "right": RIGHT}.get(side, MIDDLE)


def limb_colour(skeleton: Skeleton, limb: Sequence[int]) -> Colour:
    """The colour of a limb by side; blue between joints of the face and the trunk."""
    outer = [j for j in limb if not _is(skeleton, j, _TRUNK)]
    return joint_colour(skeleton, outer[0]) if outer else MIDDLE


def _is(skeleton: Skeleton, joint: int, words: Sequence[str]) -> bool:
    return any(word in skeleton.joints[joint] for word in words)


# ── shapes, antialiased, in pixel-centre coordinates to 1/16 px ──


def _person(
    picture: UInt8[np.ndarray, "H W 3"],
    skeleton: Skeleton,
    xy: Float[np.ndarray, "k 2"],
    there: np.ndarray,
    width: float,
    colour: Colour | None,
) -> None:
    limbs = [limb for limb in skeleton.limbs if there[list(limb)].all()]
    joints = [int(j) for j in np.flatnonzero(there)]
    # Keypoints of the face are close together and drawn finer.
    fine = [0.65 if _is(skeleton, j, _FACE) else 1.0 for j in range(len(skeleton))]
    rim = max(0.7, 0.3 * width)
    for extra, outline in ((rim, True), (0.0, False)):
        for a, b in limbs:
            wide = width * max(fine[a], fine[b]) + 2 * extra
            _line(picture, xy[a], xy[b], wide, _OUTLINE if outline else colour or limb_colour(skeleton, (a, b)))
        for j in joints:
            _disc(picture, xy[j], 0.95 * width * fine[j] + extra, _OUTLINE if outline else colour or joint_colour(skeleton, j))


def _line(picture: UInt8[np.ndarray, "H W 3"], a: Float[np.ndarray, "2"], b: Float[np.ndarray, "2"], width: float, colour: Colour) -> None:
    """A line of fractional width (OpenCV's lines have integer widths)."""
    along = (b - a) / max(float(np.hypot(*(b - a))), 1e-6)
    across = np.array([-along[1], along[0]]) * width / 2
    cv2.fillConvexPoly(picture, _fixed([a + across, b + across, b - across, a - across]), colour, cv2.LINE_AA, _SHIFT)


def _disc(picture: UInt8[np.ndarray, "H W 3"], center: Float[np.ndarray, "2"], radius: float, colour: Colour) -> None:
    turn = np.linspace(0, 2 * np.pi, 8 + 2 * int(np.sqrt(radius) * 4), endpoint=False)
    cv2.fillConvexPoly(picture, _fixed(center + radius * np.stack([np.cos(turn), np.sin(turn)], 1)), colour, cv2.LINE_AA, _SHIFT)


def _fixed(points: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    # Points far outside would overflow OpenCV's 32-bit coordinates.
    return np.round(np.clip(np.asarray(points, np.float64), -30_000, 60_000) * (1 << _SHIFT)).astype(np.int32)


def _box(picture: UInt8[np.ndarray, "H W 3"], box: Float[np.ndarray, "4"], width: float, colour: Colour) -> None:
    x0, y0, x1, y1 = box
    corners = [np.array(c, np.float64) for c in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]
    thin = max(1.0, 0.4 * width)
    for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
        _line(picture, a, b, thin, colour)


def _labels(picture: UInt8[np.ndarray, "H W 3"], boxes: Float[np.ndarray, "n 4"], texts: Sequence[str], widths: Sequence[float]) -> None:
    """A text label above each box's top left corner."""
    canvas = Image.fromarray(picture)
    pen = ImageDraw.Draw(canvas)
    for box, text, width in zip(boxes, texts, widths, strict=True):
        size = max(9.0, 3.5 * width)
        font = ImageFont.load_default(size)
        w, h, pad = pen.textlength(text, font), size, 0.2 * size
        x = float(np.clip(box[0], 0, max(0, canvas.width - w - 2 * pad)))
        y = float(np.clip(box[1] - h - 3 * pad, 0, max(0, canvas.height - h - 2 * pad)))
        pen.rounded_rectangle((x, y, x + w + 2 * pad, y + h + 2 * pad), pad, fill=_OUTLINE)
        pen.text((x + pad, y + pad + h / 2), text, (255, 255, 255), font, anchor="lm")
    picture[:] = np.asarray(canvas)
