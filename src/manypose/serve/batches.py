"""`Batches`: runs the photos of several clients through a network together, in the only thread that uses the models."""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import UInt8

from manypose.inference.model import Model
from manypose.inference.options import PredictOptions
from manypose.poses.poses import Poses
from manypose.serve.limits import PIXELS, Refused

__all__ = ["Batches"]

TOGETHER = 4
"""Photos in one group: the batches of a top-down model are crops of people, which fill up over several photos."""


@dataclass(eq=False)
class _Photo:
    model: str
    pixels: UInt8[np.ndarray, "H W 3"]
    options: PredictOptions
    people: Future[Poses] = field(default_factory=Future)


class Batches:
    """The queue before the models, and the thread that empties it.

    Photos that wait for the same model with the same options are processed together. Video frames are processed by function calls, which
    alternate with the photos.

    Args:
        models: models by name.
        length: largest number of photos in the queue.
        tell: called for each group of photos with their number and the seconds taken.
    """

    def __init__(self, models: Mapping[str, Model], length: int, tell: Callable[[int, float], None] = lambda photos, seconds: None) -> None:
        self.models, self.length, self._tell = models, length, tell
        self._finders: dict[str, Any] = {name: model.finder() for name, model in models.items()}
        self._photos: deque[_Photo] = deque()
        self._calls: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._changed = threading.Condition()
        self._accepted, self._pixels, self._closed, self._seconds = 0, 0, False, 0.2
        self._thread = threading.Thread(target=self._run, name="manypose-predict", daemon=True)
        self._thread.start()

    @property
    def accepted(self) -> int:
        """Number of photos that are accepted and not yet finished."""
        return self._accepted

    @property
    def working(self) -> bool:
        """Whether photos are accepted."""
        return self._thread.is_alive() and not self._closed

    @contextmanager
    def place(self, photos: int = 1) -> Iterator[None]:
        """A context that reserves places in the queue for photos, from their arrival to their response.

        Raises:
            Refused: the queue is full (503).
        """
        with self._changed:
            if self._accepted + photos > self.length or not self.working:
                raise self._full()
            self._accepted += photos
        try:
            yield
        finally:
            with self._changed:
                self._accepted -= photos

    def submit(self, model: str, pixels: UInt8[np.ndarray, "H W 3"], options: PredictOptions) -> Future[Poses]:
        """Add a photo to the queue; the future gives its people.

        Raises:
            Refused: too many large photos are waiting (503).
        """
        photo = _Photo(model, pixels, options)
        with self._changed:
            if not self.working or (self._photos and self._pixels + pixels.size // 3 > PIXELS):
                raise self._full()
            self._pixels += pixels.size // 3
            self._photos.append(photo)
            self._changed.notify()
        return photo.people

    def call(self, function: Callable[[], Any]) -> Future[Any]:
        """Queue a function that may use the models; the future gives its result. It should take a few seconds at most."""
        result: Future[Any] = Future()
        with self._changed:
            if self._closed:
                raise self._full()
            self._calls.append((function, result))
            self._changed.notify()
        return result

    def finder(self, model: str) -> Any:
        """The person detector of a model; None for a bottom-up model."""
        return self._finders[model]

    def close(self) -> None:
        """Finish all accepted photos, and stop."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _full(self) -> Refused:
        if self._closed:
            return Refused(503, "the service is shutting down", 5)
        seconds = min(60, max(1, math.ceil(self._accepted * self._seconds)))
        return Refused(503, f"{self._accepted} photos are already waiting; try again in {seconds} s", seconds)

    # ── the thread ──

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._photos or self._calls or self._closed):
                    self._changed.wait()
                if not (self._photos or self._calls):
                    return
                group = self._group()
                call = self._calls.popleft() if self._calls else None
            if group:
                began = time.perf_counter()
                self._look(group)
                seconds = time.perf_counter() - began
                self._seconds += 0.2 * (seconds / len(group) - self._seconds)
                self._tell(len(group), seconds)
            if call is not None and call[1].set_running_or_notify_cancel():
                _fill(call[1], call[0])

    def _group(self) -> list[_Photo]:
        """The photo that has waited longest and others with the same model and options, removed from the queue."""
        if not self._photos:
            return []
        first = self._photos[0]
        most = TOGETHER * first.options.batch_size
        alike = [p for p in self._photos if (p.model, p.options) == (first.model, first.options)][:most]
        taken = set(map(id, alike))
        self._photos = deque(p for p in self._photos if id(p) not in taken)
        self._pixels -= sum(p.pixels.size // 3 for p in alike)
        return [p for p in alike if p.people.set_running_or_notify_cancel()]

    def _look(self, group: list[_Photo]) -> None:
        model, options = self.models[group[0].model], group[0].options
        try:
            found = model.predict([p.pixels for p in group], detector=self._finders[group[0].model], colour="rgb", options=options)
        except Exception as e:
            if len(group) == 1:
                _fill(group[0].people, e)
            else:
                logging.getLogger("manypose").debug("a group of photos failed (%s); trying one by one", e)
                for photo in group:  # one bad photo must not fail the others
                    self._look([photo])
        else:
            for photo, poses in zip(group, found, strict=True):
                photo.people.set_result(poses)


def _fill(result: Future[Any], function: Callable[[], Any] | Exception) -> None:
    """Set a future to a function's result, or to the error that it raises."""
    if isinstance(function, Exception):
        result.set_exception(function)
        return
    try:
        value = function()
    except Exception as e:
        result.set_exception(e)
    else:
        result.set_result(value)
