"""A shard of results: one row for each photo or video frame, as Parquet (exact float32) or JSON Lines (rounded to 0.001 px)."""

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from manypose.poses.formats import from_jsonl, to_jsonl
from manypose.poses.poses import Poses
from manypose.poses.skeleton import Skeleton

__all__ = ["SUFFIXES", "Counts", "Row", "read_counts", "read_rows", "to_shard"]

SUFFIXES = {"parquet": ".parquet", "jsonl": ".jsonl"}
"""The formats, and the suffixes of their shards."""


@dataclass(frozen=True, eq=False)
class Row:
    """The result of a photo or video frame.

    Args:
        uri: its path or address, ``tar://member::shard.tar``, or ``file.parquet#row``.
        size: height and width; None if it could not be read.
        people: the people; None after an error.
        error: the error message, if any.
        frame, time: number of a video frame, and its time in seconds after the first.
        detected: the person detector's boxes and scores (n, 5), for box AP.
        pixels: counts of mask pixels, for the IoU of masks.
    """

    uri: str
    size: tuple[int, int] | None = None
    people: Poses | None = None
    error: str | None = None
    frame: int | None = None
    time: float | None = None
    detected: np.ndarray | None = None
    pixels: np.ndarray | None = None


@dataclass
class Counts:
    """The numbers of rows, of rows with an error, and of people; ``+=`` adds two."""

    rows: int = 0
    errors: int = 0
    people: int = 0

    def __iadd__(self, other: "Counts") -> "Counts":
        self.rows, self.errors, self.people = self.rows + other.rows, self.errors + other.errors, self.people + other.people
        return self

    @classmethod
    def of(cls, rows: Sequence[Row]) -> "Counts":
        """The counts of some rows."""
        return cls(len(rows), sum(r.error is not None for r in rows), sum(len(r.people) for r in rows if r.people is not None))


def to_shard(rows: Sequence[Row], skeleton: Skeleton, suffix: str) -> bytes:
    """The content of a shard."""
    if suffix == ".jsonl":
        return "".join(_line(row, skeleton) + "\n" for row in rows).encode()
    import pyarrow as pa
    from pyarrow import parquet

    about = {"manypose": json.dumps({"skeleton": skeleton.to_mapping(), **vars(Counts.of(rows))})}
    out = io.BytesIO()
    schema = _schema(about)
    if any(row.detected is not None or row.pixels is not None for row in rows):
        schema = schema.append(pa.field("detected", pa.list_(pa.float32()))).append(pa.field("pixels", pa.list_(pa.int64())))
    parquet.write_table(pa.Table.from_pylist([_record(r) for r in rows], schema), out, compression="zstd")
    return out.getvalue()


def read_rows(content: bytes, suffix: str) -> Iterator[Row]:
    """The rows of a shard.

    Raises:
        ValueError: not such a shard.
    """
    if suffix == ".jsonl":
        yield from map(_from_line, content.decode().splitlines())
        return
    from pyarrow import parquet

    table = parquet.read_table(io.BytesIO(content))
    skeleton = Skeleton.from_mapping(json.loads((table.schema.metadata or {})[b"manypose"])["skeleton"], "a shard")
    for record in table.to_pylist():
        yield _from_record(record, skeleton)


def read_counts(file: Any, suffix: str) -> Counts:
    """The counts of an open shard; only the footer of a Parquet file is read.

    Raises:
        ValueError: not such a shard.
    """
    if suffix == ".jsonl":
        lines = [json.loads(line) for line in file]
        return Counts(len(lines), sum("error" in row for row in lines), sum(len(row.get("people", ())) for row in lines))
    from pyarrow import parquet

    found = json.loads((parquet.read_schema(file).metadata or {})[b"manypose"])
    return Counts(found["rows"], found["errors"], found["people"])


# ── Parquet ──


def _schema(about: dict[str, str]) -> Any:
    import pyarrow as pa

    numbers = pa.list_(pa.float32())
    person = {"score": pa.float32(), "id": pa.int64(), "box": numbers, "detection": numbers, "keypoints": numbers}
    columns = {
        "uri": pa.string(), "frame": pa.int32(), "time": pa.float64(), "height": pa.int32(), "width": pa.int32(), "error": pa.string(),
        "people": pa.list_(pa.struct(person)),
    }  # fmt: skip
    return pa.schema(columns, about)


def _record(row: Row) -> dict[str, Any]:
    h, w = row.size or (None, None)
    found = {"uri": row.uri, "frame": row.frame, "time": row.time, "height": h, "width": w, "error": row.error, "people": None}
    found["detected"], found["pixels"] = (None if v is None else np.asarray(v).ravel().tolist() for v in (row.detected, row.pixels))
    p = row.people
    if p is None:
        return found
    joints = np.concatenate([p.keypoints, p.keypoint_scores[..., None]], -1).reshape(len(p), 3 * len(p.skeleton))
    columns: list[Any] = [c if c is None else c.tolist() for c in (p.scores, p.ids, p.boxes, p.detections, joints)]
    none = [None] * len(p)
    people = zip(*(none if c is None else c for c in columns), strict=True)
    return {**found, "people": [dict(zip(("score", "id", "box", "detection", "keypoints"), person, strict=True)) for person in people]}


def _from_record(record: dict[str, Any], skeleton: Skeleton) -> Row:
    size = None if record["height"] is None else (record["height"], record["width"])
    people, rows = None, record["people"]
    if rows is not None:
        column = {key: None if not rows or rows[0][key] is None else [row[key] for row in rows] for key in ("id", "detection")}
        joints = np.array([row["keypoints"] for row in rows], np.float32).reshape(len(rows), len(skeleton), 3)
        people = Poses(
            skeleton, joints[..., :2], joints[..., 2], np.array([row["score"] for row in rows], np.float32),
            np.array([row["box"] for row in rows], np.float32).reshape(-1, 4),
            ids=None if column["id"] is None else np.array(column["id"], np.int64),
            detections=None if column["detection"] is None else np.array(column["detection"], np.float32).reshape(-1, 4),
        )  # fmt: skip
    detected, pixels = record.get("detected"), record.get("pixels")
    return Row(
        record["uri"], size, people, record["error"], record["frame"], record["time"],
        None if detected is None else np.array(detected, np.float32).reshape(-1, 5), None if pixels is None else np.array(pixels, np.int64),
    )  # fmt: skip


# ── JSON Lines ──


def _line(row: Row, skeleton: Skeleton) -> str:
    more: dict[str, Any] = {} if row.frame is None else {"frame": row.frame, "time": row.time}
    if row.people is None:
        return json.dumps({"image": row.uri, **more, "error": row.error, "people": []}, ensure_ascii=False)
    return to_jsonl(row.people, row.uri, row.size, **more)


def _from_line(line: str) -> Row:
    found = json.loads(line)
    size = (found["height"], found["width"]) if "height" in found else None
    people = None if "error" in found else Poses.of(next(from_jsonl([line]))[1])
    return Row(found["image"], size, people, found.get("error"), found.get("frame"), found.get("time"))
