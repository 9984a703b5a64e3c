"""Checks of the entries of annotation and result files."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

__all__ = ["annotation_faults", "check", "name_of", "namer", "number", "numbers", "result_faults", "shown", "unique", "whole"]


def name_of(entry: Any, place: int) -> str:
    """An entry's id, or its index if it has none."""
    return str(entry["id"]) if isinstance(entry, Mapping) and "id" in entry else f"number {place} (counted from 0, without id)"


def namer(rows: Sequence[Any], kind: str) -> Callable[[int, Any], str]:
    """The name of an entry in an error message."""
    if kind == "annotation":
        return lambda i, a: f"annotation {name_of(rows[i], i)}"

    def name(i: int, r: Any) -> str:
        image = f", image_id {str(r['image_id'])[:40]}" if isinstance(r, Mapping) and "image_id" in r else ""
        return f"result {i} (counted from 0{image})"

    return name


def check(rows: Sequence[Any], fault: Callable[[Any], str | None], name: Callable[[int, Any], str], where: str) -> None:
    """Raise ValueError for the first bad entry, with the number of bad entries."""
    bad = [(i, found) for i, row in enumerate(rows) if (found := fault(row)) is not None]
    if bad:
        i, found = bad[0]
        more = f" ({len(bad)} of {len(rows)} entries are wrong)" if len(bad) > 1 else ""
        raise ValueError(f"{where}: {name(i, rows[i])}: {found}{more}")


def unique(ids: Sequence[Any], kind: str, where: str) -> None:
    """Raise ValueError for the first id that occurs twice."""
    if len(set(map(str, ids))) != len(ids):
        seen: set[str] = set()
        twice = next(i for i in ids if str(i) in seen or seen.add(str(i)))
        raise ValueError(f"{where}: {kind} id {twice} is used twice; every {kind} needs an id of its own")


def number(value: Any) -> bool:
    """Whether a value is a number (not a string or boolean)."""
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def finite(value: Any) -> bool:
    """Whether a value is a number that is finite in double precision."""
    try:
        return number(value) and math.isfinite(value)
    except OverflowError:
        return False


def whole(value: Any) -> bool:
    """Whether a value is a whole number below 2^63."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and -(2**63) <= int(value) < 2**63


def shown(value: Any) -> str:
    """A value for a message, with a hint if it is a number written as a string."""
    return f"{value!r}"[:60] + (", which is text: write the number without quotes" if isinstance(value, str) else "")


def annotation_faults(listed: Mapping[int, Any], area: str) -> Callable[[Any], str | None]:
    """A function that describes the fault of an annotation, or returns None; `listed`: images by id, `area`: source of areas."""

    def fault(a: Any) -> str | None:
        if not isinstance(a, Mapping):
            return "an annotation is a JSON object"
        free = bool(a.get("iscrowd", 0)) or a.get("num_keypoints") == 0
        missing = [key for key in ("id", "image_id", "bbox", *(() if free else ("keypoints",))) if a.get(key) is None]
        if missing:
            return f"{missing[0]!r} is missing"
        if not whole(a["id"]):
            return f"its id is {shown(a['id'])}; ids are whole numbers below 2^63"
        if not whole(a["image_id"]) or a["image_id"] not in listed:
            return f"there is no image with id {shown(a['image_id'])}"
        if not whole(a.get("num_keypoints", 0)):
            return f"num_keypoints is {shown(a['num_keypoints'])}; it is a whole number"
        if area != "box" and a.get("area") is not None and not finite(a["area"]):
            return f"its area is {shown(a['area'])}; it is a number"
        return None

    return fault


def result_faults(known: set[int], category: int, needs: str) -> Callable[[Any], str | None]:
    """A function that describes the fault of a result, or returns None; `known`: image ids, `needs`: ``keypoints`` or ``bbox``."""

    def fault(r: Any) -> str | None:
        if not isinstance(r, Mapping):
            return "a result is a JSON object"
        missing = [key for key in ("image_id", "category_id", needs, "score") if r.get(key) is None]
        if missing:
            return f"{missing[0]!r} is missing"
        if not whole(r["image_id"]) or r["image_id"] not in known:
            return f"the annotation file has no image with id {shown(r['image_id'])}"
        if r["category_id"] != category:
            return f"category_id is {shown(r['category_id'])}, but people are category {category} in the annotation file"
        if not finite(r["score"]):
            return f"its score is {shown(r['score'])}; a score is a finite number"
        return None

    return fault


def numbers(rows: Sequence[Any], width: int, name: Callable[[int, Any], str], what: str, where: str) -> Float[np.ndarray, "n w"]:
    """Lists of numbers as one array; the first list that is not `width` finite numbers is an error."""
    try:
        array = np.array(rows) if len(rows) else np.zeros((0, width))
    except (ValueError, OverflowError):
        array = np.zeros(0)
    if array.ndim == 2 and array.shape[-1] == width and array.dtype.kind in "iuf" and np.isfinite(array).all():
        return array.astype(np.float64)

    def fault(row: Any) -> str | None:
        if not isinstance(row, (Sequence, np.ndarray)) or isinstance(row, str):
            return f"{what} is {shown(row)}; it is a list of {width} numbers"
        if len(row) != width:
            return f"{what} has {len(row)} numbers, it must have {width}" + (f" ({width // 3} joints)" if what == "keypoints" else "")
        odd = next((v for v in row if not finite(v)), None)
        return None if odd is None and None not in row else f"{what} has {shown(odd)} in it; all must be finite numbers"

    check(rows, fault, name, where)
    return np.array([[float(v) for v in row] for row in rows])
