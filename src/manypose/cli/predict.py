"""``manypose predict``: people of photos and videos, as drawn pictures and result files in a folder."""

import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, count
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from manypose.inference.detectors import find_detector, with_boxes
from manypose.inference.model import Model, load
from manypose.inference.pipeline import Options, PhotoInput, Result, stream
from manypose.io import photos as media
from manypose.io import videos as video
from manypose.io.sources import example_photo
from manypose.io.sources import sources as find
from manypose.poses.boxes import boxes_of, read_boxes, skipped_text, with_scores
from manypose.poses.drawing import draw
from manypose.poses.formats.result_files import FORMATS, Entry, result_files
from manypose.tracking.tracker import Tracker, TrackOptions, tracked

__all__ = ["Outcome", "predict", "predict_to"]


@dataclass
class Outcome:
    """What came of it.

    Args:
        photos: photos and frames that were looked at.
        people: people found in them.
        written: result files.
        drawn: drawn pictures and videos.
        failed: one line for each photo or video that could not be used.
        skipped: boxes that were left out, by reason.
    """

    photos: int = 0
    people: int = 0
    written: list[Path] = field(default_factory=list)
    drawn: list[Path] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def predict(
    sources: list[str] = [],  # noqa: B006 - shown by --help, never changed
    *,
    example: bool = False,
    model: str | None = None,
    weights: Path | None = None,
    out: Path = Path("manypose-out"),
    format: list[Literal["coco", "openpose", "csv", "jsonl"]] | None = None,
    boxes: Path | None = None,
    detector: str | None = None,
    detector_weights: Path | None = None,
    detector_threshold: float = 0.3,
    track: bool = False,
    flow: Literal["dis", "farneback", "none"] = "dis",
    gap: int = 30,
    again: str | None = None,
    again_weights: Path | None = None,
    flip: bool = False,
    scales: list[float] | None = None,
    size: int | None = None,
    threshold: float = 0.17,
    batch_size: int = 8,
    mixed: bool = False,
    published: bool = False,
    no_pictures: bool = False,
    draw_boxes: bool = False,
    joint_threshold: float = 0.1,
    device: str = "auto",
) -> int:
    """Find the people in photos and videos; write drawn pictures and result files.

    Args:
        sources: photos, videos, folders, or patterns such as 'photos/*.jpg'.
        example: look at the photo of an astronaut that scikit-image brings (extra 'demo').
        model: a model's name, a .safetensors file, or one of the two that come with manypose, default and fast.
        weights: a file for a named model: .safetensors, or a published .pth.
        out: the folder to write to; it is made where needed.
        format: result files to write: coco, openpose, csv, jsonl.
        boxes: a file with boxes of people, for models that look at one person at a time.
        detector: or who finds the boxes: a detector of torchvision, such as fasterrcnn_resnet50_fpn_v2, or another model; by default the
            one that belongs to the model.
        detector_weights: the detector's weights, where they are not to be fetched.
        detector_threshold: people with a lower score of the detector are left out.
        track: give people of videos ids that they keep from frame to frame.
        flow: optical flow that helps tracking; none is faster.
        gap: for how many frames somebody who is not found is remembered.
        again: a top-down model that looks at people again where they should be by now; by default the model itself, where it is top-down.
        again_weights: a file for that model.
        flip: look at the mirrored photo too.
        scales: look at several scales; 1 is the model's own size.
        size: short side of the network's input in pixels; by default the model's own.
        threshold: people with a lower score are left out.
        batch_size: views that go through the network at once; changes time and memory only.
        mixed: half precision on the network; faster on a GPU.
        published: sizes and merging exactly as HigherHRNet's and SWAHR's authors have them.
        no_pictures: write result files only.
        draw_boxes: draw people's boxes too.
        joint_threshold: joints with a lower score are not drawn.
        device: auto, cpu, cuda or cuda:N.

    Returns:
        1 where a source could not be used, else 0.
    """
    options = Options(flip, tuple(scales or (1.0,)), size, batch_size, threshold, mixed, published)
    if not track and (again is not None or again_weights is not None):
        raise ValueError("again is for tracking: ask for it (--track)")
    tracking = TrackOptions(flow=flow, gap=gap)
    second = None if again is None else cache(lambda: load(again, weights=again_weights, device=device))
    if not sources and not example:
        raise ValueError("give photos, videos, folders or patterns to look at; --example takes a photo that comes with scikit-image")
    if detector is None and detector_weights is not None:
        raise ValueError("detector_weights are for a detector: name it (--detector NAME)")
    outcome = predict_to(
        [*sources, *([example_photo()] if example else [])],
        lambda: load(model, weights=weights, device=device),
        out,
        formats=format or ("coco",),
        options=options,
        boxes=boxes,
        finder=None if detector is None else lambda: find_detector(detector, weights=detector_weights, device=device),
        finder_threshold=detector_threshold,
        tracker=None if not track else lambda model: model.tracker(tracking, second and second()),
        pictures=not no_pictures,
        draw_boxes=draw_boxes,
        joint_threshold=joint_threshold,
    )
    print(_summary(outcome, out))
    if outcome.skipped:
        warnings.warn(skipped_text(outcome.skipped), stacklevel=1)
    return int(bool(outcome.failed))


def _summary(outcome: Outcome, out: Path) -> str:
    """How many, and where the results are."""
    said = f"{_counted(outcome.people, 'person', 'people')} in {_counted(outcome.photos, 'picture')}"
    drawn = outcome.drawn if len(outcome.drawn) <= 3 else [f"{len(outcome.drawn)} drawn pictures in {out}"]
    wrote = [str(p) for p in (*outcome.written, *drawn)]
    return said + (f"; wrote {', '.join(wrote)}" if wrote else "")


def predict_to(
    sources: Sequence[str | Path],
    model: Model | Callable[[], Model],
    out: Path,
    *,
    formats: Sequence[str] = ("coco",),
    options: Options = Options(),  # noqa: B008 - frozen
    boxes: Path | None = None,
    finder: Callable[[], Any] | None = None,
    finder_threshold: float = 0.2,
    tracker: Callable[[Model], Tracker] | None = None,
    pictures: bool = True,
    draw_boxes: bool = False,
    joint_threshold: float = 0.1,
    complain: Callable[[str], None] = lambda line: print(f"manypose: error: {line}", file=sys.stderr),
) -> Outcome:
    """Predict sources into a folder: ``NAME_poses.jpg`` or ``.mp4`` for each, and the result files of `formats`.

    A source that cannot be used is one line to `complain`, and the others go on. Result files appear whole at the end, or not at all.

    Args:
        sources: as `manypose.io.sources.sources` takes them.
        model: a model, or what gives one once everything else is known to be in order.
        out: the folder.
        formats: names in `manypose.poses.formats.result_files.FORMATS`.
        options: how to predict.
        boxes: see `manypose.poses.boxes.read_boxes`.
        finder: gives who finds the boxes instead, see `manypose.inference.detectors.find_detector`.
        finder_threshold: people with a lower score of that are left out.
        tracker: gives a tracker for each video.
        pictures: draw.
        draw_boxes: draw boxes too.
        joint_threshold: see `manypose.poses.drawing.draw`.
        complain: is told of each source that cannot be used.

    Raises:
        FileNotFoundError, ValueError: nothing is there to look at, or an option makes no sense.
        OSError: the folder cannot be written.
    """
    outcome = Outcome()
    if boxes is not None and finder is not None:
        raise ValueError("give boxes or a detector, not both")

    def fail(error: Exception) -> None:
        outcome.failed.append(_line(error))
        complain(_line(error))

    paths = _paths(sources, fail)
    known = None if boxes is None else read_boxes(boxes)
    if known is not None and all(boxes_of(known, p) is None for p in paths):
        raise ValueError(f"{boxes}: none of its photos is among those given; boxes are found by file name")
    named = _named(paths)
    if tracker is not None and not any(n.video for n in named):
        raise ValueError("people are tracked through videos, and none is among the sources (tracks of photos: Model.predict)")
    out.mkdir(parents=True, exist_ok=True)
    brush = {"boxes": draw_boxes, "joint_threshold": joint_threshold} if pictures else None
    with suppress(_Nothing), result_files(out, formats) as write, _bar(len(paths)) as bar:
        model = model if isinstance(model, Model) else model()
        model.check(options, known is not None or finder is not None)
        own = model.own_detector(finder, known)
        detector: Any = own() if callable(own) else own and find_detector(own, device=str(model.device))
        if tracker is not None:
            tracker(model)  # what is wrong with it is said once, not for each video

        def found(items: Iterable[PhotoInput]) -> Iterator[Result]:
            if detector is not None:
                items = with_boxes(items, detector, threshold=finder_threshold, batch_size=options.batch_size, flip=options.flip)
            for result in stream(model.method, items, options):
                outcome.skipped.update(result.skipped)
                yield result

        def followed(items: Iterable[PhotoInput]) -> Iterator[Result]:
            return found(items) if tracker is None else tracked(found(items), tracker(model))

        def add(entry: Entry) -> None:
            outcome.photos += 1
            outcome.people += len(entry.poses)
            write(entry)

        photos = [n for n in named if not n.video]
        items = (PhotoInput(n.path, _boxes(known, n.path)) for n in photos)
        for name, result in zip(photos, found(items), strict=True):
            if result.poses is None or result.size is None:
                fail(result.error or RuntimeError(f"{name.path}: no result"))
            else:
                add(Entry(name.path.name, name.stem, name.image_id, result.size, result.poses))
                if brush is not None:
                    picture = draw(media.read(name.path), result.poses, **brush)
                    outcome.drawn.append(media.write(out / f"{name.stem}_poses.jpg", picture))
            bar.update()
        ids = count(1 + max(n.image_id for n in named))
        for name in named:
            if name.video:
                drawn = None if brush is None else out / f"{name.stem}_poses.mp4"
                try:
                    _video(followed, name, ids, drawn, brush or {}, add)
                    outcome.drawn += [drawn] if drawn is not None else []
                except (ValueError, ImportError, FileNotFoundError) as e:
                    fail(e)
                bar.update()
        if not outcome.photos:
            raise _Nothing
    if outcome.photos:
        outcome.written = [out / FORMATS[f] for f in dict.fromkeys(formats)]
    return outcome


def _boxes(known: Mapping[str, Any] | None, path: Path) -> Float[np.ndarray, "n 5"] | None:
    """The boxes of a photo; none where the file has none for it."""
    found = None if known is None else boxes_of(known, path)
    return None if known is None else with_scores([] if found is None else found)


class _Nothing(Exception):
    """Not one source could be used: result files that say nothing are not written."""


def _video(
    found: Callable[[Iterable[PhotoInput]], Iterator[Result]],
    name: "_Name",
    ids: Iterator[int],
    drawn: Path | None,
    brush: dict[str, Any],
    add: Callable[[Entry], None],
) -> None:
    """The people of each frame, and the drawn video."""
    fps = video.about(name.path).fps
    frames = (PhotoInput(frame, keep=False, name=str(name.path)) for frame in video.frames(name.path))
    with nullcontext(None) if drawn is None else video.writer(drawn, fps) as show:
        for i, result in enumerate(found(frames)):
            if result.poses is None or result.size is None:
                raise result.error or RuntimeError(f"{name.path}: no result")
            add(Entry(f"{name.path.name}#{i}", f"{name.stem}_{i:012d}", next(ids), result.size, result.poses))
            if show is not None:
                show(draw(result.item.photo, result.poses, **brush))


# ── names ──


@dataclass(frozen=True)
class _Name:
    path: Path
    stem: str
    image_id: int
    video: bool


def _named(paths: Sequence[Path]) -> list[_Name]:
    """A stem and an image id for each path, no two alike. A file that is called a number, as COCO's are, has that id."""
    stems: set[str] = set()
    numbers = [int(p.stem) for p in paths if p.stem.isdecimal()]
    own = {n for n in numbers if numbers.count(n) == 1}
    free = (n for n in count(1) if n not in own)
    named = []
    for path in paths:
        stem = next(s for s in chain([path.stem], (f"{path.stem}-{i}" for i in count(2))) if s not in stems)
        stems.add(stem)
        is_own = path.stem.isdecimal() and int(path.stem) in own
        named.append(_Name(path, stem, int(path.stem) if is_own else next(free), media.is_video(path)))
    return named


def _paths(sources: Sequence[str | Path], fail: Callable[[Exception], None]) -> list[Path]:
    paths: dict[Path, None] = {}
    errors: list[Exception] = []
    skipped = 0
    for source in sources:
        try:
            found = find(source)
            paths.update(dict.fromkeys(found.paths))
            skipped += found.skipped
        except (OSError, ValueError) as e:
            errors.append(e)
    if not paths:
        raise errors[0] if errors else ValueError("no sources were given")
    for error in errors:
        fail(error)
    if skipped:
        warnings.warn(f"left out as neither photo nor video: {_counted(skipped, 'file')}", stacklevel=3)
    return list(paths)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _counted(n: int, one: str, many: str = "") -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"


def _bar(total: int) -> tqdm:
    return tqdm(total=total, unit=" files", disable=total < 2 or not sys.stderr.isatty())
