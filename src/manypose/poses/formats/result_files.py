"""Result files: people of many photos, written as they come, each file whole or not at all."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from manypose.io.files import atomic, write_text
from manypose.poses.arrays import People
from manypose.poses.formats.coco import to_coco
from manypose.poses.formats.openpose import to_openpose
from manypose.poses.formats.tables import CSV_HEADER, to_csv_rows, to_jsonl

__all__ = ["FORMATS", "Entry", "result_files"]

FORMATS = {"coco": "coco.json", "csv": "poses.csv", "jsonl": "poses.jsonl", "openpose": "openpose"}
"""What can be written, and the file or folder it goes to."""


@dataclass(frozen=True)
class Entry:
    """A photo's or a video frame's people.

    Args:
        name: the file's name; of a frame ``clip.mp4#12``.
        stem: what files about it are called, without a suffix.
        image_id: its number in the COCO file.
        size: height and width.
        poses: the people.
    """

    name: str
    stem: str
    image_id: int
    size: tuple[int, int]
    poses: People


@contextmanager
def result_files(out: Path, formats: Sequence[str]) -> Iterator[Callable[[Entry], None]]:
    """Writes each entry it is given to all formats; the files appear when the block ends well.

    ``coco.json`` is one COCO results list, with a ``file_name`` besides each ``image_id``; ``openpose/`` has one file a photo.

    Raises:
        ValueError: an unknown format.
        OSError: a file cannot be written; its name is in the message.
    """
    unknown = [f for f in formats if f not in FORMATS]
    if unknown:
        raise ValueError(f"no format {unknown[0]!r}; there are {', '.join(FORMATS)}")
    adders: list[Callable[[Entry], None]] = []
    with ExitStack() as stack:
        for name in dict.fromkeys(formats):
            if name == "openpose":
                adders.append(lambda entry: _openpose(out, entry))
            else:
                adders.append(stack.enter_context(_WRITERS[name](out / FORMATS[name])))

        def add(entry: Entry) -> None:
            for adder in adders:
                adder(entry)

        yield add


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    with atomic(path) as temporary, _named(path), open(temporary, "w", encoding="utf-8", newline="") as file:
        yield file


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """A full disk's error names no file; of several that are open it must be told which."""
    try:
        yield
    except OSError as e:
        if e.errno is not None and e.filename is None:  # an error without a number is not the system's, and says all itself
            e.filename = str(path)
        raise


@contextmanager
def _coco(path: Path) -> Iterator[Callable[[Entry], None]]:
    with _text(path) as file:
        file.write("[")
        between = "\n"

        def add(entry: Entry) -> None:
            nonlocal between
            with _named(path):
                for row in to_coco(entry.poses, entry.image_id):
                    file.write(between + json.dumps({**row, "file_name": entry.name}, ensure_ascii=False, allow_nan=False))
                    between = ",\n"

        yield add
        file.write("\n]\n")


@contextmanager
def _csv(path: Path) -> Iterator[Callable[[Entry], None]]:
    with _text(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CSV_HEADER)

        def add(entry: Entry) -> None:
            with _named(path):
                writer.writerows(to_csv_rows(entry.poses, entry.name))

        yield add


@contextmanager
def _jsonl(path: Path) -> Iterator[Callable[[Entry], None]]:
    with _text(path) as file:

        def add(entry: Entry) -> None:
            with _named(path):
                file.write(to_jsonl(entry.poses, entry.name, entry.size, image_id=entry.image_id) + "\n")

        yield add


def _openpose(out: Path, entry: Entry) -> None:
    content = json.dumps(to_openpose(entry.poses), allow_nan=False)
    write_text(out / FORMATS["openpose"] / f"{entry.stem}_keypoints.json", content)


_WRITERS = {"coco": _coco, "csv": _csv, "jsonl": _jsonl}
