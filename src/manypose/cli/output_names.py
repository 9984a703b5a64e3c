"""Names of photos and videos in result files, and of the files written for each."""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from manypose.cli.moving import Moving
from manypose.io import photos as media

__all__ = ["Named", "named"]

LONGEST = 150
"""Longest stem in bytes; with a suffix, a frame number and the marks of a temporary file, a name stays below 255 bytes."""


@dataclass(frozen=True)
class Named:
    """A photo or video to predict.

    Args:
        path: its path.
        name: its name in result files: its path relative to the common folder of all inputs, with slashes.
        stem: name of the files written for it, without suffix.
        image_id: its id in the COCO file; unused for a video.
        moving: the video's source; None for a photo.
        root: the folder that `name` is relative to.
    """

    path: Path
    name: str
    stem: str
    image_id: int
    moving: Moving | None
    root: Path

    @property
    def video(self) -> bool:
        """Whether it is a video."""
        return self.moving is not None


def named(sources: Sequence[Path | Moving]) -> list[Named]:
    """A unique name, stem and image id for each source. A photo whose name is a number, as in COCO, has that id."""
    paths = [s.path if isinstance(s, Moving) else s for s in sources]
    folders = {p.parent for p, s in zip(paths, sources, strict=True) if not isinstance(s, Moving) or s.file is not None}
    common = None if len(folders) < 2 else _common([f.absolute() for f in folders])
    numbers = Counter(int(p.stem) for p in paths if _is_number(p.stem))
    free = (n for n in count(1) if n not in numbers)
    taken: set[str] = set()
    next_suffix: Counter[str] = Counter()
    found = []
    for path, source in zip(paths, sources, strict=True):
        base = _stem(path.stem)
        stem = base
        while stem.casefold() in taken:
            next_suffix[base] += 1
            stem = f"{base}-{next_suffix[base] + 1}"
        taken.add(stem.casefold())
        own = _is_number(path.stem) and numbers[int(path.stem)] == 1
        here = common is not None and path.parent in folders
        name = path.absolute().relative_to(common).as_posix() if common is not None and here else path.name
        moving = source if isinstance(source, Moving) else Moving(path, path) if media.is_video(path) else None
        found.append(Named(path, _printable(name), stem, int(path.stem) if own else next(free), moving, common or path.parent))
    return found


def _common(folders: Sequence[Path]) -> Path | None:
    try:
        return Path(os.path.commonpath(folders))
    except ValueError:  # two drives
        return None


def _is_number(stem: str) -> bool:
    return stem.isascii() and stem.isdecimal() and len(stem) <= 18


def _printable(text: str) -> str:
    """A file name as text: control characters, and bytes that are not UTF-8, become escapes."""
    text = os.fsencode(text).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _stem(stem: str) -> str:
    """A stem that every file system accepts; a shortened one ends with a part of its hash."""
    safe = "".join("_" if c in '\\/:*?"<>|' else c for c in _printable(stem)) or "_"
    if len(safe.encode()) <= LONGEST:
        return safe
    mark = hashlib.sha256(safe.encode()).hexdigest()[:8]
    return f"{safe.encode()[: LONGEST - 9].decode(errors='ignore')}-{mark}"
