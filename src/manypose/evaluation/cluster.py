"""Evaluation on many machines: workers find the people of a benchmark's photos, and one process scores all of them.

The rows hold what plain evaluation would have found (exact float32), so the figures are the official ones of the whole data set and not
means over parts. Photos are done exactly once, as in `manypose.inference.cluster`.
"""

from collections.abc import Callable, Container, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from manypose.evaluation.benchmark import BenchmarkSpec, EvalImage, find_benchmark
from manypose.evaluation.evaluate import Evaluation, Setup, finished, prepared
from manypose.evaluation.predicted import Predicted, predicted
from manypose.inference.cluster.engine import Actors, do
from manypose.inference.cluster.job import Block, Job, begin, check_block_size
from manypose.inference.cluster.report import rows_of
from manypose.inference.cluster.rows import Counts, Row, to_shard
from manypose.inference.cluster.worker import PredictBlocks, Recipe
from manypose.inference.options import EVALUATION, PredictOptions
from manypose.io.storage import Folder
from manypose.tracking.tracker import TrackOptions

__all__ = ["EvaluateBlocks", "blocks_of", "evaluate", "found_in"]


def evaluate(
    *,
    out: str,
    model: str | None = None,
    weights: str | None = None,
    dataset: str = "coco",
    annotations: Path | None = None,
    images: Path | None = None,
    photos: Literal["all", "people", "present"] = "all",
    boxes: str | None = None,
    detector: str | None = None,
    detector_weights: str | None = None,
    options: PredictOptions = EVALUATION,
    analyze: bool = False,
    report: Path | None = None,
    json: Path | None = None,
    results_out: Path | None = None,
    heads: Path | None = None,
    no_track: bool = False,
    flow: Literal["dis", "farneback", "none"] = "dis",
    matching: Literal["hungarian", "greedy"] = "hungarian",
    category: str | None = None,
    area: Literal["annotated", "box"] | None = None,
    block_size: int = 256,
    actors: Actors = Actors(),  # noqa: B008 - frozen
    device: str = "cpu",
    overwrite: bool = False,
    quiet: bool = False,
) -> Evaluation:
    """Measure a model on a data set with many machines (Ray): one official figure over all photos.

    Args:
        out: the folder of the job, a path or an address that all machines reach; the same command goes on where it was stopped.
        model: a model's name, a .safetensors file, or one of the two that come with the package, default and fast.
        weights: a file for a named model.
        dataset: coco, crowdpose, ochuman, mpii, posetrack, or the path of a data set's YAML.
        annotations: the data set's annotation file; only the machine that gives the command needs it.
        images: folder of the photos, at a path that all machines have.
        photos: all that the annotations list, those with labelled people, or those present in the folder.
        boxes: for models that look at one person at a time: a boxes file, or "annotated".
        detector: or who finds the boxes, by name; by default the one that belongs to the model.
        detector_weights: the detector's weights, where they are not to be fetched.
        options: how to predict, by evaluation's preset.
        analyze: say what the AP is lost to: a table, part of the JSON, and an HTML report.
        report: where the HTML report goes.
        json: write the figures here.
        results_out: write the people found here, as the data set's server takes them.
        heads: MPII's file with head boxes, where the annotations have none.
        no_track: leave people of videos without ids; MOTA is then not measured.
        flow: optical flow that helps tracking.
        matching: how people of two frames are paired: by the largest sum of similarities, or the most similar first (SIMPLE's paper).
        category: the name of the category whose annotations count, where several of the file have keypoints.
        area: people's areas: the file's, or 0.53 of the box; by default as the data set's rule says.
        block_size: photos of a block, which is repeated where a worker dies.
        actors: the workers.
        device: auto, cpu or cuda.
        overwrite: begin anew where the folder holds a job.
        quiet: no progress bar, and nothing printed.

    Raises:
        FileNotFoundError, ValueError: files are missing or broken, or options do not suit one another.
        ImportError: the extra ``cluster`` is not installed.
    """
    if images is None and not dataset.endswith((".yaml", ".yml")):
        raise ValueError("give the folder of the photos (--images DIR)")
    check_block_size(block_size)
    recipe = Recipe(model, weights, detector, detector_weights, options, device=device)
    one = recipe.loaded(boxes is not None)
    spec = BenchmarkSpec(dataset, images, annotations, photos, False, analyze, heads, one.needs_boxes, False, category, area)
    setup = prepared(one, model, find_benchmark(spec), options, boxes, detector, None if no_track else flow, matching)
    settings = {"recipe": asdict(recipe), "benchmark": {k: str(v) for k, v in asdict(spec).items()}, "boxes": boxes, "blocks": block_size}
    settings["tracking"] = setup.tracking and asdict(setup.tracking)
    job = begin(Folder(out), settings, recipe.suffix, blocks_of(setup, block_size), overwrite)
    do(job, partial(_worker, recipe, boxes is not None), actors, quiet)
    return finished(setup, found_in(job), False, results_out, json, report, quiet)


class EvaluateBlocks:
    """A worker: from a block of a benchmark's photos to a shard of rows, found as plain evaluation finds them.

    Args:
        worker: the model, and what finds the boxes.
    """

    def __init__(self, worker: PredictBlocks) -> None:
        self.worker = worker

    def __call__(self, block: Block, refused: Container[int], tell: Callable[[int], None] | None) -> tuple[bytes, Counts]:
        """The shard of a block, of which ``uri`` is the image's number; a photo that cannot be read is a row with an error."""
        del refused, tell  # the photos of a benchmark are known to be sound
        given = {i: np.array(rows, np.float32).reshape(-1, 5) for i, rows in block["boxes"]} if block["boxes"] is not None else None
        none = np.zeros((0, 4), np.float32)
        images = [EvalImage(i, Path(path), size and (size[0], size[1]), none, video) for i, path, size, video in block["images"]]
        model, recipe = self.worker.model, self.worker.recipe
        tracking = TrackOptions(**block["tracking"]) if block["tracking"] else None
        found = predicted(model, images, recipe.options, boxes=given, detector=self.worker.finder, tracking=tracking, quiet=True)
        rows = [Row(str(i.id), i.size, found.people.get(i.id), found.failed.get(i.id)) for i in images]
        return to_shard(rows, model.skeleton, recipe.suffix), Counts.of(rows)


def _worker(recipe: Recipe, boxes: bool) -> EvaluateBlocks:
    return EvaluateBlocks(PredictBlocks(recipe, boxes=boxes))


def blocks_of(setup: Setup, size: int) -> Iterator[Block]:
    """The photos of an evaluation, with their boxes where these are given; the frames of a video stay together."""
    shots, given = list(setup.chosen.shots), setup.given
    first = 0
    while first < len(shots):
        stop = min(first + size, len(shots))
        while stop < len(shots) and shots[stop].sequence and shots[stop].sequence == shots[stop - 1].sequence:
            stop += 1
        some, first = shots[first:stop], stop
        yield {
            "kind": "evaluate",
            "images": [[s.id, str(s.path.absolute()), s.size, s.sequence] for s in some],
            "boxes": None if given is None else [[s.id, given[s.id].tolist()] for s in some if s.id in given],
            "tracking": setup.tracking and asdict(setup.tracking),
        }


def found_in(job: Job) -> Predicted:
    """What all workers found."""
    found = Predicted()
    for row in rows_of(job):
        if row.people is None:
            found.failed[int(row.uri)] = row.error or "no result"
        else:
            found.people[int(row.uri)] = row.people
    return found
