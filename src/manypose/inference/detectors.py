"""Boxes from a detector, for methods that look at one person at a time: torchvision's by name, any model of this package, or a function."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8

from manypose.inference.pipeline import Options, PhotoInput, stream
from manypose.io import photos as media
from manypose.methods.catalog import MODELS
from manypose.methods.method import Method, PersonDetector, TopDownMethod
from manypose.nn import checkpoint_files
from manypose.nn.device import choose_device
from manypose.poses.boxes import counted, person_boxes, with_scores
from manypose.poses.poses import Poses
from manypose.poses.skeleton import Skeleton
from manypose.weights import files as weights_files

__all__ = ["Detector", "find_detector", "people_boxes", "torchvision_names", "with_boxes"]

Detector = Callable[[Sequence[UInt8[np.ndarray, "_h _w 3"]]], Sequence[Any]]
"""From RGB photos to the boxes of people in each, xyxy and perhaps a score: (n, 4) or (n, 5)."""

PERSON = 1
"""The label of people in all of torchvision's detectors."""


def torchvision_names() -> list[str]:
    """The detectors that torchvision has, by name."""
    import torchvision

    return torchvision.models.list_models(module=torchvision.models.detection)


def find_detector(name: str, *, weights: str | Path | None = None, device: str = "auto") -> Detector | Method:
    """A detector by name, with its weights.

    Args:
        name: one of `torchvision_names`, or a model of this package (a name or a ``.safetensors`` file) that sees whole photos; with
            ``@256`` after it the model looks at photos whose short side is 256 pixels, in place of its own size.
        weights: its weights, where they are not to be fetched: ``.pth`` of torchvision, or as `manypose.load` takes them.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``.

    Raises:
        FileNotFoundError, ValueError: no such detector, file or device, or weights that do not fit.
        ConnectionError: the weights must be fetched and cannot be; the message says from where and what to do.
    """
    name, side = _with_size(name)
    if name in MODELS or name.endswith(".safetensors"):
        method = weights_files.load(name, weights=weights, device=device)
        if isinstance(method, TopDownMethod):
            raise ValueError(f"the model {name!r} needs boxes itself; a detector sees whole photos")
        method.size = side or method.size
        return method
    if side is not None:
        raise ValueError(f"{name}@{side}: a size can be chosen for models of this package only")
    if name not in torchvision_names():
        whole = [n for n, m in MODELS.items() if not m.factory.startswith("manypose.methods.mspn")]
        raise ValueError(f"no detector {name!r}; there are {', '.join(torchvision_names())}, and the models {', '.join(whole)}")
    where = choose_device(device)
    network = _fetched(name) if weights is None else _filled(name, weights)
    return _detecting(network.to(where).eval(), where)


def _with_size(name: str) -> tuple[str, int | None]:
    """A name, and the size that follows an @."""
    model, _, side = name.rpartition("@")
    if not (model and side.isdecimal()):
        return name, None
    if not 16 <= int(side) <= 10_000:
        raise ValueError(f"{name}: the size must be 16 to 10,000 pixels")
    return model, int(side)


def with_boxes(
    items: Iterable[PhotoInput], detector: Detector | Method, *, threshold: float = 0.2, batch_size: int = 8, flip: bool = False
) -> Iterator[PhotoInput]:
    """The same items with the boxes of the people in them. Memory does not grow with their number.

    A photo that cannot be read gets none; whoever reads it next says why.

    Args:
        items: photos.
        detector: see `find_detector`.
        threshold: people with a lower score are left out.
        batch_size: photos that are looked at at once.
        flip: a model of this package looks at the mirrored photo too.

    Raises:
        ValueError: the detector gave no boxes, or not for each photo.
    """
    if isinstance(detector, Method):
        for result in stream(_boxes_alone(detector), items, Options(flip, batch_size=batch_size, threshold=threshold)):
            yield replace(result.item, boxes=_NOBODY if result.poses is None else people_boxes(result.poses))
        return
    left = iter(items)
    while group := list(islice(left, batch_size)):
        photos = [_pixels(item) for item in group]
        readable = [p for p in photos if p is not None]
        found = list(detector(readable)) if readable else []
        if len(found) != len(readable):
            raise ValueError(f"the detector gave boxes for {len(found)} of {len(readable)} photos")
        rest = iter(found)
        for item, photo in zip(group, photos, strict=True):
            boxes = _NOBODY if photo is None else with_scores(next(rest))
            assert boxes is not None
            yield replace(item, boxes=boxes[boxes[:, 4] >= threshold])


def _boxes_alone(method: Method) -> Method:
    """The same network; where it can find boxes without looking for joints, that is what it does."""
    if not isinstance(method, PersonDetector):
        return method
    alone: Any = copy(method)
    alone.decode = lambda maps, size: [_in_the_middle(boxes, method.skeleton) for boxes in method.detect(maps, size)]
    return alone


def _in_the_middle(boxes: Float[np.ndarray, "n 5"], skeleton: Skeleton) -> Poses:
    """Boxes as people whose joints all stand in their box's middle, so that the pipeline carries them back to the photo."""
    middle = np.repeat((boxes[:, None, :2] + boxes[:, None, 2:4]) / 2, len(skeleton), 1)
    return Poses(skeleton, middle, np.ones(middle.shape[:2], np.float32), boxes[:, 4], boxes[:, :4])


def people_boxes(poses: Poses) -> Float[np.ndarray, "n 5"]:
    """See `manypose.poses.boxes.person_boxes`."""
    return person_boxes(poses.keypoints, counted(poses.keypoint_scores), poses.boxes, poses.scores)


_NOBODY = np.zeros((0, 5), np.float32)


def _pixels(item: PhotoInput) -> UInt8[np.ndarray, "_h _w 3"] | None:
    try:
        return media.pixels(item.photo)
    except (OSError, ValueError, TypeError):
        return None


# ── torchvision ──


def _fetched(name: str) -> torch.nn.Module:
    import torchvision

    chosen = torchvision.models.get_model_weights(name).DEFAULT  # pyright: ignore[reportAttributeAccessIssue]
    try:
        return torchvision.models.get_model(name, weights=chosen, weights_backbone=None)
    except (OSError, RuntimeError) as e:  # torch.hub: no network, a broken download
        raise ConnectionError(
            f"the weights of the detector {name!r} cannot be fetched ({e}); fetch {chosen.url} where there is a network, "
            "and give the file (--detector-weights FILE)"
        ) from None


def _filled(name: str, path: str | Path) -> torch.nn.Module:
    import torchvision

    state = checkpoint_files.read_checkpoint(path, ("model",))
    network = torchvision.models.get_model(name, weights=None, weights_backbone=None)
    if wrong := checkpoint_files.mismatch(network.state_dict(), state):
        raise ValueError(f"{path}: does not fit the detector {name!r}: {wrong}")
    network.load_state_dict(state)
    return network


def _detecting(network: torch.nn.Module, device: torch.device) -> Detector:
    def detect(photos: Sequence[UInt8[np.ndarray, "_h _w 3"]]) -> list[Float[np.ndarray, "n 5"]]:
        with torch.inference_mode():
            found = network([torch.from_numpy(p).to(device).permute(2, 0, 1).float() / 255 for p in photos])
        rows = (torch.cat([f["boxes"], f["scores"][:, None]], 1)[f["labels"] == PERSON] for f in found)
        return [r.cpu().numpy() for r in rows]

    return detect
