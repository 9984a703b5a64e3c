"""A cache of parsed annotation files, so that the processes of a training parse a large file once and share the memory.

The cache folder is ``$MANYPOSE_CACHE``, else ``$XDG_CACHE_HOME/manypose``, else ``~/.cache/manypose``, with a folder of ``.npy`` files
for each annotation file and settings, replaced when the content changes. If it is not writable, files are parsed each time.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from filelock import FileLock

from manypose.data.datasets.annotation_report import Problem, Report
from manypose.data.packed_photos import PackedPhotos

__all__ = ["LARGE", "folder", "kept"]

log = logging.getLogger(__name__)

LARGE = 8_000_000
"""Smallest size in bytes of an annotation file that is cached."""

FORMAT = 1
"""Version of the cache; increase it when the reader or the format changes."""


def folder() -> Path:
    """The cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("MANYPOSE_CACHE") or Path(base) / "manypose") / "annotations"


def kept(
    annotations: Path, root: Path, settings: dict[str, Any], read: Callable[[], tuple[PackedPhotos, Report]]
) -> tuple[PackedPhotos, Report]:
    """The result of `read`, from the cache if the content, the settings and the photos present are unchanged.

    Args:
        annotations: the file.
        root: the folder of the photos.
        settings: everything else that the result depends on, as JSON values.
        read: reads the file.
    """
    if not annotations.is_file() or annotations.stat().st_size < LARGE:
        return read()
    settings = {"format": FORMAT, "annotations": str(annotations.absolute()), "root": str(root.absolute()), **settings}
    place = folder() / hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:24]
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{place}.lock"):  # the first process reads, the others wait
            with open(annotations, "rb") as file:
                content = _sha256(file)
            found = _stored(place, root, content)
            if found is None:
                found = read()
                _store(place, found, content)
            return found
    except OSError as e:
        if e.filename is not None and not Path(e.filename).is_relative_to(folder()):
            raise
        log.info("%s: not writable (%s); %s is parsed again", folder(), e.strerror, annotations)
    return read()


def _sha256(file: Any) -> str:
    digest = hashlib.sha256()
    while block := file.read(1 << 22):
        digest.update(block)
    return digest.hexdigest()


def _stored(place: Path, root: Path, content: str) -> tuple[PackedPhotos, Report] | None:
    """The cached result, if the content and the set of existing photos are unchanged."""
    try:
        about = json.loads((place / "about.json").read_text())
        if about["content"] != content:
            return None
        photos = PackedPhotos(root, {key: np.asarray(np.load(place / f"{key}.npy", mmap_mode="c")) for key in about["arrays"]})
        report = Report(**{**about["report"], "problems": [Problem(**p) for p in about["report"]["problems"]]})
    except (OSError, ValueError, KeyError, TypeError):
        return None
    gone = (str(p.detail) for p in report.problems if p.kind == "photo file missing")
    same = all((root / name).is_file() for name in photos.names()) and not any((root / name).is_file() for name in gone)
    return (photos, report) if same else None


def _store(place: Path, found: tuple[PackedPhotos, Report], content: str) -> None:
    photos, report = found
    temporary = place.with_name(f"{place.name}.{uuid4().hex[:8]}")
    try:
        temporary.mkdir()
        for key, array in photos.arrays.items():
            np.save(temporary / f"{key}.npy", array)
        about = {"content": content, "arrays": list(photos.arrays), "report": asdict(report)}
        (temporary / "about.json").write_text(json.dumps(about))
        shutil.rmtree(place, ignore_errors=True)
        temporary.rename(place)
    except OSError as e:
        with suppress(OSError):
            shutil.rmtree(temporary)
        log.info("%s: not writable (%s)", place.parent, e.strerror)
