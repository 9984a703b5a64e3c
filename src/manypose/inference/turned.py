"""A second prediction for photos that are stored rotated, or in BGR order.

If no person in a photo has a high score, four more copies are predicted: rotated by 90, 180 and 270 degrees, and with red and blue swapped.
Of a photo whose best person is tilted by more than 60 degrees, the copy in which they stand upright is; of a photo whose red and blue are
probably swapped (`manypose.inference.channel_order`), the copy with both swapped back.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from manypose.inference.channel_order import swapped
from manypose.inference.options import PredictOptions
from manypose.inference.photos import AHEAD, PhotoInput, Result, by_a_thread
from manypose.inference.pipeline import Detector, detect, pose
from manypose.inference.running import AnyModel
from manypose.poses.poses import Poses

__all__ = ["back", "find_people", "quarters_tilted", "turned_too"]

SURE = 0.2
"""All copies are predicted if no person has this score: `fast` for 16 % of 93 held-out training photos as they are, and 82 % rotated by 90
degrees; with `TILT` for 17 and 95 %, rotated by 180 degrees 99 %."""

TILT = 60.0
"""Degrees by which the best person must be tilted for the copy in which they stand upright to be predicted."""

FACE, SHOULDERS, HIPS = (
    ("nose", "left_eye", "right_eye", "left_ear", "right_ear"),
    ("left_shoulder", "right_shoulder"),
    ("left_hip", "right_hip"),
)

SEEN = 0.2
"""Smallest score of a joint that tells a tilt."""

BETTER = 1.2
"""Factor by which the best score in a copy must exceed the original's for its people to be used."""

AS_GOOD = 0.9
"""The same for the copy with red and blue swapped back where they are probably swapped."""


class Look(NamedTuple):
    """A copy to predict: its quarter turns counterclockwise, whether red and blue are swapped, and the factor of its best score."""

    quarters: int
    swapped: bool
    min_ratio: float = BETTER


def find_people(
    method: AnyModel,
    detector: AnyModel | Detector | None,
    photos: Iterable[PhotoInput],
    options: PredictOptions,
    look_ahead: int | None = None,
    every: int = 1,
) -> Iterator[Result]:
    """The people in each photo, in order: both steps of prediction, and the second prediction of rotated photos.

    Args:
        method: a model of any kind.
        detector: the person detector; None: the photos have boxes, or the method needs none.
        photos: the photos in order.
        options: prediction options.
        look_ahead: photos that a step holds back at most until batches are full.
        every: see `manypose.inference.pipeline.detect`.
    """
    # With several photos each step runs in its own thread: detection, poses, and what the caller does with the results run in parallel.
    beside = partial(by_a_thread, depth=AHEAD) if isinstance(photos, Iterator) else iter
    if detector is None:
        return beside(pose(method, photos, options, look_ahead))
    results = beside(pose(method, beside(detect(detector, photos, options, look_ahead, every)), options, look_ahead))
    return turned_too(results, method, detector, options) if options.turned else results


def turned_too(results: Iterable[Result], method: AnyModel, detector: AnyModel | Detector, options: PredictOptions) -> Iterator[Result]:
    """The results; if no person has a high score, those of the second prediction, if they are better.

    Args:
        results: results of the unchanged photos.
        method, detector: the model and its person detector.
        options: prediction options.
    """
    for result in results:
        looks = _looks(result)
        yield _best(result, looks, method, detector, options) if looks else result


def _looks(result: Result) -> list[Look]:
    """The copies of a photo that are predicted in the second prediction; none if the first is sure, upright and in the right colours."""
    if result.poses is None or result.item.pixels is None:
        return []
    unsure, other = _top(result) < SURE, swapped(result.item.pixels, result.poses)
    quarters = (1, 2, 3) if unsure else filter(None, [quarters_tilted(result.poses)])
    exchanged = [Look(0, True, AS_GOOD if other else BETTER)] if other or unsure else []
    return [Look(q, other) for q in quarters] + exchanged


def quarters_tilted(poses: Poses) -> int:
    """The number of quarter turns, counterclockwise, after which the best person stands upright: 0 unless tilted by more than `TILT`.

    From the shoulders to the face and from the hips to the shoulders is up.
    """
    parts = [[j for j in names if j in poses.skeleton.joints] for names in (FACE, SHOULDERS, HIPS)]
    if not len(poses) or not all(parts):
        return 0
    best = int(poses.scores.argmax())
    xy, scores = poses.keypoints[best].astype(float), poses.keypoint_scores[best]
    places = []
    for names in parts:
        seen = [k for k in map(poses.skeleton.index, names) if scores[k] >= SEEN]
        places.append(np.average(xy[seen], axis=0, weights=scores[seen]) if seen else None)
    up = sum((above - below for above, below in pairwise(places) if above is not None and below is not None), np.zeros(2))
    tilt = float(np.degrees(np.arctan2(up[0], -up[1])))  # clockwise
    return round(tilt / 90) % 4 if up.any() and abs(tilt) > TILT else 0


def _top(result: Result) -> float:
    return 0.0 if result.poses is None else float(result.poses.scores.max(initial=0.0))


def _best(result: Result, looks: list[Look], method: AnyModel, detector: AnyModel | Detector, options: PredictOptions) -> Result:
    pixels = result.item.pixels
    assert pixels is not None
    shown = {False: pixels, True: pixels[..., ::-1]}
    turned = (np.ascontiguousarray(np.rot90(shown[look.swapped], look.quarters)) for look in looks)
    copies = [PhotoInput(None, keep=False, pixels=copy) for copy in turned]
    again = pose(method, detect(detector, copies, options), options)
    found = dict(zip(looks, again, strict=True))
    worth = {look: _top(seen) / look.min_ratio for look, seen in found.items()}
    best = max(looks, key=worth.__getitem__)
    if worth[best] <= _top(result) or _top(found[best]) <= options.threshold:
        return result
    return _turned_back(found[best], best.quarters, result.item)


def _turned_back(found: Result, quarters: int, item: PhotoInput) -> Result:
    """The people found in a rotated copy, in the pixels of the photo itself."""
    assert item.pixels is not None
    size = (item.pixels.shape[0], item.pixels.shape[1])
    boxes = found.item.boxes
    rows = None if boxes is None else np.column_stack([_boxes_back(boxes[:, :4], quarters, size), boxes[:, 4:]]).astype(boxes.dtype)
    poses = found.poses
    if poses is not None:
        poses = replace(_poses_back(poses, quarters, size), photo=item.photo if item.keep else None)
    return Result(replace(item, boxes=rows, skipped=found.item.skipped), size, poses, found.error)


def _poses_back(poses: Poses, quarters: int, size: tuple[int, int]) -> Poses:
    return replace(
        poses,
        keypoints=back(poses.keypoints, quarters, size),
        boxes=_boxes_back(poses.boxes, quarters, size),
        detections=None if poses.detections is None else _boxes_back(poses.detections, quarters, size),
        masks=None if poses.masks is None else np.ascontiguousarray(np.rot90(poses.masks, -quarters, (1, 2))),
    )


def back(xy: Float[np.ndarray, "*n 2"], quarters: int, size: tuple[int, int]) -> Float[np.ndarray, "*n 2"]:
    """Points in a photo of `size` (height, width), from points in its copy ``np.rot90(photo, quarters)``."""
    (h, w), x, y = size, xy[..., 0], xy[..., 1]
    return np.stack({0: (x, y), 1: (w - 1 - y, x), 2: (w - 1 - x, h - 1 - y), 3: (y, h - 1 - x)}[quarters % 4], -1).astype(xy.dtype)


def _boxes_back(boxes: Float[np.ndarray, "n 4"], quarters: int, size: tuple[int, int]) -> Float[np.ndarray, "n 4"]:
    corners = back(boxes.reshape(-1, 2, 2), quarters, size)
    return np.concatenate([corners.min(1), corners.max(1)], 1)
