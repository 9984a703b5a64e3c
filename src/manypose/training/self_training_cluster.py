"""Self-training labels on many machines: workers complete the photos of an annotation file, and one process writes the new file."""

import json
from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from manypose.inference.cluster.engine import Actors, do
from manypose.inference.cluster.job import Block, Job, begin, check_block_size
from manypose.inference.cluster.rows import Counts
from manypose.inference.cluster.worker import Recipe
from manypose.inference.model import Model
from manypose.io.files import write_text
from manypose.io.storage import Folder
from manypose.training.new_annotations import LabelOptions, Row
from manypose.training.self_training import asked, assembled, completed, name_of, to_label

__all__ = ["LabelBlocks", "blocks_of", "found_in", "label"]

SUFFIX = ".jsonl"


def label(
    *,
    job: str,
    images: Path,
    annotations: Path,
    out: Path,
    model: str | None = None,
    weights: str | None = None,
    detector: str | None = None,
    photos: Literal["all", "present"] = "all",
    rules: LabelOptions = LabelOptions(),  # noqa: B008 - frozen
    block_size: int = 256,
    actors: Actors = Actors(),  # noqa: B008 - frozen
    device: str = "cpu",
    overwrite: bool = False,
    quiet: bool = False,
) -> None:
    """Annotate people that an annotation file misses, with a model on many machines (Ray), to train on them.

    Args:
        job: the folder of the job, a path or URL that all machines can access; the same command resumes an interrupted job.
        images: folder of the photos, at a path that exists on all machines.
        annotations: an annotation file in COCO's format; only the machine that runs the command needs it.
        out: the new annotation file, different from `annotations`.
        model: the teacher: a model's name or a .safetensors file; by default the bundled default.
        weights: a weights file for a named model.
        detector: the person detector of a top-down teacher; by default the model's own.
        photos: all annotated photos, or those present in the folder; the new file then lacks the others.
        rules: rules for new annotations, and prediction options.
        block_size: number of photos in a block, the unit that is repeated after a worker failed.
        actors: the workers.
        device: the workers' device: auto, cpu or cuda.
        overwrite: start again if the folder holds a job.
        quiet: no progress bar and no output.

    Raises:
        FileNotFoundError, ValueError: files are missing or broken, or thresholds are inconsistent.
        ImportError: the extra ``cluster`` is not installed.
    """
    check_block_size(block_size)
    given = asked(annotations, images, out, photos)
    recipe = Recipe(model, weights, detector, options=rules.predicting(), suffix=SUFFIX, device=device)
    skeleton = recipe.loaded().skeleton
    settings = {"recipe": asdict(recipe), "rules": asdict(rules), "annotations": str(annotations), "blocks": block_size}
    planned = begin(Folder(job), settings, SUFFIX, blocks_of(given, images.absolute(), skeleton, block_size), overwrite)
    do(planned, partial(_worker, recipe, rules), actors, quiet)
    done, errors = found_in(planned)
    content, count = assembled(given, done)
    write_text(out, json.dumps(content, allow_nan=False))
    if not quiet:
        print(f"{out}: {count}" + (f"; {len(errors)} photos could not be read and are unchanged, such as {errors[0]}" if errors else ""))


def _worker(recipe: Recipe, rules: LabelOptions) -> "LabelBlocks":
    return LabelBlocks(recipe.loaded(), recipe, rules)


def blocks_of(given: dict[str, Any], images: Path, skeleton: Any, size: int) -> Iterator[Block]:
    """The photos to label with their annotations, so that no worker reads the whole file."""
    todo, rows, missing = to_label(given, skeleton)
    for first in range(0, len(todo), size):
        some = todo[first : first + size]
        mine = [row for image in some for row in rows.get(image["id"], ())]
        yield {"kind": "label", "folder": str(images), "images": some, "annotations": mine, "missing": missing.tolist()}


class LabelBlocks:
    """A worker that turns a block of annotated photos into a line of JSON for each photo."""

    def __init__(self, teacher: Model, recipe: Recipe, rules: LabelOptions) -> None:
        self.teacher, self.rules, self.by = teacher, rules, name_of(recipe.model)
        self.options, self.detector = recipe.options, teacher.finder(recipe.detector)

    def __call__(self, block: Block, refused: Container[int], tell: Callable[[int], None] | None) -> tuple[bytes, Counts]:
        """The lines of a block; for an unreadable photo a line with an error, whose annotations are kept."""
        del refused, tell
        try:
            lines = list(self._lines(block, block["images"]))
        except (OSError, ValueError):  # find it photo by photo
            lines = []
            for image in block["images"]:
                try:
                    lines += self._lines(block, [image])
                except (OSError, ValueError) as e:
                    lines.append({"image_id": image["id"], "error": str(e)})
        people = sum(row.get("labelled_by") == self.by for line in lines for row in line.get("annotations", ()))
        text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)
        return text.encode(), Counts(len(lines), sum("error" in line for line in lines), people)

    def _lines(self, block: Block, images: Sequence[Row]) -> Iterator[dict[str, Any]]:
        rows: dict[Any, list[Row]] = defaultdict(list)
        for row in block["annotations"]:
            rows[row["image_id"]].append(row)
        missing = np.array(block["missing"], bool)
        found = completed(images, rows, Path(block["folder"]), self.teacher, self.detector, self.options, self.rules, self.by, missing)
        for image, (mine, joints) in zip(images, found, strict=True):
            yield {"image_id": image["id"], "annotations": mine, "joints": joints}


def found_in(job: Job) -> tuple[dict[Any, tuple[list[Row], int]], list[str]]:
    """The photos that were completed, and the errors of the others."""
    done: dict[Any, tuple[list[Row], int]] = {}
    errors: list[str] = []
    for number in job.finished():
        for line in map(json.loads, job.folder.read(job.shard(number)).splitlines()):
            if "error" in line:
                errors.append(line["error"])
            else:
                done[line["image_id"]] = line["annotations"], line["joints"]
    return done, errors
