"""Annotations of many photos in a few arrays, with a tenth of the memory of objects, in files that processes share."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np

from manypose.data.photos import Photo, Region

__all__ = ["PackedPhotos", "PhotoEntry", "pack"]

POLYGONS, BOX, RUN_LENGTHS = range(3)
"""Kinds of regions, all stored as 4-byte words: float32 polygons, a float64 box, JSON text."""


class PhotoEntry(NamedTuple):
    """The input of `pack` for a photo: the fields of `Photo`, as lists."""

    name: str
    size: tuple[int, int]
    image_id: int
    keypoints: Sequence[np.ndarray]
    boxes: Sequence[np.ndarray]
    areas: Sequence[float]
    ignored: Sequence[Region]
    shapes: Sequence[Region]
    complete: bool
    crowd: float | None
    unposed: Sequence[np.ndarray]


class PackedPhotos(Sequence[Photo]):
    """A sequence of photos stored as arrays.

    Args:
        root: the folder of the photos.
        arrays: see `pack`.
    """

    def __init__(self, root: Path, arrays: Mapping[str, np.ndarray]) -> None:
        self.root, self.arrays = root, dict(arrays)

    def __len__(self) -> int:
        return len(self.arrays["image_id"])

    @overload
    def __getitem__(self, i: int) -> Photo: ...

    @overload
    def __getitem__(self, i: slice) -> list[Photo]: ...

    def __getitem__(self, i: int | slice) -> Photo | list[Photo]:
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        if not -len(self) <= i < len(self):
            raise IndexError(f"no photo {i}, there are {len(self)}")
        a, i = self.arrays, i % len(self)
        people, ignored, unposed = (slice(*a[key][i : i + 2]) for key in ("person", "ignored", "unposed"))
        h, w = a["size"][i].tolist()
        crowd = float(a["crowd"][i])
        return Photo(
            self.root / self.name(i), (h, w), int(a["image_id"][i]), a["keypoints"][people], a["boxes"][people], a["areas"][people],
            [self._region(r) for r in a["ignored_regions"][ignored].tolist()], [self._region(r) for r in a["shapes"][people].tolist()],
            bool(a["complete"][i]), None if np.isnan(crowd) else crowd, a["unposed_boxes"][unposed],
        )  # fmt: skip

    def name(self, i: int) -> str:
        """The photo's path in `root`."""
        return self.arrays["names"][slice(*self.arrays["name"][i : i + 2])].tobytes().decode("utf-8", "surrogatepass")

    def names(self) -> Iterator[str]:
        """All photos' paths in `root`."""
        return map(self.name, range(len(self)))

    def _region(self, r: int) -> Region:
        if r < 0:
            return None
        a = self.arrays
        start, stop = a["part"][r : r + 2]
        words = [a["words"][slice(*a["word"][q : q + 2])] for q in range(start, stop)]
        kind = int(a["kinds"][r])
        if kind == POLYGONS:
            return words
        return words[0].copy().view(np.float64) if kind == BOX else json.loads(words[0].tobytes())


def pack(root: Path, entries: Iterable[PhotoEntry], k: int) -> PackedPhotos:
    """Photos as arrays. ``person``, ``ignored``, ``unposed``, ``name``, ``part`` and ``word`` hold the ends of each one's rows.

    Args:
        root: the folder of the photos.
        entries: one per photo.
        k: number of joints.
    """
    rows: dict[str, list[Any]] = {
        key: [] for key in ("image_id", "size", "complete", "crowd", "name", "names", "person", "ignored", "unposed")
    }
    keypoints, boxes, areas, shapes, ignored, unposed, kinds, part, word, words = ([] for _ in range(10))

    def region(given: Region) -> int:
        if given is None:
            return -1
        if isinstance(given, Mapping):
            text = json.dumps({key: v.decode() if isinstance(v, bytes) else v for key, v in given.items()}).encode()
            parts, kind = [np.frombuffer(text + b" " * (-len(text) % 4), np.float32)], RUN_LENGTHS
        elif isinstance(given, np.ndarray):
            parts, kind = [np.ascontiguousarray(given, np.float64).view(np.float32)], BOX
        else:
            parts, kind = given, POLYGONS
        kinds.append(kind)
        part.append(len(parts))
        word.extend(map(len, parts))
        words.extend(parts)
        return len(kinds) - 1

    for e in entries:
        name = np.frombuffer(e.name.encode("utf-8", "surrogatepass"), np.uint8)
        of_photo = (e.image_id, e.size, e.complete, np.nan if e.crowd is None else e.crowd, len(name), name)
        for key, value in zip(rows, (*of_photo, len(e.boxes), len(e.ignored), len(e.unposed)), strict=True):
            rows[key].append(value)
        keypoints += e.keypoints
        boxes += e.boxes
        areas += e.areas
        shapes += map(region, e.shapes)
        ignored += map(region, e.ignored)
        unposed += e.unposed

    def ends(counts: Sequence[int]) -> np.ndarray:
        return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)

    def joined(arrays: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
        return np.concatenate([np.zeros((0, *shape[1:])), *arrays]).astype(np.float32).reshape(-1, *shape)

    return PackedPhotos(root, {
        "image_id": np.array(rows["image_id"], np.int64), "size": np.array(rows["size"], np.int64).reshape(-1, 2),
        "complete": np.array(rows["complete"], bool), "crowd": np.array(rows["crowd"], np.float64),
        "names": np.concatenate([np.zeros(0, np.uint8), *rows["names"]]),
        **{key: ends(rows[key]) for key in ("name", "person", "ignored", "unposed")}, "part": ends(part), "word": ends(word),
        "keypoints": joined(keypoints, (k, 3)), "boxes": joined(boxes, (4,)),
        "areas": np.array(areas, np.float32), "shapes": np.array(shapes, np.int64), "ignored_regions": np.array(ignored, np.int64),
        "unposed_boxes": joined(unposed, (4,)), "kinds": np.array(kinds, np.uint8),
        "words": np.concatenate([np.zeros(0, np.float32), *words]),
    })  # fmt: skip
