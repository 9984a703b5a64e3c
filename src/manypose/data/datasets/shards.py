"""Data sets as WebDataset shards: tar files with ``KEY.jpg`` and ``KEY.json`` for each photo, and an index of their positions.

A process holds only the memory-mapped index (40 bytes a photo) and reads samples on demand, so that large data sets take no memory in
the workers, in any order and with exact resume. Shards may lie on any fsspec file system; other programs can read them as WebDataset.
"""

import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Int
from torch.utils.data import Dataset

from manypose.data.photos import Photo, Photos, Region, read_rgb, sample_of, unread
from manypose.data.sample import Sample
from manypose.io.files import atomic, write_bytes, write_json
from manypose.io.storage import Folder
from manypose.poses.skeleton import Skeleton

__all__ = ["Shards", "shards", "write_shards"]

ABOUT, INDEX = "dataset.json", "index.npy"

BLOCK = 512
"""Block size of tar files in bytes."""


@dataclass(eq=False)
class Shards(Dataset):
    """A map-style data set of `Sample`s from shards.

    Args:
        folder: the folder of the shards.
        skeleton: of the k joints.
        index: shard, offset and size of the photo, offset and size of its annotations.
        annotated: see `Photos`.
        margin, unreadable, outlines: see `Photos`.
        skipped: number of photos that could not be decoded.
    """

    folder: Folder
    skeleton: Skeleton
    index: Int[np.ndarray, "n 5"]
    annotated: tuple[bool, ...] | None = None
    margin: float = 0.15
    unreadable: Literal["raise", "skip"] = "raise"
    skipped: dict[str, str] = field(default_factory=dict)
    outlines: bool = True

    def __len__(self) -> int:
        return len(self.index)

    def photo(self, i: int) -> tuple[Photo, bytes]:
        """A photo's annotations and file content."""
        shard, *places = map(int, self.index[i])
        name = _shard(shard)
        picture, said = (self.folder.read(name, start, start + size) for start, size in (places[:2], places[2:]))
        try:
            return _from_json(json.loads(said), len(self.skeleton)), picture
        except (ValueError, KeyError, TypeError) as e:
            raise ValueError(f"{self.folder.uri}/{name}: the annotations at byte {places[2]} are damaged ({e}); write it again") from None

    def __getitem__(self, i: int) -> Sample:
        if not -len(self) <= i < len(self):
            raise IndexError(f"{self.folder.uri}: no photo {i}, there are {len(self)}")
        photo, picture = self.photo(i)
        try:
            image = read_rgb(photo.path, picture, photo.size)
        except ValueError as e:
            if self.unreadable == "raise":
                raise
            self.skipped[str(photo.path)] = str(e)
            return unread(photo, self.skeleton)
        return sample_of(photo, image, self.skeleton, self.annotated, self.margin, self.outlines)


@lru_cache(maxsize=4)
def _said(uri: str) -> dict[str, Any]:
    folder = Folder(uri)
    if not folder.has(ABOUT):
        raise FileNotFoundError(f"{uri}: no data set of shards here ({ABOUT} is absent); manypose.data.write_shards makes one")
    return json.loads(folder.read(ABOUT))


def shards(folder: str, margin: float = 0.15, unreadable: Literal["raise", "skip"] = "raise") -> Shards:
    """A data set written by `write_shards`.

    Args:
        folder: a path or URL, such as ``s3://bucket/coco``.
        margin: fraction by which a labelled person's box is enlarged in photos that are not completely annotated.
        unreadable: whether a photo that cannot be decoded is an error or an empty sample.

    Raises:
        FileNotFoundError: no such data set.
        ValueError: its files are damaged.
    """
    place, said = Folder(folder), _said(folder)
    local = Path(place.path(INDEX))
    try:
        # Memory-mapped, so that all processes share one copy.
        index = np.load(local, mmap_mode="r") if local.is_file() else np.load(io.BytesIO(place.read(INDEX)), allow_pickle=False)
        skeleton = Skeleton.from_mapping(said["skeleton"], f"{folder}/{ABOUT}")
        if index.shape != (said["photos"], 5):
            raise ValueError(f"the index has the shape {index.shape} for {said['photos']} photos")
    except (KeyError, FileNotFoundError, ValueError) as e:
        raise ValueError(f"{folder}: {ABOUT} or {INDEX} is damaged ({e}); write the data set again") from None
    annotated = None if said["annotated"] is None else tuple(said["annotated"])
    return Shards(place, skeleton, index, annotated, margin, unreadable)


def write_shards(dataset: Photos, out: str | Path, photos: int = 1000) -> Path:
    """Write a data set as shards atomically, and at the end the index; returns the folder.

    Args:
        dataset: from any reader, such as `manypose.data.coco`.
        out: a local folder; it can be copied to an object store.
        photos: photos per shard.

    Raises:
        OSError: a photo cannot be read, or a shard cannot be written.
    """
    out, index = Path(out), np.zeros((len(dataset.photos), 5), np.int64)
    for number, first in enumerate(range(0, len(dataset.photos), photos)):
        with atomic(out / _shard(number)) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as archive:
            at = 0
            for i, photo in enumerate(dataset.photos[first : first + photos], first):
                key = f"{i:09d}"
                parts = (f"{key}{photo.path.suffix.lower() or '.jpg'}", photo.path.read_bytes()), (f"{key}.json", _to_json(photo))
                index[i, 0] = number
                for column, (name, content) in zip((1, 3), parts, strict=True):
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
                    index[i, column : column + 2] = at + BLOCK, len(content)
                    at += BLOCK - (-len(content) // BLOCK) * BLOCK
    annotated = None if dataset.annotated is None else list(dataset.annotated)
    content = io.BytesIO()
    np.save(content, index)
    write_bytes(out / INDEX, content.getvalue())
    write_json(out / ABOUT, {"photos": len(index), "annotated": annotated, "skeleton": dataset.skeleton.to_mapping()})
    _said.cache_clear()
    return out


def _shard(number: int) -> str:
    return f"{number:06d}.tar"


# ── one photo's annotations ──


def _to_json(photo: Photo) -> bytes:
    h, w = photo.size
    said = {
        "file_name": photo.path.name, "height": h, "width": w, "image_id": photo.image_id, "complete": photo.complete, "crowd": photo.crowd,
        "keypoints": photo.keypoints.tolist(), "boxes": photo.boxes.tolist(), "areas": photo.areas.tolist(),
        "unposed": photo.unposed.tolist(), "ignored": [_plain(r) for r in photo.ignored],
        "shapes": [None if s is None else _plain(s) for s in photo.shapes],
    }  # fmt: skip
    return json.dumps(said, separators=(",", ":"), allow_nan=False).encode()


def _plain(region: Region) -> Any:
    """A region as JSON: a box as a mapping, polygons as lists, run lengths as in COCO."""
    if isinstance(region, Mapping):
        counts = region["counts"]
        return {"size": list(region["size"]), "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts}
    return {"box": region.tolist()} if isinstance(region, np.ndarray) else [np.asarray(polygon).tolist() for polygon in region]


def _region(said: Any) -> Region:
    return np.array(said["box"], np.float32) if isinstance(said, Mapping) and "box" in said else said


def _from_json(said: Mapping[str, Any], k: int) -> Photo:
    def array(name: str, *shape: int) -> np.ndarray:
        return np.array(said[name], np.float32).reshape(shape)

    return Photo(
        Path(said["file_name"]), (said["height"], said["width"]), said["image_id"], array("keypoints", -1, k, 3), array("boxes", -1, 4),
        array("areas", -1), [_region(r) for r in said["ignored"]], [None if s is None else _region(s) for s in said["shapes"]],
        said["complete"], said["crowd"], array("unposed", -1, 4),
    )  # fmt: skip
