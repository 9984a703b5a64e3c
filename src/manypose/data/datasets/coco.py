"""COCO person keypoints, and every data set published in that format.

The loss is masked as the field does (SWAHR Section 4.1 and HigherHRNet): 0 on crowd regions and on people without a labelled joint.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
from jaxtyping import Float
from PIL import Image
from typing_extensions import Unpack

from manypose.data.datasets.annotation_report import Report, area_of, person, shape_of, thing_box
from manypose.data.datasets.coco_json import Category, keypoint_category, load_json, whole_id
from manypose.data.datasets.people_archive import read_archive
from manypose.data.photos import Photo, Photos
from manypose.poses.skeleton import COCO, Skeleton, named

__all__ = ["AnnotatedImage", "Keep", "Reading", "annotated_people", "coco", "dataset", "listed_ids", "photos_of", "read_coco"]


class Reading(TypedDict, total=False):
    """How photos are read and masked, for every data set.

    Args:
        margin: part of its size by which a labelled person's box is enlarged where the photo is not complete.
        cache: keep files or decoded photos in memory.
        unreadable: whether a photo that cannot be decoded is an error or an empty sample.
    """

    margin: float
    cache: Literal["none", "encoded", "decoded"]
    unreadable: Literal["raise", "skip"]


Keep = Literal["people", "annotated", "all", "empty"]
"""Which photos: with a labelled person, with any annotation, all, or those without any (backgrounds)."""


def coco(
    images: str | Path,
    annotations: str | Path,
    skeleton: str | Skeleton = "coco",
    keep: Keep = "annotated",
    category: str | None = None,
    only: str | Path | None = None,
    margin: float = 0.15,
    cache: Literal["none", "encoded", "decoded"] = "none",
    unreadable: Literal["raise", "skip"] = "raise",
) -> Photos:
    """The photos of a folder with the people of a COCO keypoint file; what is wrong with the file is logged once, by id.

    Args:
        images: folder of the photos.
        annotations: the JSON file. Photos with ``all_persons_labelled: false`` are masked outside the labelled people.
        skeleton: a built-in name, a skeleton YAML or a skeleton; the file's joints in the file's order.
        keep: photos with a labelled person, with any annotation (SWAHR's choice), all, or those without any annotation ("empty").
        only: a text file of image ids, one a line: the photos that are used (``configs/subsets``).
        category: name of the category whose people are read, where several have keypoints.
        margin: part of its size by which a labelled person's box is enlarged where the photo is not complete.
        cache: keep files or decoded photos in memory.
        unreadable: whether a photo that cannot be decoded is an error or an empty sample.

    Raises:
        FileNotFoundError: no such folder or file.
        ValueError: the file cannot be used at all; the message names it.
    """
    chosen = skeleton if isinstance(skeleton, Skeleton) else named(skeleton)
    photos, report = read_coco(images, annotations, chosen, keep, category, only)
    return dataset(photos, chosen, report, margin=margin, cache=cache, unreadable=unreadable)


def dataset(photos: Sequence[Photo], skeleton: Skeleton, report: Report, **reading: Unpack[Reading]) -> Photos:
    """Photos that any reader made, as a data set; the report is logged. Joints that no person in the file has get mask planes of zeros."""
    # A joint that no person in the whole file has is not annotated there (face points of sports photos): it is unknown, not absent.
    seen = np.any([(p.keypoints[..., 2] > 0).any(0) for p in photos if len(p.keypoints)] or [np.ones(len(skeleton), bool)], axis=0)
    annotated = None if seen.all() else tuple(bool(s) for s in seen)
    report.log()
    return Photos(photos, skeleton, report, annotated, **reading)


def read_coco(
    images: str | Path,
    annotations: str | Path,
    skeleton: Skeleton,
    keep: Keep = "annotated",
    category: str | None = None,
    only: str | Path | None = None,
) -> tuple[list[Photo], Report]:
    """Read and check a file of COCO's format.

    Returns:
        the photos that can be used, in the file's order, and the report: each bad entry by id.

    Raises:
        FileNotFoundError: no such folder or file.
        ValueError: not JSON, lists missing, no person, or no photo found.
    """
    report = Report(str(annotations))
    return photos_of(load_json(annotations), Path(images), skeleton, report, keep, category, only), report


def photos_of(
    given: Mapping[str, Any],
    root: Path,
    skeleton: Skeleton,
    report: Report,
    keep: Keep = "annotated",
    category: str | None = None,
    only: str | Path | None = None,
    complete: bool = True,
) -> list[Photo]:
    """The photos of what such a file holds: readers of other formats bring theirs into this form first.

    Args:
        given: the file's content.
        root: folder of the photos.
        skeleton: the people's joints.
        report: what problems are added to.
        keep: see `coco`.
        only: see `coco`.
        category: see `coco`.
        complete: whether all people in a photo are annotated, for photos without ``all_persons_labelled``.

    Raises:
        FileNotFoundError: no such folder or list of ids.
        ValueError: no photo, or no person, can be used.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder of photos (for {report.name})")
    listed = _listed(given["images"], listed_ids(only), report)
    rows = _rows(given, listed, keypoint_category(given, report.name, skeleton, category), report)
    wanted = {i: image for i, image in listed.items() if keep == "all" or (i in rows) == (keep != "empty")}
    found = {i: image for i, image in wanted.items() if _is_there(root, i, image, report)}
    if not found:
        first = next(iter(wanted.values()), {}).get("file_name")
        raise ValueError(f"{report.name}: none of its {len(wanted)} photos is in {root} (the first is {first!r})")
    sizes = {i: size for i, image in found.items() if (size := _size(root, i, image, report)) is not None}
    checked = people_of([row for i in sizes for row in rows.get(i, ())], sizes, len(skeleton), report)
    photos = [_photo(found[i], root, i, size, checked.get(i, []), len(skeleton), report, complete) for i, size in sizes.items()]
    photos = [p for p in photos if keep != "people" or len(p.boxes)]
    report.images, report.people = len(photos), sum(len(p.boxes) for p in photos)
    report.regions = sum(len(p.ignored) for p in photos)
    if not report.people and keep not in ("all", "empty"):
        raise ValueError(f"{report.name}: no person with labelled joints for skeleton {skeleton.name!r} ({len(skeleton)} joints)\n{report}")
    return photos


def listed_ids(only: str | Path | None) -> frozenset[str] | None:
    """The image ids of a list, one a line; lines that begin with # are comments."""
    if only is None:
        return None
    try:
        ids = frozenset(line.strip() for line in Path(only).read_text().splitlines() if line.strip() and not line.startswith("#"))
    except (OSError, UnicodeDecodeError) as e:
        raise FileNotFoundError(f"{only}: no list of image ids, one a line ({e})") from None
    return ids


def _listed(images: list, only: frozenset[str] | None, report: Report) -> dict[int, Mapping[str, Any]]:
    """The images by id."""
    listed: dict[int, Mapping[str, Any]] = {}
    for place, image in enumerate(images):
        said = image.get("id", f"#{place}") if isinstance(image, dict) else f"#{place}"
        name = whole_id(said)
        if name is None or not isinstance(image.get("file_name"), str):
            report.add("image", str(said)[:40], "image without file_name or a whole number as id", str(image)[:80])
        elif only is not None and str(name) not in only:
            continue
        elif name in listed:
            report.add("image", name, "image id used twice", image["file_name"])
        else:
            listed[name] = image
    if only is not None and (missing := only - {str(i) for i in listed}):
        report.add("image", min(missing), "listed photo is not in the file", f"{len(missing)} of {len(only)} ids", dropped=False)
    return listed


def _is_there(root: Path, name: int, image: Mapping[str, Any], report: Report) -> bool:
    try:
        there = os.path.isfile(os.path.join(root, image["file_name"]))
    except ValueError:  # a null byte in the name
        there = False
    if not there:
        report.add("image", name, "photo file missing", image["file_name"])
    return there


def _size(root: Path, name: int, image: Mapping[str, Any], report: Report) -> tuple[int, int] | None:
    """Height and width as the file says; where it says neither, as the photo's header does."""
    said = image.get("height"), image.get("width")
    h, w = (whole_id(v) for v in said)
    if h is not None and w is not None and min(h, w) > 0:
        return h, w
    try:
        if said == (None, None):
            with Image.open(root / image["file_name"]) as header:
                return header.height, header.width
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        pass
    return report.add("image", name, "image without width and height", f"height {said[0]}, width {said[1]}")


Row = tuple[int, dict[str, Any]]
"""An image's id and one of its annotations."""


def _rows(given: Mapping[str, Any], listed: Mapping[int, Any], category: Category, report: Report) -> dict[int, list[Row]]:
    """The category's annotations by image id. An id used twice is reported; only an entry that says the same twice is left out."""
    rows: dict[int, list[Row]] = {}
    seen: dict[int | str, Mapping] = {}
    every = {whole_id(i.get("id")) for i in given["images"] if isinstance(i, dict)}
    for place, a in enumerate(category.of(given["annotations"])):
        if not isinstance(a, dict):
            report.add("annotation", f"#{place}", "annotation is not a mapping", str(a)[:80])
            continue
        name, image_id = a.get("id"), whole_id(a.get("image_id"))
        if not isinstance(name, (int, str)):
            a = {**a, "id": (name := f"#{place}")}
        if name in seen:
            report.add("annotation", name, "annotation id used twice", dropped=a == seen[name])
            if a == seen[name]:
                continue
        seen[name] = a
        if image_id is None or image_id not in every:
            report.add("annotation", name, "annotation of an unknown image", f"image_id {str(a.get('image_id'))[:40]}")
        elif image_id in listed:
            rows.setdefault(image_id, []).append((image_id, a))
    return rows


Person = tuple[dict[str, Any], "np.ndarray | None", "np.ndarray | None"]
"""An annotation, its xyxy box and its joints; None where they cannot be used."""

CHUNK = 4096
"""Annotations that are checked at once."""


def people_of(rows: Sequence[Row], sizes: Mapping[int, tuple[int, int]], k: int, report: Report) -> dict[int, list[Person]]:
    """Checked people by image id: thousands of annotations at once; those with anything odd one by one, which is reported."""
    people: dict[int, list[Person]] = {}
    for first in range(0, len(rows), CHUNK):
        some = rows[first : first + CHUNK]
        boxes, joints, good = _arrays(some, sizes, k)
        for i, (image_id, a) in enumerate(some):
            size = sizes[image_id]
            if good[i]:
                person_row: Person = a, boxes[i], joints[i]
            else:
                box = thing_box(a, size, report)
                person_row = a, box, None if box is None or a.get("iscrowd") else person(a, k, size, report)
            people.setdefault(image_id, []).append(person_row)
    return people


def _arrays(rows: Sequence[Row], sizes: Mapping[int, tuple[int, int]], k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes and joints of annotations in which nothing is odd, and which those are."""
    empty, nowhere = [0] * (3 * k), [0] * 4
    flat = [a.get("keypoints", empty) for _, a in rows]
    given = [a.get("bbox") for _, a in rows]
    good = np.array([
        type(f) is list and len(f) == 3 * k and type(b) is list and len(b) == 4 and not a.get("iscrowd")
        for f, b, (_, a) in zip(flat, given, rows, strict=True)
    ], bool)  # fmt: skip
    try:
        joints = np.array([f if g else empty for f, g in zip(flat, good, strict=True)], np.float64).reshape(-1, k, 3)
        boxes = np.array([b if g else nowhere for b, g in zip(given, good, strict=True)], np.float64).reshape(-1, 4)
    except (TypeError, ValueError):  # text or lists among the numbers
        return np.zeros((len(rows), 4)), np.zeros((len(rows), k, 3)), np.zeros(len(rows), bool)
    h, w = np.array([sizes[image_id] for image_id, _ in rows], np.float64).T
    x, y, v = joints[..., 0], joints[..., 1], joints[..., 2]
    within = (x >= -1) & (y >= -1) & (x <= w[:, None]) & (y <= h[:, None])
    good &= (((v == 0) | (v == 1) | (v == 2)) & (within | (v == 0)) & np.isfinite(joints).all(-1)).all(1)
    boxes[:, 2:] += boxes[:, :2]
    x0, y0, x1, y1 = boxes.T
    good &= (x0 >= -2) & (y0 >= -2) & (x1 <= w + 2) & (y1 <= h + 2) & (x1 > x0) & (y1 > y0) & (x0 < w) & (y0 < h) & (x1 > 0) & (y1 > 0)
    joints[v == 0] = 0
    return np.clip(boxes, 0, np.stack([w, h, w, h], 1)), joints, good


def _photo(
    image: Mapping[str, Any],
    root: Path,
    name: int,
    size: tuple[int, int],
    people: Sequence[Person],
    k: int,
    report: Report,
    complete: bool,
) -> Photo:
    """One photo with its checked people. People without labelled joints are masked, and boxes for detectors where they are no crowd."""
    keypoints, boxes, areas, shapes, ignored, unposed = [], [], [], [], [], []
    for a, box, joints in people:
        shape = shape_of(a, size, report)
        if box is None:
            ignored += [shape] if shape is not None else []
        elif joints is None or not joints[:, 2].any():
            ignored.append(box if shape is None else shape)
            unposed += [box] if joints is not None and not a.get("iscrowd") else []
        else:
            keypoints.append(joints)
            boxes.append(box)
            areas.append(area_of(a, box, report))
            shapes.append(shape)
    said = image.get("all_persons_labelled")
    return Photo(
        root / image["file_name"], size, name,
        np.array(keypoints, np.float32).reshape(-1, k, 3), np.array(boxes, np.float32).reshape(-1, 4), np.array(areas, np.float32),
        ignored, shapes, said if isinstance(said, bool) else complete, image.get("crowdIndex"),
        np.array(unposed, np.float32).reshape(-1, 4),
    )  # fmt: skip


@dataclass(frozen=True)
class AnnotatedImage:
    """People without a photo: for oracle benchmarks and for learning from poses alone.

    Args:
        image_id: the data set's.
        size: height and width.
        keypoints: x, y, visibility.
        boxes: xyxy.
        areas: square pixels; `area_true` says which are measured and not estimated from the box.
    """

    image_id: int
    size: tuple[int, int]
    keypoints: Float[np.ndarray, "n 17 3"]
    boxes: Float[np.ndarray, "n 4"]
    areas: Float[np.ndarray, " n"]
    area_true: np.ndarray


def annotated_people(path: str | Path) -> Iterator[AnnotatedImage]:
    """The images of an annotation file with their people who have labelled joints: COCO's JSON, or an archive of it.

    Args:
        path: a COCO keypoint file, or ``.npz`` with image_id, keypoints, bbox, area, area_true, img_id and img_wh.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not such a file, or no person in it.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such annotation file")
    with open(path, "rb") as file:
        archive = file.read(2) == b"PK"
    return _archived_people(read_archive(path)) if archive else _json_people(path)


def _json_people(path: str | Path) -> Iterator[AnnotatedImage]:
    given, report = load_json(path), Report(str(path))
    listed = _listed(given["images"], None, report)
    rows = _rows(given, listed, keypoint_category(given, report.name, COCO), report)
    sizes = {i: (image.get("height"), image.get("width")) for i, image in listed.items()}
    known = {i: (h, w) for i, (h, w) in sizes.items() if isinstance(h, int) and isinstance(w, int) and min(h, w) >= 1}
    checked = people_of([row for i in known for row in rows.get(i, ())], known, len(COCO), report)
    if not any(checked.values()):
        raise ValueError(f"{path}: no person in it\n{report}")
    for i, size in known.items():
        people = [(a, b, j) for a, b, j in checked.get(i, ()) if b is not None and j is not None and j[:, 2].any() and not a.get("iscrowd")]
        if people:
            yield AnnotatedImage(
                i, size, np.array([j for _, _, j in people], np.float32), np.array([b for _, b, _ in people], np.float32),
                np.array([area_of(a, b, report) for a, b, _ in people], np.float64), np.array(["area" in a for a, _, _ in people]),
            )  # fmt: skip


def _archived_people(z: Mapping[str, np.ndarray]) -> Iterator[AnnotatedImage]:
    order = np.argsort(z["image_id"], kind="stable")
    ids = z["image_id"][order]
    start, stop = np.searchsorted(ids, z["img_id"], "left"), np.searchsorted(ids, z["img_id"], "right")
    for image_id, (w, h), a, b in zip(z["img_id"], z["img_wh"], start, stop, strict=True):
        rows = order[a:b]
        boxes = z["bbox"][rows].astype(np.float32)
        boxes[:, 2:] += boxes[:, :2]
        yield AnnotatedImage(
            int(image_id), (int(h), int(w)), z["keypoints"][rows].astype(np.float32), boxes, z["area"][rows], z["area_true"][rows]
        )
