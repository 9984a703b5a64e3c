"""``manypose cluster predict``: a job from its sources to its last shard."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from manypose.inference.cluster.engine import Actors, cluster, do
from manypose.inference.cluster.job import Job, begin
from manypose.inference.cluster.report import failures, totals
from manypose.inference.cluster.rows import Counts
from manypose.inference.cluster.sources import Cutting, blocks
from manypose.inference.cluster.tracks import chunks_of, follow_videos
from manypose.inference.cluster.worker import PredictBlocks, Recipe
from manypose.io.storage import Folder

__all__ = ["Done", "forget_errors", "predict_job"]


@dataclass(frozen=True)
class Done:
    """The outcome of a job.

    Args:
        counts: counts of all its rows.
        blocks: number of blocks.
        resumed: number of blocks that were finished before.
    """

    counts: Counts
    blocks: int
    resumed: int


def predict_job(
    sources: Sequence[str],
    out: str,
    recipe: Recipe,
    cutting: Cutting = Cutting(),  # noqa: B008 - frozen
    actors: Actors = Actors(),  # noqa: B008 - frozen
    *,
    known: Any = None,
    overwrite: bool = False,
    retry_errors: bool = False,
    quiet: bool = False,
) -> Done:
    """Predict sources into the folder of a job, or resume it.

    Args:
        sources: see `manypose.inference.cluster.sources.blocks`.
        out: the folder, a path or an address that all machines can reach.
        recipe: the model and its options.
        cutting: division into blocks.
        actors: the number and resources of the workers.
        known: further settings, such as hashes that distinguish weights files of the same name.
        overwrite: start again.
        retry_errors: process blocks with errors again.
        quiet: no progress bar.

    Raises:
        FileNotFoundError, ValueError: a source, model or option is invalid, or the folder holds a job with other settings.
        ImportError: the extra ``cluster`` is not installed.
    """
    if not sources:
        raise ValueError("give photos, videos, folders, patterns, lists or tar files")
    tracking = recipe.tracking
    recipe.tracker(recipe.loaded())  # errors are raised here once, not in each of a thousand workers
    folder = Folder(out)
    settings = {"sources": list(sources), "known": known, "recipe": asdict(recipe), "cutting": asdict(cutting)}
    job = begin(folder, settings, recipe.suffix, blocks(sources, cutting, 0 if tracking is None else tracking.detect_every), overwrite)
    if not len(job):
        raise ValueError("the sources hold no photos or videos")
    if retry_errors:
        forget_errors(job)
    resumed = len(job.finished())
    with cluster(actors) if resumed < len(job) else nullcontext():
        do(job, partial(PredictBlocks, recipe), actors, quiet)
        follow_videos(job, recipe, actors)
    return Done(totals(job), len(job), resumed)


def forget_errors(job: Job) -> None:
    """Remove the shards of blocks with errors, and of all chunks of their videos: the ids of later chunks depend on earlier ones."""
    for number in {n for failed in failures(job) for n in chunks_of(job, failed)}:
        job.folder.remove(job.shard(number))
