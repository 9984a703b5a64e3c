"""COCO person keypoints, and every data set published in that format.

The loss is masked on crowd regions and on people without a labelled joint (SWAHR, Section 4.1; HigherHRNet).
"""

import gc
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
from jaxtyping import Float
from PIL import Image
from typing_extensions import Unpack

from manypose.data.datasets.annotation_report import Report
from manypose.data.datasets.coco_json import keypoint_category, load_rows, whole_id
from manypose.data.datasets.coco_people import Checked, checked_people, rows_of
from manypose.data.datasets.people_archive import read_archive
from manypose.data.datasets.reading_cache import kept
from manypose.data.packed_photos import PackedPhotos, PhotoEntry, pack
from manypose.data.photos import Photo, Photos
from manypose.poses.skeleton import COCO, Skeleton, named

__all__ = ["AnnotatedImage", "Keep", "Reading", "annotated_people", "coco", "dataset", "listed_ids", "photos_of", "read_coco"]


class Reading(TypedDict, total=False):
    """Common arguments of all data sets.

    Args:
        margin: fraction by which a labelled person's box is enlarged in photos that are not completely annotated.
        cache: keep files or decoded photos in memory.
        unreadable: whether a photo that cannot be decoded is an error or an empty sample.
    """

    margin: float
    cache: Literal["none", "encoded", "decoded"]
    unreadable: Literal["raise", "skip"]


Keep = Literal["people", "annotated", "all", "empty"]
"""Selection of photos: with a labelled person, with any annotation, all, or without annotations (backgrounds)."""


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
    """The photos of a folder with the people of a COCO keypoint file; problems of the file are logged by id.

    Args:
        images: folder of the photos.
        annotations: the JSON file. Photos with ``all_persons_labelled: false`` are masked outside the labelled people.
        skeleton: a built-in name, a skeleton YAML or a skeleton; the file's joints in the file's order.
        keep: photos with a labelled person, with any annotation (as in SWAHR), all, or those without annotations ("empty").
        only: a text file with the image ids to use, one per line (``configs/subsets``).
        category: name of the category, if several have keypoints.
        margin: fraction by which a labelled person's box is enlarged in photos that are not completely annotated.
        cache: keep files or decoded photos in memory.
        unreadable: whether a photo that cannot be decoded is an error or an empty sample.

    Raises:
        FileNotFoundError: no such folder or file.
        ValueError: the file cannot be used; the message names it.
    """
    chosen = skeleton if isinstance(skeleton, Skeleton) else named(skeleton)
    photos, report = read_coco(images, annotations, chosen, keep, category, only)
    return dataset(photos, chosen, report, margin=margin, cache=cache, unreadable=unreadable)


def dataset(photos: Sequence[Photo], skeleton: Skeleton, report: Report, **reading: Unpack[Reading]) -> Photos:
    """A data set of the photos of a reader; logs the report. Joints that no person in the file has get mask planes of zeros."""
    # A joint that no person of the file has is not annotated there (face points of sports photos), so it is masked.
    every = [photos.arrays["keypoints"]] if isinstance(photos, PackedPhotos) else [p.keypoints for p in photos]
    seen = np.any([(joints[..., 2] > 0).any(0) for joints in every if len(joints)] or [np.ones(len(skeleton), bool)], axis=0)
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
) -> tuple[PackedPhotos, Report]:
    """The photos of a file of COCO's format, checked.

    Returns:
        the usable photos, in the file's order, and the report of problems.

    Raises:
        FileNotFoundError: no such folder or file.
        ValueError: not JSON, lists missing, no person, or no photo found.
    """

    def read() -> tuple[PackedPhotos, Report]:
        report = Report(str(annotations))
        with _no_garbage_collection():
            return photos_of(load_rows(annotations), Path(images), skeleton, report, keep, category, only), report

    listed = listed_ids(only)
    settings = {"joints": skeleton.joints, "keep": keep, "category": category, "only": None if listed is None else sorted(listed)}
    return kept(Path(annotations), Path(images), settings, read)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Pause garbage collection, which takes a third of the time for millions of lists without cycles."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def photos_of(
    given: Mapping[str, Any],
    root: Path,
    skeleton: Skeleton,
    report: Report,
    keep: Keep = "annotated",
    category: str | None = None,
    only: str | Path | None = None,
    complete: bool = True,
) -> PackedPhotos:
    """The photos of the content of a COCO file; readers of other formats convert to this form first.

    Args:
        given: the file's content.
        root: folder of the photos.
        skeleton: the people's joints.
        report: the report to which problems are added.
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
    chosen = keypoint_category(given, report.name, skeleton, category)
    there = {i for i, image in listed.items() if _is_there(root, image)}
    sizes: dict[int, tuple[int, int] | None] = {}
    faults = Report(report.name)  # of annotations; those of photos come first

    def size(i: int) -> tuple[int, int] | None:
        if i not in sizes:
            sizes[i] = _size(root, i, listed[i], report) if i in there else None
        return sizes[i]

    rows = rows_of(given, listed, chosen, faults)
    people = {i: [] for i, _ in rows} if keep == "empty" else checked_people(rows, size, len(skeleton), faults)
    wanted = {i: image for i, image in listed.items() if keep == "all" or (i in people) == (keep != "empty")}
    for i, image in wanted.items():
        if i not in there:
            report.add("image", i, "photo file missing", image["file_name"])
    if not wanted.keys() & there:
        first = next(iter(wanted.values()), {}).get("file_name")
        raise ValueError(f"{report.name}: none of its {len(wanted)} photos is in {root} (the first is {first!r})")
    usable = {i: s for i in wanted if (s := size(i)) is not None}
    report.problems += faults.problems
    entries = [_entry(listed[i], i, s, people.get(i, ()), complete) for i, s in usable.items()]
    photos = pack(root, [e for e in entries if keep != "people" or e.boxes], len(skeleton))
    report.images, report.people = len(photos), len(photos.arrays["boxes"])
    report.regions = len(photos.arrays["ignored_regions"])
    if not report.people and keep not in ("all", "empty"):
        raise ValueError(f"{report.name}: no person with labelled joints for skeleton {skeleton.name!r} ({len(skeleton)} joints)\n{report}")
    return photos


def listed_ids(only: str | Path | None) -> frozenset[str] | None:
    """The image ids of a text file, one per line; lines that begin with # are comments."""
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


def _is_there(root: Path, image: Mapping[str, Any]) -> bool:
    try:
        return os.path.isfile(os.path.join(root, image["file_name"]))
    except ValueError:  # a null byte in the name
        return False


def _size(root: Path, name: int, image: Mapping[str, Any], report: Report) -> tuple[int, int] | None:
    """Height and width from the file, or from the photo's header if the file has neither."""
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


def _entry(image: Mapping[str, Any], name: int, size: tuple[int, int], people: Sequence[Checked], complete: bool) -> PhotoEntry:
    """One photo with its checked people. People without labelled joints are masked and, except crowds, boxes for detectors."""
    posed = [(p, p.joints, p.box) for p in people if p.posed and p.joints is not None and p.box is not None]
    others = [p for p in people if not p.posed]
    said, crowd = image.get("all_persons_labelled"), image.get("crowdIndex")
    return PhotoEntry(
        image["file_name"], size, name, [joints for _, joints, _ in posed], [box for *_, box in posed], [p.area for p, *_ in posed],
        [region for p in others if (region := p.box if p.shape is None else p.shape) is not None], [p.shape for p, *_ in posed],
        said if isinstance(said, bool) else complete, crowd if isinstance(crowd, (int, float)) else None,
        [p.box for p in others if p.box is not None and p.joints is not None],
    )  # fmt: skip


@dataclass(frozen=True)
class AnnotatedImage:
    """The annotated people of an image without its pixels, for oracle benchmarks and training from poses.

    Args:
        image_id: of the data set.
        size: height and width.
        keypoints: x, y, visibility.
        boxes: xyxy.
        areas: square pixels; `area_true` is a mask of those that are not estimated from the box.
    """

    image_id: int
    size: tuple[int, int]
    keypoints: Float[np.ndarray, "n 17 3"]
    boxes: Float[np.ndarray, "n 4"]
    areas: Float[np.ndarray, " n"]
    area_true: np.ndarray


def annotated_people(path: str | Path) -> Iterator[AnnotatedImage]:
    """The images of an annotation file with their people with labelled joints: COCO's JSON, or an archive of it.

    Args:
        path: a COCO keypoint file, or ``.npz`` with image_id, keypoints, bbox, area, area_true, img_id and img_wh.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not an annotation file, or without people.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such annotation file")
    with open(path, "rb") as file:
        archive = file.read(2) == b"PK"
    return _archived_people(read_archive(path)) if archive else _json_people(path)


def _json_people(path: str | Path) -> Iterator[AnnotatedImage]:
    given, report = load_rows(path), Report(str(path))
    listed = _listed(given["images"], None, report)
    category = keypoint_category(given, report.name, COCO)
    sizes = {i: (image.get("height"), image.get("width")) for i, image in listed.items()}
    known = {i: (h, w) for i, (h, w) in sizes.items() if isinstance(h, int) and isinstance(w, int) and min(h, w) >= 1}
    checked = checked_people(rows_of(given, listed, category, report), known.get, len(COCO), report)
    if not any(checked.values()):
        raise ValueError(f"{path}: no person in it\n{report}")
    for i, size in known.items():
        people = [p for p in checked.get(i, ()) if p.posed]
        if people:
            yield AnnotatedImage(
                i, size, np.array([p.joints for p in people], np.float32), np.array([p.box for p in people], np.float32),
                np.array([p.area for p in people], np.float64), np.array([p.area_given for p in people]),
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
