"""Evaluation of a model, or of any program's result file, on a data set; figures always come with their protocol.

The processes of ``torchrun`` share the photos. Their number, the batch size and the number of threads change the time, not the figures.
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
from manypose.io.files import file_identity, write_json, write_text
from manypose.io.journal import Journal
from manypose.io.printable import printable
from manypose.poses.boxes import skipped_text
from manypose.tracking.tracker import TrackOptions

__all__ = ["Evaluation", "Setup", "evaluate", "finished", "prepared"]


@dataclass(frozen=True)
class Evaluation:
    """The result of `evaluate`.

    Args:
        figures: figures by name, the main one first; NaN if undefined (`notes` says why).
        protocol: the images, people and boxes, the model and test-time options, and the rules.
        notes: reasons and warnings.
        more: further entries of the JSON; ``failed`` lists photos that could not be read.
        text: further lines of the printed result.
        analysis: the error analysis, if requested, in the first process.
        files: the photos by image id, with an error analysis.
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
        """1 if any photo could not be read, else 0."""
        return int("failed" in self.more)

    def to_json(self) -> dict[str, Any]:
        """All results as plain JSON values; undefined figures are None."""
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
    """Evaluate a model, or any program's result file, on a data set.

    Args:
        model: a model's name, such as default or fast, a .safetensors file, or a loaded model.
        weights: a weights file for a named model: .safetensors, or a published .pth.
        ensemble: further models, by name or file. The heat maps of top-down models are averaged; the people of bottom-up models are
            merged.
        dataset: the type of the data set: coco, crowdpose, ochuman, mpii, posetrack, voc, or the path of a data set's YAML.
        annotations: the data set's annotation file.
        images: folder of the photos; not needed with results.
        results: results to evaluate instead of a model: for COCO's format a COCO results file (such as Detectron2's), or a folder of
            OpenPose, MMPose-inferencer or YOLO-pose files, one for each photo; preds for mpii; a folder for posetrack.
        photos: all annotated photos, those with labelled people, or those present in the folder.
        boxes: for top-down models: a boxes file, or "annotated".
        detector: the person detector of a top-down model: a torchvision detector, such as fasterrcnn_resnet50_fpn_v2, or another model;
            by default the model's own.
        detector_weights: a weights file for the detector; by default the bundled or published weights.
        options: prediction options; evaluation's preset keeps people with lower scores than prediction does, since they count for AP.
        device: the device that runs the networks: auto, cpu, cuda or cuda:N.
        runtime: the library that runs the networks: torch, onnx or openvino; auto is onnx if the graph is bundled, else torch.
        box_ap: measure box AP too.
        mask_iou: measure person masks too: PASCAL VOC's intersection over union over the pixels of all people (for data sets with
            outlines or voc, and models that predict masks).
        analyze: analyse which errors reduce the AP: a table, an entry of the JSON, and an HTML report.
        report: file of the HTML report; by default beside the JSON, or evaluation.html.
        json: file to write the figures to. With this or `results_out`, the same command resumes an interrupted run.
        results_out: file to write the results to, in the format of the data set's server.
        heads: MPII's file with head boxes, for annotations without them.
        groups: MPII's groups_v12.mat: measure keypoint AP over its groups, as MPII's server does, instead of whole photos.
        no_track: do not track people through videos; MOTA is then not measured.
        flow: optical flow method of the tracker.
        matching: matching of people to tracks: the best total assignment, or greedily the most similar pair first.
        category: name of the category to evaluate, if several have keypoints.
        area: people's areas: those of the file, or 0.53 of the box; by default the data set's rule.
        quiet: no progress bar and no output.
        changes: changes to `options`, by name.

    Raises:
        FileNotFoundError, ValueError: files are missing or broken, or options are incompatible; the message says which.
    """
    from_file = results is not None
    if from_file and (model is not None or weights is not None or results_out is not None or boxes or detector):
        raise ValueError("with a result file, leave out the model, weights, boxes, detector and results_out")
    if not from_file and images is None and not dataset.endswith((".yaml", ".yml")):
        raise ValueError("give the folder of the photos (--images DIR), or a result file (--results FILE)")
    if heads is not None and dataset.lower() != "mpii":
        raise ValueError(f"heads are only for the data set mpii, not for {dataset!r}")
    if from_file and mask_iou:
        raise ValueError("mask_iou is for models: a result file of keypoints has no masks")
    if report is not None and not analyze:
        raise ValueError("a report needs the error analysis (--analyze)")
    one = None if from_file else model if isinstance(model, Model) else one_or_several(model, ensemble, weights, device, runtime)
    alone = one is not None and one.needs_boxes
    options = changed(options, **changes) if changes else options
    request = BenchmarkSpec(dataset, images, annotations, photos, box_ap, analyze, heads, alone, mask_iou, category, area, groups)
    chosen = find_benchmark(request)
    if results_out is not None and chosen.write is None:
        raise ValueError(
            f"{results_out}: {chosen.name} has no result format for this model; for MPII's server give its .mat as annotations and --groups"
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
            settings = {**{k: file_identity(v) for k, v in files.items()}, "options": asdict(replace(options, batch_size=1))}
            more = {"process": [rank, number], "box_ap": box_ap, "mask_iou": mask_iou, "photos": photos, "version": __version__,
                    "ensemble": [file_identity(e) for e in ensemble], "category": category, "runtime": runtime}  # fmt: skip
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
    """The setup of an evaluation, before any photo is read; `prepared` makes it.

    Args:
        model: the loaded model.
        called: its name in the command.
        chosen: the benchmark.
        options: prediction options.
        boxes: a boxes file or ``annotated``, if boxes are given.
        given: the given boxes by image.
        note: a note on photos without boxes.
        detector: the name of the person detector, if there is one.
        tracking: tracking options; None: no tracking.
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
    """The setup of an evaluation; no tracking if `flow` is None.

    Raises:
        ValueError: options are incompatible.
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
    """The figures of all results, printed and written as `evaluate` describes.

    Raises:
        ValueError: no photo can be read.
    """
    chosen = setup.chosen
    if chosen.shots and not found.people:
        raise ValueError(f"none of the {len(chosen.shots)} photos can be read; the first: {found.failed[chosen.shots[0].id]}")
    if results_out is not None and chosen.write is not None:
        chosen.write(found.people, results_out)
    whose = setup.boxes or (setup.detector and f"{Path(setup.detector).stem} from score {setup.options.detector_threshold:g}")
    how = _how(setup.model, setup.options, setup.called, whose, setup.tracking, chosen.rounding)
    return _finish(chosen, _score(chosen, found, setup.model, mask_iou, setup.note), how, json, report, quiet)


def _score(chosen: Benchmark, found: Predicted, model: Model, mask_iou: bool, note: str) -> Score:
    """The score of a model's results, with notes on missing joints and photos."""
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
        side = {"short": "short side", "long": "long side", "square": "long side, padded to a square,"}[options.edge]
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
    """Combine figures and protocol; print them, and write the requested files."""
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
    """Plain JSON values: NaN becomes None, NumPy numbers become Python numbers."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
