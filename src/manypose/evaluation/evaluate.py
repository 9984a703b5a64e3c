"""Evaluation: a model, or a result file of any program, on a data set; figures always come with their protocol.

Several processes share the photos when started with ``torchrun``; their number, the batch size and the machine's threads change the
time it takes and nothing else.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from manypose import __version__
from manypose.evaluation.benchmark import Benchmark, BenchmarkSpec, Score, find_benchmark
from manypose.evaluation.error_analysis.analysis import Analysis
from manypose.evaluation.error_analysis.report import html, table
from manypose.evaluation.metrics.segmentation import person_iou
from manypose.evaluation.predicted import Predicted, boxes_of_photos, part, predicted, together
from manypose.evaluation.processes import from_first, gathered, processes
from manypose.inference.detectors import find_detector
from manypose.inference.loading import RuntimeName
from manypose.inference.model import Model
from manypose.inference.options import EVALUATION, PredictOptions, changed
from manypose.inference.running import runner
from manypose.inference.several import one_or_several
from manypose.io.files import known_by, write_json, write_text
from manypose.io.journal import Journal
from manypose.io.printable import printable
from manypose.poses.boxes import skipped_text
from manypose.tracking.tracker import TrackOptions

__all__ = ["Evaluation", "Setup", "evaluate", "finished", "prepared"]


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found out.

    Args:
        figures: by name, the main one first; NaN where one is not defined (`notes` says why).
        protocol: which images, people and boxes, which model and test-time options, which rules.
        notes: reasons and warnings.
        more: further entries of the JSON; ``failed`` are photos that could not be read.
        text: further lines for print.
        analysis: of the errors, where asked for and this is the first process.
        files: the photos by image id, where the errors were analysed.
    """

    figures: dict[str, float]
    protocol: str
    notes: list[str]
    more: dict[str, Any]
    text: str = ""
    analysis: Analysis | None = None
    files: Mapping[int, Path] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """1 where photos could not be read, else 0."""
        return int("failed" in self.more)

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
    ensemble: list[str] = [],  # noqa: B006 - shown by --help, never changed
    dataset: str = "coco",
    annotations: Path | None = None,
    images: Path | None = None,
    results: Path | None = None,
    photos: Literal["all", "people", "present"] = "all",
    boxes: str | None = None,
    detector: str | None = None,
    detector_weights: Path | None = None,
    options: PredictOptions = EVALUATION,
    device: str = "auto",
    runtime: RuntimeName = "auto",
    box_ap: bool = False,
    mask_iou: bool = False,
    analyze: bool = False,
    report: Path | None = None,
    json: Path | None = None,
    results_out: Path | None = None,
    heads: Path | None = None,
    groups: Path | None = None,
    no_track: bool = False,
    flow: Literal["dis", "farneback", "none"] = "dis",
    matching: Literal["hungarian", "greedy"] = "hungarian",
    category: str | None = None,
    area: Literal["annotated", "box"] | None = None,
    quiet: bool = False,
    **changes: Any,
) -> Evaluation:
    """Measure a model, or a result file of any program, on a data set.

    Args:
        model: a model's name, a .safetensors file, a loaded model, or one of the two that come with the package, default and fast.
        weights: a file for a named model, .safetensors or published .pth.
        ensemble: further models, by name or file: maps of models that look at one person at a time are averaged, people of others are
            joined.
        dataset: coco, crowdpose, ochuman, mpii, posetrack, voc, or the path of a data set's YAML.
        annotations: the data set's annotation file.
        images: folder of the photos; not needed with results.
        results: results to evaluate in place of a model: for COCO's format a COCO results file (such as Detectron2's), or a folder of
            OpenPose, MMPose-inferencer or YOLO-pose files, one a photo; preds for mpii; a folder for posetrack.
        photos: all that the annotations list, those with labelled people, or those present in the folder.
        boxes: for models that look at one person at a time: a boxes file, or "annotated".
        detector: or who finds the boxes: a detector of torchvision, such as fasterrcnn_resnet50_fpn_v2, or another model; by default the
            one that belongs to the model.
        detector_weights: the detector's weights, where they are not to be fetched.
        options: how to predict; evaluation's preset leaves out fewer people than prediction, since AP wants faint ones too.
        device: auto, cpu, cuda or cuda:N.
        runtime: what runs the networks: torch, onnx or openvino; auto is onnx where the graph comes with the package, else torch.
        box_ap: measure the people's boxes too.
        mask_iou: measure the person masks too: PASCAL VOC's intersection over union of all people's pixels together (data sets with
            outlines, voc, and models that give masks).
        analyze: say what the AP is lost to: a table, part of the JSON, and an HTML report.
        report: where the HTML report goes; by default beside the JSON, or evaluation.html.
        json: write the figures here. A run with this or `results_out` that was stopped goes on where it was when it is called again.
        results_out: write the people found here, as the data set's server takes them.
        heads: MPII's file with head boxes, where the annotations have none.
        groups: MPII's groups_v12.mat: keypoint AP over its groups, as its server measures, in place of whole photos.
        no_track: leave people of videos without ids; MOTA is then not measured.
        flow: optical flow that helps tracking.
        matching: of people with tracks: the best assignment of all, or the most similar pair first.
        category: the name of the category whose annotations count, where several of the file have keypoints.
        area: people's areas: the file's, or 0.53 of the box; by default as the data set's rule says.
        quiet: no progress bar, and nothing printed.
        changes: options that differ from `options`, by name.

    Raises:
        FileNotFoundError, ValueError: files are missing or broken, or options do not suit one another; one line says what.
    """
    from_file = results is not None
    if from_file and (model is not None or weights is not None or results_out is not None or boxes or detector):
        raise ValueError("a result file is evaluated as it is: leave out the model, weights, boxes, detector and results_out")
    if not from_file and images is None and not dataset.endswith((".yaml", ".yml")):
        raise ValueError("give the folder of the photos (--images DIR), or a result file (--results FILE)")
    if heads is not None and dataset.lower() != "mpii":
        raise ValueError(f"heads are for the data set mpii, not for {dataset!r}: leave them out")
    if from_file and mask_iou:
        raise ValueError("mask_iou is for models: a result file of keypoints has no masks")
    if report is not None and not analyze:
        raise ValueError("a report is part of the error analysis: ask for it (--analyze)")
    one = None if from_file else model if isinstance(model, Model) else one_or_several(model, ensemble, weights, device, runtime)
    alone = one is not None and one.needs_boxes
    options = changed(options, **changes) if changes else options
    request = BenchmarkSpec(dataset, images, annotations, photos, box_ap, analyze, heads, alone, mask_iou, category, area, groups)
    chosen = find_benchmark(request)
    if results_out is not None and chosen.write is None:
        raise ValueError(
            f"{results_out}: {chosen.name} takes no such file of this model; for MPII's server give its .mat as annotations and --groups"
        )
    if mask_iou and chosen.pixels is None:
        raise ValueError("mask_iou is for data sets with outlines: coco, crowdpose, voc or a data set YAML")
    if one is None:
        assert results is not None
        score = chosen.score_file(results)
        how = f"results of {results.name} as they are ({score.results} people)"
        return _finish(chosen, score, how, json, report, quiet)
    setup = prepared(one, model, chosen, options, boxes, detector, None if no_track else flow, matching)
    finder = None if not setup.detector else find_detector(setup.detector, weights=detector_weights, device=device, runtime=runtime)
    place = json or results_out
    with processes() as (rank, number):
        journal = None
        if place is not None and (place.is_file() or not place.exists()) and setup.tracking is None and not isinstance(model, Model):
            files = {"model": model, "weights": weights, "annotations": annotations, "images": images, "dataset": dataset, "boxes": boxes,
                     "detector": detector, "detector_weights": detector_weights, "groups": groups}  # fmt: skip
            settings = {**{k: known_by(v) for k, v in files.items()}, "options": asdict(replace(options, batch_size=1))}
            more = {"process": [rank, number], "box_ap": box_ap, "mask_iou": mask_iou, "photos": photos, "version": __version__,
                    "ensemble": [known_by(e) for e in ensemble], "category": category, "runtime": runtime}  # fmt: skip
            journal = Journal(place if not rank else place.with_name(f"{rank}-{place.name}"), {**settings, **more})
        mine = predicted(
            one, part(chosen.shots, rank, number), options, boxes=setup.given, detector=finder, tracking=setup.tracking, box_ap=box_ap,
            quiet=quiet or rank > 0, pixels=chosen.pixels, journal=journal,
        )  # fmt: skip
        parts = gathered(mine, number)
        done = finished(setup, together(parts), mask_iou, results_out, json, report, quiet) if rank == 0 else None
        result = from_first(None if done is None else replace(done, analysis=None), number)
        if journal is not None:
            journal.remove()
    return done or result


@dataclass(frozen=True)
class Setup:
    """What is evaluated and how, before any photo is read; `prepared` makes it.

    Args:
        model: ready to predict.
        called: what it was named by.
        chosen: the data set.
        options: how to predict.
        boxes: a boxes file or ``annotated``, where boxes are given.
        given: the boxes themselves, by image.
        note: on photos without boxes.
        detector: the name of what finds the boxes, where they are found.
        tracking: of videos; None: not at all.
    """

    model: Model
    called: Any
    chosen: Benchmark
    options: PredictOptions
    boxes: str | None
    given: dict[int, Any] | None
    note: str
    detector: str | None
    tracking: TrackOptions | None


def prepared(
    model: Model,
    called: Any,
    chosen: Benchmark,
    options: PredictOptions,
    boxes: str | None,
    detector: str | None,
    flow: Literal["dis", "farneback", "none"] | None,
    matching: Literal["hungarian", "greedy"] = "hungarian",
) -> Setup:
    """The setup of an evaluation; a `flow` of None leaves people of videos without ids.

    Raises:
        ValueError: options do not suit one another.
    """
    if boxes is not None and detector is not None:
        raise ValueError("give boxes or a detector, not both")
    model.check(options, boxes is not None or detector is not None)
    detector = detector or (model.detector if model.needs_boxes and boxes is None else None)
    tracking = None if flow is None or not any(s.sequence for s in chosen.shots) else TrackOptions(flow=flow, matching=matching)
    given, note = boxes_of_photos(boxes, chosen.shots, chosen.root)
    return Setup(model, called, chosen, options, boxes, given, note, detector, tracking)


def finished(
    setup: Setup, found: Predicted, mask_iou: bool, results_out: Path | None, json: Path | None, report: Path | None, quiet: bool
) -> Evaluation:
    """The figures of all people found, printed and written as `evaluate` says.

    Raises:
        ValueError: no photo can be read.
    """
    chosen = setup.chosen
    if chosen.shots and not found.people:
        raise ValueError(f"none of the {len(chosen.shots)} photos can be evaluated; the first: {found.failed[chosen.shots[0].id]}")
    if results_out is not None and chosen.write is not None:
        chosen.write(found.people, results_out)
    whose = setup.boxes or (setup.detector and f"{Path(setup.detector).stem} from score {setup.options.detector_threshold:g}")
    how = _how(setup.model, setup.options, setup.called, whose, setup.tracking, chosen.rounding)
    return _finish(chosen, _score(chosen, found, setup.model, mask_iou, setup.note), how, json, report, quiet)


def _score(chosen: Benchmark, found: Predicted, model: Model, mask_iou: bool, note: str) -> Score:
    """The score of a model's people, with notes on what was left out."""
    score = chosen.score(found.people, found.detected)
    if mask_iou:
        score = replace(score, figures={**score.figures, **{f"mask {k}": v for k, v in person_iou(found.pixels.values()).items()}})
    notes = [note] if note else []
    missing = [j for j in chosen.skeleton.joints if j not in model.skeleton.joints]
    if missing:
        notes.append(f"the model has no {', '.join(missing)}: they count as not found")
    if found.skipped:
        notes.append(skipped_text(found.skipped))
    failed = [found.failed[i] for i in sorted(found.failed)]
    if failed:
        notes.append(f"{len(failed)} photos could not be read and count as photos without results; the first: {failed[0]}")
    return replace(score, notes=[*score.notes, *notes], more={**score.more, **({"failed": failed} if failed else {})})


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
        side = {"short": "short side", "long": "long side", "square": "long side, filled to a square,"}[options.edge]
        where = f"whole photos, no boxes, {side} {options.size or runner(model.method).size}"
        scales = ", ".join(f"{s:g}" for s in options.scales)
        where += f", scale{'s' if len(options.scales) > 1 else ''} {scales}" + (", merged as published" if options.published else "")
    precision = ", half precision" if options.mixed else ""
    scores = f", people from score {options.threshold:g}" + (
        f", joints from score {options.joint_threshold:g}" * (options.joint_threshold > 0)
    )
    greedy = ", greedily" if tracking is not None and tracking.matching == "greedy" else ""
    tracks = "" if tracking is None else f", tracked with {'no' if tracking.flow == 'none' else tracking.flow} flow{greedy}"
    return f"{called}, {where}, {'flip' if options.flip else 'no flip'}{precision}{scores}{tracks}, {rounding}"


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

        files = {s.id: s.path for s in chosen.shots}
        write_text(page, html(score.analysis, done.figures, protocol, done.notes, worst_photos(score.analysis, files)))
        done = replace(done, more={**more, "report": str(page)}, files=files)
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
