"""Sources of photos and videos: files by path, folder or pattern, URLs, standard input, cameras."""

import glob
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from time import monotonic
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import cv2
import numpy as np
from jaxtyping import UInt8

from manypose.io.photos import PHOTOS, VIDEOS, is_photo, is_video

__all__ = ["SourceFiles", "camera", "example_photo", "fetch", "is_address", "is_live", "sources", "standard_input"]

LARGEST = 200_000_000
"""Largest size in bytes of a photo from a URL or standard input."""

SLOWEST = 20_000
"""Smallest download rate in bytes a second."""


@dataclass(frozen=True)
class SourceFiles:
    """The files that `sources` found.

    Args:
        paths: photos and videos, in order.
        skipped: number of files of a folder that are neither.
    """

    paths: tuple[Path, ...]
    skipped: int = 0


def sources(spec: str | Path | Iterable[str | Path]) -> SourceFiles:
    """The photos and videos of a path, a folder, a pattern or several of them.

    Files of a folder (without its subfolders; use ``folder/**/*.jpg``) or a pattern are sorted by name; files given singly keep their
    order and are included whatever their type.

    Raises:
        FileNotFoundError: no such file, or nothing matches.
        ValueError: a folder without photos or videos.
    """
    if not isinstance(spec, (str, Path)):
        found = [sources(s) for s in spec]
        return SourceFiles(tuple(p for f in found for p in f.paths), sum(f.skipped for f in found))
    path = Path(spec)
    if path.is_dir():
        return _folder(path)
    if path.exists() or not glob.has_magic(str(spec)):
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file or folder")
        return SourceFiles((path,))
    matches = [Path(p) for p in sorted(glob.glob(str(spec), recursive=True)) if Path(p).is_file()]
    paths = tuple(p for p in matches if _wanted(p))
    if not paths:
        raise FileNotFoundError(f"{spec}: no photo or video matches (other files that match: {len(matches)})")
    return SourceFiles(paths, len(matches) - len(paths))


def example_photo() -> Path:
    """The path of the bundled photo of an astronaut."""
    return Path(__file__).with_name("astronaut.jpg")


def _folder(path: Path) -> SourceFiles:
    try:
        files = sorted(p for p in path.iterdir() if p.is_file())
    except OSError as e:
        raise ValueError(f"{path}: cannot be read ({e.strerror or e})") from None
    paths = tuple(p for p in files if _wanted(p))
    if not paths:
        deeper = f"; photos in its subfolders: '{path}/**/*.jpg'" if any(p.is_dir() for p in path.iterdir()) else ""
        raise ValueError(f"{path}: no photos or videos in this folder (other files: {len(files)}){deeper}")
    return SourceFiles(paths, len(files) - len(paths))


def _wanted(path: Path) -> bool:
    # A damaged .jpg counts as a photo, so that it is reported and not skipped.
    return not path.name.startswith(".") and (path.suffix.lower() in (*PHOTOS, *VIDEOS) or is_photo(path) or is_video(path))


# ── URLs, standard input, cameras ──


def is_address(source: str | Path) -> bool:
    """Whether a source is a URL: of a file (http, https) or a stream (rtsp, rtmp, udp …)."""
    return "://" in str(source) and urlsplit(str(source)).scheme.isalnum()


def is_live(source: str | Path) -> bool:
    """Whether a URL is that of a stream or of a file with a video's suffix."""
    parts = urlsplit(str(source))
    return parts.scheme not in ("http", "https", "file") or Path(parts.path).suffix.lower() in (*VIDEOS, ".m3u8", ".mpd")


def fetch(address: str, seconds: float = 30.0) -> bytes:
    """The content of an http or https URL.

    Raises:
        ConnectionError: it cannot be downloaded.
        ValueError: it is larger than `LARGEST`.
    """
    try:
        with urlopen(Request(address, headers={"User-Agent": "manypose"}), timeout=seconds) as answer:  # nosec B310 - the user's URL
            content = b"".join(_in_time(answer, seconds))
    except (URLError, OSError, ValueError, HTTPException) as e:
        reason = e.reason if isinstance(e, URLError) else e
        raise ConnectionError(f"{address}: cannot be downloaded ({reason})") from None
    if len(content) > LARGEST:
        raise ValueError(f"{address}: larger than {LARGEST / 1e6:.0f} MB; download it and give the file")
    return content


def _in_time(answer: HTTPResponse, seconds: float) -> Iterator[bytes]:
    """The content in parts, up to `LARGEST` + 1 bytes; raises an error for servers slower than `SLOWEST`."""
    began, size = monotonic(), 0
    while size <= LARGEST and (part := answer.read1(min(1 << 20, LARGEST + 1 - size))):
        yield part
        size += len(part)
        if monotonic() - began > seconds + size / SLOWEST:
            raise TimeoutError(f"only {size:,} bytes in {monotonic() - began:.0f} seconds")
    if size < int(answer.headers.get("Content-Length") or 0) and size <= LARGEST:
        raise ConnectionError(f"the connection ended after {size:,} bytes")


def standard_input() -> bytes:
    """The bytes of a photo from standard input.

    Raises:
        ValueError: it is empty, or larger than `LARGEST`.
    """
    content = sys.stdin.buffer.read(LARGEST + 1)
    if not content or len(content) > LARGEST:
        raise ValueError(f"standard input: {'empty' if not content else f'larger than {LARGEST / 1e6:.0f} MB'}, not a photo")
    return content


def camera(index: int) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """The frames of a camera, RGB, until it stops.

    Raises:
        ValueError: there is no such camera.
    """
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # the error says it in one line
    capture = cv2.VideoCapture(index)
    cv2.utils.logging.setLogLevel(level)
    try:
        if not capture.isOpened():
            raise ValueError(f"camera {index}: not found, or in use by another program")
        while True:
            there, frame = capture.read()
            if not there:
                return
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
    finally:
        capture.release()
