"""The people that a model finds in a benchmark's photos."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from manypose.data.photos import read_rgb
from manypose.evaluation.benchmark import EvalImage
from manypose.inference.model import Model
from manypose.inference.options import PredictOptions
from manypose.inference.photos import PhotoInput, Result, read_ahead, with_boxes
from manypose.inference.pipeline import Detector, detect, tracked
from manypose.inference.running import AnyModel, runner
from manypose.inference.turned import find_people
from manypose.io.journal import Journal
from manypose.poses.boxes import match_boxes, read_boxes, with_scores
from manypose.poses.poses import Poses
from manypose.tracking.tracker import Tracker, TrackOptions

__all__ = ["Predicted", "boxes_of_photos", "part", "predicted", "together"]

Boxes = Float[np.ndarray, "n 5"]


@dataclass
class Predicted:
    """The results of the photos, by the id of their `EvalImage`.

    Args:
        people: people in each photo that could be read; with track ids for frames of videos.
        detected: the person detector's boxes and scores, for box AP.
        pixels: counts of mask pixels.
        failed: an error message, with the file's name, for each photo that could not be read.
        skipped: number of given boxes that were left out, by reason.
    """

    people: dict[int, Poses] = field(default_factory=dict)
    detected: dict[int, Boxes] = field(default_factory=dict)
    pixels: dict[int, Any] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)


def together(parts: Sequence[Predicted]) -> Predicted:
    """The merged results of several processes."""
    out = Predicted()
    for p in parts:
        for whole, mine in ((out.people, p.people), (out.detected, p.detected), (out.pixels, p.pixels), (out.failed, p.failed)):
            whole.update(mine)  # type: ignore[arg-type]
        out.skipped.update(p.skipped)
    return out


def part(images: Sequence[EvalImage], rank: int, number: int) -> list[EvalImage]:
    """The photos of one process; the frames of a video stay together."""
    videos = {name: i for i, name in enumerate(dict.fromkeys(s.sequence for s in images))}
    return [s for i, s in enumerate(images) if (videos[s.sequence] if s.sequence else i) % number == rank]


def boxes_of_photos(boxes: str | None, images: Sequence[EvalImage], root: Path | None) -> tuple[dict[int, Boxes] | None, str]:
    """The given boxes of each photo (None if no boxes are given) and a note on photos without boxes.

    Args:
        boxes: a boxes file, or ``annotated``.
        images: all photos of the benchmark.
        root: their folder.

    Raises:
        ValueError: not a boxes file, or one without boxes for any of the photos.
    """
    if boxes is None:
        return None, ""
    if boxes == "annotated":
        found: Sequence[Any] = [image.boxes for image in images]
    else:
        known = read_boxes(boxes)
        found = match_boxes(known, [image.path for image in images], root, [image.id for image in images])
        if images and all(rows is None for rows in found):
            raise ValueError(
                f"{boxes}: none of its {len(known)} entries matches any of the {len(images)} photos; boxes are matched by image id, "
                "then by the path in the photo folder"
            )
    without = sum(rows is None for rows in found)
    note = f"{without} of {len(images)} photos have no boxes in {Path(boxes).name}, so they have no results" if without else ""
    rows = (with_scores([] if given is None else given) for given in found)
    return {image.id: given for image, given in zip(images, rows, strict=True) if given is not None}, note


def predicted(
    model: Model, images: Sequence[EvalImage], options: PredictOptions, *, boxes: dict[int, Boxes] | None = None,
    detector: AnyModel | Detector | None = None, tracking: TrackOptions | None = None, box_ap: bool = False, quiet: bool = False,
    pixels: Callable[[int, Poses], Any] | None = None, journal: Journal | None = None,
) -> Predicted:  # fmt: skip
    """Predict the people in the photos. A photo that cannot be read is recorded, and the others are still predicted.

    Args:
        model: a model of any kind.
        images: the photos.
        options: prediction options.
        boxes: the boxes of each photo, for top-down models.
        detector: the person detector, if no boxes are given.
        tracking: tracking options for videos; None: no tracking.
        box_ap: keep the detector's boxes.
        quiet: no progress bar.
        pixels: counts the mask pixels of a photo's people; None if masks are not measured.
        journal: record of predicted photos; those in it are not predicted again. Not for tracking.

    Raises:
        ValueError: masks are measured and the model predicts none.
    """
    out, every = Predicted(), images
    if journal is not None:
        for image in images:
            if image.id in journal.done:
                _restore(out, image.id, journal.done[image.id], model)
        images = [image for image in images if image.id not in out.people]
    photos: Iterable[PhotoInput] = read_ahead(_photos(images, boxes), options.batch_size)
    still = replace(options, turned=options.turned and tracking is None)
    pairs: Iterable[tuple[EvalImage, Result]] = zip(images, find_people(model.method, detector, photos, still), strict=True)
    if tracking is not None:
        videos = groupby(pairs, key=lambda pair: pair[0].sequence)
        pairs = (pair for _, video in videos for pair in _followed(video, model.tracker(tracking), options))
    with tqdm(total=len(images), desc="predicting", unit=" photos", disable=quiet or not sys.stderr.isatty()) as bar:
        for image, result in pairs:
            bar.update()
            if result.poses is None:
                out.failed[image.id] = str(result.error)
                continue
            if pixels is not None:
                out.pixels[image.id] = pixels(image.id, result.poses)
            if box_ap and result.item.boxes is not None:
                out.detected[image.id] = result.item.boxes
            out.people[image.id] = replace(result.poses, photo=None, masks=None)
            out.skipped.update(result.skipped)
            if journal is not None:
                journal.add(image.id, _stored(out, image.id, result.skipped))
    if box_ap and not out.detected and runner(model.method).finds_boxes:
        # A one-stage model's boxes have passed the NMS of people: run the detection again to get all of them.
        looks = detect(model.method, _photos(every, None), replace(options, detector_threshold=0.0))
        found = zip(every, looks, strict=True)
        out.detected = {image.id: item.boxes for image, item in found if item.boxes is not None and image.id in out.people}
    return out


_ARRAYS = ("keypoints", "keypoint_scores", "scores", "boxes", "detections")


def _stored(out: Predicted, image: int, skipped: Mapping[str, int]) -> dict[str, Any]:
    """One photo's part of `Predicted` as a JSON value, without rounding."""
    people, detected, pixels = out.people[image], out.detected.get(image), out.pixels.get(image)
    arrays = {name: None if (value := getattr(people, name)) is None else value.tolist() for name in _ARRAYS}
    return {
        **arrays,
        "detected": None if detected is None else detected.tolist(),
        "pixels": None if pixels is None else np.asarray(pixels).tolist(),
        "skipped": dict(skipped),
    }


def _restore(out: Predicted, image: int, stored: Mapping[str, Any], model: Model) -> None:
    """The inverse of `_stored`."""
    n, k = len(stored["scores"]), len(model.skeleton)
    shapes = dict(zip(_ARRAYS, ((n, k, 2), (n, k), (n,), (n, 4), (n, 4)), strict=True))
    arrays = {name: None if stored[name] is None else np.array(stored[name], np.float32).reshape(shape) for name, shape in shapes.items()}
    out.people[image] = Poses(model.skeleton, **arrays)  # type: ignore[arg-type]
    if stored["detected"] is not None:
        out.detected[image] = np.array(stored["detected"], np.float32).reshape(-1, 5)
    if stored["pixels"] is not None:
        out.pixels[image] = np.array(stored["pixels"], np.int64)
    out.skipped.update(stored["skipped"])


def _photos(images: Sequence[EvalImage], boxes: dict[int, Boxes] | None) -> Iterator[PhotoInput]:
    for image in images:
        given = None if boxes is None else boxes[image.id]
        try:
            pixels = read_rgb(image.path, size=image.size)
        except ValueError as e:
            yield PhotoInput(image.path, keep=False, name=str(image.path), error=e)
            continue
        photo = PhotoInput(pixels, None, keep=False, name=str(image.path), pixels=pixels)
        yield photo if given is None else with_boxes(photo, given)


def _followed(video: Iterable[tuple[EvalImage, Result]], tracker: Tracker, options: PredictOptions) -> Iterator[tuple[EvalImage, Result]]:
    """The frames of one video with track ids."""
    images: list[EvalImage] = []

    def results() -> Iterator[Result]:
        for image, result in video:
            images.append(image)
            yield result

    return ((images.pop(), result) for result in tracked(results(), tracker, options))
