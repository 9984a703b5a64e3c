"""Result files of many photos: JSON Lines are written entry by entry; other files are derived from them at the end."""

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manypose.io.files import atomic, write_text
from manypose.poses.arrays import People
from manypose.poses.formats.coco import to_coco
from manypose.poses.formats.openpose import to_openpose
from manypose.poses.formats.tables import CSV_HEADER, from_jsonl, to_csv_rows, to_jsonl

__all__ = ["FORMATS", "Entry", "ResultFiles"]

FORMATS = {"coco": "coco.json", "csv": "poses.csv", "jsonl": "poses.jsonl", "openpose": "openpose"}
"""Formats, and their file or folder."""

CSV_COLUMNS = (*CSV_HEADER, "frame", "time")


@dataclass(frozen=True)
class Entry:
    """The people of a photo or video frame.

    Args:
        name: the file's name; of a frame ``clip.mp4#12``.
        stem: stem of the names of files derived from it.
        image_id: its id in the COCO file.
        size: height and width.
        poses: the people.
        frame, time: index of a video frame, and its time in seconds since the first.
        best: in a photo without people, the highest score below the threshold.
    """

    name: str
    stem: str
    image_id: int
    size: tuple[int, int]
    poses: People
    frame: int | None = None
    time: float | None = None
    best: float | None = None


class ResultFiles:
    """The result files of a folder, written entry by entry.

    JSON Lines (a hidden file if not requested) and CSV grow with each entry; ``openpose/`` has one file per entry. `finish` writes
    ``coco.json``, a COCO results list with a ``file_name`` beside each ``image_id``, from the lines.

    Args:
        out: the folder.
        formats: names in `FORMATS`.
        lines: lines of an earlier run, with which the files begin.

    Raises:
        ValueError: an unknown format.
        OSError: a file cannot be written; the message names it.
    """

    def __init__(self, out: Path, formats: Sequence[str], lines: Iterable[str] = ()) -> None:
        self.out, self.formats = out, tuple(dict.fromkeys(formats))
        unknown = [f for f in self.formats if f not in FORMATS]
        if unknown:
            raise ValueError(f"no format {unknown[0]!r}; there are {', '.join(FORMATS)}")
        self.lines = lines_file(out, self.formats)
        with atomic(self.lines) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
            file.writelines(lines)
        self._growing = [self.lines]
        if "csv" in self.formats:
            self._growing.append(out / FORMATS["csv"])
            with atomic(self._growing[1]) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
                file.write(_csv([CSV_COLUMNS]))
                file.writelines(_csv(_rows(line)) for line in self._stored())

    def _stored(self) -> Iterator[dict[str, Any]]:
        with open(self.lines, encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)

    @property
    def end(self) -> int:
        """The length of the lines in bytes."""
        return self.lines.stat().st_size

    def add(self, entry: Entry) -> None:
        """Append an entry to all files; if that fails, they are left unchanged."""
        more: dict[str, Any] = {} if entry.frame is None else {"frame": entry.frame, "time": round(entry.time or 0.0, 4)}
        more |= {} if entry.best is None or len(entry.poses) else {"best_score": round(entry.best, 4)}
        line = to_jsonl(entry.poses, entry.name, entry.size, image_id=entry.image_id, **more)
        if "openpose" in self.formats:
            content = json.dumps(to_openpose(entry.poses), allow_nan=False)
            write_text(self.out / FORMATS["openpose"] / f"{entry.stem}_keypoints.json", content)
        texts = [line + "\n", *([_csv(_rows(json.loads(line)))] if "csv" in self.formats else [])]
        for path, text in zip(self._growing, texts, strict=True):
            _append(path, text)

    def finish(self) -> list[Path]:
        """Write the files that are derived from all lines; returns the paths of all result files."""
        if "coco" in self.formats:
            with atomic(self.out / FORMATS["coco"]) as temporary, open(temporary, "w", encoding="utf-8") as file:
                between = "["
                for line in self._stored():
                    ((_, people),) = from_jsonl([json.dumps(line)])
                    for row in to_coco(people, line["image_id"]):
                        file.write(between + "\n" + json.dumps({**row, "file_name": line["image"]}, ensure_ascii=False, allow_nan=False))
                        between = ","
                file.write("[\n]\n" if between == "[" else "\n]\n")
        return [self.out / FORMATS[f] for f in self.formats]


def lines_file(out: Path, formats: Sequence[str]) -> Path:
    """The file of lines."""
    return out / (FORMATS["jsonl"] if "jsonl" in formats else f".{FORMATS['jsonl']}")


def _rows(line: dict[str, Any]) -> list[tuple]:
    ((name, people),) = from_jsonl([json.dumps(line)])
    return [(*row, line.get("frame", ""), line.get("time", "")) for row in to_csv_rows(people, name, empty=True)]


def _csv(rows: Iterable[Sequence[Any]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def _append(path: Path, text: str) -> None:
    """Append text to a file; on failure the file is left unchanged."""
    before = path.stat().st_size
    try:
        with open(path, "a", encoding="utf-8", newline="") as file:
            file.write(text)
    except OSError as e:
        os.truncate(path, before)
        raise OSError(e.errno, f"cannot be written: {e.strerror or e}", str(path)) from None
