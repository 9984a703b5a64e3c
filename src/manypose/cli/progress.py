"""The record of a run's finished inputs, so that the same command resumes after Ctrl-C, a crash or a kill.

``.progress.jsonl`` holds the settings and a line for each finished photo or video, with the place of its results in the file of people. A
line is written after the results are on disk. The processes of a team write folders ``.part-N`` of the same form, which the next run into
the folder merges.
"""

import json
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from manypose.cli.outcome import Outcome, counted
from manypose.cli.output_names import Named
from manypose.io.files import stamp, write_text
from manypose.poses.formats.result_files import FORMATS, ResultFiles, lines_file

__all__ = ["PART", "Finished", "Progress", "begin", "count_finished", "finished_in", "stamp"]

FILE = ".progress.jsonl"
PART = ".part-"


@dataclass(frozen=True)
class Finished:
    """A photo or video whose results are on disk.

    Args:
        path: the photo or video.
        stamp: its size in bytes and modification time (ns).
        start, end: the range of its lines in the file of people, in bytes.
        pictures: number of photos or frames.
        people: number of people found in them.
        empty: number of pictures without people.
        drawn: file name of the drawn picture in the folder; empty if none was requested.
        frames: whether it is a video, or a frame of a tracked folder.
        tracks: number of track ids that begin in it.
    """

    path: str
    stamp: list[int]
    start: int
    end: int
    pictures: int
    people: int
    empty: int
    drawn: str = ""
    frames: bool = False
    tracks: int = 0


@dataclass
class Progress:
    """A folder's results and its finished inputs; `done` is keyed by absolute path."""

    file: Path
    results: ResultFiles
    done: dict[str, Finished]
    frame_ids: Iterator[int]

    def mark(self, finished: Finished) -> None:
        """Record that a photo or video is finished."""
        with open(self.file, "a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(finished)) + "\n")

    def finish(self) -> None:
        """Record that the run is complete, so that a run with other settings may replace it."""
        with open(self.file, "a", encoding="utf-8") as file:
            file.write('{"finished": true}\n')


def begin(out: Path, formats: Sequence[str], plan: Sequence[Named], settings: Mapping[str, Any], overwrite: bool) -> Progress:
    """Start or resume a run; the results of unchanged photos and videos are kept.

    Args:
        out: the folder.
        formats: see `ResultFiles`.
        plan: all photos and videos.
        settings: everything that the results depend on, as JSON values.
        overwrite: start again.

    Raises:
        ValueError: the folder holds an unfinished run with other settings.
        OSError: the folder cannot be written.
    """
    file = out / FILE
    settings = json.loads(json.dumps(settings))
    parts = sorted(out.glob(f"{PART}*"))
    keep: dict[str, tuple[Path, Finished]] = {}
    old = lines_file(out, formats)
    wanted = {str(n.path.absolute()): n for n in plan}
    for folder in () if overwrite else (*parts, out):
        before, old_formats = _finished(folder / FILE, settings)
        lines = lines_file(folder, old_formats)
        old = lines if folder == out else old
        size = lines.stat().st_size if lines.is_file() else -1
        keep |= {p: (lines, f) for p, f in before.items() if p in wanted and f.stamp == stamp(Path(p)) and f.end <= size}
    frame_ids = count(1 + max((n.image_id for n in plan), default=0))
    kept: dict[str, Finished] = {}
    if not overwrite and (others := len(_recorded(file) - set(wanted))):
        warnings.warn(
            f"{out}: the results of {counted(others, 'other photo or video', 'other photos and videos')} from an earlier run are replaced; "
            "another --out keeps them",
            stacklevel=2,
        )
    results = ResultFiles(out, formats, _lines(keep, plan, frame_ids, kept))
    if old != results.lines:
        with suppress(OSError):
            old.unlink(missing_ok=True)
    header = {"settings": settings, "formats": list(formats)}
    write_text(file, "".join(json.dumps(row) + "\n" for row in (header, *map(asdict, kept.values()))))
    for folder in parts:
        if not overwrite:
            _take_over(folder, out, {f.drawn for f in kept.values()}, "openpose" in formats)
        shutil.rmtree(folder)
    return Progress(file, results, kept, frame_ids)


def count_finished(outcome: Outcome, finished: Finished, out: Path) -> None:
    """Add a finished photo or video to the outcome of the run."""
    outcome.photos += finished.pictures
    outcome.people += finished.people
    outcome.empty += finished.empty
    if finished.frames:
        outcome.frames, outcome.in_frames = outcome.frames + finished.pictures, outcome.in_frames + finished.people
        outcome.tracks += finished.tracks
    outcome.drawn += [out / finished.drawn] if finished.drawn else []


def finished_in(out: Path, settings: Mapping[str, Any]) -> dict[str, Finished]:
    """The inputs that runs with these settings have finished in a folder, by absolute path."""
    return _finished(out / FILE, json.loads(json.dumps(settings)))[0]


def _recorded(file: Path) -> set[str]:
    """The paths in a record of finished inputs."""
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    return {path for row in map(_json, lines) if isinstance(path := row.get("path"), str)}


def _take_over(part: Path, out: Path, drawn: Set[str], openpose: bool) -> None:
    """Move the pictures, crops and OpenPose files of a part to the folder."""
    for file in part.iterdir():
        if file.name in drawn:
            file.replace(out / file.name)
    for folder in ("crops", *((FORMATS["openpose"],) if openpose else ())):
        if (part / folder).is_dir():
            (out / folder).mkdir(exist_ok=True)
            for file in (part / folder).iterdir():
                file.replace(out / folder / file.name)


def _finished(file: Path, settings: Mapping[str, Any]) -> tuple[dict[str, Finished], Sequence[str]]:
    """The finished photos and videos of an earlier run with the same settings, and its formats."""
    try:
        rows = [_json(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError):
        return {}, ()
    if not rows or not isinstance(rows[0].get("settings"), dict):
        return {}, ()
    if rows[0]["settings"] != settings:
        if rows[-1].get("finished"):
            return {}, rows[0].get("formats", ())
        other = sorted(k for k in {*settings, *rows[0]["settings"]} if settings.get(k) != rows[0]["settings"].get(k))
        raise ValueError(
            f"{file.parent}: holds an unfinished run with other settings ({', '.join(other)}); give the same ones to continue, another "
            "--out, or --overwrite"
        )
    found = {}
    for row in rows[1:]:
        with suppress(TypeError):  # a line cut off by a kill, or the last one
            found[row.get("path", "")] = Finished(**row)
    return found, rows[0].get("formats", ())


def _json(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def _lines(
    keep: Mapping[str, tuple[Path, Finished]], plan: Sequence[Named], frame_ids: Iterator[int], kept: dict[str, Finished]
) -> Iterator[str]:
    """The lines that are kept, in the order and with the names of the plan; fills `kept` with their new places."""
    at = 0
    for name in (*(n for n in plan if not n.video), *(n for n in plan if n.video)):
        old, finished = keep.get(str(name.path.absolute()), (Path(), None))
        if finished is None:
            continue
        start = at
        with open(old, "rb") as file:
            file.seek(finished.start)
            for line in file.read(finished.end - finished.start).decode("utf-8").splitlines():
                row = json.loads(line)
                frame = row.get("frame")
                row["image"] = name.name if frame is None else f"{name.name}#{frame}"
                row["image_id"] = name.image_id if frame is None else next(frame_ids)
                text = json.dumps(row, ensure_ascii=False) + "\n"
                at += len(text.encode())
                yield text
        kept[str(name.path.absolute())] = replace(finished, start=start, end=at)
