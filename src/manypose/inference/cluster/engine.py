"""Distribution of a job's blocks by Ray Data to actors with one model each. Photos do not pass through Ray: the actors read them directly.

Only the number of a block, and its counts on the way back, pass through Ray, so that the driver's memory does not grow with the job. Each
actor reads only a few photos ahead of its network (`items`).
"""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
from tqdm import tqdm

from manypose.inference.cluster.job import Block, Job, read_block, shard_name
from manypose.inference.cluster.rows import Counts
from manypose.io.storage import Folder

__all__ = ["Actors", "BlockActor", "Work", "cluster", "do", "limit_threads", "spread"]

Work = Callable[[Block, "frozenset[int]", "Callable[[int], None] | None"], tuple[bytes, Counts]]
"""A function from a block, the refused indices in it, and a callback for each index that is started, to the shard and its counts."""

MOST_TASKS = 20_000
"""Largest number of tasks; in a longer job a task holds several blocks. A repeated task skips blocks that have a shard."""

CAREFUL = 3
"""The attempt from which a block is processed photo by photo, to identify the one that kills the worker."""


@dataclass(frozen=True)
class Actors:
    """The workers.

    Args:
        workers: largest number of workers; by default as many as the cluster can run.
        cpus: CPU cores of each worker.
        gpus: GPUs of each worker; a fraction, such as 0.25, shares one.
        address: address of a Ray cluster, such as ``auto`` or ``ray://head:10001``; by default ``RAY_ADDRESS``, else only this machine.

    Raises:
        ValueError: a number is out of range.
    """

    workers: int | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    address: str | None = None

    def __post_init__(self) -> None:
        if (self.workers is not None and self.workers < 1) or self.cpus < 0 or self.gpus < 0 or not (self.cpus or self.gpus):
            raise ValueError(f"workers must be at least 1, and cpus or gpus above 0; got {self.workers}, {self.cpus:g} and {self.gpus:g}")

    @property
    def threads(self) -> int:
        """The number of CPU threads of each worker's networks."""
        return max(1, int(self.cpus))


class BlockActor:
    """The Ray actor: one model that processes blocks until there are no more."""

    def __init__(self, job: Folder, suffix: str, make: Callable[[], Work], threads: int) -> None:
        limit_threads(threads)
        self.job, self.suffix, self.work = job, suffix, make()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Write the shards of some blocks, and return their counts."""
        done = [self._one(int(number)) for number in batch["item"]]
        return {"number": batch["item"], **{name: [getattr(c, name) for c in done] for name in ("rows", "errors", "people")}}

    def _one(self, number: int) -> Counts:
        block = read_block(self.job, number)
        shard = shard_name(number, self.suffix, block.get("chunk") is not None)
        if self.job.has(shard):  # a repeated task
            return Counts()
        refused, tell = self._attempt(f"attempts/{number:08d}.json")
        content, counts = self.work(block, refused, tell)
        self.job.write(shard, content)
        self.job.remove(f"attempts/{number:08d}.json")
        return counts

    def _attempt(self, file: str) -> tuple[frozenset[int], Callable[[int], None] | None]:
        """The indices that killed the worker twice, and a callback that records progress if the block killed a worker before."""
        state = json.loads(self.job.read(file)) if self.job.has(file) else {"tries": 0, "deaths": [], "at": None}
        state = {"tries": state["tries"] + 1, "deaths": state["deaths"] + [state["at"]] * (state["at"] is not None), "at": None}
        self.job.write(file, json.dumps(state).encode())
        if state["tries"] < CAREFUL:
            return frozenset(), None
        refused = frozenset(i for i in state["deaths"] if state["deaths"].count(i) > 1)
        return refused, lambda place: self.job.write(file, json.dumps({**state, "at": place}).encode())


def do(job: Job, make: Callable[[], Work], actors: Actors, quiet: bool = False) -> Counts:
    """Process all blocks without a shard, and return their counts.

    Args:
        job: the job.
        make: creates the worker of an actor; it is sent to other machines.
        actors: the number and resources of the actors.
        quiet: no progress bar.

    Raises:
        ImportError: Ray is not installed.
        RuntimeError: the cluster cannot be reached, or a worker fails in a way that a retry would not cure.
    """
    finished = {*job.finished(), *job.finished(chunks=True)}
    todo = [n for n in range(len(job)) if n not in finished]
    total = Counts()
    with tqdm(total=len(job), initial=len(finished), unit=" blocks", disable=quiet or not sys.stderr.isatty()) as bar:
        for row in spread(job, todo, BlockActor, (job.folder, job.suffix, make, actors.threads), actors):
            total += Counts(row["rows"], row["errors"], row["people"])
            bar.set_postfix(rows=total.rows, errors=total.errors)
            bar.update()
    return total


def spread(job: Job, todo: Sequence[int], actor: type, arguments: tuple[Any, ...], actors: Actors) -> Iterator[dict[str, Any]]:
    """What actors return for each block, in no order; blocks of dead actors go to others.

    Args:
        job: the job.
        todo: numbers of blocks.
        actor: the actor's class; called with ``{"item": [number]}``.
        arguments: the arguments of its constructor.
        actors: the number and resources of the actors.

    Raises:
        ImportError, RuntimeError: see `do`.
    """
    if not todo:
        return
    with cluster(actors) as ray:
        from ray.data import ActorPoolStrategy

        most = actors.workers or _room(ray.cluster_resources(), actors)
        data = ray.data.from_items(list(todo), override_num_blocks=min(len(todo), MOST_TASKS)).map_batches(
            actor,
            fn_constructor_args=arguments,
            batch_size=1,
            compute=ActorPoolStrategy(min_size=1, max_size=min(most, len(todo)), initial_size=min(most, len(todo))),
            num_cpus=actors.cpus,
            num_gpus=actors.gpus or None,
        )
        try:
            yield from data.iter_rows()
        except ray.exceptions.RayError as e:
            raise RuntimeError(f"{job.folder.uri}: a worker failed; finished blocks are kept: {_reason(e)}") from e


def limit_threads(threads: int) -> None:
    """Limit the CPU threads of a worker: of graphs, OpenCV, and PyTorch, which is not imported for a graph."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    cv2.setNumThreads(threads)
    if "torch" in sys.modules:  # else PyTorch reads the variable when it is imported
        sys.modules["torch"].set_num_threads(threads)


def _room(there: Mapping[str, float], actors: Actors) -> int:
    """Number of actors that a cluster can run."""
    by_cpu = there.get("CPU", 1) / actors.cpus if actors.cpus else float("inf")
    by_gpu = there.get("GPU", 0) / actors.gpus if actors.gpus else float("inf")
    return max(1, int(min(by_cpu, by_gpu)))


def _reason(error: BaseException) -> str:
    """The last informative line of an error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


@contextmanager
def cluster(actors: Actors) -> Iterator[Any]:
    """A context with a connection to the cluster of the address, or to a temporary one on this machine, or the one that is open already."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage reports unless the user enables them
    try:
        import ray
        import ray.data
    except ImportError:
        raise ImportError("manypose cluster needs Ray: pip install 'manypose[cluster]'") from None
    own = not ray.is_initialized()
    address = actors.address or os.environ.get("RAY_ADDRESS")
    if own:
        logging.getLogger("ray").setLevel(logging.ERROR)
        more: dict[str, Any] = {"address": address} if address else {
            "include_dashboard": False, "object_store_memory": 200 * 2**20,
            "num_cpus": max(os.cpu_count() or 1, int((actors.workers or 1) * actors.cpus)),
        }  # fmt: skip
        try:
            ray.init(logging_level=logging.ERROR, log_to_driver=False, **more)
        except Exception as e:  # Ray raises a plain `Exception` if a busy machine does not start in time
            raise RuntimeError(f"no Ray cluster at {address or 'this machine'}: {_reason(e)}") from None
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    try:
        yield ray
    finally:
        if own:
            ray.shutdown()
