"""The work on a block: prediction of its photos, in batches across photos, as in plain prediction."""

import tarfile
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

import numpy as np

from manypose.inference.cluster.items import Item, items
from manypose.inference.cluster.job import Block
from manypose.inference.cluster.rows import Counts, Row, to_shard
from manypose.inference.detectors import find_detector
from manypose.inference.model import Model, load
from manypose.inference.options import PredictOptions
from manypose.inference.photos import PhotoInput
from manypose.inference.pipeline import tracked
from manypose.inference.turned import find_people
from manypose.tracking.tracker import Tracker, TrackOptions

__all__ = ["PredictBlocks", "Recipe"]


@dataclass(frozen=True)
class Recipe:
    """The setup of a worker, as names and files, so that it can be sent to other machines.

    Args:
        model, weights, detector, detector_weights: see `manypose.inference.model.load` and `find_detector`.
        options: prediction options.
        tracking: tracking options for videos; None: no tracking.
        redetector, redetector_weights: a top-down model that searches for lost people.
        suffix: suffix of the shards.
        device: auto, cpu, cuda.
    """

    model: str | None = None
    weights: str | None = None
    detector: str | None = None
    detector_weights: str | None = None
    options: PredictOptions = PredictOptions()  # noqa: RUF009 - frozen
    tracking: TrackOptions | None = None
    redetector: str | None = None
    redetector_weights: str | None = None
    suffix: str = ".parquet"
    device: str = "auto"

    def loaded(self, boxes: bool = False) -> Model:
        """The model, checked against the options; `boxes`: whether boxes will be given.

        Raises:
            FileNotFoundError, ValueError: there is no such model, or the options do not suit it.
        """
        model = load(self.model, weights=self.weights, device=self.device)
        model.check(self.options, boxes or self.detector is not None)
        return model

    def tracker(self, model: Model) -> Callable[[], Tracker] | None:
        """A function that makes a tracker for a video, with the model that searches for lost people; None without tracking.

        Raises:
            FileNotFoundError, ValueError: there is no such redetector, or the options do not suit it.
        """
        if self.tracking is None:
            return None
        second = None if self.redetector is None else load(self.redetector, weights=self.redetector_weights, device=self.device)
        model.tracker(self.tracking, second)  # errors are raised here
        return partial(model.tracker, self.tracking, second)


class PredictBlocks:
    """A worker with its model: from a block to a shard of rows.

    Args:
        recipe: the setup.
        model: the model, if it is already loaded.
        boxes: whether boxes are given with the photos.
    """

    def __init__(self, recipe: Recipe, model: Model | None = None, boxes: bool = False) -> None:
        self.recipe, self.model, device = recipe, model or recipe.loaded(boxes), recipe.device
        if boxes:
            self.finder = None
        elif recipe.detector is None:
            self.finder = self.model.finder()
        else:
            self.finder = find_detector(recipe.detector, weights=recipe.detector_weights, device=device)
        self.tracker = recipe.tracker(self.model)

    def __call__(self, block: Block, refused: Container[int], tell: Callable[[int], None] | None) -> tuple[bytes, Counts]:
        """The shard of a block; see `rows`."""
        rows = list(self.rows(block, refused, tell))
        return to_shard(rows, self.model.skeleton, ".parquet" if block.get("chunk") else self.recipe.suffix), Counts.of(rows)

    def rows(self, block: Block, refused: Container[int] = (), tell: Callable[[int], None] | None = None) -> Iterator[Row]:
        """A row for each photo or frame of a block, in order; an unreadable photo gives a row with an error.

        Args:
            block: a block of a plan.
            refused: indices in the block that give an error without being read.
            tell: called with the index of each photo before it is processed; photos are then processed one by one, which is slow.
        """
        options = self.recipe.options if tell is None else replace(self.recipe.options, batch_size=1)
        depth = 2 * options.batch_size if tell is None else 0
        given: list[Item] = []

        def photos() -> Iterator[PhotoInput]:
            found = items(block, depth, refused)
            place = 0
            while True:
                if tell is not None:
                    tell(place)
                item = next(found, None)
                if item is None:
                    return
                given.append(replace(item, photo=PhotoInput(None)))
                yield item.photo
                place += 1

        video = block["kind"] == "frames"
        tracking = self.recipe.tracking if video else None
        options = replace(options, turned=options.turned and not video)
        every = 1 if tracking is None else tracking.detect_every
        method, finder = self.model.method, self.finder
        if tell is None:
            results = find_people(method, finder, photos(), options, options.batch_size if video else None, every)
        else:  # each photo is finished before the next one is read
            none = np.zeros((0, 5), np.float32)  # of frames in which no people are detected
            asked = (replace(photo, boxes=none) if i % every else photo for i, photo in enumerate(photos()))
            results = chain.from_iterable(find_people(method, finder, [photo], options, 0) for photo in asked)
        if self.tracker is not None and video and not block["chunk"]:
            results = tracked(results, self.tracker(), options)
        try:
            for result in results:
                item = given.pop(0)
                error = None if result.poses is not None else " ".join(str(result.error or "no result").split())
                yield Row(item.uri, result.size, result.poses, error, item.frame, item.time)
        except (OSError, ValueError, ImportError, tarfile.TarError) as e:  # pyarrow's errors are ValueErrors and OSErrors
            yield Row(block.get("uri", "block"), error=" ".join(str(e).split()) or type(e).__name__)
