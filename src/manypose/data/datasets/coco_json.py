"""Reader of COCO's JSON files for training, which leaves out bad entries, and for evaluation, which refuses them.

Both use the same people of a file: `keypoint_category` defines the category, `whole_id` the valid ids.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import orjson

from manypose.data.run_length import run_lengths
from manypose.poses.skeleton import Skeleton

__all__ = ["AREA_OF_BOX", "Category", "Rows", "keypoint_category", "load_json", "load_rows", "mask_fault", "read_json", "whole_id"]

AREA_OF_BOX = 0.53
"""A person's area as a fraction of its box, if the file has no ``area`` (CrowdPose's rule, and COCO's mean)."""

MOST_MASK_PIXELS = 100_000_000


def read_json(path: str | Path, what: str = "annotation") -> Any:
    """The content of a JSON file, with or without a byte order mark.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not JSON; the message names the file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such {what} file; give the path of the data set's JSON file")
    try:
        return _parsed(path.read_bytes())
    except (ValueError, RecursionError) as e:
        raise ValueError(f"{path}: not a JSON file ({str(e)[:100]}); download or export it again") from None


def _parsed(content: bytes) -> Any:
    """JSON in UTF-8; what the fast parser refuses (NaN) or rounds (huge ids) is parsed by the slow one."""
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        given = orjson.loads(content)
    except orjson.JSONDecodeError:
        return json.loads(content)
    images = given.get("images") if isinstance(given, dict) else None
    ids = [i.get("id") for i in images if isinstance(i, dict)] if isinstance(images, list) else []
    return given if all(not isinstance(i, float) or abs(i) < 2**53 for i in ids) else json.loads(content)


def load_json(path: str | Path, lists: Sequence[str] = ("images", "annotations")) -> dict[str, Any]:
    """The content of a JSON file with the given lists.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not JSON, or a list is missing; the message names the file.
    """
    given = read_json(path)
    missing = [key for key in lists if not isinstance(given, dict) or not isinstance(given.get(key), list)]
    if missing:
        raise ValueError(f"{path}: an annotation file needs the lists {' and '.join(map(repr, missing))}; is it a result file?")
    return given


class Rows(Sequence[Any]):
    """The entries of a JSON list, parsed on demand in chunks of a few thousand, to save memory.

    Args:
        texts: each entry's text.
    """

    CHUNK = 4096

    def __init__(self, texts: Sequence[msgspec.Raw]) -> None:
        self.texts = texts

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, i: Any) -> Any:
        return [self[j] for j in range(len(self))[i]] if isinstance(i, slice) else _parsed(bytes(self.texts[i]))

    def __iter__(self) -> Iterator[Any]:
        for first in range(0, len(self), self.CHUNK):
            yield from _parsed(b"[" + b",".join(self.texts[first : first + self.CHUNK]) + b"]")


def load_rows(path: str | Path) -> dict[str, Any]:
    """As `load_json` for ``images`` and ``annotations``; the annotations are `Rows` if the file's syntax allows it."""
    path = Path(path)
    if not path.is_file():
        return load_json(path)
    try:
        given = msgspec.json.decode(path.read_bytes().removeprefix(b"\xef\xbb\xbf"), type=dict[str, msgspec.Raw])
        rows = msgspec.json.decode(given.pop("annotations"), type=list[msgspec.Raw])
        rest = _parsed(b"{" + b",".join(orjson.dumps(key) + b":" + value for key, value in given.items()) + b"}")
    except (ValueError, KeyError, RecursionError, msgspec.MsgspecError):
        return load_json(path)
    return {**rest, "annotations": Rows(rows)} if isinstance(rest.get("images"), list) else load_json(path)


def whole_id(value: Any) -> int | None:
    """An id as an integer below 2⁶³, from 7, 7.0 or ``"7"``; None for anything else.

    >>> whole_id("0042"), whole_id(7.0), whole_id("cam1"), whole_id(2**63)
    (42, 7, None, None)
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        digits = value.strip()
        if not digits.isdecimal() or len(digits) > 40:
            return None
        value = int(digits)
    elif isinstance(value, float):
        if not math.isfinite(value) or value != int(value):
            return None
        value = int(value)
    try:
        number = value.__index__()
    except AttributeError:
        return None
    return number if -(2**63) <= number < 2**63 else None


@dataclass(frozen=True)
class Category:
    """The category whose keypoints are read.

    Args:
        id: as in the file; None if the file has no categories, so that every annotation is a person.
        name: as in the file.
        entry: the category's entry in the file.
        others: names of the file's other categories.
    """

    id: int | None
    name: str
    entry: Mapping[str, Any]
    others: tuple[str, ...] = ()

    @property
    def joints(self) -> tuple[str, ...]:
        """The names of its joints; empty if the file has none."""
        return tuple(self.entry.get("keypoints") or ())

    def has(self, annotation: Any) -> bool:
        """Whether an annotation has this or no category; entries that are not objects count, to be reported later."""
        if not isinstance(annotation, Mapping) or self.id is None:
            return True
        said = annotation.get("category_id", self.id)
        return said == self.id if type(said) is int else whole_id(said) == self.id

    def of(self, annotations: Iterable[Any]) -> list[Any]:
        """The annotations of this category."""
        return [a for a in annotations if self.has(a)]


def keypoint_category(given: Mapping[str, Any], where: str, skeleton: Skeleton | None = None, name: str | None = None) -> Category:
    """The category to use, by the same rule for training and evaluation.

    The one called `name`; else the only one with ``keypoints`` or, of several, with the skeleton's joints; else, if none has
    ``keypoints``, the one called ``person`` or the only category.

    Raises:
        ValueError: no such category, or several; the message lists them and the option ``--category``.
    """
    if not isinstance(given.get("categories") or [], Sequence):
        raise ValueError(f"{where}: 'categories' is a list")
    listed = [c for c in given.get("categories") or () if isinstance(c, Mapping) and whole_id(c.get("id")) is not None]
    names = [str(c.get("name", c["id"])) for c in listed]
    if name is not None:
        chosen = [c for c, called in zip(listed, names, strict=True) if called == name]
        if len(chosen) != 1:
            raise ValueError(f"{where}: {len(chosen)} categories are called {name!r}; it has {', '.join(names) or 'no categories'}")
    else:
        posed = [c for c in listed if c.get("keypoints")]
        chosen = posed or [c for c in listed if c.get("name") == "person"] or listed
        if len(chosen) > 1 and skeleton is not None:
            chosen = [c for c in chosen if tuple(c.get("keypoints") or ()) == skeleton.joints] or chosen
    if len(chosen) > 1:
        several = ", ".join(str(c.get("name", c["id"])) for c in chosen)
        raise ValueError(f"{where}: which category is meant? It has {several}; name one: --category NAME")
    if not chosen:
        return Category(None, "person", {})
    entry = chosen[0]
    joints = entry.get("keypoints") or ()
    if isinstance(joints, str) or not isinstance(joints, Sequence) or not all(isinstance(j, str) for j in joints):
        raise ValueError(f"{where}: the 'keypoints' of category {entry.get('name')!r} are not a list of joint names")
    others = tuple(str(c.get("name", c["id"])) for c in listed if c is not entry)
    return Category(whole_id(entry["id"]), str(entry.get("name", entry["id"])), entry, others)


def mask_fault(shape: Mapping[str, Any], photo: tuple[int, int] | None) -> str | None:
    """The reason why a run-length mask must not be decoded, or None.

    Args:
        shape: ``size`` (height, width) and ``counts``.
        photo: its required height and width; None for any up to 100 megapixels.
    """
    size, counts = shape.get("size"), shape.get("counts")
    if not isinstance(size, (list, tuple)) or len(size) != 2 or not all(isinstance(v, int) and v > 0 for v in size):
        return f"its size is {str(size)[:40]}; it is height and width"
    h, w = size
    if photo is not None and (h, w) != tuple(photo):
        return f"its size is {w}x{h}, the photo's {photo[1]}x{photo[0]}"
    if h * w > MOST_MASK_PIXELS:
        return f"its size is {w}x{h}, more than 100 megapixels"
    try:
        run_lengths(counts, h * w)
    except ValueError as e:
        return str(e)
    return None
