"""`PhotoInput` and `Result`: the input and output of prediction. Photos are decoded once, by threads that work ahead of the network.

Needs no PyTorch.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from manypose.io import photos as media
from manypose.io.shapes import Float, UInt8
from manypose.poses.boxes import usable
from manypose.poses.poses import Poses

__all__ = ["AHEAD", "PhotoInput", "Result", "ahead", "by_a_thread", "decoded", "read_ahead", "with_boxes"]

S = TypeVar("S")
T = TypeVar("T")

AHEAD = 2
"""Largest number of photos that wait between two steps (detection, poses, optical flow, output) while the earlier step continues."""


@dataclass(frozen=True, eq=False)
class PhotoInput:
    """A photo to predict; once `decoded`, with its pixels or an error.

    Args:
        photo: path, array, PIL image or tensor.
        boxes: xyxy and score of the people, for top-down methods.
        keep: whether the resulting `Poses` keep a reference to the photo.
        name: its name in errors, if it is not a file.
        pixels: RGB.
        error: why it cannot be read.
        skipped: number of boxes that were left out, by reason (`manypose.poses.boxes.usable`).
        best_box: the highest score of the detector's boxes, including those below its threshold; None without a detector.
    """

    photo: Any
    boxes: Float[np.ndarray, "n 5"] | None = None
    keep: bool = True
    name: str = ""
    pixels: UInt8[np.ndarray, "H W 3"] | None = None
    error: Exception | None = None
    skipped: dict[str, int] = field(default_factory=dict)
    best_box: float | None = None


@dataclass(frozen=True, eq=False)
class Result:
    """The result of a photo: people, or an error that names it.

    Args:
        item: the photo.
        size: its height and width; None if it could not be read.
        poses: the people in photo pixels; None after an error.
        error: the error, if any.
        best: the highest score of a person, including those below the threshold; 0 for a photo without people.
    """

    item: PhotoInput
    size: tuple[int, int] | None = None
    poses: Poses | None = None
    error: Exception | None = None
    best: float = 0.0

    @property
    def skipped(self) -> dict[str, int]:
        """Number of the photo's boxes that were left out, by reason."""
        return self.item.skipped


def decoded(item: PhotoInput) -> PhotoInput:
    """The photo with its pixels and without unusable boxes, or with an error that names it."""
    if item.pixels is not None or item.error is not None:
        return item
    try:
        item = replace(item, pixels=media.pixels(item.photo))
        return item if item.boxes is None else with_boxes(item, item.boxes)
    except (OSError, ValueError, TypeError) as e:
        return replace(item, error=type(e)(f"{item.name}: {e}") if item.name else e)


def with_boxes(item: PhotoInput, boxes: Float[np.ndarray, "n 5"]) -> PhotoInput:
    """A decoded photo with the usable ones of the boxes."""
    assert item.pixels is not None
    sound, skipped = usable(boxes, (item.pixels.shape[0], item.pixels.shape[1]))
    return replace(item, boxes=boxes[sound], skipped=skipped)


def read_ahead(items: Iterable[PhotoInput], depth: int) -> Iterator[PhotoInput]:
    """The decoded photos, in order; a few threads decode at most `depth` of them ahead. See `ahead`."""
    return ahead(decoded, items, depth, min(4, os.cpu_count() or 1))


def ahead(function: Callable[[S], T], items: Iterable[S], depth: int, threads: int) -> Iterator[T]:
    """The function of each item, in order; threads compute at most `depth` of them ahead.

    If `items` itself raises, the results of the items before it come first.
    """
    futures: deque[Future[T]] = deque()
    failure: Exception | None = None
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                futures.append(pool.submit(function, item))
                if len(futures) > depth:
                    yield futures.popleft().result()
        except Exception as e:
            failure = e
        while futures:
            yield futures.popleft().result()
    if failure is not None:
        raise failure


def by_a_thread(items: Iterable[T], depth: int) -> Iterator[T]:
    """The same items, produced by a separate thread at most `depth` of them ahead, in parallel with their consumer.

    If `items` itself raises, the items before it come first. With a depth of 0 no thread is used.
    """
    if depth < 1:
        yield from items
        return
    source = iter(items)
    with ThreadPoolExecutor(1) as pool:
        futures: deque[Future[T | _End]] = deque(pool.submit(next, source, _END) for _ in range(depth))
        try:
            while not isinstance(item := futures.popleft().result(), _End):
                futures.append(pool.submit(next, source, _END))
                yield item
        finally:
            for future in futures:
                future.cancel()


class _End:
    """The mark after the last item."""


_END = _End()
