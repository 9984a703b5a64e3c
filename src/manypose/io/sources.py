"""Which files a path, a folder, a pattern or a list of them means."""

import glob
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from manypose.io.photos import PHOTOS, VIDEOS, is_photo, is_video

__all__ = ["SourceFiles", "example_photo", "sources"]


@dataclass(frozen=True)
class SourceFiles:
    """What `sources` found.

    Args:
        paths: photos and videos, in order.
        skipped: how many files of a folder were neither.
    """

    paths: tuple[Path, ...]
    skipped: int = 0


def sources(spec: str | Path | Iterable[str | Path]) -> SourceFiles:
    """The files that a path, a folder, a pattern or several of them mean.

    A folder's files come sorted by name (its subfolders are not entered; use ``folder/**/*.jpg``), a pattern's too; those given one by one
    stay in their order. A file that is named is never left out, whatever it is.

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
        raise FileNotFoundError(f"{spec}: no photo or video matches ({len(matches)} other files do)")
    return SourceFiles(paths, len(matches) - len(paths))


def example_photo() -> Path:
    """The photo of an astronaut that scikit-image brings.

    Raises:
        ImportError: scikit-image is not installed.
    """
    try:
        import skimage
    except ImportError:
        raise ImportError("the example photo needs the extra 'demo': pip install 'manypose[demo]'") from None
    return Path(skimage.data_dir) / "astronaut.png"


def _folder(path: Path) -> SourceFiles:
    try:
        files = sorted(p for p in path.iterdir() if p.is_file())
    except OSError as e:
        raise ValueError(f"{path}: cannot be read ({e.strerror or e})") from None
    paths = tuple(p for p in files if _wanted(p))
    if not paths:
        raise ValueError(f"{path}: no photos or videos in this folder ({len(files)} other files)")
    return SourceFiles(paths, len(files) - len(paths))


def _wanted(path: Path) -> bool:
    # A damaged .jpg counts as a photo, so that it is reported and not passed over.
    return not path.name.startswith(".") and (path.suffix.lower() in (*PHOTOS, *VIDEOS) or is_photo(path) or is_video(path))
