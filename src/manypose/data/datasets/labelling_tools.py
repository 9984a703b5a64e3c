"""Conversion of annotations of labelling tools to COCO's format: YOLO-pose folders, Label Studio's JSON, CVAT's XML.

An ambiguous photo, joint or instance is an error that names the entry.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from PIL import Image

from manypose.data.datasets.coco_json import read_json
from manypose.poses.skeleton import BUILT_IN, COCO

__all__ = ["read_annotations"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


@dataclass
class _Instance:
    """One labelled instance: joints by name (x, y in pixels, visibility), and its xyxy box, if any."""

    label: str
    joints: dict[str, tuple[float, float, int]] = field(default_factory=dict)
    box: tuple[float, float, float, float] | None = None


_Labelled = tuple[str, int, int, list[_Instance]]
"""A photo's file name, width and height, and its instances."""


def read_annotations(
    path: str | Path, images: str | Path | None = None, joints: Sequence[str] | None = None, names: Mapping[int, str] | None = None
) -> Any:
    """The content of an annotation file in COCO's format; other formats are converted.

    Args:
        path: a COCO JSON file, a folder of YOLO-pose ``.txt`` files, a Label Studio JSON export, or an XML file "CVAT for images".
        images: folder of the photos; YOLO's and Label Studio's files need it.
        joints: names of the joints in order, if the annotations lack them.
        names: the classes of a YOLO folder by number.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file cannot be read or is ambiguous; the message names it.
    """
    path, root = Path(path), None if images is None else Path(images)
    if path.is_dir():
        found, order = _yolo(path, root, joints, names), joints or COCO.joints
        return _coco(found, order, str(path), sorted((names or {}).values()))
    if path.suffix == ".xml":
        photos, own = _cvat(path)
        return _coco(photos, joints or own or _order(photos, str(path)), str(path))
    given = read_json(path)
    if not (isinstance(given, list) and given and isinstance(given[0], dict) and isinstance(given[0].get("data"), dict)):
        return given
    tasks = list(_label_studio(given, path, root))
    return _coco(tasks, joints or _order(tasks, str(path)), str(path))


def _order(photos: Iterable[_Labelled], where: str) -> tuple[str, ...]:
    """The order of the joints of a file without one: that of a built-in skeleton with all of them, else alphabetical."""
    used = {joint for *_, people in photos for person in people for joint in person.joints}
    if not used:
        raise ValueError(f"{where}: nothing in it has keypoints")
    return next((s.joints for s in BUILT_IN.values() if used <= set(s.joints)), tuple(sorted(used)))


def _coco(photos: Iterable[_Labelled], joints: Sequence[str], where: str, labels: Sequence[str] = ()) -> dict[str, Any]:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    categories = {name: i for i, name in enumerate(labels, 1)}
    for name, width, height, people in photos:
        images.append({"id": len(images) + 1, "file_name": name, "width": width, "height": height})
        for person in people:
            if unknown := sorted(set(person.joints) - set(joints)):
                raise ValueError(f"{where}: {name}: {unknown[0]!r} is no joint of the skeleton {', '.join(joints)}")
            rows = np.array([person.joints.get(joint, (0, 0, 0)) for joint in joints], float)
            there = rows[rows[:, 2] > 0, :2]
            if person.box is None and not len(there):
                continue
            x0, y0, x1, y1 = person.box or (*there.min(0).tolist(), *there.max(0).tolist())
            about = {"id": len(annotations) + 1, "image_id": len(images), "iscrowd": 0, "num_keypoints": len(there)}
            about["category_id"] = categories.setdefault(person.label, len(categories) + 1)
            keypoints = [v for x, y, seen in rows.tolist() for v in (x, y, int(seen))]
            annotations.append({**about, "bbox": [x0, y0, x1 - x0, y1 - y0], "keypoints": keypoints})
    if not annotations:
        raise ValueError(f"{where}: nothing in it is labelled")
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": label, "keypoints": list(joints)} for label, i in categories.items()],
    }


# ── YOLO-pose: a .txt for each photo, a line for each instance: class, box centre and size, joints; all relative to the photo's sides ──


def _yolo(folder: Path, root: Path | None, joints: Sequence[str] | None, names: Mapping[int, str] | None) -> Iterator[_Labelled]:
    if root is None or not root.is_dir():
        raise FileNotFoundError(f"{folder}: YOLO's labels need the folder of their photos; got {root}")
    k = len(joints or COCO.joints)
    photos = sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not any((folder / p.relative_to(root)).with_suffix(".txt").is_file() for p in photos):
        raise ValueError(f"{folder}: has no .txt file named after a photo of {root}")
    for photo in photos:
        with Image.open(photo) as opened:
            width, height = opened.size
        path = (folder / photo.relative_to(root)).with_suffix(".txt")
        lines = path.read_text(encoding="utf-8-sig").splitlines() if path.is_file() else []
        people = [_yolo_line(line, k, f"{path}:{n}", joints or COCO.joints, names) for n, line in enumerate(lines, 1) if line.strip()]
        yield photo.relative_to(root).as_posix(), width, height, [_times(p, width, height) for p in people]


def _yolo_line(line: str, k: int, where: str, joints: Sequence[str], names: Mapping[int, str] | None) -> _Instance:
    try:
        number, x, y, w, h, *rest = (float(v) for v in line.split())
        label = str(names[int(number)]) if names else "person" if number == 0 else str(int(number))
    except (ValueError, KeyError):
        raise ValueError(f"{where}: expected a class, a box and {k} joints as numbers, got {line[:60]!r}") from None
    if len(rest) not in (2 * k, 3 * k) or not np.isfinite([x, y, w, h, *rest]).all():
        raise ValueError(
            f"{where}: {len(rest)} numbers after the box; {k} joints have {3 * k}, or {2 * k} without visibility: name 'skeleton'"
        )
    points = np.reshape(rest, (k, -1))
    seen = points[:, 2] if points.shape[1] == 3 else 2.0 * (points != 0).any(1)
    placed = {j: (float(p[0]), float(p[1]), int(v)) for j, p, v in zip(joints, points, seen, strict=True) if v > 0}
    return _Instance(label, placed, (x - w / 2, y - h / 2, x + w / 2, y + h / 2))


def _times(person: _Instance, width: float, height: float) -> _Instance:
    """Relative coordinates in pixels, as in these tools' COCO exports."""
    joints = {j: (x * width, y * height, v) for j, (x, y, v) in person.joints.items()}
    box = person.box and (person.box[0] * width, person.box[1] * height, person.box[2] * width, person.box[3] * height)
    return _Instance(person.label, joints, box)


# ── Label Studio: rectangles and keypoints in per cent; a keypoint belongs to its parent, or to the only rectangle around it ──


def _label_studio(tasks: Sequence[Any], path: Path, root: Path | None) -> Iterator[_Labelled]:
    for number, task in enumerate(tasks, 1):
        where = f"{path}: task {task.get('id', number) if isinstance(task, dict) else number}"
        try:
            links = [v for v in task["data"].values() if isinstance(v, str)]
            done = next((a for a in task.get("annotations", ()) if not a.get("was_cancelled")), None)
            if done is None:
                continue  # not labelled yet
            name = _file_name(links, root, where)
            results = [r for r in done["result"] if r.get("type") in ("rectanglelabels", "keypointlabels")]
            if not results:
                continue
            width, height = int(results[0]["original_width"]), int(results[0]["original_height"])
            people = [_times(person, width / 100, height / 100) for person in _instances(results, where)]
        except (AttributeError, KeyError, TypeError, IndexError) as e:
            raise ValueError(f"{where}: not Label Studio's JSON ({type(e).__name__}: {e}); export it as JSON, not JSON-MIN") from None
        yield name, width, height, people


def _instances(results: Sequence[Mapping[str, Any]], where: str) -> list[_Instance]:
    boxes: dict[str, _Instance] = {}
    for r in results:
        if r["type"] == "rectanglelabels":
            v = r["value"]
            corner = (float(v["x"]), float(v["y"]))
            boxes[r["id"]] = _Instance(v["rectanglelabels"][0], {}, (*corner, corner[0] + v["width"], corner[1] + v["height"]))
    alone = _Instance("person")
    for r in results:
        if r["type"] == "keypointlabels":
            x, y, joint = float(r["value"]["x"]), float(r["value"]["y"]), str(r["value"]["keypointlabels"][0])
            around = [p for p in boxes.values() if (b := p.box) and b[0] <= x <= b[2] and b[1] <= y <= b[3]]
            owner = boxes.get(str(r.get("parentID"))) or (around[0] if len(around) == 1 else None if boxes else alone)
            if owner is None:
                raise ValueError(f"{where}: {joint} lies in {len(around)} rectangles and has no parent; set its parent region")
            if joint in owner.joints:
                raise ValueError(f"{where}: two {joint} belong to one instance; draw a rectangle for each instance")
            owner.joints[joint] = (x, y, 2)
    return [*boxes.values(), *([alone] if alone.joints else [])]


def _file_name(links: Sequence[str], root: Path | None, where: str) -> str:
    """The photo's name in the folder: Label Studio stores links, with eight digits before the names of uploaded photos."""
    if root is None:
        raise ValueError(f"{where}: Label Studio's export needs the folder of the photos")
    for link in links:
        parts = urlsplit(link)
        place = unquote((parse_qs(parts.query).get("d") or [parts.path])[0])
        base = place.rpartition("/")[2]
        for name in (place.lstrip("/"), base, base.partition("-")[2] if base[8:9] == "-" else base):
            if name and ".." not in name.split("/") and (root / name).is_file():
                return name
    raise ValueError(f"{where}: its photo {', '.join(links)[:100]} is not in {root}")


# ── CVAT for images: skeletons in pixels; a box of the same group belongs to the instance ──


def _cvat(path: Path) -> tuple[list[_Labelled], tuple[str, ...]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such annotation file")
    content = path.read_bytes()
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:  # entity expansion can exhaust the memory
        raise ValueError(f"{path}: an XML file with entities is not read; export it from CVAT again")
    try:
        tree = ElementTree.fromstring(content)  # nosec B314 - without entities, see above
        photos = [cast(_Labelled, _cvat_photo(image)) for image in tree.iter("image")]
        joints = [label.findtext("name", "") for label in tree.iter("label") if label.findtext("parent")]
    except (ElementTree.ParseError, KeyError, ValueError) as e:
        raise ValueError(f"{path}: not an XML file 'CVAT for images 1.1' ({type(e).__name__}: {e})") from None
    if not photos:
        raise ValueError(f"{path}: has no images; export the task as 'CVAT for images 1.1', not as a video")
    return photos, tuple(dict.fromkeys(joints))


def _cvat_photo(image: ElementTree.Element) -> _Labelled:
    boxes = {b.get("group_id"): tuple(float(b.attrib[side]) for side in ("xtl", "ytl", "xbr", "ybr")) for b in image.iter("box")}
    people = []
    for shape in image.iter("skeleton"):
        person = _Instance(shape.attrib["label"], box=cast(Any, boxes.get(shape.get("group_id") or "no group")))
        for point in shape.iter("points"):
            if point.get("outside") != "1":
                x, y = (float(v) for v in point.attrib["points"].split(","))
                person.joints[point.attrib["label"]] = (x, y, 1 if point.get("occluded") == "1" else 2)
        people.append(person)
    return image.attrib["name"], int(image.attrib["width"]), int(image.attrib["height"]), people
