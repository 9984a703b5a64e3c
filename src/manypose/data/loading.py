"""Loading for training: several data sets mixed by weight, augmented in workers, the same whatever the number of workers.

Everything random about a sample comes from (seed, epoch, place in the epoch) alone. So a run can be resumed in the middle of an epoch,
and results do not depend on how many workers there are.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from manypose.data.augmentation.mosaic import mosaic
from manypose.data.sample import Sample, collate

__all__ = ["Augmentation", "Loader", "Mixture", "People", "Plan", "Source", "loader"]


@runtime_checkable
class People(Protocol):
    """What a source of samples can do: tell how many there are and give one by index, always the same."""

    def __len__(self) -> int: ...

    def __getitem__(self, i: int) -> Sample: ...


Augmentation = Callable[[Sample, np.random.Generator], Sample]


@dataclass(frozen=True)
class Source:
    """A data set and how often it is drawn from.

    Args:
        dataset: of `Sample`s.
        weight: share of the samples, relative to the other sources' weights.
        mosaic: chance that a sample is put together from four of the data set's photos.
    """

    dataset: People
    weight: float = 1.0
    mosaic: float = 0.0


class Key(NamedTuple):
    """Which sample: all that a worker needs to make it."""

    epoch: int
    place: int
    source: int
    item: int


class Plan(Sampler[Key]):
    """Which photo of which source comes at which place of an epoch.

    Every source gives its exact share of each epoch, and all photos of a source are used once before one is used again, across epochs.

    Args:
        lengths: how many samples each source has.
        weights: the sources' shares.
        length: samples an epoch.
        batch_size: samples a batch.
        seed: of the order.
        shuffle: otherwise sources and samples come in order (evenly interleaved).
    """

    def __init__(
        self, lengths: Sequence[int], weights: Sequence[float], length: int, batch_size: int, seed: int, shuffle: bool = True
    ) -> None:
        if not lengths or min(weights) < 0 or sum(weights) <= 0:
            raise ValueError(f"sources need weights that are not negative and not all zero, got {list(weights)}")
        if any(n == 0 and w > 0 for n, w in zip(lengths, weights, strict=True)):
            raise ValueError(f"a source is empty: the sources have {list(lengths)} samples")
        if not 1 <= batch_size <= length:
            raise ValueError(f"batch_size must lie between 1 and the {length} samples of an epoch, got {batch_size}")
        self.lengths, self.length, self.batch_size, self.seed, self.shuffle = list(lengths), length, batch_size, seed, shuffle
        ideal = np.asarray(weights, np.float64) / np.sum(weights) * length
        counts = np.floor(ideal).astype(int)
        counts[np.argsort(counts - ideal, kind="stable")[: length - counts.sum()]] += 1  # largest remainders first
        self.counts = counts
        self.set_epoch(0)

    def set_epoch(self, epoch: int, start: int = 0, process: int = 0, processes: int = 1) -> None:
        """See `Loader.set_epoch`."""
        self.epoch, self.batches = epoch, range(start + process, self.length // self.batch_size, processes)

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Key]:
        epoch, batches, size = self.epoch, self.batches, self.batch_size
        sources = self._sources()
        items = np.empty(self.length, int)
        for s, count in enumerate(self.counts):
            items[sources == s] = self._items(s, epoch * int(count), int(count))
        return (Key(epoch, i, int(sources[i]), int(items[i])) for b in batches for i in range(b * size, (b + 1) * size))

    def _sources(self) -> np.ndarray:
        sources = np.repeat(np.arange(len(self.counts)), self.counts)
        if self.shuffle:
            return np.random.default_rng((self.seed, self.epoch, 1)).permutation(sources)
        when = np.concatenate([(np.arange(c) + 0.5) / c for c in self.counts if c])
        return sources[np.argsort(when, kind="stable")]

    def _items(self, source: int, start: int, count: int) -> np.ndarray:
        """Numbers start … start + count - 1 of the endless sequence of permutations of one source."""
        n = self.lengths[source]
        if not self.shuffle:
            return np.arange(start, start + count) % n
        if count == 0:
            return np.empty(0, int)
        rounds = range(start // n, (start + count - 1) // n + 1)
        orders = [np.random.default_rng((self.seed, source, r, 2)).permutation(n) for r in rounds]
        return np.concatenate(orders)[start - rounds[0] * n :][:count]


class Mixture(Dataset[Sample]):
    """Augmented samples by `Key`; what the workers run."""

    def __init__(
        self, sources: Sequence[Source], augment: Augmentation | None, seed: int, views: Sequence[Augmentation] = (), batch_size: int = 1
    ) -> None:
        self.sources, self.augment, self.seed, self.views, self.batch_size = list(sources), augment, seed, list(views), batch_size

    def __getitem__(self, key: Key) -> Sample:
        source = self.sources[key.source]
        rng = np.random.default_rng((self.seed, key.epoch, key.place, 3))
        sample = source.dataset[key.item]
        if rng.random() < source.mosaic:
            others = rng.integers(len(source.dataset), size=3)
            sample = mosaic([sample, *(source.dataset[int(i)] for i in others)], rng)
        sample = sample if self.augment is None else self.augment(sample, rng)
        if self.views:  # one for the whole batch
            batch = np.random.default_rng((self.seed, key.epoch, key.place // self.batch_size, 4))
            sample = self.views[batch.integers(len(self.views))](sample, rng)
        return sample


class Loader(DataLoader):
    """A `DataLoader` of `Batch`es whose epochs can be chosen and entered anywhere."""

    sampler: Plan

    def set_epoch(self, epoch: int, start: int = 0, process: int = 0, processes: int = 1) -> None:
        """What iterating gives from now on: epoch `epoch` from batch `start` on, of these every `processes`-th from the `process`-th on.

        Entering in the middle costs nothing; ``len`` stays the number of batches of a whole epoch.
        """
        self.sampler.set_epoch(epoch, start, process, processes)


def loader(
    sources: Sequence[Source],
    augment: Augmentation | None,
    batch_size: int,
    *,
    length: int,
    seed: int,
    views: Sequence[Augmentation] = (),
    workers: int = 0,
    shuffle: bool = True,
) -> Loader:
    """Batches of mixed, augmented samples. A sample depends on (seed, epoch, place in the epoch) and on nothing else.

    Args:
        sources: what to mix.
        augment: ``(sample, rng) -> Sample``, in the workers; None leaves samples as they are. All samples must leave it with one size.
        batch_size: samples a batch; a last batch that is not full is dropped.
        length: samples an epoch.
        seed: of everything random.
        views: further augmentations, such as views of different sizes, of which one is drawn for each batch and applied after `augment`.
        workers: processes that load; 0 loads in this one.
        shuffle: random order, or sources and samples in order.

    Raises:
        ValueError: no sources, empty sources, bad weights, or fewer samples an epoch than a batch.
    """
    if not sources:
        raise ValueError("no data to train on: give at least one source")
    plan = Plan([len(s.dataset) for s in sources], [s.weight for s in sources], length, batch_size, seed, shuffle)
    return Loader(
        Mixture(sources, augment, seed, views, batch_size),
        batch_size,
        sampler=plan,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=torch.cuda.is_available(),
        drop_last=True,
        worker_init_fn=_one_thread,
        persistent_workers=workers > 0,
    )


def _one_thread(worker: int) -> None:
    """Workers are parallel already; threads within them only get in one another's way."""
    cv2.setNumThreads(0)
