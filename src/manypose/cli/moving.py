"""Sources of `manypose predict` other than files: addresses, standard input, cameras, and folders of frames."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from urllib.parse import urlsplit

from manypose.io import photos as media
from manypose.io import videos as video
from manypose.io.sources import camera, fetch, is_address, is_live, standard_input
from manypose.io.sources import sources as find

__all__ = ["Moving", "local"]


@dataclass(frozen=True)
class Moving:
    """A video from any kind of source.

    Args:
        path: the file or folder; for an address or camera, a name.
        source: the file, an address, the number of a camera, or the files of the frames.
        fps: frame rate of a folder of frames.
    """

    path: Path
    source: Path | str | int | tuple[Path, ...]
    fps: float = 25.0

    @property
    def file(self) -> Path | None:
        """The file, if the source is one."""
        return self.source if isinstance(self.source, Path) else None

    @property
    def live(self) -> bool:
        """Whether it is endless and differs from run to run, as a camera does."""
        return isinstance(self.source, int) or (
            isinstance(self.source, str) and not self.source.startswith(("http://", "https://", "file://"))
        )

    def about(self) -> video.About:
        """Frame rate, size and number of frames, as far as they are known in advance."""
        if isinstance(self.source, (Path, str)):
            return video.about(self.source)
        return video.About(Fraction(self.fps).limit_denominator(1000), (0, 0), 0 if isinstance(self.source, int) else len(self.source))

    def read(self) -> Iterator[video.Frame]:
        """The frames in order. Ctrl-C ends a live source, and the frames before it are still processed.

        Raises:
            ValueError, OSError: it cannot be read, or ends early.
        """
        with suppress(KeyboardInterrupt) if self.live else nullcontext():
            yield from self._frames()

    def _frames(self) -> Iterator[video.Frame]:
        if isinstance(self.source, (Path, str)):
            yield from video.read(self.source)
        elif isinstance(self.source, int):
            began = perf_counter()
            for number, pixels in enumerate(camera(self.source)):
                yield video.Frame(number, perf_counter() - began, pixels)
        else:
            for number, path in enumerate(self.source):
                yield video.Frame(number, number / self.fps, media.read(path))


@contextmanager
def local(sources: Sequence[str], fps: float | None = None) -> Iterator[list[str | Moving | Exception]]:
    """The sources as files and videos; downloads and standard input are kept in a temporary folder meanwhile.

    Args:
        sources: files, folders, patterns, addresses, ``-``, or numbers of cameras.
        fps: treat each folder as a video with this frame rate.

    Yields:
        the sources; an error in place of one that cannot be fetched.
    """
    if fps is not None and not 0.01 <= fps <= 1000:
        raise ValueError(f"fps must be a frame rate from 0.01 to 1000, got {fps:g}")
    with TemporaryDirectory(prefix="manypose-") as folder:
        found: list[str | Moving | Exception] = []
        for i, source in enumerate(sources):
            try:
                found.append(_local(source, Path(folder) / str(i), fps))
            except (OSError, ValueError) as e:
                found.append(e)
        yield found


def _local(source: str, folder: Path, fps: float | None) -> str | Moving:
    if source == "-" or (is_address(source) and not is_live(source)):
        content = standard_input() if source == "-" else fetch(source)
        folder.mkdir()
        path = folder / ("stdin" if source == "-" else Path(urlsplit(source).path).name or "photo")
        path.write_bytes(content)
        return str(path)
    if is_address(source):
        parts = urlsplit(source)
        return Moving(Path(Path(parts.path).name or parts.hostname or "stream"), source)
    if source.isdecimal() and not Path(source).exists():
        return Moving(Path(f"camera{source}"), int(source))
    if fps is not None and Path(source).is_dir():
        frames = tuple(p for p in find(source).paths if not media.is_video(p))
        if not frames:
            raise ValueError(f"{source}: no photos in this folder to use as frames of a video")
        return Moving(Path(source), frames, fps)
    return source
