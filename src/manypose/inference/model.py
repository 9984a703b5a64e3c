"""Prediction: `load` a model, `predict` the people of photos and videos."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image

from manypose.inference.detectors import Detector, find_detector, with_boxes
from manypose.inference.pipeline import Options, PhotoInput, Result, device_of, stream
from manypose.io import photos as media
from manypose.io import videos as video
from manypose.io.sources import sources
from manypose.methods.catalog import MODELS
from manypose.methods.method import Method, TopDownMethod, module_of
from manypose.nn.device import choose_device
from manypose.poses.boxes import boxes_of, read_boxes, skipped_text, with_scores
from manypose.poses.poses import Poses
from manypose.poses.skeleton import Skeleton
from manypose.tracking.tracker import Tracker, TrackOptions, tracked
from manypose.weights import files as weights_files

__all__ = ["Model", "load", "predict"]


@dataclass(frozen=True)
class Model:
    """A method that is ready to predict.

    Args:
        method: any `Method` with its weights.
        detector: the model of this package that finds the people where neither boxes nor a detector are given; empty: they must be given.
    """

    method: Method
    detector: str = ""

    def __post_init__(self) -> None:
        module_of(self.method).to(memory_format=torch.channels_last)

    @property
    def skeleton(self) -> Skeleton:
        """The joints of the people it finds."""
        return self.method.skeleton

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return device_of(self.method)

    @property
    def needs_boxes(self) -> bool:
        """Whether it looks at one person at a time and may be given their boxes."""
        return isinstance(self.method, TopDownMethod)

    def to(self, device: str) -> "Model":
        """The same model, moved to ``cpu``, ``cuda``, ``cuda:N`` or ``auto``.

        Raises:
            ValueError: there is no such device.
        """
        module_of(self.method).to(choose_device(device))
        return self

    def predict(
        self,
        source: Any,
        *,
        boxes: Any = None,
        detector: "str | Model | Detector | None" = None,
        detector_threshold: float = 0.3,
        flip: bool = False,
        scales: Sequence[float] = (1.0,),
        size: int | None = None,
        batch_size: int = 8,
        threshold: float = 0.0,
        mixed: bool = False,
        published: bool = False,
        track: bool | Tracker = False,
    ) -> Any:
        """The people of a photo, of several photos, or of a video.

        Args:
            source: one photo (a path, an array (H, W, 3), (H, W) or (H, W, 4), a PIL image, a tensor (3, H, W) or (H, W, 3)); several (a
                list, an array or tensor with one more dimension, a folder, a pattern such as ``photos/*.jpg``); or a stream of them (a
                generator, or the path of a video). Arrays and tensors are RGB, uint8 or floats in 0 … 1.
            boxes: for methods that look at one person at a time: xyxy and perhaps a score, (n, 4) or (n, 5), for each photo; for files also
                a mapping from file names or the path of a boxes file (`manypose.poses.boxes.read_boxes`). A box that is not finite, has no area,
                or lies outside its photo is left out, with a warning that counts them.
            detector: in place of boxes, who finds them: a detector of torchvision or a model of this package, by name
                (`manypose.inference.detectors.find_detector`), a `Model`, or a function from a list of photos to their boxes. Where neither is
                given, the detector that belongs to the model (`Model.detector`).
            detector_threshold: people with a lower score of the detector are left out.
            flip, scales, size, batch_size, threshold, mixed, published: see `manypose.inference.pipeline.Options`.
            track: the photos are the frames of one video, in order: give people ids that they keep. True, or a `manypose.tracking.tracker.Tracker`,
                which also says how, and which goes on where it was when it is given again. With boxes, people whom a frame has none for
                are looked at where they should be by now.

        Returns:
            `Poses` for one photo; a list of `Poses` in the photos' order for several; a generator of `Poses`, computed as it is read, for
            a stream. All in photo pixels, photos upright.

        Raises:
            FileNotFoundError, ValueError, TypeError: a photo cannot be read (the message names it), or an option makes no sense.
            ImportError: a video, and PyAV is not installed.
            ConnectionError: a detector's weights must be fetched and cannot be.
        """
        options = Options(flip, tuple(float(s) for s in scales), size, batch_size, float(threshold), mixed, published)
        if boxes is not None and detector is not None:
            raise ValueError("give boxes or a detector, not both")
        self.check(options, boxes is not None or detector is not None)
        detector = self.own_detector(detector, boxes)
        kind, items = _items(source, boxes)
        if detector is not None:
            items = with_boxes(items, _finder(detector, self.device), threshold=detector_threshold, batch_size=batch_size, flip=flip)
            items = list(items) if kind == "one" else items
        results = stream(self.method, items, options)
        if track is not False:
            if kind == "one" and track is True:
                raise ValueError("people are tracked through a video or several photos, not one; give a Tracker to go on frame by frame")
            results = tracked(results, self.tracker() if track is True else track)
        people = (_poses(result) for result in results)
        return next(people) if kind == "one" else list(people) if kind == "several" else people

    def tracker(self, options: TrackOptions | None = None, again: "Model | None" = None) -> Tracker:
        """A tracker of this model's people; `again` (by default this model, where it is top-down) looks at those it missed.

        Raises:
            ValueError: `again` is no top-down model.
        """
        second = again if again is not None else self if self.needs_boxes else None
        return Tracker(options or TrackOptions(), None if second is None else second.method)

    def own_detector(self, detector: Any, boxes: Any) -> Any:
        """`detector`, or this model's own one where it needs boxes and has neither."""
        nobody = detector is None and boxes is None
        return (self.detector or None) if nobody and self.needs_boxes else detector

    def check(self, options: Options, boxes: bool) -> None:
        """Raises `ValueError` where options or boxes (or that there are none) do not suit the method."""
        if boxes and not self.needs_boxes:
            raise ValueError(
                "this model finds everybody in the photo by itself and takes no boxes; leave them out or choose a top-down model"
            )
        if self.needs_boxes and not (boxes or self.detector):
            raise ValueError(
                "this model looks at one person at a time and needs their boxes: give them (--boxes FILE), or a detector (--detector NAME)"
            )
        if self.needs_boxes and (options.scales != (1.0,) or options.size is not None or options.published):
            raise ValueError("scales, size and published are for models that look at whole photos; this one looks at one person at a time")


def load(name: str | Path | None = None, *, weights: str | Path | None = None, device: str = "auto", **overrides: Any) -> Model:
    """A model ready to predict.

    Args:
        name: a model's name, ``default`` or ``fast`` for two that come with the package, a ``.safetensors`` file, or None for the default.
        weights: a file for a named model: ``.safetensors``, or a published ``.pth``.
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda``, ``cuda:N``.
        overrides: arguments of the model's factory, such as ``skeleton``.

    Raises:
        FileNotFoundError, ValueError: no such model, file or device, or weights that do not fit.
    """
    method = weights_files.load(name, weights=weights, device=device, **overrides)
    line = MODELS.get(weights_files.line_of(name))
    return Model(method, line.detector if line is not None and isinstance(method, TopDownMethod) else "")


@lru_cache(maxsize=1)
def _loaded(name: str | None) -> Model:
    return load(name)


def predict(source: Any, model: "Model | str | None" = None, **options: Any) -> Any:
    """`Model.predict` in one call; a model that is given by name (None: the default) stays loaded for the next call."""
    return (model if isinstance(model, Model) else _loaded(model)).predict(source, **options)


@lru_cache(maxsize=1)
def _found(name: str, device: str) -> Any:
    return find_detector(name, device=device)


def _finder(detector: "str | Model | Detector", device: torch.device) -> Any:
    if isinstance(detector, str):
        return _found(detector, str(device))
    if isinstance(detector, Model) and detector.needs_boxes:
        raise ValueError("the detector needs boxes itself; a detector sees whole photos")
    return detector.method if isinstance(detector, Model) else detector


def _poses(result: Result) -> Poses:
    if result.poses is None:
        raise result.error or RuntimeError("no result")
    if result.skipped:
        photo = result.item.name or (str(result.item.photo) if isinstance(result.item.photo, (str, Path)) else "the photo")
        warnings.warn(f"{photo}: {skipped_text(result.skipped)}", stacklevel=4)
    return result.poses


# ── what was given ──


def _items(source: Any, boxes: Any) -> tuple[Literal["one", "several", "stream"], Iterable[PhotoInput]]:
    if isinstance(source, (str, Path)):
        return _files(source, boxes)
    if isinstance(source, (np.ndarray, torch.Tensor)) and source.ndim == 4:
        return "several", _paired(source, boxes, len(source))
    if isinstance(source, (np.ndarray, torch.Tensor, Image.Image)):
        return "one", [PhotoInput(source, with_scores(boxes))]
    if isinstance(source, Sequence):
        if isinstance(boxes, (str, Path, Mapping)):
            return "several", _by_name([_path(s) for s in source], boxes)
        return "several", _paired(source, boxes, len(source))
    if isinstance(source, Iterable):
        return "stream", _paired(source, boxes, None)
    raise TypeError(f"a photo is a path, an array, a PIL image or a tensor, got {type(source).__name__}")


def _files(source: str | Path, boxes: Any) -> tuple[Literal["one", "several", "stream"], Iterable[PhotoInput]]:
    found = sources(source)
    single = found.paths == (Path(source),)
    if single and media.is_video(source):
        return "stream", (PhotoInput(frame, b, keep=False) for frame, b in _zipped(video.frames(source), boxes, None))
    photos = found.paths if single else tuple(p for p in found.paths if not media.is_video(p))
    left = found.skipped + len(found.paths) - len(photos)
    if not photos:
        raise ValueError(f"{source}: only videos; give one of them at a time")
    if left:
        warnings.warn(f"{source}: {left} files are no photos and were left out", stacklevel=4)
    if isinstance(boxes, (str, Path, Mapping)):
        return "one" if single else "several", _by_name(photos, boxes)
    if single:
        return "one", [PhotoInput(photos[0], with_scores(boxes))]
    return "several", _paired(photos, boxes, len(photos))


def _path(source: Any) -> Path:
    if not isinstance(source, (str, Path)):
        raise ValueError("boxes by file name are for files; give arrays a list of boxes")
    return Path(source)


def _by_name(paths: Sequence[Path], boxes: str | Path | Mapping[str, Any]) -> list[PhotoInput]:
    known = boxes if isinstance(boxes, Mapping) else read_boxes(boxes)
    found = [boxes_of(known, path) for path in paths]
    if all(f is None for f in found):
        raise ValueError(f"none of the {len(known)} photos that have boxes is among those given; boxes are found by file name")
    return [PhotoInput(path, with_scores([] if b is None else b)) for path, b in zip(paths, found, strict=True)]


def _paired(photos: Iterable[Any], boxes: Any, count: int | None) -> Iterator[PhotoInput]:
    for i, (photo, b) in enumerate(_zipped(photos, boxes, count)):
        yield PhotoInput(photo, b, keep=count is not None, name="" if isinstance(photo, (str, Path)) else f"photo {i}")


def _zipped(photos: Iterable[Any], boxes: Any, count: int | None) -> Iterator[tuple[Any, Float[np.ndarray, "n 5"] | None]]:
    if boxes is None:
        return zip(photos, repeat(None), strict=False)
    if count is not None and (not isinstance(boxes, Sequence) or len(boxes) != count):
        raise ValueError(f"{count} photos need a list of as many arrays of boxes")
    return ((photo, with_scores(b)) for photo, b in zip(photos, boxes, strict=True))
