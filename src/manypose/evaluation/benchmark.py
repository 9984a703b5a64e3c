"""Benchmarks: a data set's photos, its metrics, and the result format of its server. `BENCHMARKS` names one function for each.

A benchmark knows nothing of models; `manypose.evaluation.evaluate` brings the two together.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from manypose.evaluation.error_analysis.analysis import Analysis
from manypose.poses.poses import Poses
from manypose.poses.skeleton import Skeleton

__all__ = ["BENCHMARKS", "Benchmark", "BenchmarkSpec", "BoxesByImage", "EvalImage", "PosesByImage", "Score", "find_benchmark"]


@dataclass(frozen=True)
class BenchmarkSpec:
    """The data set to evaluate on, and the metrics.

    Args:
        dataset: a name in `BENCHMARKS`, or the path of a data set's YAML file.
        images: folder of the photos; None if only a result file is evaluated.
        annotations: the annotation file.
        photos: all annotated photos, those with people, or those present in the folder.
        boxes: measure box AP too.
        masks: measure masks too.
        analyse: analyse which errors reduce the AP.
        heads: MPII's file with head boxes, for annotations without them.
        one_by_one: the model is top-down, so that it can be given each annotated person.
        category: name of the category to evaluate, if several have keypoints.
        area: the people's areas: those of the file, 0.53 of the box, or by the data set's rule (None).
        groups: MPII's file of person groups.
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
    category: str | None = None
    area: Literal["annotated", "box"] | None = None
    groups: Path | None = None


@dataclass(frozen=True)
class EvalImage:
    """A photo to predict, or one person in it.

    Args:
        id: its id in the benchmark.
        path: the file.
        size: height and width from the annotations; None if they are missing.
        boxes: xyxy of the annotated people, for top-down models.
        sequence: the video that it is a frame of; frames of one video are consecutive.
    """

    id: int
    path: Path
    size: tuple[int, int] | None
    boxes: Float[np.ndarray, "n 4"]
    sequence: str = ""


@dataclass(frozen=True)
class Score:
    """The result of a benchmark.

    Args:
        figures: figures by name, the main one first; NaN if undefined.
        notes: reasons and warnings, a sentence each.
        more: further entries of the JSON.
        text: further lines of the printed result.
        results: number of evaluated results.
        analysis: the error analysis, if requested.
    """

    figures: dict[str, float]
    notes: list[str]
    more: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    results: int = 0
    analysis: Analysis | None = None


PosesByImage = Mapping[int, Poses]
"""People by the id of their `EvalImage`."""

BoxesByImage = Mapping[int, Float[np.ndarray, "n 5"]]
"""A person detector's xyxy boxes and scores, by the id of their `EvalImage`."""


@dataclass(frozen=True)
class Benchmark:
    """A data set that is ready for evaluation.

    Args:
        name: its name in reports.
        about: the photos and people, for the protocol.
        rules: how the figures are computed, for the protocol.
        skeleton: the annotated people's joints.
        shots: the photos in a fixed order.
        score: scores detected people; the detector's boxes, if any, are for box AP.
        score_file: scores a result file.
        write: writes detected people in the format of the data set's server; None if there is no such format.
        notes: caveats of the data set.
        rounding: rounding of a model's joints before scoring, for the protocol.
        pixels: counts correct and wrong mask pixels of one photo's people (`manypose.evaluation.metrics.segmentation.mask_counts`);
            None if masks were not requested.
        root: the folder of the photos, to which paths in boxes files are relative.
    """

    name: str
    about: str
    rules: str
    skeleton: Skeleton
    shots: Sequence[EvalImage]
    score: Callable[[PosesByImage, BoxesByImage], Score]
    score_file: Callable[[Path], Score]
    write: Callable[[PosesByImage, Path], None] | None
    notes: list[str] = field(default_factory=list)
    rounding: str = "joints not rounded"
    pixels: Callable[[int, Poses], Int[np.ndarray, "4"]] | None = None
    root: Path | None = None


BENCHMARKS = {
    "coco": "manypose.evaluation.coco_style:coco",
    "crowdpose": "manypose.evaluation.coco_style:crowdpose",
    "ochuman": "manypose.evaluation.coco_style:ochuman",
    "mpii": "manypose.evaluation.head_size_style:mpii",
    "posetrack": "manypose.evaluation.head_size_style:posetrack",
    "voc": "manypose.evaluation.voc_style:voc",
}
"""The function of each data set, imported on demand."""


def find_benchmark(request: BenchmarkSpec) -> Benchmark:
    """The requested benchmark.

    Raises:
        FileNotFoundError: a file, folder or photo is missing.
        ValueError: an unknown data set, or an unusable file.
    """
    name = request.dataset.lower() if request.dataset.lower() in BENCHMARKS else request.dataset
    own = name.endswith((".yaml", ".yml"))
    if name not in BENCHMARKS and not own:
        raise ValueError(f"no data set {name!r}; available: {', '.join(BENCHMARKS)}, or the path of a data set YAML")
    if request.annotations is None and not own:
        raise ValueError(f"data set {name!r}: give its annotation file (--annotations FILE)")
    module, _, function = ("manypose.evaluation.coco_style:custom" if own else BENCHMARKS[name]).partition(":")
    return getattr(import_module(module), function)(request)
