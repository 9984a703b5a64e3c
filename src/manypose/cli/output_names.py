"""What photos and videos are called in result files and which files are written about each."""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from manypose.io import photos as media

__all__ = ["Named", "named"]

LONGEST = 150
"""Bytes of a stem; with a suffix, a frame's number and the marks of a temporary file a name stays below 255."""


@dataclass(frozen=True)
class Named:
    """A photo or video to predict.

    Args:
        path: where it is.
        name: what result files call it: its path from the folder that all have in common, with slashes.
        stem: what files about it are called, without a suffix.
        image_id: its number in the COCO file; of a video not used.
        video: whether it is one.
        root: the folder that `name` begins at.
    """

    path: Path
    name: str
    stem: str
    image_id: int
    video: bool
    root: Path


def named(paths: Sequence[Path]) -> list[Named]:
    """A name, a stem and an image id for each path, no two alike. A photo whose name is a number, as COCO's are, has that id."""
    folders = {p.parent for p in paths}
    common = None if len(folders) < 2 else _common([f.absolute() for f in folders])
    numbers = Counter(int(p.stem) for p in paths if _is_number(p.stem))
    free = (n for n in count(1) if n not in numbers)
    taken: set[str] = set()
    next_suffix: Counter[str] = Counter()
    found = []
    for path in paths:
        base = _stem(path.stem)
        stem = base
        while stem.casefold() in taken:
            next_suffix[base] += 1
            stem = f"{base}-{next_suffix[base] + 1}"
        taken.add(stem.casefold())
        own = _is_number(path.stem) and numbers[int(path.stem)] == 1
        name = path.name if common is None else path.absolute().relative_to(common).as_posix()
        found.append(
            Named(path, _printable(name), stem, int(path.stem) if own else next(free), media.is_video(path), common or path.parent)
        )
    return found


def _common(folders: Sequence[Path]) -> Path | None:
    try:
        return Path(os.path.commonpath(folders))
    except ValueError:  # two drives
        return None


def _is_number(stem: str) -> bool:
    return stem.isascii() and stem.isdecimal() and len(stem) <= 18


def _printable(text: str) -> str:
    """A file name as text: bytes that are no UTF-8, and control characters, become escapes."""
    text = os.fsencode(text).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _stem(stem: str) -> str:
    """A stem that every file system takes; a shortened one ends with a part of its hash."""
    safe = "".join("_" if c in '\\/:*?"<>|' else c for c in _printable(stem)) or "_"
    if len(safe.encode()) <= LONGEST:
        return safe
    mark = hashlib.sha256(safe.encode()).hexdigest()[:8]
    return f"{safe.encode()[: LONGEST - 9].decode(errors='ignore')}-{mark}"
