"""Evaluation: a model, or a result file of any program, on a data set; figures always come with their protocol.

Several processes share the photos when started with ``torchrun``; their number, the batch size and the machine's threads change the
time it takes and nothing else.
"""

import math
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from tqdm import tqdm

from manypose.data.photos import read_rgb
from manypose.evaluation.benchmark import Benchmark, BenchmarkSpec, EvalImage, Score, find_benchmark
from manypose.evaluation.error_analysis.analysis import Analysis
from manypose.evaluation.error_analysis.report import html, table
from manypose.evaluation.metrics.segmentation import person_iou
from manypose.inference.detectors import find_detector
from manypose.inference.model import Model, load
from manypose.inference.options import EVALUATION, PredictOptions, changed
from manypose.inference.photos import PhotoInput, Result, read_ahead
from manypose.inference.pipeline import detect, pose, tracked
from manypose.io.files import write_json, write_text
from manypose.io.printable import printable
from manypose.poses.boxes import boxes_of, read_boxes, skipped_text, with_scores
from manypose.poses.poses import Poses
from manypose.tracking.tracker import Tracker, TrackOptions

__all__ = ["Evaluation", "evaluate"]

T = TypeVar("T")


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found out.

    Args:
        figures: by name, the main one first; NaN where one is not defined (`notes` says why).
        protocol: which images, people and boxes, which model and test-time options, which rules.
        notes: reasons and warnings.
        more: further entries of the JSON.
        text: further lines for print.
        analysis: of the errors, where asked for and this is the first process.
    """

    figures: dict[str, float]
    protocol: str
    notes: list[str]
    more: dict[str, Any]
    text: str = ""
    analysis: Analysis | None = None

    def to_json(self) -> dict[str, Any]:
        """Figures, protocol and all the rest as plain JSON values; what is not defined is None."""
        found = {**self.figures, "protocol": self.protocol, "notes": self.notes, **self.more}
        return _plain(found | ({"analysis": self.analysis.to_json()} if self.analysis is not None else {}))

    def __str__(self) -> str:
        width = max(map(len, self.figures), default=0)
        figures = "\n".join(f"{name:{width}}  {'not defined' if math.isnan(v) else f'{v:.3f}'}" for name, v in self.figures.items())
        notes = "\n".join(f"note: {note}" for note in self.notes)
        said = "\n".join(part for part in (f"protocol: {self.protocol}", figures, self.text, notes) if part)
        return "\n".join(printable(line) for line in said.split("\n"))


def evaluate(
    *,
    model: "str | Path | Model | None" = None,
    weights: Path | None = None,
    dataset: str = "coco",
    annotations: Path | None = None,
    images: Path | None = None,
    results: Path | None = None,
    photos: Literal["all", "people", "present"] = "all",
    boxes: str | None = None,
    detector: str | None = None,
    detector_weights: Path | None = None,
    detector_threshold: float = EVALUATION.detector_threshold,
    flip: bool = False,
    scales: list[float] | None = None,
    size: int | None = None,
    published: bool = False,
    batch_size: int = 8,
    mixed: bool = False,
    device: str = "auto",
    box_ap: bool = False,
    mask_iou: bool = False,
    analyze: bool = False,
    report: Path | None = None,
    json: Path | None = None,
    results_out: Path | None = None,
    heads: Path | None = None,
    threshold: float = EVALUATION.threshold,
    joint_threshold: float = EVALUATION.joint_threshold,
    no_track: bool = False,
    flow: Literal["dis", "farneback", "none"] = "dis",
    category: str | None = None,
    area: Literal["annotated", "box"] | None = None,
    quiet: bool = False,
) -> Evaluation:
    """Measure a model, or a result file of any program, on a data set.

    Args:
        model: a model's name, a .safetensors file, a loaded model, or one of the two that come with the package, default and fast.
        weights: a file for a named model, .safetensors or published .pth.
        dataset: coco, crowdpose, ochuman, mpii, posetrack, or the path of a data set's YAML.
        annotations: the data set's annotation file.
        images: folder of the photos; not needed with results.
        results: a result file to evaluate in place of a model: COCO results for coco and crowdpose, preds for mpii, a folder for posetrack.
        photos: all that the annotations list, those with labelled people, or those present in the folder.
        boxes: for models that look at one person at a time: a boxes file, or "annotated".
        detector: or who finds the boxes: a detector of torchvision, such as fasterrcnn_resnet50_fpn_v2, or another model; by default the
            one that belongs to the model.
        detector_weights: the detector's weights, where they are not to be fetched.
        detector_threshold: people with a lower score of the detector are left out; less than for pictures, since AP wants faint ones too.
        flip: look at the mirrored photo too.
        scales: look at several scales; 1 is the model's own size.
        size: short side of the network's input in pixels; by default the model's own.
        published: sizes and merging exactly as HigherHRNet's and SWAHR's authors have them.
        batch_size: views that go through the network at once; changes time and memory only.
        mixed: half precision on the network.
        device: auto, cpu, cuda or cuda:N.
        box_ap: measure the people's boxes too.
        mask_iou: measure the person masks too: PASCAL VOC's intersection over union of all people's pixels together (data sets of COCO's
            format with outlines, and models that give masks).
        analyze: say what the AP is lost to: a table, part of the JSON, and an HTML report.
        report: where the HTML report goes; by default beside the JSON, or evaluation.html.
        json: write the figures here.
        results_out: write the people found here, as the data set's server takes them.
        heads: MPII's file with head boxes, where the annotations have none.
        threshold: people with a lower score are left out.
        joint_threshold: joints with a lower score are left out; that costs AP, and MOTA, to which every joint is equal, gains.
        no_track: leave people of videos without ids; MOTA is then not measured.
        flow: optical flow that helps tracking.
        category: the name of the category whose annotations count, where several of the file have keypoints.
        area: people's areas: the file's, or 0.53 of the box; by default as the data set's rule says.
        quiet: no progress bar, and nothing printed.

    Raises:
        FileNotFoundError, ValueError: files are missing or broken, or options do not suit one another; one line says what.
    """
    from_file = results is not None
    if from_file and (model is not None or weights is not None or results_out is not None or boxes or detector):
        raise ValueError("a result file is evaluated as it is: leave out the model, weights, boxes, detector and results_out")
    if not from_file and images is None and not dataset.endswith((".yaml", ".yml")):
        raise ValueError("give the folder of the photos (--images DIR), or a result file (--results FILE)")
    if from_file and mask_iou:
        raise ValueError("mask_iou is for models: a result file of keypoints has no masks")
    if report is not None and not analyze:
        raise ValueError("a report is part of the error analysis: ask for it (--analyze)")
    one = None if from_file else model if isinstance(model, Model) else load(model, weights=weights, device=device)
    alone = one is not None and one.needs_boxes
    options = changed(
        EVALUATION, flip=flip, scales=tuple(scales or (1.0,)), size=size, batch_size=batch_size, threshold=threshold, mixed=mixed,
        joint_threshold=joint_threshold, detector_threshold=detector_threshold, published=published,
    )  # fmt: skip
    request = BenchmarkSpec(dataset, images, annotations, photos, box_ap, analyze, heads, alone, mask_iou, category, area)
    chosen = find_benchmark(request)
    if mask_iou and chosen.pixels is None:
        raise ValueError("mask_iou is for data sets of COCO's format with outlines: coco, crowdpose or a data set YAML")
    if one is None:
        assert results is not None
        score = chosen.score_file(results)
        how = f"results of {results.name} as they are ({score.results} people)"
        return _finish(chosen, score, how, json, report, quiet)
    if boxes is not None and detector is not None:
        raise ValueError("give boxes or a detector, not both")
    one.check(options, boxes is not None or detector is not None)
    detector = detector or (one.detector if one.needs_boxes and boxes is None else None)
    finder = None if not detector else find_detector(detector, weights=detector_weights, device=device)
    skipped: Counter[str] = Counter()
    tracking = None if no_track or not any(s.sequence for s in chosen.shots) else TrackOptions(flow=flow)
    with _several() as (rank, number):
        shots = _part(chosen.shots, rank, number)
        pixels: dict[int, Any] = {}
        items: Iterable[PhotoInput] = read_ahead(_items(shots, boxes), batch_size)
        items = items if finder is None else detect(finder, items, options)
        mine = _people(one, shots, items, options, tracking, quiet or rank > 0, chosen, pixels, skipped)
        found, pixels = _together(mine, number), _together(pixels, number)
        done = None
        if rank == 0:
            if results_out is not None:
                chosen.write(found, results_out)
            score = chosen.score(found, {})
            if mask_iou:
                score = replace(score, figures={**score.figures, **{f"mask {k}": v for k, v in person_iou(pixels.values()).items()}})
            missing = [j for j in chosen.skeleton.joints if j not in one.skeleton.joints]
            if missing:
                score = replace(score, notes=[*score.notes, f"the model has no {', '.join(missing)}: they count as not found"])
            if skipped:
                score = replace(score, notes=[*score.notes, skipped_text(skipped) + (" by the first process" if number > 1 else "")])
            whose = boxes or (detector and f"{Path(detector).stem} from score {detector_threshold:g}")
            how = _how(one, options, model, whose, tracking, chosen.rounding)
            done = _finish(chosen, score, how, json, report, quiet)
        return _shared(done, number)


# ── people ──


def _part(shots: Sequence[EvalImage], rank: int, number: int) -> list[EvalImage]:
    """This process's part; videos stay whole."""
    videos = {name: i for i, name in enumerate(dict.fromkeys(s.sequence for s in shots))}
    return [s for i, s in enumerate(shots) if (videos[s.sequence] if s.sequence else i) % number == rank]


def _people(
    model: Model, shots: list[EvalImage], items: Iterable[PhotoInput], options: PredictOptions, tracking: TrackOptions | None,
    quiet: bool, chosen: Benchmark, pixels: dict[int, Any], skipped: Counter[str],
) -> dict[int, Poses]:  # fmt: skip
    """The people of each shot, by its id; with ids where it is the frame of a video. `pixels` takes what is measured of their masks,
    `skipped` the number of boxes left out."""
    bar = tqdm(total=len(shots), desc="predicting", unit=" photos", disable=quiet or not sys.stderr.isatty())
    found: dict[int, Poses] = {}
    results = pose(model.method, items, options)
    pairs = zip(shots, results, strict=True)
    if tracking is not None:
        videos = groupby(pairs, key=lambda pair: pair[0].sequence)
        pairs = (pair for _, video in videos for pair in _followed(video, model.tracker(tracking), options))
    with bar:
        for shot, result in pairs:
            if result.poses is None:
                raise result.error or RuntimeError(f"{shot.path}: no result")
            if shot.size is not None and result.size != shot.size:
                (h, w), (H, W) = result.size or (0, 0), shot.size
                raise ValueError(f"{shot.path}: the picture is {w}x{h}, its annotations are for {W}x{H} (image id {shot.id})")
            if chosen.pixels is not None:
                pixels[shot.id] = chosen.pixels(shot.id, result.poses)
            found[shot.id] = replace(result.poses, photo=None, masks=None)
            skipped.update(result.skipped)
            bar.update()
    return found


def _followed(video: Iterator[tuple[EvalImage, Result]], tracker: Tracker, options: PredictOptions) -> Iterator[tuple[EvalImage, Result]]:
    shots: list[EvalImage] = []

    def results() -> Iterator[Result]:
        for shot, result in video:
            shots.append(shot)
            yield result

    return ((shots.pop(), result) for result in tracked(results(), tracker, options))


def _items(shots: Sequence[EvalImage], boxes: str | None) -> Iterator[PhotoInput]:
    known = read_boxes(boxes) if boxes is not None and boxes != "annotated" else {}
    for shot in shots:
        given = None
        if boxes is not None:
            mine = shot.boxes if boxes == "annotated" else boxes_of(known, shot.path)
            given = with_scores([] if mine is None else mine)
        # Annotations count stored pixels: a photo is not turned by what its EXIF part says.
        yield PhotoInput(read_rgb(shot.path), given, keep=False, name=str(shot.path))


def _how(model: Model, options: PredictOptions, name: Any, boxes: str | None, tracking: TrackOptions | None, rounding: str) -> str:
    """The model and test-time options, for the protocol."""
    called = (
        Path(name).name
        if isinstance(name, (str, Path))
        else type(model.method).__name__
        if isinstance(name, Model)
        else "the bundled model"
    )
    if model.needs_boxes:
        where = "annotated boxes" if boxes == "annotated" else f"boxes of {(boxes or '').rpartition('/')[2]}"
    else:
        where = f"whole photos, no boxes, short side {options.size or model.method.size}"
        scales = ", ".join(f"{s:g}" for s in options.scales)
        where += f", scale{'s' if len(options.scales) > 1 else ''} {scales}" + (", merged as published" if options.published else "")
    precision = ", half precision" if options.mixed else ""
    scores = f", people from score {options.threshold:g}" + (
        f", joints from score {options.joint_threshold:g}" * (options.joint_threshold > 0)
    )
    tracks = "" if tracking is None else f", tracked with {'no' if tracking.flow == 'none' else tracking.flow} flow"
    return f"{called}, {where}, {'flip' if options.flip else 'no flip'}{precision}{scores}{tracks}, {rounding}"


# ── several processes ──


@contextmanager
def _several() -> Iterator[tuple[int, int]]:
    """This process's rank and the number of processes; a group is made where torchrun started several and there is none yet."""
    number = int(os.environ.get("WORLD_SIZE", "1"))
    if number == 1:
        yield 0, 1
        return
    import torch.distributed as dist

    own = not dist.is_initialized()
    if own:
        dist.init_process_group("gloo")
    try:
        yield dist.get_rank(), dist.get_world_size()
    finally:
        if own:
            dist.destroy_process_group()


def _together(mine: dict[int, T], number: int) -> dict[int, T]:
    """What all processes found, by shot (in the first process; elsewhere its own part)."""
    if number == 1:
        return mine
    import torch.distributed as dist

    parts: list[Any] | None = [None] * number if dist.get_rank() == 0 else None
    dist.gather_object(mine, parts)
    return {k: v for part in parts or [mine] for k, v in part.items()}


def _shared(done: Evaluation | None, number: int) -> Evaluation:
    """The first process's result in every process (there without the analysis)."""
    if number == 1:
        assert done is not None
        return done
    import torch.distributed as dist

    box = [None if done is None else replace(done, analysis=None)]
    dist.broadcast_object_list(box)
    result = done or box[0]
    assert result is not None
    return result


# ── figures ──


def _finish(chosen: Benchmark, score: Score, how: str, json: Path | None, report: Path | None, quiet: bool) -> Evaluation:
    """Put figures and protocol together; print, draw and write what was asked for."""
    protocol = "; ".join((chosen.name, chosen.about, how, chosen.rules))
    more = {"results": score.results, **score.more}
    done = Evaluation(score.figures, protocol, [*chosen.notes, *score.notes], more, score.text, score.analysis)
    if not quiet:
        print(done)
    if score.analysis is not None:
        page = report or (json.with_suffix(".html") if json is not None else Path("evaluation.html"))
        from manypose.evaluation.error_analysis.worst import worst_photos

        pictures = worst_photos(score.analysis, {s.id: s.path for s in chosen.shots})
        write_text(page, html(score.analysis, done.figures, protocol, done.notes, pictures))
        done = replace(done, more={**more, "report": str(page)})
        if not quiet:
            print(f"\n{table(score.analysis)}\n\nreport: {page}")
    if json is not None:
        write_json(json, done.to_json())
    return done


def _plain(value: Any) -> Any:
    """JSON values: NaN becomes None, NumPy numbers become Python's."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
