"""``manypose predict``: the people in photos and videos, as drawn pictures and result files in a folder."""

import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

from manypose.cli.extras import Window
from manypose.cli.moving import local
from manypose.cli.predict_into import FAILED, Drawing, Outcome, Part, Team, counted, file_identity, predict_to
from manypose.evaluation.processes import processes, together
from manypose.inference.detectors import find_detector
from manypose.inference.loading import RuntimeName
from manypose.inference.model import Model, load
from manypose.inference.options import PredictOptions
from manypose.inference.several import one_or_several
from manypose.io.sources import example_photo
from manypose.poses.boxes import skipped_text
from manypose.tracking.tracker import Tracker, TrackOptions

__all__ = ["predict"]


def predict(
    sources: list[str] = [],  # noqa: B006 - shown by --help, never changed
    *,
    example: bool = False,
    model: str | None = None,
    weights: Path | None = None,
    ensemble: list[str] = [],  # noqa: B006 - shown by --help, never changed
    out: Path = Path("manypose-out"),
    format: list[Literal["coco", "openpose", "csv", "jsonl"]] | None = None,
    overwrite: bool = False,
    boxes: Path | None = None,
    detector: str | None = None,
    detector_weights: Path | None = None,
    options: PredictOptions = PredictOptions(),  # noqa: B008 - frozen
    track: bool = False,
    tracking: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
    redetector: str | None = None,
    redetector_weights: Path | None = None,
    part: Part = Part(),  # noqa: B008 - frozen
    fps: float | None = None,
    no_pictures: bool = False,
    draw_boxes: bool = False,
    draw_scores: bool = False,
    colour_by: Literal["side", "person", "id"] = "side",
    save_crops: bool = False,
    show: bool = False,
    device: str = "auto",
    runtime: RuntimeName = "auto",
) -> int:
    """Find the people in photos and videos; write drawn pictures and result files.

    The processes of ``torchrun`` share the photos and videos and write one result.

    Args:
        sources: photos, videos, folders, or patterns such as 'photos/*.jpg'; addresses of photos (http) or streams (rtsp); - for standard
            input; the number of a camera, such as 0. Ctrl-C ends a camera or stream.
        example: use the example photo of manypose (an astronaut).
        model: a model's name, such as default or fast, or a .safetensors file.
        weights: a weights file for a named model: .safetensors, or a published .pth.
        ensemble: further models, by name or file. The heat maps of top-down models are averaged; the people of bottom-up models are
            merged.
        out: the folder to write to; it is created if missing.
        format: result files to write; default: coco.
        overwrite: start again if the folder holds results; by default the same command resumes an interrupted run.
        boxes: a file with person boxes, for top-down models; it replaces the detector.
        detector: the person detector of a top-down model: a torchvision detector, such as fasterrcnn_resnet50_fpn_v2, or another model;
            by default the model's own.
        detector_weights: a weights file for the detector; by default the bundled or published weights.
        options: prediction options.
        track: track people through videos: each keeps one id from frame to frame. The photos of a folder count as the frames of one video.
        tracking: tracking options.
        redetector: a top-down model that searches for lost people at their expected place; by default the model itself if it is top-down.
        redetector_weights: a weights file for the redetector.
        part: the frames of videos to process.
        fps: treat the photos of a folder as the frames of a video with this frame rate.
        no_pictures: write result files only.
        draw_boxes: draw the box of each person too.
        draw_scores: draw the score of each person too.
        colour_by: left and right in two colours (side), or one colour for each person or track id.
        save_crops: write a crop of each person into the folder crops.
        show: show each drawn picture in a window.
        device: the device that runs the networks: auto, cpu, cuda or cuda:N.
        runtime: the library that runs the networks: torch, onnx or openvino; auto is onnx if the graph is bundled, else torch.

    Returns:
        1 if a source could not be used, else 0.
    """
    if not track and (redetector is not None or redetector_weights is not None):
        raise ValueError("a redetector needs tracking (--track)")
    if not sources and not example:
        raise ValueError("no source is given: a photo, video, folder or pattern; --example uses the example photo of manypose")
    if detector is None and detector_weights is not None:
        raise ValueError("detector_weights need the name of their detector (--detector NAME)")

    def tracker(of: Model) -> Callable[[], Tracker]:
        second = None if redetector is None else load(redetector, weights=redetector_weights, device=device, runtime=runtime)
        of.tracker(tracking, second)  # an error is raised once, not for each video
        return lambda: of.tracker(tracking, second)

    settings: dict[str, Any] = {
        "model": file_identity(model), "weights": file_identity(weights), "ensemble": [file_identity(name) for name in ensemble],
        "detector": file_identity(detector), "detector weights": file_identity(detector_weights),
        "runtime": runtime,
        "tracking": asdict(tracking) if track else None, "redetector": [file_identity(redetector), file_identity(redetector_weights)],
        "fps": fps,
    }  # fmt: skip
    window = Window() if show else None
    began = perf_counter()
    asked = [*sources, *([str(example_photo())] if example else [])]
    with processes() as (rank, number), local(asked, fps) as found:
        outcome = predict_to(
            found,
            lambda: one_or_several(model, ensemble, weights, device, runtime),
            out,
            formats=format or ("coco",),
            options=options,
            boxes=boxes,
            finder=None if detector is None else lambda: find_detector(detector, weights=detector_weights, device=device, runtime=runtime),
            tracker=tracker if track else None,
            drawing=None if no_pictures else Drawing(draw_boxes, options.joint_threshold or 0.1, colour_by, draw_scores),
            part=part,
            settings=settings,
            overwrite=overwrite,
            team=Team(rank, number, together),
            crops=save_crops,
            show=None if window is None else window.show,
        )
    if window is not None:
        window.close()
    if rank:
        return 0  # the first process prints the summary
    print(_summary(outcome, out, perf_counter() - began))
    if outcome.skipped:
        warnings.warn(skipped_text(outcome.skipped), stacklevel=1)
    return int(bool(outcome.failed))


def _summary(outcome: Outcome, out: Path, seconds: float) -> str:
    """The counts of the run, and where its results are."""
    said = outcome.counts()
    if outcome.resumed:
        said += f"; {counted(outcome.resumed, 'file was', 'files were')} finished before"
    if outcome.photos > 30 and not outcome.resumed:
        said += f"; {outcome.photos / seconds:.1f} a second"
    if outcome.failed:
        said += f"; {counted(len(outcome.failed), 'source')} failed, see {out / FAILED}"
    drawn = outcome.drawn if len(outcome.drawn) <= 3 else [f"{len(outcome.drawn)} drawn pictures in {out}"]
    wrote = [str(p) for p in (*outcome.written, *drawn)]
    return said + (f"; wrote {', '.join(wrote)}" if wrote else "")
