"""`Batches`: the photos of several clients go through a network together, in one thread that alone uses the models."""

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
"""Photos for the network at a time, in batches: a top-down model's batches are crops of people, which fill up over several photos."""


@dataclass(eq=False)
class _Photo:
    model: str
    pixels: UInt8[np.ndarray, "H W 3"]
    options: PredictOptions
    people: Future[Poses] = field(default_factory=Future)


class Batches:
    """The queue before the models, and the thread that empties it.

    Photos that wait for the same model with the same options are looked at together. A video's frames come as calls of a function, which
    take turns with the photos.

    Args:
        models: by name.
        length: photos that are accepted at a time.
        tell: is told of each group of photos: how many, and the seconds it took.
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
        """Photos that are accepted and not yet answered."""
        return self._accepted

    @property
    def working(self) -> bool:
        """Whether photos are taken."""
        return self._thread.is_alive() and not self._closed

    @contextmanager
    def place(self, photos: int = 1) -> Iterator[None]:
        """A block in which so many photos are accepted: from their arrival to their answer.

        Raises:
            Refused: there is no place left (503).
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
        """The people of a photo, when its turn has come.

        Raises:
            Refused: too many large photos wait (503).
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
        """What a function gives that may use the models; it should be done in a few seconds."""
        result: Future[Any] = Future()
        with self._changed:
            if self._closed:
                raise self._full()
            self._calls.append((function, result))
            self._changed.notify()
        return result

    def finder(self, model: str) -> Any:
        """What finds the boxes of people for a model; None for a model that needs none."""
        return self._finders[model]

    def close(self) -> None:
        """Finish what was accepted, and end."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _full(self) -> Refused:
        if self._closed:
            return Refused(503, "the service is being stopped", 5)
        seconds = min(60, max(1, math.ceil(self._accepted * self._seconds)))
        return Refused(503, f"{self._accepted} photos are waiting already; try again in {seconds} s", seconds)

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
        """The photo that has waited longest and others like it, taken off the queue."""
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
            found = model.predict([p.pixels for p in group], detector=self._finders[group[0].model], options=options)
        except Exception as e:
            if len(group) == 1:
                _fill(group[0].people, e)
            else:
                logging.getLogger("manypose").debug("a group of photos fails (%s); one by one", e)
                for photo in group:  # the one that fails does not take the others with it
                    self._look([photo])
        else:
            for photo, poses in zip(group, found, strict=True):
                photo.people.set_result(poses)


def _fill(result: Future[Any], function: Callable[[], Any] | Exception) -> None:
    """Set what a function gives, or the error that it raises."""
    if isinstance(function, Exception):
        result.set_exception(function)
        return
    try:
        value = function()
    except Exception as e:
        result.set_exception(e)
    else:
        result.set_result(value)
