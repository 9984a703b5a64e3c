"""Prediction with any method, in two steps: `detect` finds boxes, `pose` finds people, in boxes or in whole photos.

A photo is decoded once and passed on with its pixels. Views of equal size share a batch, and results keep the order of the photos. Memory
does not grow with their number: a step holds at most `look_ahead` photos.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Literal

import numpy as np

from manypose.inference.options import PredictOptions
from manypose.inference.photos import PhotoInput, Result, by_a_thread, decoded, with_boxes
from manypose.inference.running import AnyModel, Graphs, Runner, runner
from manypose.inference.views import Views, boxes_in_photo, cut, people_in_photo, photo_views
from manypose.io.shapes import Float, UInt8
from manypose.methods.method import Method
from manypose.poses.boxes import with_scores
from manypose.poses.poses import Poses
from manypose.tracking.optical_flow import Step
from manypose.tracking.tracker import Tracker

__all__ = ["Detector", "detect", "look_into_boxes", "pose", "tracked"]

Detector = Callable[[Sequence[UInt8[np.ndarray, "_h _w 3"]]], Sequence[Any]]
"""A function from RGB photos to the boxes of people in each, xyxy and optionally a score: (n, 4) or (n, 5)."""

What = Literal["people", "boxes"]


def detect(
    detector: AnyModel | Detector, photos: Iterable[PhotoInput], options: PredictOptions, look_ahead: int | None = None, every: int = 1
) -> Iterator[PhotoInput]:
    """The photos with the boxes of the people in them; a photo that cannot be read keeps its error.

    Args:
        detector: a detector or bottom-up method (the boxes of a `PersonDetector`, or those around its people), or a
            function from photos to boxes.
        photos: in order.
        options: flip, batch size, precision and the detector's threshold.
        look_ahead: photos that are held back at most until batches are full; default 4 batches.
        every: detect in every N-th photo, starting with the first; the others get no boxes (a tracker predicts them).

    Raises:
        ValueError: the function returned no boxes, or not for each photo.
    """
    if every > 1:
        photos = (photo if i % every == 0 else replace(photo, boxes=np.zeros((0, 5), np.float32)) for i, photo in enumerate(photos))
    if not isinstance(detector, (*Graphs, Method)):
        yield from _asked(detector, photos, options)
        return
    options, driver = replace(options, scales=(1.0,), size=None, edge="short", published=False), runner(detector)
    for photo, looks in _looked(driver, photos, options, "boxes" if driver.finds_boxes else "people", look_ahead):
        if photo.pixels is not None and looks:
            hw = (photo.pixels.shape[0], photo.pixels.shape[1])
            photo = _boxed(photo, boxes_in_photo(looks[0], options.scales, hw, 0.0), options)
        yield photo


def pose(model: AnyModel, photos: Iterable[PhotoInput], options: PredictOptions, look_ahead: int | None = None) -> Iterator[Result]:
    """The people in each photo, in order.

    A photo that cannot be read gives a `Result` with an error, and the others are still processed. If `photos` itself raises, the results
    of the photos before it come first.

    Args:
        model: a model of any kind.
        photos: the photos, with boxes for a top-down model.
        options: prediction options.
        look_ahead: photos that are held back at most until batches are full; default 4 batches.
    """
    driver = runner(model)
    for photo, looks in _looked(driver, photos, options, "people", look_ahead):
        if photo.pixels is None:
            yield Result(photo, error=photo.error)
            continue
        hw = (photo.pixels.shape[0], photo.pixels.shape[1])
        poses = people_in_photo(driver.skeleton, looks, photo.boxes, hw, replace(options, threshold=0.0), driver.nms_oks)
        best, sure = float(poses.scores.max(initial=0.0)), poses.scores >= options.threshold
        poses = poses if sure.all() else poses[sure]  # avoids a copy of the masks of a large photo
        yield Result(photo, hw, replace(poses, photo=photo.photo if photo.keep else None), best=best)


def look_into_boxes(model: AnyModel, frame: UInt8[np.ndarray, "H W 3"], boxes: Float[np.ndarray, "n 4"]) -> list[Poses]:
    """The person that a top-down model finds in each box, in the frame's pixels, or an empty `Poses`."""
    options, found, driver = PredictOptions(threshold=0.0), [], runner(model)
    rows = np.column_stack([boxes, np.ones(len(boxes))]).astype(np.float32)
    for photo, looks in _looked(driver, [PhotoInput(frame, rows, pixels=frame)], options, "people", None):
        if photo.pixels is None:
            raise photo.error or RuntimeError("no result")
        hw = (frame.shape[0], frame.shape[1])
        found += [people_in_photo(driver.skeleton, [look], row[None], hw, options) for look, row in zip(looks, rows, strict=True)]
    return found


def tracked(results: Iterable[Result], tracker: Tracker, options: PredictOptions, depth: int = 0) -> Iterator[Result]:
    """The results of a video's frames, in order, with track ids; a result with an error is passed on unchanged.

    Optical flow is computed at most `depth` frames ahead, in a thread. A tracker that is used again after this generator was closed early
    needs a depth of 0.
    """

    def moved() -> Iterator[tuple[Result, Step | None]]:
        for result in results:
            yield result, None if result.poses is None or result.item.pixels is None else tracker.step(result.item.pixels)

    for result, step in by_a_thread(moved(), depth):
        if result.poses is None:
            yield result
            continue
        poses = tracker.update(result.poses, result.item.pixels if tracker.needs_frames else None, step)
        sure = poses.scores >= options.threshold  # redetected people have their own score
        yield replace(result, poses=poses if sure.all() else poses[sure])


def _asked(detector: Detector, photos: Iterable[PhotoInput], options: PredictOptions) -> Iterator[PhotoInput]:
    """The photos with the boxes that a function finds in them, in batches."""
    left = iter(photos)
    while group := [decoded(photo) for photo in islice(left, options.batch_size)]:
        readable = [photo.pixels for photo in group if photo.pixels is not None and photo.boxes is None]
        found = list(detector(readable)) if readable else []
        if len(found) != len(readable):
            raise ValueError(f"the detector returned boxes for {len(found)} of {len(readable)} photos")
        rest = iter(found)
        for photo in group:
            if photo.pixels is not None and photo.boxes is None:
                boxes = with_scores(next(rest))
                assert boxes is not None
                photo = _boxed(photo, boxes, options)
            yield photo


def _boxed(photo: PhotoInput, boxes: Float[np.ndarray, "n 5"], options: PredictOptions) -> PhotoInput:
    """The photo with the detector's boxes that reach the threshold."""
    found = with_boxes(photo, boxes[boxes[:, 4] >= options.detector_threshold])
    return replace(found, best_box=float(boxes[:, 4].max(initial=0.0)))


# ── photos to batches ──


def _looked(
    driver: Runner, photos: Iterable[PhotoInput], options: PredictOptions, what: What, look_ahead: int | None
) -> Iterator[tuple[PhotoInput, list[Views]]]:
    """Each photo with its views and the network's results in them; a photo that cannot be read has no views."""
    most = 4 * options.batch_size if look_ahead is None else look_ahead
    waiting: deque[tuple[PhotoInput, list[Views]]] = deque()
    buckets: dict[tuple, list[Views]] = {}
    failure: Exception | None = None
    source = iter(photos)
    while True:
        try:
            given = next(source, None)
        except Exception as e:
            given, failure = None, e
        if given is not None:
            waiting.append(_prepared(driver, given, options))
            for look in waiting[-1][1]:
                key = tuple(w.size for w in look.warps)
                buckets.setdefault(key, []).append(look)
                if len(buckets[key]) == options.batch_size:
                    _decode(driver, buckets.pop(key), options, what)
        # Run incomplete batches too, so that rare sizes do not delay the others without limit.
        while buckets and (given is None or len(waiting) > most or sum(map(len, buckets.values())) > 4 * options.batch_size):
            first = next(look for _, looks in waiting for look in looks if look.found is None)
            _decode(driver, buckets.pop(tuple(w.size for w in first.warps)), options, what)
            if given is None or all(look.found is not None for look in waiting[0][1]):
                break
        while waiting and all(look.found is not None for look in waiting[0][1]):
            yield waiting.popleft()
        if given is None and not buckets:
            break
    if failure is not None:
        raise failure


def _prepared(driver: Runner, photo: PhotoInput, options: PredictOptions) -> tuple[PhotoInput, list[Views]]:
    """A photo with its views."""
    photo = decoded(photo)
    if photo.pixels is None or (photo.boxes is not None and not driver.top_down):
        return photo, []
    hw = (photo.pixels.shape[0], photo.pixels.shape[1])
    try:
        if not driver.top_down:
            warps = [photo_views(hw, driver.size, driver.stride, options)]
        elif photo.boxes is None:
            raise ValueError("this model is top-down and needs boxes")
        else:
            warps = [(warp,) for warp in driver.people(photo.pixels, photo.boxes[:, :4])]
    except ValueError as e:
        return replace(photo, pixels=None, error=ValueError(f"{photo.name}: {e}") if photo.name else e), []
    return photo, cut(photo.pixels, warps, options.batch_size)


# ── one batch ──


def _decode(driver: Runner, looks: list[Views], options: PredictOptions, what: What) -> None:
    """Run a batch, and store the result of each view in the pixels of its base view."""
    pixels = [look.pixels() for look in looks]
    views = [np.stack([p[i] for p in pixels]) for i in range(len(looks[0].warps))]
    for look, found in zip(looks, driver.found(views, looks[0].warps, options, what), strict=True):
        look.found, look.images, look.photo = found, [], None
