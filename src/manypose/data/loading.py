"""Loading for training: several data sets mixed by weight and augmented in worker processes.

All random choices for a sample depend on (seed, epoch, index in the epoch) alone, so that a run can be resumed within an epoch and does
not depend on the number of workers.
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
    """A map-style data set of samples."""

    def __len__(self) -> int: ...

    def __getitem__(self, i: int) -> Sample: ...


Augmentation = Callable[[Sample, np.random.Generator], Sample]


@dataclass(frozen=True)
class Source:
    """A data set and its weight.

    Args:
        dataset: of `Sample`s.
        weight: share of the samples, relative to the other sources' weights.
        mosaic: probability of a mosaic of four photos of the data set.
    """

    dataset: People
    weight: float = 1.0
    mosaic: float = 0.0


class Key(NamedTuple):
    """The key of a sample: all that a worker needs to load it."""

    epoch: int
    place: int
    source: int
    item: int


class Plan(Sampler[Key]):
    """The order of samples in an epoch.

    Every source has its exact share of each epoch, and all its photos are used once before one is repeated, across epochs.

    Args:
        lengths: number of samples of each source.
        weights: weights of the sources.
        length: samples per epoch.
        batch_size: samples per batch.
        seed: random seed.
        shuffle: random order; otherwise sources and samples come in order (evenly interleaved).
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
        """Elements start … start + count - 1 of the infinite sequence of permutations of one source."""
        n = self.lengths[source]
        if not self.shuffle:
            return np.arange(start, start + count) % n
        if count == 0:
            return np.empty(0, int)
        rounds = range(start // n, (start + count - 1) // n + 1)
        orders = [np.random.default_rng((self.seed, source, r, 2)).permutation(n) for r in rounds]
        return np.concatenate(orders)[start - rounds[0] * n :][:count]


class Mixture(Dataset[Sample]):
    """Augmented samples by `Key`, evaluated in the workers."""

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
        if self.views:  # the same for all samples of a batch
            batch = np.random.default_rng((self.seed, key.epoch, key.place // self.batch_size, 4))
            sample = self.views[batch.integers(len(self.views))](sample, rng)
        return sample


class Loader(DataLoader):
    """A `DataLoader` of `Batch`es that can start at any batch of any epoch."""

    sampler: Plan

    def set_epoch(self, epoch: int, start: int = 0, process: int = 0, processes: int = 1) -> None:
        """Set the batches of the next iteration: epoch `epoch` from batch `start` on, every `processes`-th from the `process`-th on.

        Skipped batches are not loaded; ``len`` stays the number of batches of an epoch.
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
    """A loader of batches of mixed, augmented samples, each determined by (seed, epoch, index in the epoch).

    Args:
        sources: the data sets.
        augment: ``(sample, rng) -> Sample``, applied in the workers; all results must have one size. None: no augmentation.
        batch_size: samples per batch; an incomplete last batch is dropped.
        length: samples per epoch.
        seed: random seed.
        views: further augmentations, such as views of different sizes, one of which is drawn for each batch and applied after `augment`.
        workers: number of worker processes; 0 loads in the main process.
        shuffle: random order, or sources and samples in order.

    Raises:
        ValueError: no sources, empty sources, invalid weights, or fewer samples per epoch than per batch.
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
    """Use one thread in a worker, since workers already run in parallel."""
    cv2.setNumThreads(0)
