"""COCO person keypoints, and every data set published in that format.

The loss is masked as the field does (SWAHR Section 4.1 and HigherHRNet): 0 on crowd regions and on people without a labelled joint.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float
from PIL import Image

from manypose.data.datasets.annotation_report import Report, person, thing_box
from manypose.data.datasets.coco_json import AREA_OF_BOX, Category, keypoint_category, load_json, mask_fault, whole_id
from manypose.data.photos import Photo, Photos, Region
from manypose.poses.skeleton import Skeleton, named

__all__ = ["AnnotatedImage", "annotated_people", "coco", "dataset", "photos_of", "read_coco"]

log = logging.getLogger(__name__)


def coco(
    images: str | Path,
    annotations: str | Path,
    skeleton: str | Skeleton = "coco",
    keep: Literal["people", "annotated", "all"] = "annotated",
    margin: float = 0.15,
    cache: Literal["none", "encoded", "decoded"] = "none",
    unreadable: Literal["raise", "skip"] = "raise",
    category: str | None = None,
) -> Photos:
    """The photos of a folder with the people of a COCO keypoint file; what is wrong with the file is logged once, by id.

    Args:
        images: folder of the photos.
        annotations: the JSON file. Photos with ``all_persons_labelled: false`` are masked outside the labelled people.
        skeleton: a built-in name, a skeleton YAML or a skeleton; the file's joints in the file's order.
        keep: photos with a labelled person, with any annotation (SWAHR's choice), or all (backgrounds too).
        margin: part of its size by which a labelled person's box is enlarged where the photo is not complete.
        cache: keep files or decoded photos in memory.
        unreadable: whether a photo that cannot be decoded is an error or an empty sample.
        category: whose annotations are read, by name; by default the category that has keypoints (`coco_json.keypoint_category`).

    Raises:
        FileNotFoundError: no such folder or file.
        ValueError: the file cannot be used at all; the message names it.
    """
    chosen = skeleton if isinstance(skeleton, Skeleton) else named(skeleton)
    photos, report = read_coco(images, annotations, chosen, keep, category)
    return dataset(photos, chosen, report, margin, cache, unreadable)


def dataset(
    photos: Sequence[Photo],
    skeleton: Skeleton,
    report: Report,
    margin: float = 0.15,
    cache: Literal["none", "encoded", "decoded"] = "none",
    unreadable: Literal["raise", "skip"] = "raise",
) -> Photos:
    """Photos that any reader made, as a data set; the report is logged. Joints that nobody has anywhere get mask planes of zeros."""
    # A joint that nobody in the whole file has is not annotated there (face points of sports photos): it is unknown, not absent.
    seen = np.any([(p.keypoints[..., 2] > 0).any(0) for p in photos if len(p.keypoints)], axis=0)
    annotated = None if seen.all() else tuple(bool(s) for s in seen)
    report.log()
    return Photos(photos, skeleton, report, annotated, margin, cache, unreadable)


def read_coco(
    images: str | Path,
    annotations: str | Path,
    skeleton: Skeleton,
    keep: Literal["people", "annotated", "all"] = "annotated",
    category: str | None = None,
) -> tuple[list[Photo], Report]:
    """Read and check a file of COCO's format.

    Returns:
        the photos that can be used, in the file's order, and the report: each bad entry by id.

    Raises:
        FileNotFoundError: no such folder or file.
        ValueError: not JSON, lists missing, no person, or no photo found.
    """
    report = Report(str(annotations))
    return photos_of(load_json(annotations), Path(images), skeleton, report, keep, category), report


def photos_of(
    given: Mapping[str, Any],
    root: Path,
    skeleton: Skeleton,
    report: Report,
    keep: Literal["people", "annotated", "all"] = "annotated",
    category: str | None = None,
) -> list[Photo]:
    """The same for what such a file holds: readers of other formats bring theirs into this form first. Problems go to `report`."""
    annotations = report.name
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder of photos (for {annotations})")
    known = _images(given["images"], root, report)
    if not known:
        first = given["images"][0].get("file_name") if given["images"] and isinstance(given["images"][0], dict) else None
        raise ValueError(f"{annotations}: none of its {len(given['images'])} photos is in {root} (the first is {first!r})")
    rows = _rows(given, known, keypoint_category(given, annotations, skeleton, category), report)
    photos = [_photo(image, path, size, rows.get(i, []), len(skeleton), report) for i, (image, path, size) in known.items()]
    photos = [p for p in photos if keep == "all" or len(p.boxes) or (keep == "annotated" and rows.get(p.image_id))]
    report.images, report.people = len(photos), sum(len(p.boxes) for p in photos)
    report.regions = sum(len(p.ignored) for p in photos)
    if not report.people:
        raise ValueError(f"{annotations}: no person with labelled joints for skeleton {skeleton.name!r} ({len(skeleton)} joints)\n{report}")
    return photos


def _images(listed: list, root: Path, report: Report) -> dict[int, tuple[Mapping, Path, tuple[int, int]]]:
    """The usable images by id: the file's entry, the path, height and width (the photo's own where the file does not say)."""
    known: dict[int, tuple[Mapping, Path, tuple[int, int]]] = {}
    for place, image in enumerate(listed):
        said = image.get("id", f"#{place}") if isinstance(image, dict) else f"#{place}"
        name = whole_id(said)
        if not isinstance(image, dict) or name is None or not isinstance(image.get("file_name"), str):
            report.add("image", str(said)[:40], "image without file_name or a whole number as id", str(image)[:80])
            continue
        path = root / image["file_name"]
        if name in known:
            report.add("image", name, "image id used twice", image["file_name"])
        elif not path.is_file():
            report.add("image", name, "photo file missing", image["file_name"])
        elif (size := _size(image, path)) is None:
            report.add("image", name, "image without width and height", f"height {image.get('height')}, width {image.get('width')}")
        else:
            known[name] = {**image, "id": name}, path, size
    return known


def _size(image: Mapping, path: Path) -> tuple[int, int] | None:
    """Height and width as the file says them; where it says neither, as the photo's header does."""
    h, w = (whole_id(image.get(key)) for key in ("height", "width"))
    if h is not None and w is not None and min(h, w) > 0:
        return h, w
    if image.get("height") is not None or image.get("width") is not None:
        return None
    try:
        with Image.open(path) as photo:
            return photo.height, photo.width
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


def _rows(given: Mapping[str, Any], known: Mapping, category: Category, report: Report) -> dict[int, list[dict]]:
    """The category's annotations by image id. An id used twice is told; only an entry that says the same twice is left out."""
    listed = {whole_id(image.get("id")) for image in given["images"] if isinstance(image, dict)}
    rows: dict[int, list[dict]] = {}
    seen: dict[Any, Mapping] = {}
    for place, a in enumerate(category.of(given["annotations"])):
        if not isinstance(a, dict):
            report.add("annotation", f"#{place}", "annotation is not a mapping", str(a)[:80])
            continue
        name, image_id = a.get("id", f"#{place}"), whole_id(a.get("image_id"))
        if not isinstance(name, (int, str)):
            name = f"#{place}"
        if name in seen:
            report.add("annotation", name, "annotation id used twice", dropped=a == seen[name])
        if name not in seen or a != seen[name]:
            if image_id is None or image_id not in listed:
                report.add("annotation", name, "annotation of an unknown image", f"image_id {str(a.get('image_id'))[:40]}")
            elif image_id in known:
                rows.setdefault(image_id, []).append({**a, "id": name})
        seen[name] = a
    return rows


def _photo(image: Mapping, path: Path, size: tuple[int, int], rows: list[dict], k: int, report: Report) -> Photo:
    """One photo with its checked people; who cannot be used but has a box is masked like a person without joints."""
    keypoints, boxes, areas, shapes, ignored = [], [], [], [], []
    for a in rows:
        shape = _shape(a, size, report)
        box = thing_box(a, size, report)
        if box is None:
            ignored += [shape] if shape is not None else []
            continue
        joints = None if a.get("iscrowd") else person(a, k, size, report)
        if joints is None or not joints[:, 2].any():
            ignored.append(box if shape is None else shape)
            continue
        keypoints.append(joints)
        boxes.append(box)
        areas.append(_area(a, box, report))
        shapes.append(shape)
    return Photo(
        path, size, image["id"],
        np.array(keypoints, np.float32).reshape(-1, k, 3), np.array(boxes, np.float32).reshape(-1, 4), np.array(areas, np.float32),
        ignored, shapes, image.get("all_persons_labelled", True) is not False, image.get("crowdIndex"),
    )  # fmt: skip


def _area(a: Mapping, box: Float[np.ndarray, "4"], report: Report) -> float:
    area = a.get("area")
    if isinstance(area, (int, float)) and np.isfinite(area) and area > 0:
        return float(area)
    if area is not None:
        report.add("annotation", a["id"], "area is not a positive number", f"{str(area)[:40]}; taken from the box", dropped=False)
    return AREA_OF_BOX * float((box[2] - box[0]) * (box[3] - box[1]))


def _shape(a: Mapping, size: tuple[int, int], report: Report) -> Region:
    """A segmentation that can be painted, or None; ``segmentation_coco_size`` is one at the size before the photo was scaled."""
    shape = a.get("segmentation") or a.get("segmentation_coco_size")
    if not shape:
        return None
    fault: str | None = str(shape)[:60]
    if isinstance(shape, dict):
        fault = mask_fault(shape, size if a.get("segmentation") else None)
    elif isinstance(shape, list):
        try:
            polygons = [np.asarray(p, np.float64) for p in shape]
        except (TypeError, ValueError, OverflowError):
            polygons = []
        if polygons and all(p.ndim == 1 and len(p) % 2 == 0 and (np.abs(p) < 1e6).all() for p in polygons):
            return polygons
    return shape if fault is None else report.add("annotation", a["id"], "segmentation cannot be read", fault, dropped=False)


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
    """The images of an annotation archive (``.npz`` with image_id, keypoints, bbox, area, area_true, img_id, img_wh), in its order.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not such an archive.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such annotation archive")
    try:
        with np.load(path, allow_pickle=False) as z:
            arrays = {key: z[key] for key in ("image_id", "keypoints", "bbox", "area", "area_true", "img_id", "img_wh")}
    except (KeyError, ValueError, OSError, BadZipFile) as e:
        raise ValueError(f"{path}: not an archive of annotated people ({str(e)[:100]})") from None
    return _people(arrays)


def _people(z: Mapping[str, np.ndarray]) -> Iterator[AnnotatedImage]:
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
