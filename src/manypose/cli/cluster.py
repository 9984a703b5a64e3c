"""``manypose cluster``: prediction of millions of photos and videos on many machines, its progress, and the merged results."""

from pathlib import Path
from typing import Literal

from manypose.inference.cluster.engine import Actors
from manypose.inference.cluster.job import opened
from manypose.inference.cluster.predict import predict_job
from manypose.inference.cluster.report import merge as merge_job
from manypose.inference.cluster.report import status as job_status
from manypose.inference.cluster.rows import SUFFIXES
from manypose.inference.cluster.sources import Cutting
from manypose.inference.cluster.worker import Recipe
from manypose.inference.options import PredictOptions
from manypose.io.files import file_identity
from manypose.io.storage import Folder
from manypose.tracking.tracker import TrackOptions

__all__ = ["merge", "predict", "status"]


def predict(
    sources: list[str],
    *,
    out: str,
    model: str | None = None,
    weights: str | None = None,
    detector: str | None = None,
    detector_weights: str | None = None,
    options: PredictOptions = PredictOptions(),  # noqa: B008 - frozen
    track: bool = False,
    tracking: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
    redetector: str | None = None,
    redetector_weights: str | None = None,
    format: Literal["parquet", "jsonl"] = "parquet",
    cutting: Cutting = Cutting(),  # noqa: B008 - frozen
    actors: Actors = Actors(),  # noqa: B008 - frozen
    device: str = "auto",
    overwrite: bool = False,
    retry_errors: bool = False,
    quiet: bool = False,
) -> int:
    """Find the people in millions of photos and videos, on one machine or many (Ray); each input is processed exactly once.

    Args:
        sources: photos, videos, folders, patterns, lists of paths or addresses (.txt, .csv, .parquet), .parquet files with photos, and
            WebDataset .tar files; each is a path or an address such as s3://bucket/photos. Paths in a list are relative to its folder.
        out: the folder of the job, a path or an address that all machines can reach; the same command resumes an interrupted job.
        model: a model's name, such as default or fast, or a .safetensors file.
        weights: a weights file for a named model, at a path that exists on all machines.
        detector: the person detector of a top-down model, by name; by default the model's own.
        detector_weights: a weights file for the detector; by default the bundled or published weights.
        options: prediction options.
        track: track people through videos: each keeps one id from frame to frame.
        tracking: tracking options.
        redetector: a top-down model that searches for lost people at their expected place; by default the model itself if it is top-down.
        redetector_weights: a weights file for the redetector.
        format: format of the shards; parquet holds exact float32 numbers, jsonl the same lines as `manypose predict`.
        cutting: how inputs are divided into blocks.
        actors: the workers.
        device: the workers' device: auto, cpu or cuda; workers without a share of a GPU use the CPU.
        overwrite: start again if the folder holds a job.
        retry_errors: process blocks with errors again.
        quiet: no progress bar and no output.

    Returns:
        1 if no photo could be read, else 0.
    """
    if not track and (redetector is not None or redetector_weights is not None):
        raise ValueError("a redetector needs tracking (--track)")
    suffix, where = SUFFIXES[format], device if actors.gpus or device != "auto" else "cpu"
    followed = tracking if track else None
    recipe = Recipe(model, weights, detector, detector_weights, options, followed, redetector, redetector_weights, suffix, where)
    known = [file_identity(name) for name in (model, weights, detector, detector_weights, redetector, redetector_weights)]
    done = predict_job(sources, out, recipe, cutting, actors, known=known, overwrite=overwrite, retry_errors=retry_errors, quiet=quiet)
    if not quiet:
        before = f" ({done.resumed} were finished before)" if done.resumed else ""
        print(f"{done.counts.people} people in {done.counts.rows} rows, {done.counts.errors} errors; {done.blocks} blocks{before} in {out}")
    return int(0 < done.counts.rows == done.counts.errors)


def status(job: str) -> int:
    """Print the progress of a job.

    Args:
        job: its folder.

    Returns:
        0 if it is finished, else 1.
    """
    found = job_status(opened(Folder(job)))
    print(found)
    return int(found.finished < found.blocks)


def merge(job: str, *, out: Path = Path("manypose-out"), format: list[Literal["coco", "csv", "jsonl"]] | None = None) -> None:
    """Write the shards of a finished job as the result files of `manypose predict`, such as one coco.json.

    Args:
        job: its folder.
        out: the folder to write to.
        format: result files to write: coco, csv, jsonl; by default coco.
    """
    written, counts = merge_job(opened(Folder(job)), out, format or ("coco",))
    print(f"{counts.people} people in {counts.rows - counts.errors} pictures, {counts.errors} errors; wrote {', '.join(map(str, written))}")
