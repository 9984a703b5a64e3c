"""The photos of a block with their addresses, fetched and decoded by threads that work ahead of the network."""

import tarfile
from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from manypose.inference.cluster.job import Block
from manypose.inference.cluster.sources import local_copy, resolved
from manypose.inference.photos import PhotoInput, ahead, decoded
from manypose.io import videos
from manypose.io.photos import PHOTOS
from manypose.io.sources import LARGEST
from manypose.io.storage import is_local, located, read_file

__all__ = ["Item", "items"]

FETCHERS = 16
"""Number of threads that fetch and decode; remote files mostly wait."""


@dataclass(frozen=True, eq=False)
class Item:
    """A photo or video frame of a block.

    Args:
        uri: its address.
        photo: the decoded photo, or an error.
        frame, time: number and time of a video frame.
    """

    uri: str
    photo: PhotoInput
    frame: int | None = None
    time: float | None = None


def items(block: Block, depth: int, refused: Container[int] = ()) -> Iterator[Item]:
    """The decoded photos of a block; at most `depth` of them are read ahead.

    Args:
        block: a block of a plan.
        depth: largest number of photos that are read ahead.
        refused: indices in the block that give an error without being read.

    Raises:
        Exception: the tar, Parquet or video file itself is missing or truncated; the photos before the fault come first.
    """
    kinds = {"files": _files, "rows": _rows, "tar": _members, "frames": _frames}
    found = (_refused(item) if i in refused else item for i, item in enumerate(kinds[block["kind"]](block)))
    return found if block["kind"] == "frames" else ahead(_ready, found, depth, FETCHERS)


def _refused(item: Item) -> Item:
    error = ValueError(f"{item.uri}: skipped, because a worker died on it twice")
    return replace(item, photo=replace(item.photo, photo=None, pixels=None, error=error))


def _ready(item: Item) -> Item:
    """The item with pixels, or with an error."""
    photo = item.photo
    if isinstance(photo.photo, str) and photo.error is None:
        try:
            fs, path = located(photo.photo)
            photo = replace(photo, photo=path) if is_local(fs) else replace(photo, photo=read_file(photo.photo), name=item.uri)
        except (OSError, ValueError) as e:
            photo = replace(photo, error=e)
    return replace(item, photo=decoded(photo))


def _files(block: Block) -> Iterator[Item]:
    boxes = block.get("boxes") or [None] * len(block["uris"])
    for uri, rows in zip(block["uris"], boxes, strict=True):
        yield Item(uri, PhotoInput(uri, None if rows is None else np.array(rows, np.float32).reshape(-1, 5), keep=False))


def _rows(block: Block) -> Iterator[Item]:
    from pyarrow import parquet

    fs, path = located(block["uri"])
    with fs.open(path) as file:
        start, at = block["start"], 0
        for batch in parquet.ParquetFile(file).iter_batches(batch_size=64, row_groups=[block["group"]], columns=[block["column"]]):
            for i, value in enumerate(batch.column(0), at):
                if start <= i < block["stop"]:
                    yield _row(f"{block['uri']}#{block['row'] + i - start}", value.as_py(), block["uri"])
            at += len(batch)
            if at >= block["stop"]:
                return


def _row(uri: str, value: Any, table: str) -> Item:
    """The item of a row of a Parquet file: bytes, a struct with bytes and path, or an address."""
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, str) and value:
        return Item(resolved(value, table), PhotoInput(resolved(value, table), keep=False))
    error = None if value else ValueError(f"{uri}: no photo in this row")
    return Item(uri, PhotoInput(value, keep=False, name=uri, error=error))


def _members(block: Block) -> Iterator[Item]:
    """The photos of a tar file, read sequentially, as in WebDataset."""
    fs, path = located(block["uri"])
    with fs.open(path) as file, tarfile.open(fileobj=file, mode="r|*") as archive:
        for member in archive:
            if member.isfile() and member.name.lower().endswith(PHOTOS):
                uri, content = f"tar://{member.name}::{block['uri']}", archive.extractfile(member)
                large = member.size > LARGEST or content is None
                error = ValueError(f"{uri}: larger than {LARGEST / 1e6:.0f} MB") if large else None
                yield Item(uri, PhotoInput(None if large or content is None else content.read(), keep=False, name=uri, error=error))


def _frames(block: Block) -> Iterator[Item]:
    start = videos.Start(block["first"], block["tick"], block["origin"]) if "tick" in block else None
    with local_copy(block["uri"]) as path:
        for frame in videos.read(path, start=start):
            if block["stop"] is not None and frame.number >= block["stop"]:
                return
            photo = PhotoInput(frame.pixels, keep=False, name=block["uri"], pixels=frame.pixels)
            yield Item(block["uri"], photo, frame.number, round(frame.time, 4))
