"""Data sets to be evaluated on: which photos, what counts as right, and what the servers take. One function a data set, in `BENCHMARKS`.

A task knows nothing of models; `manypose.evaluation.evaluate` brings the two together.
"""

import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from manypose.data.datasets.coco import read_coco
from manypose.data.datasets.coco_json import AREA_OF_BOX
from manypose.data.datasets.custom import describe
from manypose.data.photos import segmentation
from manypose.evaluation.error_analysis.analysis import Analysis, analyse
from manypose.evaluation.metrics.annotations import Results, Truth, read_results, read_truth
from manypose.evaluation.metrics.crowdpose import PAPER_LEVELS, TOOL_LEVELS, crowding, crowdpose_ap
from manypose.evaluation.metrics.detection import box_ap
from manypose.evaluation.metrics.oks_ap import oks_ap
from manypose.evaluation.metrics.segmentation import mask_counts
from manypose.io.files import atomic, write_text
from manypose.poses.formats import to_coco
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO, CROWDPOSE, Skeleton

__all__ = ["BENCHMARKS", "Benchmark", "BenchmarkSpec", "EvalImage", "PosesByImage", "Score", "task"]


@dataclass(frozen=True)
class BenchmarkSpec:
    """What was asked for.

    Args:
        dataset: a name in `BENCHMARKS`, or the path of a data set's YAML file.
        images: folder of the photos; None where only a result file is evaluated.
        annotations: the data set's file.
        photos: all that the annotations list, those with people, or those that are in the folder.
        boxes: measure the people's boxes too.
        masks: measure the people's masks too.
        analyse: find out what the AP is lost to.
        heads: MPII's file with head boxes, where the annotations have none.
        one_by_one: the model looks at one person at a time, and so may be given each annotated one.
    """

    dataset: str
    images: Path | None
    annotations: Path | None
    photos: Literal["all", "people", "present"] = "all"
    boxes: bool = False
    analyse: bool = False
    heads: Path | None = None
    one_by_one: bool = False
    masks: bool = False


@dataclass(frozen=True)
class EvalImage:
    """A photo to be looked at, or one person in it.

    Args:
        id: what the task calls it.
        path: the file.
        size: height and width by the annotations; None where they do not say.
        boxes: xyxy of the annotated people, for models that look at one person at a time.
        sequence: the video of which it is a frame; frames of one video follow one another.
    """

    id: int
    path: Path
    size: tuple[int, int] | None
    boxes: Float[np.ndarray, "n 4"]
    sequence: str = ""


@dataclass(frozen=True)
class Score:
    """What came out.

    Args:
        figures: by name, the main one first; NaN where one is not defined.
        notes: reasons and warnings, a sentence each.
        more: further entries of the JSON.
        text: further lines of the printed result.
        results: how many people were evaluated.
        analysis: of the errors, where asked for.
    """

    figures: dict[str, float]
    notes: list[str]
    more: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    results: int = 0
    analysis: Analysis | None = None


PosesByImage = Mapping[int, Poses]
"""People by the id of their `EvalImage`."""


@dataclass(frozen=True)
class Benchmark:
    """A data set, ready.

    Args:
        name: how it is called beside its figures.
        about: which photos and people.
        rules: how figures are made, for the protocol.
        skeleton: the annotated people's joints.
        shots: what is to be looked at, in a fixed order.
        score: the figures of people found.
        score_file: the figures of a result file.
        write: people found, as the data set's server or users take them.
        notes: what has to be known of the data set.
        rounding: of a model's joints before they are measured, for the protocol.
        pixels: of one shot's people, how many pixels their masks get right and wrong (`manypose.evaluation.metrics.segmentation.mask_counts`); None
            where masks were not asked for.
    """

    name: str
    about: str
    rules: str
    skeleton: Skeleton
    shots: Sequence[EvalImage]
    score: Callable[[PosesByImage], Score]
    score_file: Callable[[Path], Score]
    write: Callable[[PosesByImage, Path], None]
    notes: list[str] = field(default_factory=list)
    rounding: str = "joints not rounded"
    pixels: Callable[[int, Poses], Int[np.ndarray, "4"]] | None = None


def task(request: BenchmarkSpec) -> Benchmark:
    """The task that was asked for.

    Raises:
        FileNotFoundError: a file, folder or photo is missing.
        ValueError: an unknown data set, or a file that cannot be used.
    """
    name = request.dataset
    if name.endswith((".yaml", ".yml")):
        return _custom(request)
    if name not in BENCHMARKS:
        raise ValueError(f"no data set {name!r}; there are {', '.join(BENCHMARKS)}, or give the path of a data set YAML")
    if request.annotations is None:
        raise ValueError(f"data set {name!r}: give its annotation file (--annotations FILE)")
    module, _, function = BENCHMARKS[name].partition(":")
    return getattr(import_module(module), function)(request)


BENCHMARKS = {
    "coco": "manypose.evaluation.benchmark:coco",
    "crowdpose": "manypose.evaluation.benchmark:crowdpose",
    "mpii": "manypose.evaluation.head_size_style:mpii",
    "posetrack": "manypose.evaluation.head_size_style:posetrack",
}


# ── files in COCO's format ──


def coco(request: BenchmarkSpec) -> Benchmark:
    """COCO's keypoint AP on COCO's 17 joints."""
    return _coco_style(request, COCO, _coco_name(Path(request.annotations or "")))


def crowdpose(request: BenchmarkSpec) -> Benchmark:
    """CrowdPose's AP, over all photos and by crowd index."""
    return _coco_style(request, CROWDPOSE, f"CrowdPose ({Path(request.annotations or '').name})", "box")


def _custom(request: BenchmarkSpec) -> Benchmark:
    """COCO's keypoint AP with a data set's own joints and sigmas."""
    said = describe(request.dataset)
    given = replace(request, images=request.images or said.images, annotations=request.annotations or said.annotations)
    return _coco_style(given, said.skeleton, f"{Path(request.dataset).stem} (own data set)")


def _coco_name(annotations: Path) -> str:
    """Files are called what they are: only COCO's own are COCO's."""
    part = annotations.stem.removeprefix("person_keypoints_")
    return f"COCO {part}" if part in ("val2017", "train2017", "val2014", "train2014") else f"{part} photos ({annotations.name})"


def _coco_style(request: BenchmarkSpec, skeleton: Skeleton, name: str, area: Literal["annotated", "box"] = "annotated") -> Benchmark:
    assert request.annotations is not None
    truth = read_truth(request.annotations, skeleton, area, "people" if request.photos == "people" else "all")
    shots, missing = ([], 0) if request.images is None else _shots(truth, request.images)
    if missing and request.photos != "present":
        raise FileNotFoundError(
            f"{request.images}: {missing} of the {len(shots)} photos of {truth.name} are missing, the first is "
            f"{next(s.path.name for s in shots if not s.path.is_file())}; fetch them, or evaluate on those there are (--photos present)"
        )
    if missing:
        shots = [s for s in shots if s.path.is_file()]
        truth = read_truth(request.annotations, skeleton, area, [s.id for s in shots])
    by_crowd = skeleton == CROWDPOSE and area == "box"

    def of_results(results: Results) -> Score:
        return _coco_score(truth, results, request, by_crowd)

    def score(found: PosesByImage) -> Score:
        rows = _rows(truth, found, request.boxes)
        if request.boxes:
            boxes = box_ap(truth, read_results(rows, truth, "bbox"))
            plain = of_results(read_results([{k: v for k, v in r.items() if k != "bbox"} for r in rows], truth))
            return replace(plain, figures={**plain.figures, **{f"box {k}": v for k, v in boxes.items()}})
        return of_results(read_results(rows, truth))

    def score_file(path: Path) -> Score:
        results = read_results(path, truth)
        plain = of_results(results)
        boxes = box_ap(truth, results) if request.boxes else {}
        return replace(plain, figures={**plain.figures, **{f"box {k}": v for k, v in boxes.items()}})

    def write(found: PosesByImage, path: Path) -> None:
        _write(path, json.dumps(_rows(truth, found, False), separators=(",", ":"), allow_nan=False))

    rules = "OKS 0.50:0.95, the 20 best results of an image" + ("" if area == "annotated" else f", area {AREA_OF_BOX} of the box")
    about, rounding = _about(truth, request.photos, missing), "joints rounded to 0.001 px"
    pixels = _pixels(request, truth) if request.masks else None
    return Benchmark(name, about, rules, truth.skeleton, shots, score, score_file, write, _notes(truth, area), rounding, pixels)


def _pixels(request: BenchmarkSpec, truth: Truth) -> Callable[[int, Poses], Int[np.ndarray, "4"]]:
    """Compares masks with the annotated outlines; crowds, people without joints and, in a photo where not everybody is annotated, all
    other places are unknown."""
    assert request.images is not None
    assert request.annotations is not None
    photos = {p.image_id: p for p in read_coco(request.images, request.annotations, truth.skeleton, "all")[0]}
    if all(shape is None for p in photos.values() for shape in p.shapes):
        raise ValueError(f"{request.annotations}: nobody has a 'segmentation': masks cannot be measured")

    def pixels(image: int, poses: Poses) -> Int[np.ndarray, "4"]:
        if poses.masks is None:
            raise ValueError("this model gives no masks: evaluate it without mask_iou")
        known = segmentation(photos[image])
        if known is None:
            return np.zeros(4, np.int64)
        return mask_counts(np.asarray(poses.masks.any(0)), known)

    return pixels


def _shots(truth: Truth, images: Path) -> tuple[list[EvalImage], int]:
    if not images.is_dir():
        raise FileNotFoundError(f"{images}: no such folder of photos (for {truth.name})")
    nameless = [int(i) for i, f in zip(truth.image_ids, truth.files, strict=True) if not f]
    if nameless:
        raise ValueError(f"{truth.name}: image {nameless[0]} has no file_name")
    shots = []
    people = np.flatnonzero(~truth.ignored)
    for place, (image, name, (h, w)) in enumerate(zip(truth.image_ids, truth.files, truth.sizes, strict=True)):
        boxes = truth.boxes[people[truth.image[people] == place]]
        corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
        shots.append(EvalImage(int(image), images / name, (int(h), int(w)) if h and w else None, corners))
    return shots, sum(not s.path.is_file() for s in shots)


def _rows(truth: Truth, found: PosesByImage, boxes: bool) -> list[dict[str, Any]]:
    """Results as COCO's and CrowdPose's servers take them: no more than they ask for, so that sizes come from joints, as in the papers."""
    keep = ("image_id", "category_id", "keypoints", "score", *(("bbox",) if boxes else ()))
    rows = []
    for image, poses in sorted(found.items()):
        own = poses if poses.skeleton.joints == truth.skeleton.joints else poses.to(truth.skeleton)
        rows += [{k: row[k] for k in keep} for row in to_coco(own, image, truth.category)]
    return rows


def _write(path: Path, text: str) -> None:
    """A result file, or the archive with one in it that servers take."""
    if path.suffix != ".zip":
        write_text(path, text)
        return
    with atomic(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{path.stem}.json", text)


def _coco_score(truth: Truth, results: Results, request: BenchmarkSpec, by_crowd: bool) -> Score:
    figures, notes, text = {}, [], ""
    more: dict[str, Any] = {"images": len(truth.image_ids), "people": truth.people}
    if by_crowd:
        figures, notes = crowdpose_ap(truth, results)
        crowd = crowding(truth)
        paper, _ = crowdpose_ap(truth, results, PAPER_LEVELS)
        more |= {
            "crowd_index_borders": list(TOOL_LEVELS),
            "images_by_level": {level: int(crowd.level(level).sum()) for level in ("easy", "medium", "hard")},
            "paper_borders": {"borders": list(PAPER_LEVELS), **{k: paper[k] for k in ("APeasy", "APmedium", "APhard")}},
        }
        easy, medium = (f"{paper[k]:.3f}" if paper[k] >= 0 else "not defined" for k in ("APeasy", "APmedium"))
        text = f"{crowd}\nwith the borders of the paper's text, 0.1 and 0.8: APeasy {easy}, APmedium {medium}"
    else:
        figures = oks_ap(truth, results)
        notes = [f"{name} is not defined: nobody of that size is annotated" for name, v in figures.items() if np.isnan(v) and truth.people]
    if not truth.people:
        notes = ["nobody is annotated (a test set?): AP is not defined; write the results for the data set's server (results_out)"]
    elif not len(results):
        notes.append("there are no results: AP is 0")
    over = int((np.bincount(results.image, minlength=len(truth.image_ids)) > 20).sum())
    if over:
        notes.append(f"{over} images have more than 20 results; only their 20 best count")
    occupied = np.flatnonzero(truth.with_people)
    silent = int((~np.isin(occupied, results.image)).sum())
    if len(results) and silent > 0.5 * len(occupied):
        notes.append(f"{silent} of {len(occupied)} images with people have no result; are the results of all images of this data set?")
    analysis = analyse(truth, results) if request.analyse else None
    return Score(figures, notes, more, text, len(results), analysis)


def _about(truth: Truth, photos: str, missing: int) -> str:
    people = truth.with_people
    chosen = {"all": "", "people": ", those with people only", "present": f", those in the folder only ({missing} others are missing)"}[
        photos
    ]
    images = f"{len(people)} images ({int(people.sum())} with labelled people, {int((~people).sum())} without){chosen}"
    return f"{images}, {truth.people} people, {int(truth.crowd.sum())} crowd regions"


def _notes(truth: Truth, area: str) -> list[str]:
    notes = []
    if truth.partial:
        notes.append(f"in {truth.partial} of the images not everybody is annotated: right results count as wrong there, so AP reads low")
    if truth.estimated:
        notes.append(f"the areas of {truth.estimated} of {truth.people} people are estimated from their boxes")
    n, people, name = len(truth.image_ids), int(truth.with_people.sum()), Path(truth.name).name
    if "val2017" in name and area == "annotated" and n != 5000:
        notes.append(f"COCO val2017 has 5,000 images; figures on {n} of them are not comparable with official ones")
    elif n == people and n > 1000:
        notes.append("every image has people: on images without, false positives would count too")
    return notes
