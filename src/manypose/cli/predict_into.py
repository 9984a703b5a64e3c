"""Prediction of many photos and videos into a folder.

Results are written as they are found. After an interruption (Ctrl-C, a crash, a kill), the same run resumes with the photos and videos
that were not finished.
"""

import errno
import logging
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from manypose import __version__
from manypose.cli.extras import save_crops
from manypose.cli.moving import Moving
from manypose.cli.outcome import Drawing, Outcome, Part, Team, counted, file_identity
from manypose.cli.output_names import Named, named
from manypose.cli.progress import PART, Finished, Progress, begin, count_finished, finished_in, stamp
from manypose.inference.model import Model
from manypose.inference.options import PredictOptions
from manypose.inference.photos import AHEAD, PhotoInput, Result, read_ahead
from manypose.inference.pipeline import tracked
from manypose.inference.turned import find_people
from manypose.io import photos as media
from manypose.io import videos as video
from manypose.io.files import write_json
from manypose.io.printable import printable
from manypose.io.sources import sources as find
from manypose.poses.boxes import match_boxes, read_boxes, with_scores
from manypose.poses.drawing import draw
from manypose.poses.formats.result_files import Entry
from manypose.tracking.tracker import Tracker

__all__ = ["FAILED", "Drawing", "Outcome", "Part", "Team", "counted", "file_identity", "predict_to"]

FAILED = "failed.json"

NAMES = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.EISDIR)
"""System errors that concern one output file; others, such as a full disk, end the run."""


def predict_to(
    sources: Sequence[str | Path | Moving | Exception],
    model: Model | Callable[[], Model],
    out: Path,
    *,
    formats: Sequence[str] = ("coco",),
    options: PredictOptions = PredictOptions(),  # noqa: B008 - frozen
    boxes: Path | None = None,
    finder: Callable[[], Any] | None = None,
    tracker: Callable[[Model], Callable[[], Tracker]] | None = None,
    drawing: Drawing | None = Drawing(),  # noqa: B008 - frozen
    part: Part = Part(),  # noqa: B008 - frozen
    settings: Mapping[str, Any] = {},
    overwrite: bool = False,
    crops: bool = False,
    show: Callable[[np.ndarray], None] | None = None,
    team: Team | None = None,
    complain: Callable[[str], None] = lambda line: print(f"manypose: error: {printable(line)}", file=sys.stderr),
) -> Outcome:
    """Predict sources into a folder: ``NAME_poses.jpg`` or ``.mp4`` for each, and the result files of `formats`.

    A source that cannot be used gives one line to `complain` and one in ``failed.json``, and the run continues with the others. A photo is
    finished when its results are on disk, a video when the results of all its frames are. What an earlier run finished is skipped.

    Args:
        sources: see `manypose.io.sources.sources`; also `Moving` videos, and errors in place of sources that could not be fetched.
        model: a model, or a function that loads one after everything else has been checked.
        out: the folder.
        formats: names in `manypose.poses.formats.result_files.FORMATS`.
        options: prediction options.
        boxes: see `manypose.poses.boxes.read_boxes`.
        finder: a function that loads a detector instead, see `manypose.inference.detectors.find_detector`.
        tracker: a function from the model to a factory of trackers, one for each video; photos of one folder count as the frames of a
            video.
        drawing: drawing options; None: no pictures are drawn.
        part: the frames of videos to process.
        settings: everything else that the results depend on, as JSON values; an unfinished run with other settings is refused.
        overwrite: start again.
        crops: write a crop of each person into the folder ``crops``.
        show: called with each drawn picture.
        team: the processes that share the work. The first merges the results of all and returns the whole outcome.
        complain: called with a line for each source that cannot be used.

    Raises:
        FileNotFoundError, ValueError: there is no usable source, or an option is invalid.
        OSError: the folder cannot be written.
    """
    outcome, told = Outcome(), complain
    if team is not None and team.rank:
        complain = _silent  # the first process reports what cannot be used
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out}: is a file; --out needs a folder")
    if boxes is not None and finder is not None:
        raise ValueError("give boxes or a detector, not both")

    def fail(error: Exception) -> None:
        outcome.failed.append(_line(error))
        complain(_line(error))

    plan = named(_paths(sources, fail))
    known = None if boxes is None else read_boxes(boxes)
    if known is not None and any(n.video for n in plan):
        raise ValueError(f"{boxes}: boxes are for photos, and {next(n.path for n in plan if n.video)} is a video; use a detector for it")
    matched = None if known is None else match_boxes(known, [n.path for n in plan], plan[0].root)
    given = None if matched is None else {n.path: with_scores([] if b is None else b) for n, b in zip(plan, matched, strict=True)}
    if matched is not None and all(b is None for b in matched):
        raise ValueError(f"{boxes}: has boxes for none of the given photos; photos are matched by file name")
    if tracker is not None and len(plan) == 1 and not plan[0].video:
        raise ValueError("tracking needs a video or a folder of frames, and a single photo was given")
    stills = [n.path for n in plan if not n.video]
    if stills and part != Part():
        said = f"--every, --start and --end choose frames of videos and have no effect on photos such as {stills[0]}"
        if len(stills) == len(plan):
            raise ValueError(f"{said}; leave them out, or use a folder of photos as the frames of a video (--fps 25)")
        warnings.warn(said, stacklevel=2)
    if len(stills) < len(plan):
        video.available()
    settings = {
        **settings, "version": __version__, "options": asdict(replace(options, batch_size=1)), "boxes": file_identity(boxes),
        "part": [part.every, *map(str, part.between)],
        "drawing": None if drawing is None else asdict(drawing), "openpose": "openpose" in formats,
        "crops": crops,
        "track": tracker is not None,
    }  # fmt: skip
    loaded, detector = model if isinstance(model, Model) else None, None
    if not out.exists():  # no folder is left behind if the model or detector cannot be loaded
        loaded = model if isinstance(model, Model) else model()
        loaded.check(options, known is not None or finder is not None)
        detector = None if finder is None else finder()

    def into(folder: Path, plan: Sequence[Named], overwrite: bool) -> Outcome:
        nonlocal loaded, detector
        progress = begin(folder, formats, plan, settings, overwrite)
        outcome.resumed = len(progress.done)
        for finished in progress.done.values():
            count_finished(outcome, finished, folder)
        todo = [n for n in plan if str(n.path.absolute()) not in progress.done]
        run = None
        try:
            if todo:
                loaded = loaded or (model if isinstance(model, Model) else model())
                loaded.check(options, known is not None or finder is not None)
                if known is None:
                    detector = detector or (loaded.finder() if finder is None else finder())
                run = _Run(
                    folder, progress, options, loaded, detector, given, drawing, part, tracker and tracker(loaded), outcome, fail, crops,
                    show,
                )  # fmt: skip
                run.photos([n for n in todo if not n.video])
                for name in todo:
                    if name.video:
                        run.video(name)
            progress.finish()
        finally:
            # Also after Ctrl-C or an error: the files derived from the lines so far are complete.
            empty = not outcome.photos and not progress.results.end
            with suppress(OSError) if sys.exc_info()[0] is not None else nullcontext():
                outcome.written = [] if empty else progress.results.finish()
                _tell_failures(folder, outcome.failed)
            if empty:
                _remove(progress)
        return outcome

    if team is not None and team.number > 1:
        if team.rank == 0:
            begin(out, formats, plan, settings, overwrite)
        team.wait()
        done = finished_in(out, settings)
        mine = _share([n for n in plan if str(n.path.absolute()) not in done], team, tracker is not None)
        missing, complain = list(outcome.failed), _silent
        into(out / f"{PART}{team.rank}", mine, overwrite)
        team.wait()
        if team.rank:
            return outcome
        outcome, complain = Outcome(failed=missing), told
        into(out, plan, False)  # merges the parts, and tries failed sources again to report them
        outcome.resumed = len(done)
        return outcome
    return into(out, plan, overwrite)


def _silent(line: str) -> None:
    """No message."""


def _share(todo: Sequence[Named], team: Team, tracked: bool) -> list[Named]:
    """The photos and videos of one process, dealt out in turn; tracked photos of one folder stay together."""
    groups = [list(g) for _, g in groupby(todo, key=lambda n: (n.path, n.path) if n.video or not tracked else (n.path.parent, None))]
    return [n for group in groups[team.rank :: team.number] for n in group]


def _remove(progress: Progress) -> None:
    """Remove result files without results."""
    for path in (progress.file, progress.results.lines, progress.results.out / "poses.csv"):
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _tell_failures(out: Path, failed: Sequence[str]) -> None:
    if failed:
        write_json(out / FAILED, {"failed": list(failed)})
    else:
        (out / FAILED).unlink(missing_ok=True)


# ── photos and videos ──


TOLD = 10
"""Number of photos without people that are printed one by one; the summary counts all."""


@dataclass
class _Run:
    """The state of a run."""

    out: Path
    progress: Progress
    options: PredictOptions
    model: Model
    detector: Any
    boxes: Mapping[Path, Any] | None
    drawing: Drawing | None
    part: Part
    tracker: Callable[[], Tracker] | None
    outcome: Outcome
    fail: Callable[[Exception], None]
    crops: bool = False
    show: Callable[[np.ndarray], None] | None = None

    def photos(self, names: Sequence[Named]) -> None:
        """Predict photos; with a tracker, the photos of a folder are frames of one video."""
        with _bar(len(names), "photos") as bar:
            for _, group in [(0, list(names))] if self.tracker is None else groupby(names, key=lambda n: n.path.parent):
                some, ids = list(group), set[int]()
                items = (PhotoInput(n.path, None if self.boxes is None else self.boxes[n.path]) for n in some)
                for name, result in zip(some, self._results(items, None, self.tracker if len(some) > 1 else None), strict=True):
                    try:
                        self._photo(name, result, ids)
                    except (ValueError, FileNotFoundError) as e:
                        self.fail(e)
                    except OSError as e:
                        if e.errno not in NAMES:
                            raise
                        self.fail(e)
                    bar.update()

    def _photo(self, name: Named, result: Result, ids: set[int]) -> None:
        if result.poses is None or result.size is None:
            raise result.error or RuntimeError(f"{name.path}: no result")
        picture, drawn = self._pictures(result, name.stem), ""
        if picture is not None and self.drawing is not None:
            drawn = media.write(self.out / f"{name.stem}_poses.jpg", picture).name
        start = self.progress.results.end
        self.progress.results.add(Entry(name.name, name.stem, name.image_id, result.size, result.poses, best=result.best))
        if not len(result.poses) and self.outcome.empty < TOLD:
            print(f"{name.path}: no people found; {_below(result, self.options)}")
        new = None if result.poses.ids is None else len({*result.poses.ids.tolist()} - ids)
        ids.update(() if result.poses.ids is None else result.poses.ids.tolist())
        self._finished(name, start, 1, len(result.poses), int(not len(result.poses)), drawn, tracks=new)

    def video(self, name: Named) -> None:
        """Predict each frame of a video, and write the drawn video."""
        assert name.moving is not None
        try:
            self._frames(name, name.moving)
        except (ValueError, ImportError, FileNotFoundError) as e:
            self.fail(e)
        except OSError as e:
            if e.errno not in NAMES:
                raise
            self.fail(e)

    def _frames(self, name: Named, moving: Moving) -> None:
        about, part, results = moving.about(), self.part, self.progress.results
        first, last = part.between
        chosen: list[video.Frame] = []  # frames whose results are pending
        ids: set[int] = set()

        def items() -> Iterator[PhotoInput]:
            for frame in moving.read():
                if frame.time >= first and frame.number % part.every == 0:
                    if frame.time >= last:
                        return
                    chosen.append(replace(frame, pixels=frame.pixels[:0]))
                    yield PhotoInput(frame.pixels, keep=False, name=str(name.path), pixels=frame.pixels)

        start, pictures, people, empty, origin = results.end, 0, 0, 0, 0.0
        drawn = None if self.drawing is None else self.out / f"{name.stem}_poses.mp4"
        sound = moving.file if part == Part() else None
        to_video = nullcontext(None) if drawn is None else video.writer(drawn, about.fps / part.every, sound)
        # Ctrl-C is the normal end of a camera; the frames before it are a complete video.
        ends = suppress(KeyboardInterrupt) if moving.live else nullcontext()
        with _bar(about.count // part.every, "frames", name.name) as bar, to_video as add, ends:
            for result in self._results(items(), self.options.batch_size, self.tracker):
                if result.poses is None or result.size is None:
                    raise result.error or RuntimeError(f"{name.path}: no result")
                frame = chosen.pop(0)
                origin = frame.time if not pictures else origin
                stem = f"{name.stem}_{frame.number:012d}"
                image_id = next(self.progress.frame_ids)
                results.add(
                    Entry(f"{name.name}#{frame.number}", stem, image_id, result.size, result.poses, frame.number, frame.time, result.best)
                )
                pictures, people, empty = pictures + 1, people + len(result.poses), empty + (not len(result.poses))
                ids.update(() if result.poses.ids is None else result.poses.ids.tolist())
                picture = self._pictures(result, stem)
                if add is not None and picture is not None:
                    add(picture, frame.time - origin)
                bar.update()
            if not pictures:
                raise ValueError(f"{name.path}: no frame lies between {part.start} and {'the end' if part.end is None else part.end}")
        self._finished(name, start, pictures, people, empty, "" if drawn is None else drawn.name, moving.live, len(ids))

    def _results(self, items: Iterable[PhotoInput], look_ahead: int | None, tracker: Callable[[], Tracker] | None) -> Iterator[Result]:
        items = read_ahead(items, self.options.batch_size)
        still = look_ahead is None and tracker is None
        options = replace(self.options, turned=self.options.turned and still)
        follower = None if tracker is None else tracker()
        every = 1 if follower is None else follower.options.detect_every
        results = find_people(self.model.method, self.detector, items, options, look_ahead, every)
        for result in results if follower is None else tracked(results, follower, self.options, AHEAD):
            self.outcome.skipped.update(result.skipped)
            yield result

    def _pictures(self, result: Result, stem: str) -> np.ndarray | None:
        """The drawn picture if it is to be written or shown. Writes the crops."""
        pixels, poses, how = result.item.pixels, result.poses, self.drawing or Drawing()
        if pixels is None or poses is None:
            return None
        if self.crops:
            save_crops(self.out / "crops", stem, pixels, poses)
        if self.drawing is None and self.show is None:
            return None
        picture = draw(pixels, poses, **asdict(how))
        if self.show is not None:
            self.show(picture)
        return picture

    def _finished(
        self, name: Named, start: int, pictures: int, people: int, empty: int, drawn: str, live: bool = False, tracks: int | None = None
    ) -> None:
        path = str(name.path.absolute())
        seen = [-1, -1] if live else stamp(name.path)  # a camera is never finished
        finished = Finished(path, seen, start, self.progress.results.end, pictures, people, empty, drawn, tracks is not None, tracks or 0)
        self.progress.mark(finished)
        count_finished(self.outcome, finished, self.out)


def _paths(sources: Sequence[str | Path | Moving | Exception], fail: Callable[[Exception], None]) -> list[Path | Moving]:
    paths: dict[Path | Moving, None] = {}
    errors: list[Exception] = []
    skipped = 0
    for source in sources:
        if isinstance(source, (Moving, Exception)):
            errors += [source] if isinstance(source, Exception) else []
            paths |= {source: None} if isinstance(source, Moving) else {}
            continue
        try:
            found = find(source)
            paths.update(dict.fromkeys(found.paths))
            skipped += found.skipped
        except (OSError, ValueError) as e:
            errors.append(e)
    if not paths:
        raise errors[0] if errors else ValueError("no sources given")
    for error in errors:
        fail(error)
    if skipped:
        warnings.warn(f"skipped, because neither photo nor video: {counted(skipped, 'file')}", stacklevel=3)
    return list(paths)


def _below(result: Result, options: PredictOptions) -> str:
    """The best score in a photo without people, and the threshold that excluded it."""
    box = result.item.best_box
    if result.best > 0:
        return f"the best person's score is {result.best:.2f}, below the threshold {options.threshold:g} (--threshold)"
    if box:
        return f"the best box's score is {box:.2f}, below the detector's threshold {options.detector_threshold:g} (--detector-threshold)"
    return "nothing in it has a score above 0"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _bar(total: int, unit: str, name: str = "") -> tqdm:
    """A progress bar with rate and remaining time, on a terminal; none with ``--quiet``."""
    wanted = sys.stderr.isatty() and logging.getLogger("manypose").isEnabledFor(logging.WARNING)
    return tqdm(total=total or None, desc=name or None, unit=f" {unit}", disable=(total == 1 and not name) or not wanted)
