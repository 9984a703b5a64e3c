"""Jobs without Ray and without a real network: photos of dots, a worker that finds them, and the actor's own loop."""

from functools import partial

import numpy as np
from dots import Dots, photo_of

from manypose.inference.cluster.engine import BlockActor
from manypose.inference.cluster.job import Job, begin
from manypose.inference.cluster.rows import Row, read_rows
from manypose.inference.cluster.sources import Cutting, blocks
from manypose.inference.cluster.worker import PredictBlocks, Recipe
from manypose.inference.model import Model
from manypose.io import photos
from manypose.io.storage import Folder


def picture(i: int) -> np.ndarray:
    """A photo of dots; each number gives another one."""
    rng = np.random.default_rng(i)
    return photo_of((96 + 32 * (i % 2), 128), rng.uniform(20, 76, (3, 2)))


def write_photos(folder, count: int) -> list:
    """Photos in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return [photos.write(folder / f"{i:03d}.png", picture(i)) for i in range(count)]


def worker(recipe: Recipe) -> PredictBlocks:
    """A worker that finds dots."""
    return PredictBlocks(recipe, Model(Dots()))


def actor(job: Job, recipe: Recipe = Recipe()) -> BlockActor:  # noqa: B008 - frozen
    """An actor of a job."""
    return BlockActor(job.folder, job.suffix, partial(worker, recipe), 1)


def plan(sources, out, cutting: Cutting = Cutting(), recipe: Recipe = Recipe(), **more) -> Job:  # noqa: B008 - frozen
    """A job that is planned."""
    found = blocks([str(s) for s in sources], cutting, 0 if recipe.tracking is None else recipe.tracking.detect_every)
    return begin(Folder(str(out)), {"sources": [str(s) for s in sources], **more}, recipe.suffix, found)


def do(job: Job, who: BlockActor) -> None:
    """All blocks that have no shard, as the engine does them."""
    for n in range(len(job)):
        who({"item": [n]})


def rows(job: Job) -> list[Row]:
    """All rows of the finished blocks."""
    return [row for n in job.finished() for row in read_rows(job.folder.read(job.shard(n)), job.suffix)]
