"""Videos in and out, one frame at a time (PyAV, extra ``video``)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from manypose.io.files import atomic
from manypose.io.photos import VIDEOS, check_size

__all__ = ["About", "about", "frames", "writer"]


@dataclass(frozen=True)
class About:
    """What a video's header says.

    Args:
        fps: frames a second (the average where it varies).
        size: height and width as stored; `frames` gives them turned where the video says so.
        count: how many frames, or 0 where the header does not say.
    """

    fps: Fraction
    size: tuple[int, int]
    count: int


def _av() -> Any:
    try:
        import av
    except ImportError:
        raise ImportError("videos need PyAV: pip install 'manypose[video]'") from None
    return av


def _open(path: str | Path, limit: int | None) -> tuple[Any, Any]:
    """The container and its first video stream."""
    av = _av()
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if not path.is_file() or not path.stat().st_size:
        raise ValueError(f"{path}: {'an empty file' if path.is_file() else 'not a regular file'}, not a video")
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError, ValueError) as e:
        raise ValueError(f"{path}: not a video that can be read ({_line(e)})") from None
    if not container.streams.video:
        container.close()
        raise ValueError(f"{path}: has no pictures, only sound or data")
    stream = container.streams.video[0]
    try:
        check_size(path, stream.codec_context.width, stream.codec_context.height, limit)
    except ValueError:
        container.close()
        raise
    return container, stream


def _line(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).splitlines()[0][:120]


def about(path: str | Path, limit: int | None = None) -> About:
    """What a video's header says; `limit` as in `frames`.

    Raises:
        FileNotFoundError, ValueError: as `frames`.
    """
    container, stream = _open(path, limit)
    with container:
        fps = stream.average_rate or stream.guessed_rate or Fraction(25)
        return About(Fraction(fps), (stream.codec_context.height, stream.codec_context.width), stream.frames or 0)


def frames(path: str | Path, limit: int | None = None) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """The pictures of a video in order, RGB, upright; only a few are in memory at any time.

    Args:
        path: anything FFmpeg reads.
        limit: the most pixels a frame may have; default `media.max_pixels`.

    Raises:
        ImportError: PyAV is not installed.
        FileNotFoundError: no such file.
        ValueError: no video, without pictures, too large, or it breaks off (after the frames that could be read).
    """
    av = _av()
    container, stream = _open(path, limit)
    count = 0
    with container:
        stream.thread_type = "AUTO"
        try:
            for frame in container.decode(stream):
                check_size(path, frame.width, frame.height, limit)
                # `rotation` is by how many degrees, counter-clockwise, the stored picture is to be turned.
                turns = round(frame.rotation / 90) % 4
                yield np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), turns))
                count += 1
        except av.error.FFmpegError as e:
            raise ValueError(f"{path}: the video is damaged after {count} frames ({_line(e)})") from None
    if not count:
        raise ValueError(f"{path}: a video without a single whole frame")


@contextmanager
def writer(path: str | Path, fps: Fraction | float | int) -> Iterator[Callable[[UInt8[np.ndarray, "H W 3"]], None]]:
    """Writes a video frame by frame, whole or not at all: ``with writer("out.mp4", fps) as add: add(frame)``.

    An odd side is made even by repeating its last row or column, as video codecs need.

    Args:
        path: ``.mp4``, ``.mkv``, ``.mov``, ``.webm`` or ``.avi``.
        fps: frames a second.

    Raises:
        ImportError: PyAV is not installed.
        ValueError: no such kind of video, no frames, or frames of different sizes.
        OSError: the file cannot be written.
    """
    av = _av()
    path = Path(path)
    if path.suffix.lower() not in VIDEOS:
        raise ValueError(f"{path}: {path.suffix or 'no suffix'} is no kind of video; use .mp4")
    codec = "libvpx-vp9" if path.suffix == ".webm" else "libx264" if "libx264" in av.codecs_available else "mpeg4"
    options = {"crf": "20", "preset": "veryfast"} if codec == "libx264" else {}
    with atomic(path) as temporary, av.open(str(temporary), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(60_000), options=options)
        size: list[tuple[int, ...]] = []

        def add(frame: UInt8[np.ndarray, "H W 3"]) -> None:
            h, w = frame.shape[:2]
            if not size:
                size.append((h, w))
                stream.height, stream.width, stream.pix_fmt = h + h % 2, w + w % 2, "yuv420p"
                stream.bit_rate = 0 if options else int(w * h * float(fps) * 0.15)
            if (h, w) != size[0]:
                raise ValueError(f"{path}: a frame of {w}x{h} in a video of {size[0][1]}x{size[0][0]}")
            even = np.pad(frame, ((0, h % 2), (0, w % 2), (0, 0)), "edge")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))

        yield add
        if not size:
            raise ValueError(f"{path}: a video without frames cannot be written")
        container.mux(stream.encode(None))
