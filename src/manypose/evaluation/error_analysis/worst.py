"""Photos with their errors drawn on them, for the report."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from manypose.data.photos import read_rgb
from manypose.evaluation.error_analysis.analysis import Analysis
from manypose.evaluation.error_analysis.costs import missed
from manypose.evaluation.error_analysis.errors import KINDS
from manypose.evaluation.error_analysis.report import MARKS
from manypose.poses.drawing import draw
from manypose.poses.poses import Poses

__all__ = ["worst_photos"]

MOST_SURPLUS = 4
"""Results that match nobody of which so many, the best-scored, are drawn: a poor model's dozens would hide the photo."""


def worst_photos(analysis: Analysis, files: Mapping[int, Path], number: int = 12, side: int = 640) -> list[tuple[str, bytes]]:
    """The photos with the largest loss as JPEGs with a caption; photos that are not there are left out.

    Args:
        analysis: from `analyse`.
        files: photos by image id.
        number: how many at most.
        side: longest side of the drawings, in pixels.
    """
    out = []
    for place in analysis.worst(number):
        path = files.get(int(analysis.truth.image_ids[place]))
        if path is not None and path.is_file():
            picture = _drawn(analysis, place, read_rgb(path), side)
            done, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82])
            if done:
                out.append((_caption(analysis, place, path), data.tobytes()))
    return out


def _caption(analysis: Analysis, place: int, path: Path) -> str:
    truth, found = analysis.truth, analysis.diagnosis
    here = analysis.results.image == place
    people = int((~truth.ignored & (truth.image == place)).sum())
    lost = int((missed(truth, found) & (truth.image == place)).sum())
    surplus = int((here & (found.person < 0) & (found.rank >= 0)).sum())
    kinds = found.kind[analysis.results.image[found.found] == place]
    wrong = ", ".join(f"{n} {kind}" for i, kind in enumerate(KINDS[1:], 1) if (n := int((kinds == i).sum())))
    return f"{path.name}: {people} people, {lost} missed, {surplus} results too many" + (f"; {wrong}" if wrong else "")


def _drawn(analysis: Analysis, place: int, photo: UInt8[np.ndarray, "H W 3"], side: int) -> UInt8[np.ndarray, "h w 3"]:
    truth, results, found = analysis.truth, analysis.results, analysis.diagnosis
    scale = side / max(photo.shape[:2])
    photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    photo = (0.75 * photo + 0.25 * photo.mean()).astype(np.uint8)  # paler, so that the marks stand out

    def at(xy: np.ndarray) -> np.ndarray:
        return (xy + 0.5) * scale - 0.5  # integers are pixel centres

    here = np.flatnonzero((results.image == place) & (found.rank >= 0) & (found.person >= 0))
    surplus = np.flatnonzero((results.image == place) & (found.rank >= 0) & (found.person < 0))
    surplus = surplus[np.argsort(found.rank[surplus])][:MOST_SURPLUS]
    here = np.concatenate([here, surplus])
    joints = at(results.keypoints[here, :, :2])
    seen = (results.keypoints[here, :, 2] > 0) & (results.keypoints[here, :, :2] != 0).any(-1)
    poses = Poses(truth.skeleton, joints.astype(np.float32), seen.astype(np.float32), results.scores[here].astype(np.float32))
    picture = draw(photo, poses, width=1.4, alpha=0.75)
    matched = np.flatnonzero(results.image[found.found] == place)
    for row in matched:
        result, kind = found.found[row], found.kind[row]
        true = at(truth.keypoints[found.person[result], :, :2])
        guess = at(results.keypoints[result, :, :2])
        there = (results.keypoints[result] != 0).any(-1)
        for joint in np.flatnonzero(kind > 1):
            _mark(picture, guess[joint] if there[joint] else true[joint], true[joint], _rgb(MARKS[KINDS[kind[joint]]]))
    for person in np.flatnonzero(missed(truth, found) & (truth.image == place)):
        x, y, w, h = truth.boxes[person]
        _dashed(picture, at(np.array([[x, y], [x + w, y + h]])), _rgb(MARKS["missed person"]))
    for corners in poses.boxes[len(here) - len(surplus) :].reshape(-1, 2, 2):
        _dashed(picture, corners, _rgb(MARKS["result too many"]))
    return picture


def _mark(
    picture: UInt8[np.ndarray, "h w 3"], guess: Float[np.ndarray, "2"], true: Float[np.ndarray, "2"], colour: tuple[int, int, int]
) -> None:
    a, b = (tuple(int(v) for v in np.clip(p, -9999, 9999).round()) for p in (guess, true))
    if a != b:
        cv2.line(picture, a, b, (255, 255, 255), 3, cv2.LINE_AA)
        cv2.line(picture, a, b, colour, 2, cv2.LINE_AA)
        cv2.circle(picture, a, 4, colour, -1, cv2.LINE_AA)
    cv2.circle(picture, b, 5, colour, 2, cv2.LINE_AA)
    cv2.circle(picture, b, 3, (255, 255, 255), -1, cv2.LINE_AA)


def _dashed(picture: UInt8[np.ndarray, "h w 3"], corners: Float[np.ndarray, "2 2"], colour: tuple[int, int, int], dash: int = 9) -> None:
    (x0, y0), (x1, y1) = np.clip(corners, -9999, 9999)
    edges = (((x0, y0), (x1, y0)), ((x1, y0), (x1, y1)), ((x1, y1), (x0, y1)), ((x0, y1), (x0, y0)))
    for a, b in edges:
        start, along = np.array(a), np.array(b) - np.array(a)
        steps = max(1, int(np.hypot(*along) // dash))
        for i in range(0, steps, 2):
            p, q = (tuple(int(v) for v in (start + along * t / steps).round()) for t in (i, min(steps, i + 1)))
            cv2.line(picture, p, q, (20, 20, 20), 4, cv2.LINE_AA)
            cv2.line(picture, p, q, colour, 2, cv2.LINE_AA)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
