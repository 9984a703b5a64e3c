"""The inputs of `Model.predict`: one photo, several, or a stream, each photo with its boxes."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from io import IOBase
from itertools import repeat
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from PIL import Image

from manypose.inference.photos import PhotoInput
from manypose.io import photos as media
from manypose.io import videos as video
from manypose.io.sources import camera, fetch, is_address, is_live, sources, standard_input
from manypose.poses.boxes import match_boxes, read_boxes, with_scores

__all__ = ["Kind", "Picture", "inputs"]

Kind = Literal["one", "several", "stream"]


@runtime_checkable
class Picture(Protocol):
    """A PIL image, described by a protocol so that type checkers need not inspect Pillow."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        ...

    def getbands(self) -> tuple[str, ...]:
        """The names of its channels."""
        ...


def inputs(source: Any, boxes: Any, colour: Literal["rgb", "bgr"] = "rgb") -> tuple[Kind, Iterable[PhotoInput]]:
    """Whether a source is one photo, several or a stream, and its photos; see `manypose.inference.model.Model.predict`.

    Raises:
        FileNotFoundError, ValueError, TypeError: the source cannot be read, or boxes do not fit the photos.
    """
    if colour not in ("rgb", "bgr"):
        raise ValueError(f"colour must be rgb or bgr, got {colour!r}")
    if isinstance(source, (str, Path)):
        return _elsewhere(str(source), boxes) if source == "-" or is_address(source) else _files(source, boxes)
    if isinstance(source, (bytes, bytearray, memoryview, IOBase)):
        content = source.read() if isinstance(source, IOBase) else source
        return "one", [PhotoInput(bytes(content), with_scores(boxes))]
    if isinstance(source, int) and not isinstance(source, bool):
        return "stream", _paired(camera(source), boxes, None)
    if colour == "bgr":
        return _swapped(*inputs(source, boxes))
    array: Any = source if isinstance(source, np.ndarray) or media.is_tensor(source) else None
    if array is not None and array.ndim == 4:
        return "several", _paired(array, boxes, len(array))
    if array is not None or isinstance(source, Image.Image):
        return "one", [PhotoInput(source, with_scores(boxes))]
    if isinstance(source, Sequence):
        if isinstance(boxes, (str, Path, Mapping)):
            return "several", _by_name([_path(s) for s in source], boxes)
        return "several", _paired(source, boxes, len(source))
    if isinstance(source, Iterable):
        return "stream", _paired(source, boxes, None)
    raise TypeError(f"a photo is a path, an address, bytes, an array, a PIL image or a tensor, got {type(source).__name__}")


def _swapped(kind: Kind, photos: Iterable[PhotoInput]) -> tuple[Kind, Iterable[PhotoInput]]:
    """Arrays and tensors with reversed channels; other photos unchanged."""
    swapped = (replace(p, photo=_other_order(p.photo)) for p in photos)
    return kind, list(swapped) if kind == "one" else swapped


def _other_order(photo: Any) -> Any:
    if media.is_tensor(photo):
        photo = media.from_tensor(photo)
    if not isinstance(photo, np.ndarray) or photo.ndim != 3 or photo.shape[2] < 3:
        return photo
    return photo[..., [2, 1, 0, *range(3, photo.shape[2])]]


def _elsewhere(source: str, boxes: Any) -> tuple[Kind, Iterable[PhotoInput]]:
    """A photo from standard input or an address, or a video from an address."""
    if source != "-" and is_live(source):
        return "stream", _paired(video.frames(source), boxes, None)
    content = standard_input() if source == "-" else fetch(source)
    return "one", [PhotoInput(content, with_scores(boxes), name="standard input" if source == "-" else source)]


def _files(source: str | Path, boxes: Any) -> tuple[Kind, Iterable[PhotoInput]]:
    found = sources(source)
    single = found.paths == (Path(source),)
    if single and media.is_video(source):
        return "stream", (PhotoInput(frame, b, keep=False) for frame, b in _zipped(video.frames(source), boxes, None))
    photos = found.paths if single else tuple(p for p in found.paths if not media.is_video(p))
    left = found.skipped + len(found.paths) - len(photos)
    if not photos:
        raise ValueError(f"{source}: holds only videos; give one of them at a time")
    if left:
        warnings.warn(f"{source}: skipped {left} files that are not photos", stacklevel=4)
    if isinstance(boxes, (str, Path, Mapping)):
        return "one" if single else "several", _by_name(photos, boxes)
    if single:
        return "one", [PhotoInput(photos[0], with_scores(boxes))]
    return "several", _paired(photos, boxes, len(photos))


def _path(source: Any) -> Path:
    if not isinstance(source, (str, Path)):
        raise ValueError("boxes by file name are for files; give arrays a list of boxes")
    return Path(source)


def _by_name(paths: Sequence[Path], boxes: str | Path | Mapping[str, Any]) -> list[PhotoInput]:
    known = boxes if isinstance(boxes, Mapping) else read_boxes(boxes)
    found = match_boxes(known, paths)
    if all(f is None for f in found):
        raise ValueError(f"none of the {len(known)} photos with boxes is among the given photos; they are matched by file name")
    return [PhotoInput(path, with_scores([] if b is None else b)) for path, b in zip(paths, found, strict=True)]


def _paired(photos: Iterable[Any], boxes: Any, count: int | None) -> Iterator[PhotoInput]:
    for i, (photo, b) in enumerate(_zipped(photos, boxes, count)):
        yield PhotoInput(photo, b, keep=count is not None, name="" if isinstance(photo, (str, Path)) else f"photo {i}")


def _zipped(photos: Iterable[Any], boxes: Any, count: int | None) -> Iterator[tuple[Any, Float[np.ndarray, "n 5"] | None]]:
    if boxes is None:
        return zip(photos, repeat(None), strict=False)
    if count is not None and (not isinstance(boxes, Sequence) or len(boxes) != count):
        raise ValueError(f"{count} photos need a list of {count} arrays of boxes")
    return ((photo, with_scores(b)) for photo, b in zip(photos, boxes, strict=True))
