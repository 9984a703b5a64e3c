"""Data sets to evaluate on: which photos, how results are scored, what a server takes. One function a data set, in `BENCHMARKS`.

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
    """What to evaluate on, and what to measure.

    Args:
        dataset: a name in `BENCHMARKS`, or the path of a data set's YAML file.
        images: folder of the photos; None where only a result file is evaluated.
        annotations: the data set's file.
        photos: all that the annotations list, those with people, or those that are in the folder.
        boxes: measure the people's boxes too.
        masks: measure the people's masks too.
        analyse: find out what the AP is lost to.
        heads: MPII's file with head boxes, where the annotations have none.
        one_by_one: the model is top-down, and so may be given each annotated person.
        category: the category whose annotations count, by name, where several have keypoints.
        area: the people's areas: the file's, 0.53 of the box, or as the data set's rule says (None).
        groups: MPII's file of groups.
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
        id: the benchmark's number for it.
        path: the file.
        size: height and width by the annotations; None where they do not say.
        boxes: xyxy of the annotated people, for top-down models.
        sequence: the video of which it is a frame; frames of one video follow one another.
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
        figures: by name, the main one first; NaN where one is not defined.
        notes: reasons and warnings, a sentence each.
        more: further entries of the JSON.
        text: further lines of the printed result.
        results: how many detected people were evaluated.
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

BoxesByImage = Mapping[int, Float[np.ndarray, "n 5"]]
"""A person detector's xyxy boxes and scores, by the id of their `EvalImage`."""


@dataclass(frozen=True)
class Benchmark:
    """A data set, ready.

    Args:
        name: its name beside the figures.
        about: which photos and people.
        rules: how the figures are computed, for the protocol.
        skeleton: the annotated people's joints.
        shots: the photos, in a fixed order.
        score: the figures of detected people; the detector's boxes are for box AP, where there was a detector.
        score_file: the figures of a result file.
        write: writes detected people as the data set's server takes them; None where it takes none of this kind.
        notes: caveats of the data set.
        rounding: of a model's joints before they are measured, for the protocol.
        pixels: of one photo's people, how many pixels their masks get right and wrong
            (`manypose.evaluation.metrics.segmentation.mask_counts`); None where masks were not asked for.
        root: the folder of the photos, to which boxes files give their paths.
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
"""Where each data set's function is; they are imported when they are needed."""


def find_benchmark(request: BenchmarkSpec) -> Benchmark:
    """The benchmark that was asked for.

    Raises:
        FileNotFoundError: a file, folder or photo is missing.
        ValueError: an unknown data set, or a file that cannot be used.
    """
    name = request.dataset.lower() if request.dataset.lower() in BENCHMARKS else request.dataset
    own = name.endswith((".yaml", ".yml"))
    if name not in BENCHMARKS and not own:
        raise ValueError(f"no data set {name!r}; there are {', '.join(BENCHMARKS)}, or give the path of a data set YAML")
    if request.annotations is None and not own:
        raise ValueError(f"data set {name!r}: give its annotation file (--annotations FILE)")
    module, _, function = ("manypose.evaluation.coco_style:custom" if own else BENCHMARKS[name]).partition(":")
    return getattr(import_module(module), function)(request)
