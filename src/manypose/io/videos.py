"""Reading and writing of videos frame by frame (PyAV, extra ``video``).

Frames are converted as video players do: rotated and mirrored by the display matrix, with square pixels, HDR (PQ, HLG) converted to
8-bit RGB, each with its timestamp.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from time import monotonic
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from manypose.io import hdr
from manypose.io.files import atomic
from manypose.io.photos import VIDEOS, check_size

__all__ = ["About", "Frame", "Start", "about", "available", "frames", "places", "read", "writer"]

TICKS = 90_000
"""Time base of written videos (1/s): frame times at 24, 25, 30 and 30000/1001 frames a second are whole numbers of it."""


FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,live_flv,mpegts,mpeg,mpegvideo,asf,ogg,mxf,h264,hevc,ivf,obu,dv,rm,nut,wtv,m4v,gif,apng"
)
"""Allowed FFmpeg demuxers: none of playlists (HLS, DASH, concat), which would open other files."""

PATIENCE = 30.0
"""Timeout in seconds of a URL, for the connection and for each frame."""


@dataclass(frozen=True)
class About:
    """The properties of a video from its header.

    Args:
        fps: frames a second (the average where it varies).
        size: height and width as stored, before rotation.
        count: number of frames, or 0 if the header does not state it.
    """

    fps: Fraction
    size: tuple[int, int]
    count: int


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame of a video.

    Args:
        number: its index, from 0.
        time: seconds since the first frame.
        pixels: RGB, upright.
    """

    number: int
    time: float
    pixels: UInt8[np.ndarray, "H W 3"]


@dataclass(frozen=True)
class Start:
    """The position from which a video is read.

    Args:
        number: index of the frame.
        tick: its presentation time in the stream's time base, from `places`.
        origin: the presentation time of the first frame.
    """

    number: int
    tick: int
    origin: int


def available() -> None:
    """Raise `ImportError` if PyAV is not installed."""
    _av()


def _av() -> Any:
    try:
        import av
    except ImportError:
        raise ImportError("videos need PyAV: pip install 'manypose[video]'") from None
    return av


def _open(path: str | Path, limit: int | None) -> tuple[Any, Any]:
    """The container and its main video stream, not a cover image."""
    av = _av()
    if "://" not in str(path):
        path = Path(path)
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file")
        if not path.is_file() or not path.stat().st_size:
            raise ValueError(f"{path}: {'an empty file' if path.is_file() else 'not a regular file'}, not a video")
    began = monotonic()
    try:
        if "://" in str(path):
            container = av.open(str(path), timeout=PATIENCE)
        else:
            container = av.open(str(path), options={"format_whitelist": FORMATS})
    except (av.error.FFmpegError, OSError, ValueError) as e:
        if "://" in str(path) and monotonic() - began >= PATIENCE:
            said = f"no answer within {PATIENCE:g} seconds; check the address, and that the camera or server is on"
            raise ValueError(f"{path}: {said}") from None
        raise ValueError(f"{path}: not a video that FFmpeg can read ({_line(e)})") from None
    stream = container.streams.best("video")
    if stream is None or stream.codec_context is None:
        container.close()
        raise ValueError(f"{path}: has no video stream{'' if stream is None else ' with a known codec'}")
    try:
        check_size(path, stream.codec_context.width, stream.codec_context.height, limit)
    except ValueError:
        container.close()
        raise
    return container, stream


def _line(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).splitlines()[0][:120]


def about(path: str | Path, limit: int | None = None) -> About:
    """The properties of a video from its header; arguments and errors as of `read`."""
    container, stream = _open(path, limit)
    with container:
        fps = stream.average_rate or stream.guessed_rate or Fraction(25)
        return About(Fraction(fps), (stream.codec_context.height, stream.codec_context.width), stream.frames or 0)


def places(path: str | Path) -> list[int]:
    """The sorted presentation times of all frames in the stream's time base, without decoding; empty if any is missing."""
    av = _av()
    container, stream = _open(path, None)
    with container:
        try:
            ticks = [packet.pts for packet in container.demux(stream) if packet.size]
        except av.error.FFmpegError as e:
            raise ValueError(f"{path}: the video is damaged ({_line(e)})") from None
    return [] if None in ticks else sorted(ticks)


def frames(path: str | Path, limit: int | None = None) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """The pixels of a video's frames in order; see `read`."""
    return (frame.pixels for frame in read(path, limit))


def read(path: str | Path, limit: int | None = None, start: Start | None = None) -> Iterator[Frame]:
    """The frames of a video in order, with only a few in memory.

    Args:
        path: any file that FFmpeg reads, or a URL such as ``rtsp://…``.
        limit: largest frame size in pixels; default `photos.max_pixels`.
        start: the first frame to return; decoding starts at the key frame before it.

    Raises:
        ImportError: PyAV is not installed.
        FileNotFoundError: no such file.
        ValueError: not a video, no video stream, too large, or damaged (raised after the readable frames).
    """
    av = _av()
    container, stream = _open(path, limit)
    rate = float(stream.average_rate or stream.guessed_rate or 25)
    count, first = (0, None) if start is None else (start.number, float(start.origin * stream.time_base))
    with container:
        stream.thread_type = "AUTO"
        try:
            for frame in container.decode(stream) if start is None else _from(container, stream, start.tick):
                check_size(path, frame.width, frame.height, limit)
                time = count / rate if frame.time is None else frame.time
                first = time if first is None else first
                yield Frame(count, time - first, _shown(frame, stream))
                count += 1
        except av.error.ExitError:
            raise ValueError(f"{path}: no more data for {PATIENCE:g} seconds, after {count} frames") from None
        except av.error.FFmpegError as e:
            raise ValueError(f"{path}: the video is damaged after {count} frames ({_line(e)})") from None
    if not count:
        raise ValueError(f"{path}: a video without a complete frame")


def _from(container: Any, stream: Any, tick: int) -> Iterator[Any]:
    """The decoded frames from a presentation time on."""
    container.seek(tick, stream=stream)
    first = next(iter(container.decode(stream)), None)
    # A wrong index leads past the frame: then decode from the start.
    container.seek(tick if first is not None and first.pts is not None and first.pts <= tick else 0, stream=stream)
    return (frame for frame in container.decode(stream) if frame.pts is None or frame.pts >= tick)


def _shown(frame: Any, stream: Any) -> UInt8[np.ndarray, "H W 3"]:
    """A decoded frame as RGB with square pixels, upright."""
    if hdr.is_hdr(int(frame.color_trc)):
        picture = hdr.to_sdr(frame.to_ndarray(format="rgb48le"), int(frame.color_trc))
    else:
        picture = frame.to_ndarray(format="rgb24")
    ratio = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    if ratio and ratio > 0 and ratio != 1:
        width = max(1, round(picture.shape[1] * float(ratio)))
        picture = cv2.resize(picture, (width, picture.shape[0]), interpolation=cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR)
    side = frame.side_data.get("DISPLAYMATRIX")
    return picture if side is None else turned(picture, np.frombuffer(bytes(side), np.int32).reshape(3, 3) / 65536)


def turned(picture: UInt8[np.ndarray, "H W 3"], matrix: Float[np.ndarray, "3 3"]) -> UInt8[np.ndarray, "_h _w 3"]:
    """A picture rotated and mirrored by its display matrix, to the nearest of the eight right-angle transforms.

    Args:
        picture: as stored.
        matrix: rows (a, b, u), (c, d, v), (x, y, w): x' = a x + c y + x0 and y' = b x + d y + y0 (ISO/IEC 14496-12, 6.2.2).
    """
    (a, b), (c, d) = matrix[:2, :2]
    if abs(a) + abs(d) >= abs(b) + abs(c):
        right, down = a, d
    else:
        picture, right, down = picture.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(picture[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1])


Add = Callable[..., None]


@contextmanager
def writer(path: str | Path, fps: Fraction | float | int, sound: str | Path | None = None) -> Iterator[Add]:
    """A function that adds frames to a video, which is written atomically: ``with writer("out.mp4", fps) as add: add(frame)``.

    ``add(frame, time)`` sets the frame's time in seconds, for a variable frame rate; give it for all frames or for none. Odd sides are
    padded by repeating the last row or column, since codecs need even sides.

    Args:
        path: ``.mp4``, ``.mkv``, ``.mov``, ``.webm`` or ``.avi``.
        fps: frames a second.
        sound: a video whose audio is copied if the container supports it.

    Raises:
        ImportError: PyAV is not installed.
        ValueError: unknown suffix, no frames, or frames of different sizes.
        OSError: the file cannot be written.
    """
    av = _av()
    path = Path(path)
    if path.suffix.lower() not in VIDEOS:
        raise ValueError(f"{path}: {path.suffix or 'no suffix'} is not a video format; use .mp4")
    codec = "libvpx-vp9" if path.suffix == ".webm" else "libx264" if "libx264" in av.codecs_available else "mpeg4"
    options = {"crf": "20", "preset": "veryfast"} if codec == "libx264" else {}
    rate = Fraction(fps).limit_denominator(60_000)
    with atomic(path) as temporary, av.open(str(temporary), "w") as container, _sound(container, sound) as copy:
        stream = container.add_stream(codec, rate=rate, options=options)
        size: list[tuple[int, ...]] = []
        last = -1

        def add(frame: UInt8[np.ndarray, "H W 3"], time: float | None = None) -> None:
            nonlocal last
            h, w = frame.shape[:2]
            if not size:
                size.append((h, w))
                stream.height, stream.width, stream.pix_fmt = h + h % 2, w + w % 2, "yuv420p"
                stream.bit_rate = 0 if options else int(w * h * float(fps) * 0.15)
                if time is not None and path.suffix != ".avi" and codec != "mpeg4":
                    stream.codec_context.time_base = Fraction(1, TICKS)
            if (h, w) != size[0]:
                raise ValueError(f"{path}: a frame of {w}x{h} in a video of {size[0][1]}x{size[0][0]}")
            picture = av.VideoFrame.from_ndarray(np.pad(frame, ((0, h % 2), (0, w % 2), (0, 0)), "edge"), format="rgb24")
            if time is not None:
                picture.time_base = stream.codec_context.time_base
                picture.pts = last = max(last + 1, round(time / picture.time_base))
                copy(time)
            container.mux(stream.encode(picture))

        yield add
        if not size:
            raise ValueError(f"{path}: a video without frames cannot be written")
        container.mux(stream.encode(None))
        copy(float("inf"))


@contextmanager
def _sound(out: Any, path: str | Path | None) -> Iterator[Callable[[float], None]]:
    """A function that copies the audio up to a time (s); it does nothing if there is none or it cannot be copied."""
    av = _av()
    source = None if path is None else _open(path, None)[0]
    best = None if source is None else source.streams.best("audio")
    try:
        stream = None if best is None else out.add_stream_from_template(best)
    except (av.error.FFmpegError, ValueError):
        stream = None
    if source is None or stream is None:
        yield lambda time: None
    else:
        packets = (p for p in source.demux(best) if p.dts is not None)
        held: list[Any] = []

        def copy(time: float) -> None:
            while packet := held.pop() if held else next(packets, None):
                if float(packet.dts * packet.time_base) > time:
                    held.append(packet)
                    return
                packet.stream = stream
                out.mux(packet)

        yield copy
    if source is not None:
        source.close()
