"""The inputs of a job as blocks: lists of photos, row groups of Parquet files, tar files, and chunks of videos.

A block names its inputs and does not contain them. The plan lists each photo of a folder or a list of addresses, but a Parquet or tar file
takes only one line for each row group or file, so that a plan of 10⁹ photos stays small.
"""

import csv
import glob
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from manypose.inference.cluster.job import Block, check_block_size
from manypose.io import videos
from manypose.io.photos import PHOTOS, VIDEOS
from manypose.io.storage import is_local, located, read_file

__all__ = ["Cutting", "blocks", "local_copy", "resolved"]

LISTS, TABLES, ARCHIVES = (".txt", ".csv"), (".parquet",), (".tar", ".tar.gz", ".tgz")

COLUMNS = ("uri", "url", "path", "file", "file_name", "filename", "image")
"""Default names of the column with paths or addresses."""


@dataclass(frozen=True)
class Cutting:
    """The division of inputs into blocks.

    Args:
        block_size: number of photos in a block, the unit that is repeated after the death of a worker. Raising it gives fewer files;
            lowering it repeats less work.
        chunk_frames: number of frames in a chunk of a video. Raising it gives fewer files; lowering it divides a video among more workers.
        column: the column of a CSV or Parquet list with the addresses or the photos' bytes; by default the first such column.

    Raises:
        ValueError: a number is out of range.
    """

    block_size: int = 256
    chunk_frames: int = 500
    column: str | None = None

    def __post_init__(self) -> None:
        check_block_size(self.block_size)
        if self.chunk_frames < 1:
            raise ValueError(f"chunk frames must be at least 1, got {self.chunk_frames}")


def blocks(sources: Sequence[str], cutting: Cutting, track: int) -> Iterator[Block]:
    """The blocks of all sources; a file that is named several times counts once.

    Args:
        sources: photos, videos, folders, patterns, lists (``.txt``, ``.csv``, ``.parquet``), ``.parquet`` with photos and ``.tar`` files
            of WebDataset, each a path or an address.
        cutting: the division into blocks.
        track: 0, or the interval in frames at which the tracker detects new people; chunks then start at such frames.

    Raises:
        FileNotFoundError: a source does not exist.
        ValueError: a list has no such column, or a file system is unknown.
    """
    waiting: list[str] = []
    for uri in dict.fromkeys(uri for source in sources for uri in _files(source)):
        name = uri.lower()
        if name.endswith(TABLES):
            yield from _table(uri, cutting)
        elif name.endswith(ARCHIVES):
            yield {"kind": "tar", "uri": uri}
        elif name.endswith(VIDEOS):
            yield from _video(uri, cutting, track)
        else:
            for photo in _listed(uri, cutting.column) if name.endswith(LISTS) else (uri,):
                if photo.lower().endswith(VIDEOS):
                    yield from _video(photo, cutting, track)
                else:
                    waiting.append(photo)
                if len(waiting) == cutting.block_size:
                    yield {"kind": "files", "uris": waiting}
                    waiting = []
    if waiting:
        yield {"kind": "files", "uris": waiting}


def resolved(name: str, where: str) -> str:
    """A path or address of a list; relative paths refer to the list's folder."""
    if "://" in name or PurePosixPath(name).is_absolute():
        return name
    return f"{where.rpartition('/')[0]}/{name}"


def _files(source: str) -> Iterator[str]:
    """The files of a source; local ones as absolute paths, since workers have other working folders."""
    fs, path = located(source)
    if "::" in source or source.startswith(("http://", "https://")):
        found: Iterable[str] = [source]
    elif fs.isdir(path):
        found = sorted(f["name"] for f in fs.ls(path, detail=True) if f["type"] != "directory" and _wanted(f["name"]))
        if not found:
            raise ValueError(f"{source}: no photos, videos, .parquet or .tar files in this folder")
    elif fs.exists(path) or not glob.has_magic(path):
        if not fs.exists(path):
            raise FileNotFoundError(f"{source}: no such file or folder")
        found = [path]
    else:
        found = sorted(p for p in fs.glob(path) if _wanted(p) or path.endswith(LISTS))
        if not found:
            raise FileNotFoundError(f"{source}: no photo, video, .parquet or .tar file matches")
    return (name if is_local(fs) or "://" in name else fs.unstrip_protocol(name) for name in found)


def _wanted(name: str) -> bool:
    return not PurePosixPath(name).name.startswith(".") and name.lower().endswith((*PHOTOS, *VIDEOS, *TABLES, *ARCHIVES))


# ── lists and tables ──


def _listed(uri: str, column: str | None) -> Iterator[str]:
    text = io.StringIO(read_file(uri).decode("utf-8-sig", "surrogateescape"), newline="")
    if uri.lower().endswith(".txt"):
        names = (line.strip() for line in text)
    else:
        reader = csv.DictReader(text)
        chosen = _column(uri, column, list(reader.fieldnames or ()))
        names = ((row[chosen] or "").strip() for row in reader)
    return (resolved(name, uri) for name in names if name)


def _column(uri: str, wanted: str | None, there: Sequence[str]) -> str:
    found = next((name for name in ([wanted] if wanted else COLUMNS) if name in there), None)
    if found is None:
        raise ValueError(f"{uri}: no column {wanted or ' or '.join(COLUMNS)}; name one of {', '.join(there)} (--column NAME)")
    return found


def _table(uri: str, cutting: Cutting) -> Iterator[Block]:
    """A block for each row group with photos; rows with addresses are divided by the block size."""
    from pyarrow import ArrowException, parquet, types

    fs, path = located(uri)
    try:
        with fs.open(path) as file:
            about = parquet.ParquetFile(file)
            schema, lengths = about.schema_arrow, [about.metadata.row_group(g).num_rows for g in range(about.num_row_groups)]
    except (ArrowException, OSError) as e:
        raise ValueError(f"{uri}: not a Parquet file that can be read ({e})") from None
    held = [f.name for f in schema if _holds_bytes(f.type, types)]
    column = _column(uri, cutting.column or (held[0] if held else None), schema.names)
    row = 0
    for group, length in enumerate(lengths):
        size = length if column in held else cutting.block_size
        for start in range(0, length, max(size, 1)):
            stop = min(start + size, length)
            yield {"kind": "rows", "uri": uri, "column": column, "group": group, "start": start, "stop": stop, "row": row + start}
        row += length


def _holds_bytes(kind: Any, types: Any) -> bool:
    """Whether a column holds photos: bytes, or a struct with bytes, as in Hugging Face data sets."""
    if types.is_struct(kind):
        return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
    return types.is_binary(kind) or types.is_large_binary(kind)


# ── videos ──


def _video(uri: str, cutting: Cutting, track: int) -> Iterator[Block]:
    """Chunks of a video, or the whole video if it cannot be read or its frames cannot be counted without decoding."""
    try:
        with local_copy(uri) as path:
            ticks = videos.places(path)
    except (FileNotFoundError, ValueError):
        ticks = []  # the worker writes a row with the error
    size = -(-cutting.chunk_frames // max(track, 1)) * max(track, 1)
    starts = range(0, len(ticks) - size // 2, size) if len(ticks) > size else (0,)
    for i, first in enumerate(starts):
        stop = None if first == starts[-1] else first + size
        block = {
            "kind": "frames",
            "uri": uri,
            "first": first,
            "stop": stop,
            "chunk": [i, len(starts)] if track and len(starts) > 1 else None,
        }
        yield {**block, "tick": ticks[first], "origin": ticks[0]} if first else block


@contextmanager
def local_copy(uri: str) -> Iterator[Path]:
    """A context with the local path of a file; a remote file is downloaded temporarily."""
    fs, path = located(uri)
    if is_local(fs):
        yield Path(path)
        return
    with TemporaryDirectory(prefix="manypose-") as folder:
        copy = Path(folder, PurePosixPath(path).name)
        fs.get_file(path, str(copy))
        yield copy
