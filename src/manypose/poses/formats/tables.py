"""CSV (one line per joint) and JSON Lines (one line per image)."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from manypose.poses.arrays import People, PoseArrays, result_boxes
from manypose.poses.formats.triples import from_triples, px, reading, score, triples
from manypose.poses.skeleton import BUILT_IN, COCO, Skeleton

__all__ = ["CSV_HEADER", "from_csv", "from_jsonl", "to_csv", "to_csv_rows", "to_jsonl"]

# ── CSV ──

_FORMULA = re.compile("'*[=+\\-@\t\r]")
CSV_HEADER = ("image", "person", "joint", "x", "y", "score", "id")


def to_csv_rows(poses: People, image: str = "", empty: bool = False) -> list[tuple[Any, ...]]:
    """One row per found joint, in the order of `CSV_HEADER`; ``id`` is empty for people without track ids.

    With `empty`, an image without people has one row with its name alone. An image name that a spreadsheet would read as a formula
    (starting with ``=``, ``+``, ``-`` or ``@``) gets the prefix ``'``, which `from_csv` removes.
    """
    image = f"'{image}" if _FORMULA.match(image) else image
    rows = []
    for person, flat in enumerate(triples(poses)):
        name = int(poses.ids[person]) if poses.ids is not None else ""
        joints = zip(poses.skeleton.joints, flat[::3], flat[1::3], flat[2::3], strict=True)
        rows += [(image, person, joint, x, y, s, name) for joint, x, y, s in joints if s > 0]
    return rows or ([(image, *[""] * (len(CSV_HEADER) - 1))] if empty else [])


def to_csv(images: Iterable[tuple[str, People]]) -> str:
    """The content of a CSV file of several images."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    for name, poses in images:
        writer.writerows(to_csv_rows(poses, name, empty=True))
    return out.getvalue()


def to_pandas(images: Iterable[tuple[str, People]]) -> Any:
    """A ``pandas.DataFrame`` with the CSV file's columns (extra ``interop``); ``id`` is missing for people without track ids."""
    try:
        import pandas
    except ImportError:
        raise ImportError("this needs pandas: pip install 'manypose[interop]'") from None
    rows = [(name, *row[1:6], row[6] if row[6] != "" else None) for name, poses in images for row in to_csv_rows(poses, name)]
    return pandas.DataFrame(rows, columns=list(CSV_HEADER)).astype({"id": "Int64"})


@reading("such a CSV file")
def from_csv(lines: Iterable[str], skeleton: Skeleton = COCO) -> dict[str, PoseArrays]:
    """The people of each image of a CSV file; a row with a name alone is an image without people.

    A person's score is the mean of the found joints' scores.

    Raises:
        ValueError: another header, an unknown joint, or not a number; the message gives the line.
    """
    reader = csv.reader(lines)
    if tuple(next(reader, ()))[:6] != CSV_HEADER[:6]:
        raise ValueError(f"line 1: the header must be {','.join(CSV_HEADER)}")
    images: dict[str, dict[str, tuple[list[float], str]]] = {}
    for number, row in enumerate(reader, 2):
        try:
            image, person, joint, *values = row
            image = image[1:] if image.startswith("'") and _FORMULA.match(image) else image
            if not any((person, joint, *values[:3])):
                images.setdefault(image, {})
                continue
            x, y, s = (float(v) for v in values[:3])
            at = 3 * skeleton.index(joint)
        except ValueError as e:
            raise ValueError(f"line {number}: {e}") from None
        flat, _ = images.setdefault(image, {}).setdefault(person, ([0.0] * 3 * len(skeleton), values[3] if len(values) > 3 else ""))
        flat[at : at + 3] = x, y, s
    return {image: _from_rows(people, skeleton) for image, people in images.items()}


def _from_rows(people: Mapping[str, tuple[list[float], str]], skeleton: Skeleton) -> PoseArrays:
    flat = [f for f, _ in people.values()]
    scores = [sum(f[2::3]) / max(1, sum(s > 0 for s in f[2::3])) for f in flat]
    ids = [i for _, i in people.values()]
    return from_triples(skeleton, flat, scores, "CSV file", ids=np.array([int(i) for i in ids], np.int64) if ids and all(ids) else None)


# ── JSON Lines ──


def to_jsonl(poses: People, image: str = "", size: tuple[int, int] | None = None, **more: Any) -> str:
    """The JSON line (without line end) of an image: all of `Poses` except masks and photo; ``box`` is the detector's if known.

    Args:
        poses: the people.
        image: its file name.
        size: height and width.
        more: further entries, such as the frame number of a video.
    """
    known = BUILT_IN.get(poses.skeleton.name) == poses.skeleton
    line: dict[str, Any] = {"image": image, **more}
    if size is not None:
        line |= {"height": size[0], "width": size[1]}
    line["skeleton"] = poses.skeleton.name if known else poses.skeleton.to_mapping()
    line["people"] = []
    for i, (flat, box) in enumerate(zip(triples(poses), result_boxes(poses), strict=True)):
        keypoints = [flat[j : j + 3] for j in range(0, len(flat), 3)]
        person = {"score": score(poses.scores[i]), "box": [px(v) for v in box], "keypoints": keypoints}
        line["people"].append(person if poses.ids is None else {"id": int(poses.ids[i]), **person})
    return json.dumps(line, allow_nan=False, ensure_ascii=False)


def from_jsonl(lines: Iterable[str]) -> Iterator[tuple[str, PoseArrays]]:
    """The image and people of each line.

    Raises:
        ValueError: a line is not in the format of `to_jsonl`; the message gives its number.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            with reading("a line of people"):
                content = json.loads(line)
                image, poses = content["image"], _from_line(content)
        except (RecursionError, ValueError) as e:
            said = " ".join(str(e).split()).removeprefix("not a line of people ")
            raise ValueError(f"line {number}: not a line of people ({said})") from None
        yield image, poses


def _from_line(content: Mapping[str, Any]) -> PoseArrays:
    given, people = content["skeleton"], content["people"]
    skeleton = BUILT_IN[given] if isinstance(given, str) else Skeleton.from_mapping(given, "skeleton")
    ids = [p.get("id") for p in people]
    return from_triples(
        skeleton,
        [[v for triple in p["keypoints"] for v in triple] for p in people],
        [p["score"] for p in people],
        "people",
        boxes=np.array([p["box"] for p in people], np.float32).reshape(-1, 4),
        ids=np.array(ids, np.int64) if ids and None not in ids else None,
    )
