"""From photos to people with any method: views, batches of equal size, merging, decoding, and back to photo pixels.

Photos are read and scaled by a few threads ahead of the network; of each only its views are kept. Views of equal size share a batch,
results come in the order of the photos, and memory does not grow with their number.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from manypose.inference.test_time_augmentation import base_scale, outputs, published_views, views
from manypose.io import photos as media
from manypose.methods.method import Method, TopDownMethod, module_of
from manypose.poses.boxes import usable
from manypose.poses.oks import oks_nms
from manypose.poses.poses import Poses
from manypose.poses.warp import Warp

__all__ = ["Options", "PhotoInput", "Result", "device_of", "stream"]

T = TypeVar("T")
S = TypeVar("S")


@dataclass(frozen=True)
class Options:
    """How to predict.

    Args:
        flip: look at the mirrored photo too and merge.
        scales: look at the photo at several scales and merge; 1 is the method's own size.
        size: the short side of the network's input in pixels; default: the method's own.
        batch_size: how many views go through the network at once. It changes speed and memory, not the result.
        threshold: people with a lower score are left out.
        mixed: half precision where PyTorch thinks it safe: faster on a GPU, and equal to a few hundredths of a pixel only.
        published: sizes and merging as HigherHRNet's and SWAHR's authors have them, for their figures; maps are enlarged, so it is slower.

    Raises:
        ValueError: a number makes no sense.
    """

    flip: bool = False
    scales: tuple[float, ...] = (1.0,)
    size: int | None = None
    batch_size: int = 8
    threshold: float = 0.0
    mixed: bool = False
    published: bool = False

    def __post_init__(self) -> None:
        if not self.scales or not all(0.05 <= s <= 20 for s in self.scales) or len(set(self.scales)) != len(self.scales):
            raise ValueError(f"scales must be different numbers from 0.05 to 20, got {list(self.scales)}")
        if self.size is not None and not 16 <= self.size <= 10_000:
            raise ValueError(f"size must be 16 to 10,000 pixels, got {self.size}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")
        if not np.isfinite(self.threshold):
            raise ValueError(f"threshold must be a number, got {self.threshold}")


@dataclass(frozen=True)
class PhotoInput:
    """A photo to look at.

    Args:
        photo: path, array, PIL image or tensor.
        boxes: xyxy and score of the people to look at, for methods that look at one person at a time.
        keep: the resulting `Poses` remember the photo (an array is then not freed before they are).
        name: what errors call it, where it is no file.
    """

    photo: Any
    boxes: Float[np.ndarray, "n 5"] | None = None
    keep: bool = True
    name: str = ""


@dataclass(eq=False)
class Result:
    """What came of an item: people, or an error that names the photo.

    Args:
        item: the item.
        size: the photo's height and width; None where it could not be read.
        poses: the people in photo pixels; None where there was an error.
        error: why there are none.
        skipped: how many of the item's boxes were left out, by reason (`manypose.poses.boxes.usable`).
    """

    item: PhotoInput
    size: tuple[int, int] | None = None
    poses: Poses | None = None
    error: Exception | None = None
    skipped: dict[str, int] = field(default_factory=dict)


@dataclass(eq=False)
class Views:
    """The views of a whole photo, or of one person in it, one a scale; those not yet made know the photo instead."""

    warps: tuple[Warp, ...]
    images: list[UInt8[np.ndarray, "_h _w 3"]]
    photo: UInt8[np.ndarray, "H W 3"] | None = None
    poses: Poses | None = None


@dataclass(eq=False)
class PendingPhoto:
    """A photo's looks; done when each has people."""

    result: Result
    looks: list[Views] = field(default_factory=list)


def stream(method: Method, items: Iterable[PhotoInput], options: Options) -> Iterator[Result]:
    """The people of each photo, in order.

    A photo that cannot be read becomes a `Result` with an error and does not end the stream. Where `items` itself fails, the results of
    what came before are given first.
    """
    waiting: deque[PendingPhoto] = deque()
    buckets: dict[tuple, list[Views]] = {}
    failure: Exception | None = None

    def run(key: tuple) -> None:
        _decode(method, buckets.pop(key), options)

    def undone() -> Iterator[Views]:
        return (look for seen in waiting for look in seen.looks if look.poses is None)

    def finished() -> Iterator[Result]:
        while waiting and all(look.poses is not None for look in waiting[0].looks):
            yield _joined(method, waiting.popleft(), options)

    try:
        for seen in _ahead(lambda item: _look(method, item, options), items, options.batch_size):
            waiting.append(seen)
            for look in seen.looks:
                key = tuple(w.size for w in look.warps)
                buckets.setdefault(key, []).append(look)
                if len(buckets[key]) == options.batch_size:
                    run(key)
            # Rare sizes do not hold up the others for ever.
            while sum(map(len, buckets.values())) > 4 * options.batch_size:
                run(tuple(w.size for w in next(undone()).warps))
            yield from finished()
    except Exception as e:
        failure = e
    while buckets:
        run(tuple(w.size for w in next(undone()).warps))
        yield from finished()
    yield from finished()
    if failure is not None:
        raise failure


def _ahead(work: Callable[[T], S], items: Iterable[T], depth: int) -> Iterator[S]:
    """`work` done on each item by a few threads, in order, at most `depth` items ahead."""
    if isinstance(items, Sequence) and len(items) == 1:  # starting threads would cost more
        yield work(items[0])
        return
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        futures: deque[Future[S]] = deque()
        failure: Exception | None = None
        try:
            for item in items:
                futures.append(pool.submit(work, item))
                if len(futures) > depth:
                    yield futures.popleft().result()
        except Exception as e:
            failure = e
        while futures:
            yield futures.popleft().result()
        if failure is not None:
            raise failure


# ── one photo ──


def _look(method: Method, item: PhotoInput, options: Options) -> PendingPhoto:
    try:
        photo = media.pixels(item.photo)
        hw, skipped = (photo.shape[0], photo.shape[1]), {}
        if item.boxes is not None:
            sound, skipped = usable(item.boxes, hw)
            item = replace(item, boxes=item.boxes[sound])
        warps = _warps(method, photo, item.boxes, options)
        # Of thousands of people only a batch is cut out ahead; the others when it is their turn, or memory would grow with them.
        looks = [Views(w, [v.image(photo) for v in w]) for w in warps[: options.batch_size]]
        looks += [Views(w, [], photo) for w in warps[options.batch_size :]]
    except (OSError, ValueError, TypeError) as e:
        return PendingPhoto(Result(item, error=type(e)(f"{item.name}: {e}") if item.name else e))
    return PendingPhoto(Result(item, hw, skipped=skipped), looks)


def _warps(
    method: Method, photo: UInt8[np.ndarray, "H W 3"], boxes: Float[np.ndarray, "n 5"] | None, options: Options
) -> list[tuple[Warp, ...]]:
    if isinstance(method, TopDownMethod):
        if boxes is None:
            raise ValueError("this model looks at one person at a time and needs their boxes")
        return [(warp,) for warp in method.people(photo, boxes[:, :4])]
    hw, size = (photo.shape[0], photo.shape[1]), options.size or method.size
    if options.published:
        return [published_views(hw, size, options.scales)]
    return [views(hw, size, method.stride, options.scales)]


def _joined(method: Method, seen: PendingPhoto, options: Options) -> Result:
    """The people of all looks at a photo."""
    if seen.result.error is not None:
        return seen.result
    parts = [look.warps[base_scale(options.scales)].back(look.poses, seen.result.size) for look in seen.looks if look.poses is not None]
    boxes = seen.result.item.boxes
    if boxes is not None:
        parts = [
            replace(p, scores=p.scores * box[4], detections=np.tile(box[:4], (len(p), 1))) for p, box in zip(parts, boxes, strict=True)
        ]
    poses = parts[0] if len(parts) == 1 else _together(parts, method)
    if isinstance(method, TopDownMethod):
        poses = oks_nms(poses, method.person_nms_oks)
    keep = _sound(poses) & (poses.scores >= options.threshold)
    poses = poses if keep.all() else poses[keep]  # masks of a large photo are not copied for nothing
    photo = seen.result.item.photo if seen.result.item.keep else None
    return replace(seen.result, poses=replace(poses, photo=photo))


def _together(parts: Sequence[Poses], method: Method) -> Poses:
    if not parts:
        return Poses.empty(method.skeleton)
    names = ("keypoints", "keypoint_scores", "scores", "boxes", *(("detections",) if parts[0].detections is not None else ()))
    return Poses(method.skeleton, **{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})


def _sound(poses: Poses) -> np.ndarray:
    """People with at least one joint and finite numbers only."""
    numbers = (poses.keypoints, poses.keypoint_scores, poses.scores, poses.boxes)
    finite = [np.isfinite(a).all(axis=tuple(range(1, a.ndim))) for a in numbers]
    return np.logical_and.reduce(finite) & (poses.keypoint_scores > 0).any(1)


# ── one batch ──


def _decode(method: Method, looks: list[Views], options: Options) -> None:
    """Gives every look its people, in the pixels of its base view."""
    warps, base, device = looks[0].warps, base_scale(options.scales), device_of(method)
    views_ = [look.images if look.photo is None else [w.image(look.photo) for w in look.warps] for look in looks]
    with torch.inference_mode(), _evaluating(method):
        images = [_batch([v[i] for v in views_], device) for i in range(len(warps))]
        zooms = [w.scale / warps[base].scale for w in warps]
        grid = "input" if options.published else "base"
        maps = outputs(method, images, zooms, base, flip=options.flip, grid=grid, mixed=options.mixed)
        for look, poses in zip(looks, method.decode(maps, warps[base].size), strict=True):
            look.poses, look.images, look.photo = poses, [], None


def _batch(images: Sequence[UInt8[np.ndarray, "_h _w 3"]], device: torch.device) -> UInt8[Tensor, "b _h _w 3"]:
    batch = torch.from_numpy(np.stack(images))
    return batch.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else batch.to(device)


def device_of(method: Method) -> torch.device:
    """Where a method's weights are."""
    module = module_of(method)
    tensor = next((t for group in (module.parameters(), module.buffers()) for t in group), None)
    return torch.device("cpu") if tensor is None else tensor.device


@contextmanager
def _evaluating(method: Any) -> Iterator[None]:
    if not method.training:  # to switch all parts of a large network takes milliseconds
        yield
        return
    method.eval()
    try:
        yield
    finally:
        method.train()
