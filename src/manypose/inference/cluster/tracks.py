"""Track ids of videos that were predicted in chunks: a second pass, in which one tracker follows each video from beginning to end.

The chunks hold people without ids. Tracking takes little time beside prediction, but each frame depends on the one before it. One worker
therefore tracks a whole video, with the people that all workers found in its chunks, and the ids are those of a video that is predicted in
one piece. If the tracker needs pixels, for optical flow or to search for lost people, this worker decodes the video again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from manypose.inference.cluster.engine import Actors, limit_threads, spread
from manypose.inference.cluster.job import Job, opened
from manypose.inference.cluster.rows import Row, read_rows, to_shard
from manypose.inference.cluster.sources import local_copy
from manypose.inference.cluster.worker import Recipe
from manypose.inference.options import PredictOptions
from manypose.inference.photos import AHEAD, PhotoInput, Result
from manypose.inference.pipeline import tracked
from manypose.io import videos
from manypose.io.storage import Folder
from manypose.poses.skeleton import Skeleton
from manypose.tracking.tracker import Tracker

__all__ = ["VideoActor", "chunks_of", "follow_video", "follow_videos"]


def follow_videos(job: Job, recipe: Recipe, actors: Actors) -> None:
    """Write the shards of all videos that were predicted in chunks, and remove the chunks.

    Raises:
        RuntimeError: see `manypose.inference.cluster.engine.do`.
    """
    if recipe.tracking is None:
        return
    finished = job.finished()
    firsts = {chunks_of(job, n)[0] for n in job.finished(chunks=True) if n not in finished}
    for _ in spread(job, sorted(firsts), VideoActor, (job.folder, recipe, actors.threads), actors):
        pass
    job.folder.remove("chunks")


class VideoActor:
    """The Ray actor of the second pass, with the model that searches for lost people."""

    def __init__(self, folder: Folder, recipe: Recipe, threads: int) -> None:
        limit_threads(threads)
        model = recipe.loaded()
        self.job, self.options, self.skeleton, self.tracker = opened(folder), recipe.options, model.skeleton, recipe.tracker(model)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Track the videos whose first chunks are given."""
        assert self.tracker is not None
        for number in batch["item"]:
            follow_video(self.job, int(number), self.tracker(), self.options, self.skeleton)
        return batch


def chunks_of(job: Job, number: int) -> range:
    """The numbers of all chunks of the video to which a chunk belongs, in order; any other block alone."""
    place, count = job.block(number).get("chunk") or (0, 1)
    return range(number - place, number - place + count)


def follow_video(job: Job, first: int, tracker: Tracker, options: PredictOptions, skeleton: Skeleton) -> None:
    """Write the shards of a video with track ids; those that exist are kept.

    Args:
        job: the job; all chunks of the video are predicted.
        first: the number of its first chunk.
        tracker: a new tracker.
        options: prediction options.
        skeleton: the model's.
    """
    uri = job.block(first)["uri"]
    with local_copy(uri) as path:
        frames = videos.read(path) if tracker.needs_frames else iter(())
        for number in chunks_of(job, first):
            rows = list(read_rows(job.folder.read(job.shard(number, chunk=True)), ".parquet"))
            done = list(_followed(rows, tracker, options, frames))
            if not job.folder.has(job.shard(number)):
                job.folder.write(job.shard(number), to_shard(done, skeleton, job.suffix))


def _followed(rows: Sequence[Row], tracker: Tracker, options: PredictOptions, frames: Iterator[videos.Frame]) -> Iterator[Row]:
    """The rows of a chunk with track ids."""

    def pixels(row: Row) -> Any:
        if row.people is None or not tracker.needs_frames:
            return None
        found = next((frame.pixels for frame in frames if frame.number == row.frame), None)
        if found is None:
            raise ValueError(f"{row.uri}: frame {row.frame} can no longer be read")
        return found

    results = (Result(PhotoInput(None, keep=False, pixels=pixels(row)), row.size, row.people) for row in rows)
    for row, result in zip(rows, tracked(results, tracker, options, AHEAD), strict=True):
        yield replace(row, people=result.poses)
