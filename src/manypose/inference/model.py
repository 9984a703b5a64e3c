"""Prediction: `load` a model, `predict` the people in photos and videos."""

import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, overload

import cv2
import numpy as np

from manypose.inference.channel_order import watched
from manypose.inference.detectors import Detector, find_detector
from manypose.inference.inputs import Picture, inputs
from manypose.inference.loading import RuntimeName, load_any
from manypose.inference.options import PredictOptions, changed
from manypose.inference.photos import AHEAD, Result, read_ahead
from manypose.inference.pipeline import look_into_boxes, tracked
from manypose.inference.running import AnyModel, Graphs, runner
from manypose.inference.turned import find_people
from manypose.methods.catalog import MODELS
from manypose.methods.method import TopDownMethod, module_of
from manypose.poses.boxes import skipped_text
from manypose.poses.poses import Poses
from manypose.poses.skeleton import Skeleton
from manypose.tracking.tracker import Tracker, TrackOptions
from manypose.weights.graphs import line_of_graph
from manypose.weights.names import line_of

if TYPE_CHECKING:
    import torch

__all__ = ["Model", "load", "predict"]

Colour = Literal["rgb", "bgr"]


@dataclass(frozen=True, repr=False)
class Model:
    """A loaded model.

    Args:
        method: any `Method` with its weights, or a model of a graph (`manypose.inference.graph_models`).
        detector: the default person detector, a model of this package; empty: boxes or a detector must be given.
        name: the name that it was loaded by.
    """

    method: AnyModel
    detector: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.method, Graphs):
            import torch

            import manypose.inference.eager  # noqa: F401 - with the model, not with the first photo

            module_of(self.method).to(memory_format=torch.channels_last)

    def __repr__(self) -> str:
        name = self.name or type(self.method).__name__
        finder = f", people found by {self.detector}" if self.detector else ", needs boxes" if self.needs_boxes else ""
        where = f"{self.device}" if self.runtime == "torch" else f"{self.device} by {self.runtime}"
        return f"Model({name}, {len(self.skeleton)} joints of skeleton {self.skeleton.name!r}{finder}, on {where})"

    @property
    def skeleton(self) -> Skeleton:
        """The skeleton of the people it finds."""
        return self.method.skeleton

    @property
    def runtime(self) -> RuntimeName:
        """The library that runs its network: ``torch``, or ``onnx`` or ``openvino`` for a graph."""
        return self.method.runtime if isinstance(self.method, Graphs) else "torch"

    @property
    def device(self) -> "torch.device | str":
        """The device of its network; for a graph, the device's name."""
        if isinstance(self.method, Graphs):
            return self.method.device
        from manypose.inference.eager import device_of

        return device_of(self.method)

    @property
    def needs_boxes(self) -> bool:
        """Whether it is a top-down model, which needs person boxes."""
        return self.method.top_down if isinstance(self.method, Graphs) else isinstance(self.method, TopDownMethod)

    def to(self, device: str) -> "Model":
        """The same model, moved to ``cpu``, ``cuda``, ``cuda:N`` or ``auto``.

        Raises:
            ValueError: there is no such device, or the model is a graph.
        """
        if isinstance(self.method, Graphs):
            if device not in ("auto", self.method.device):
                raise ValueError(f"a graph cannot be moved; load it there: load({self.name!r}, device={device!r}, runtime='torch')")
            return self
        from manypose.nn.device import choose_device

        module_of(self.method).to(choose_device(device))
        return self

    # A path or an array may be one photo or many; the type of any other source determines the type of the result.
    @overload
    def predict(
        self, source: Picture | bytes | BinaryIO, *, boxes: Any = None, detector: "str | Model | Detector | None" = None,
        track: bool | Tracker = False, colour: Colour | None = None, options: PredictOptions = ..., **changes: Any,
    ) -> Poses: ...  # fmt: skip
    @overload
    def predict(
        self, source: "str | Path | np.ndarray | torch.Tensor", *, boxes: Any = None, detector: "str | Model | Detector | None" = None,
        track: bool | Tracker = False, colour: Colour | None = None, options: PredictOptions = ..., **changes: Any,
    ) -> Any: ...  # fmt: skip
    @overload
    def predict(
        self, source: Sequence[Any], *, boxes: Any = None, detector: "str | Model | Detector | None" = None,
        track: bool | Tracker = False, colour: Colour | None = None, options: PredictOptions = ..., **changes: Any,
    ) -> list[Poses]: ...  # fmt: skip
    @overload
    def predict(
        self, source: Iterable[Any] | int, *, boxes: Any = None, detector: "str | Model | Detector | None" = None,
        track: bool | Tracker = False, colour: Colour | None = None, options: PredictOptions = ..., **changes: Any,
    ) -> Iterator[Poses]: ...  # fmt: skip
    def predict(
        self,
        source: Any,
        *,
        boxes: Any = None,
        detector: "str | Model | Detector | None" = None,
        track: bool | Tracker = False,
        colour: Colour | None = None,
        options: PredictOptions = PredictOptions(),  # noqa: B008 - frozen
        **changes: Any,
    ) -> Any:
        """The people in a photo, in several photos, or in a video.

        Args:
            source: one photo (a path, an http address, a file's bytes, an open file, ``-`` for standard input, an array (H, W, 3), (H, W)
                or (H, W, 4), a PIL image, a tensor (3, H, W) or (H, W, 3)); several (a list, an array or tensor with one more dimension,
                a folder, a pattern such as ``photos/*.jpg``); or a stream of them (a generator, the path or address of a video, such as
                ``rtsp://…``, or the number of a camera). Arrays and tensors are uint8 or floats in 0 … 1.
            boxes: for top-down models: xyxy and optionally a score, (n, 4) or (n, 5), for each photo; for files also a mapping from file
                names, or the path of a boxes file (`manypose.poses.boxes.read_boxes`). Boxes that are not finite, have no area, or lie
                outside their photo are left out, with a warning that counts them.
            detector: instead of boxes, a person detector: a torchvision detector or a model of this package by name
                (`manypose.inference.detectors.find_detector`), a `Model`, or a function from a list of photos to their boxes. By default
                the model's own detector (`Model.detector`).
            track: treat the photos as the consecutive frames of one video, and track people: each keeps one id. True, or a
                `manypose.tracking.tracker.Tracker` with its own options, which can be given again to continue. A top-down model also
                searches for people without a box in a frame, at their expected place.
            colour: channel order of arrays and tensors: ``rgb``, or ``bgr`` as in OpenCV. By default RGB, with a warning if faces look
                blue.
            options: prediction options.
            changes: changes to the options by name: ``flip=True``, ``threshold=0.3``; see
                `manypose.inference.options.PredictOptions`.

        Returns:
            `Poses` for one photo; a list of `Poses` in the photos' order for several; for a stream a lazy generator of `Poses`, which
            lags at most 3 batches and 6 frames behind the input (30 frames, or 1.2 s at 25 frames a second, with the default
            ``batch_size``). Coordinates are pixels of the upright photo.

        Raises:
            FileNotFoundError, ValueError, TypeError: a photo cannot be read (the message names it), or an option is invalid.
            ImportError: the source is a video, and PyAV is not installed.
            ConnectionError: a detector's weights cannot be downloaded.
        """
        options = changed(options, **changes) if changes else options
        if boxes is not None and detector is not None:
            raise ValueError("give boxes or a detector, not both")
        self.check(options, boxes is not None or detector is not None)
        finder = self.finder(detector) if boxes is None else None
        kind, photos = inputs(source, boxes, colour or "rgb")
        if kind == "one" and track is True:
            raise ValueError("tracking needs a video or several photos, not one; give a Tracker to track frame by frame")
        look_ahead = options.batch_size if kind == "stream" else None
        photos = photos if kind == "one" else read_ahead(photos, options.batch_size)
        still = kind != "stream" and track is False
        tracker = None if track is False else self.tracker() if track is True else track
        every = 1 if tracker is None else tracker.options.detect_every
        options = options if still or not options.turned else replace(options, turned=False)
        results = find_people(self.method, finder, photos, options, look_ahead, every)
        if colour is None and not isinstance(source, (str, Path, int)):
            again = partial(self.predict, options=options, detector=detector, colour="rgb")
            tried = finder is not None and options.turned  # `find_people` has tried swapped channels already
            results = watched(results, (lambda photo: len(again(photo))) if kind == "one" and boxes is None and not tried else None)
        results = results if tracker is None else tracked(results, tracker, options, AHEAD if track is True else 0)
        people = (_poses(result) for result in results)
        return next(people) if kind == "one" else list(people) if kind == "several" else people

    def tracker(self, options: TrackOptions = TrackOptions(), redetector: "Model | None" = None) -> Tracker:  # noqa: B008 - frozen
        """A tracker for this model; `redetector` (by default this model if it is top-down) searches for lost people.

        Raises:
            ValueError: `redetector` is not a top-down model.
        """
        method = self.method if redetector is None else redetector.method
        if runner(method).top_down:
            return Tracker(options, partial(look_into_boxes, method))
        if redetector is not None:
            raise ValueError("the redetector must be a top-down model")
        return Tracker(options)

    def finder(self, detector: "str | Model | Detector | None" = None) -> AnyModel | Detector | None:
        """The person detector: `detector`, or this model's own if it needs boxes; None for a model that needs none.

        Raises:
            ValueError: there is no such detector, or it needs boxes itself.
        """
        detector = self.detector or None if detector is None else detector  # a model that needs no boxes has none
        if isinstance(detector, str):
            # Not OpenVINO: it shrinks the detector's second view without averaging, which moves boxes by a third of a pixel.
            return _found(detector, str(self.device), "torch" if self.runtime == "torch" else "auto")
        if isinstance(detector, Model):
            if detector.needs_boxes:
                raise ValueError("the given model needs boxes itself and cannot be a detector")
            return detector.method
        return detector

    def _check_mixed(self) -> None:
        if isinstance(self.method, Graphs):
            raise ValueError("mixed precision needs PyTorch (runtime='torch', --runtime torch)")
        from manypose.inference.eager import device_of
        from manypose.nn.device import bf16_is_faster

        if device_of(self.method).type == "cpu" and not bf16_is_faster(device_of(self.method)):
            raise ValueError("mixed precision is several times slower on this CPU, which emulates it: do not use it here")

    def check(self, options: PredictOptions, boxes: bool) -> None:
        """Raise `ValueError` if the options, or the presence or absence of boxes, do not suit the method."""
        top_down = self.needs_boxes
        if str(self.device) == "meta":
            raise ValueError("the model's weights are on the device 'meta', which holds none: load the model again")
        if options.mixed:
            self._check_mixed()
        if boxes and not top_down:
            raise ValueError("this model is bottom-up and takes no boxes; leave them out or choose a top-down model")
        if top_down and not (boxes or self.detector):
            raise ValueError(
                "this model is top-down and needs boxes: give them (--boxes FILE), or a detector (--detector NAME)"
                if self.skeleton.of_people
                else f"this model finds the joints of {self.skeleton.name!r} in boxes, and the package's detectors find only people: "
                "give the boxes (--boxes FILE), a detector with its category, such as --detector fasterrcnn_resnet50_fpn_v2:dog, or one "
                "trained on the same data (manypose train --data SET.yaml --model multiposenet-mobile --out RUN, then "
                "--detector RUN/best.safetensors)"
            )
        if top_down and (options.scales != (1.0,) or options.size is not None or options.published or options.edge != "short"):
            raise ValueError(
                "scales, size, edge and published are for models that take whole photos; this one takes crops of single people"
            )


def load(
    name: str | Path | None = None,
    *,
    weights: str | Path | None = None,
    device: str = "auto",
    runtime: RuntimeName = "auto",
    **overrides: Any,
) -> Model:
    """A loaded model.

    Args:
        name: a model's name, such as ``default`` or ``fast``, a ``.safetensors`` file, a graph from ``manypose export`` (``.onnx``), or
            None for the default.
        weights: a weights file for a named model: ``.safetensors``, or a published ``.pth``.
        device: ``auto`` (a GPU if PyTorch sees one), ``cpu``, ``cuda``, ``cuda:N``.
        runtime: the library that runs the network: ``torch``, ``onnx``, or ``openvino`` (the model's own detector stays in ONNX
            Runtime). ``auto`` is ONNX Runtime if the model's graph is bundled and the device is the CPU, where it is faster and needs no
            PyTorch; else ``torch``.
        overrides: arguments of the model's factory, such as ``skeleton``.

    Raises:
        FileNotFoundError, ValueError: no such model, file or device, or weights that do not fit.
        ImportError: the runtime is not installed.
    """
    method = load_any(name, weights=weights, device=device, runtime=runtime, **overrides)
    line = MODELS.get(line_of_graph(name) if name is not None and Path(name).suffix == ".onnx" else line_of(name))
    finds = line is not None and runner(method).top_down and method.skeleton.of_people  # the detectors find people alone
    return Model(method, line.detector if line is not None and finds else "", str(name or "default"))


@lru_cache(maxsize=1)
def _loaded(name: str | None) -> Model:
    return load(name)


@overload
def predict(source: Picture | bytes | BinaryIO, model: Model | str | None = None, **options: Any) -> Poses: ...
@overload
def predict(source: "str | Path | np.ndarray | torch.Tensor", model: Model | str | None = None, **options: Any) -> Any: ...
@overload
def predict(source: Sequence[Any], model: Model | str | None = None, **options: Any) -> list[Poses]: ...
@overload
def predict(source: Iterable[Any] | int, model: Model | str | None = None, **options: Any) -> Iterator[Poses]: ...
def predict(source: Any, model: Model | str | None = None, **options: Any) -> Any:
    """`Model.predict` in one call; a model that is given by name (None: the default) stays loaded for the next call."""
    return (model if isinstance(model, Model) else _loaded(model)).predict(source, **options)


@lru_cache(maxsize=1)
def _found(name: str, device: str, runtime: RuntimeName) -> Any:
    return find_detector(name, device=device, runtime=runtime)


_CV2_THREADS: list[int] = []


def _before_fork() -> None:
    """OpenCV's threads do not live on in a forked process, which could not even end them: they end here, and begin again after it."""
    _CV2_THREADS.append(cv2.getNumThreads())
    cv2.setNumThreads(1)


def _in_parent() -> None:
    cv2.setNumThreads(_CV2_THREADS.pop())


def _in_child() -> None:
    """A forked process would wait for OpenMP's threads for ever; one thread needs no others."""
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)


def _poses(result: Result) -> Poses:
    if result.poses is None:
        raise result.error or RuntimeError("no result")
    if result.item.skipped:
        photo = result.item.name or (str(result.item.photo) if isinstance(result.item.photo, (str, Path)) else "the photo")
        warnings.warn(f"{photo}: {skipped_text(result.item.skipped)}", stacklevel=4)
    return result.poses
