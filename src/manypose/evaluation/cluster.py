"""Evaluation on many machines: workers predict the photos of a benchmark, and one process scores all results.

The rows hold the results of plain evaluation (exact float32), so that the figures are those of the whole data set, not means over parts.
Each photo is processed exactly once, as in `manypose.inference.cluster`.
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
    box_ap: bool = False,
    mask_iou: bool = False,
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
    """Evaluate a model on a data set with many machines (Ray): one official figure over all photos.

    Args:
        out: the folder of the job, a path or an address that all machines can reach; the same command resumes an interrupted job.
        model: a model's name, such as default or fast, or a .safetensors file.
        weights: a weights file for a named model.
        dataset: the type of the data set: coco, crowdpose, ochuman, mpii, posetrack, or the path of a data set's YAML.
        annotations: the data set's annotation file; only the machine that runs the command needs it, with mask_iou all machines.
        images: folder of the photos, at a path that exists on all machines.
        photos: all annotated photos, those with labelled people, or those present in the folder.
        boxes: for top-down models: a boxes file, or "annotated".
        detector: the person detector of a top-down model, by name; by default the model's own.
        detector_weights: a weights file for the detector; by default the bundled or published weights.
        options: prediction options; the defaults are evaluation's preset.
        box_ap: measure box AP too.
        mask_iou: measure the IoU of person masks too; the annotations must be at the same path on all machines.
        analyze: analyse which errors reduce the AP: a table, an entry of the JSON, and an HTML report.
        report: file of the HTML report.
        json: file to write the figures to.
        results_out: file to write the results to, in the format of the data set's server.
        heads: MPII's file with head boxes, for annotations without them.
        no_track: do not track people through videos; MOTA is then not measured.
        flow: optical flow method of the tracker.
        matching: matching of people in two frames: the best total assignment, or greedily the most similar pair first (SIMPLE's paper).
        category: name of the category to evaluate, if several have keypoints.
        area: people's areas: those of the file, or 0.53 of the box; by default the data set's rule.
        block_size: number of photos in a block, the unit that is repeated after the death of a worker.
        actors: the workers.
        device: the workers' device: auto, cpu or cuda.
        overwrite: start again if the folder holds a job.
        quiet: no progress bar and no output.

    Raises:
        FileNotFoundError, ValueError: files are missing or broken, or options are incompatible.
        ImportError: the extra ``cluster`` is not installed.
    """
    if images is None and not dataset.endswith((".yaml", ".yml")):
        raise ValueError("give the folder of the photos (--images DIR)")
    check_block_size(block_size)
    recipe = Recipe(model, weights, detector, detector_weights, options, device=device)
    one = recipe.loaded(boxes is not None)
    spec = BenchmarkSpec(dataset, images, annotations, photos, box_ap, analyze, heads, one.needs_boxes, mask_iou, category, area)
    chosen = find_benchmark(spec)
    if mask_iou and chosen.pixels is None:
        raise ValueError("mask_iou is for data sets with outlines: coco, crowdpose, voc or a data set YAML")
    setup = prepared(one, model, chosen, options, boxes, detector, None if no_track else flow, matching)
    settings = {"recipe": asdict(recipe), "benchmark": {k: str(v) for k, v in asdict(spec).items()}, "boxes": boxes, "blocks": block_size}
    settings["tracking"] = setup.tracking and asdict(setup.tracking)
    job = begin(Folder(out), settings, recipe.suffix, blocks_of(setup, block_size), overwrite)
    do(job, partial(_worker, recipe, boxes is not None, spec), actors, quiet)
    return finished(setup, found_in(job), mask_iou, results_out, json, report, quiet)


class EvaluateBlocks:
    """A worker: from a block of a benchmark's photos to a shard of rows, with the results of plain evaluation.

    Args:
        worker: the model and its person detector.
        spec: the benchmark, which is read only for masks.
    """

    def __init__(self, worker: PredictBlocks, spec: BenchmarkSpec) -> None:
        self.worker, self.boxes = worker, spec.boxes
        self.pixels = find_benchmark(spec).pixels if spec.masks else None

    def __call__(self, block: Block, refused: Container[int], tell: Callable[[int], None] | None) -> tuple[bytes, Counts]:
        """The shard of a block; ``uri`` is the image's id. A photo that cannot be read is a row with an error."""
        del refused, tell  # a benchmark's photos are not expected to kill a worker
        given = {i: np.array(rows, np.float32).reshape(-1, 5) for i, rows in block["boxes"]} if block["boxes"] is not None else None
        none = np.zeros((0, 4), np.float32)
        images = [EvalImage(i, Path(path), size and (size[0], size[1]), none, video) for i, path, size, video in block["images"]]
        model, recipe = self.worker.model, self.worker.recipe
        tracking = TrackOptions(**block["tracking"]) if block["tracking"] else None
        found = predicted(
            model, images, recipe.options, boxes=given, detector=self.worker.finder, tracking=tracking, box_ap=self.boxes, quiet=True,
            pixels=self.pixels,
        )  # fmt: skip
        sizes = {image.id: image.size for image in images}
        rows = [
            Row(str(i), size, found.people.get(i), found.failed.get(i), detected=found.detected.get(i), pixels=found.pixels.get(i))
            for i, size in sizes.items()
        ]
        return to_shard(rows, model.skeleton, recipe.suffix), Counts.of(rows)


def _worker(recipe: Recipe, boxes: bool, spec: BenchmarkSpec) -> EvaluateBlocks:
    return EvaluateBlocks(PredictBlocks(recipe, boxes=boxes), spec)


def blocks_of(setup: Setup, size: int) -> Iterator[Block]:
    """The photos of an evaluation, with their boxes if given; the frames of a video stay together."""
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
    """The results of all workers."""
    found = Predicted()
    for row in rows_of(job):
        if row.people is None:
            found.failed[int(row.uri)] = row.error or "no result"
        else:
            found.people[int(row.uri)] = row.people
        for of_all, own in ((found.detected, row.detected), (found.pixels, row.pixels)):
            if own is not None:
                of_all[int(row.uri)] = own
    return found
