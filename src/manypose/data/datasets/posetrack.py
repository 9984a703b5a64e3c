"""PoseTrack18: videos with joints, track ids and ignored regions, one JSON file per video.

Source: Andriluka et al., PoseTrack: A Benchmark for Human Pose Estimation and Tracking, CVPR 2018. The files list 17 joints, as many as
COCO. The ears are never labelled and are left out here, which leaves the 15 joints of `manypose.poses.skeleton.POSETRACK`. As in
PoseTrack's evaluation, a joint is labelled unless its position and flag are all 0.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image
from typing_extensions import Unpack

from manypose.data.datasets.annotation_report import Report, numbers
from manypose.data.datasets.coco import Keep, Reading, dataset, photos_of
from manypose.data.datasets.coco_json import load_json
from manypose.data.datasets.head_sizes import HeadScaledTruth, head_size
from manypose.data.photos import Photos
from manypose.poses.boxes import boxes_around
from manypose.poses.skeleton import POSETRACK

__all__ = ["Video", "posetrack", "read_posetrack", "truths"]

K = len(POSETRACK)
AROUND = 0.15
"""Fraction by which the box around the joints is enlarged on each side for people without a box (PoseTrack's rule)."""


@dataclass(frozen=True)
class Video:
    """One annotated video.

    Args:
        path: its JSON file.
        given: the file's content.
        order: index in the file of each joint of `manypose.poses.skeleton.POSETRACK`.
        images: the entries of the frames, in the file's order.
        people: the annotations of each frame, by image id.
        report: problems of the file.
    """

    path: Path
    given: Mapping[str, Any] = field(repr=False)
    order: tuple[int, ...] = field(repr=False)
    images: Sequence[Mapping[str, Any]] = field(repr=False)
    people: Mapping[int, Sequence[Mapping[str, Any]]] = field(repr=False)
    report: Report = field(repr=False)

    @property
    def name(self) -> str:
        """The file's name without suffix."""
        return self.path.stem


def read_posetrack(annotations: str | Path) -> list[Video]:
    """Read and check a folder of per-video files, or one such file.

    Raises:
        FileNotFoundError: no such file or folder.
        ValueError: the folder has no JSON file, or a file is not in PoseTrack18's format; the message names it.
    """
    path = Path(annotations)
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise ValueError(f"{path}: no .json file in it; PoseTrack18 has one for each video")
    return [_video(f) for f in files]


def _video(path: Path) -> Video:
    if path.is_file() and b'"annolist"' in path.read_bytes()[:200]:
        raise ValueError(f"{path}: PoseTrack17's format (annolist); give PoseTrack18's annotations, which have images and annotations")
    given, report = load_json(path, ("images", "annotations", "categories")), Report(str(path))
    images, people = [], {}
    for place, image in enumerate(given["images"]):
        name = image.get("id") if isinstance(image, dict) else None
        if not isinstance(name, int) or not isinstance(image.get("file_name"), str):
            report.add("image", f"#{place}", "image without id or file_name", str(image)[:80])
        elif name in people:
            report.add("image", name, "image id used twice", image["file_name"])
        else:
            images.append(image)
            people[name] = []
    seen: set[Any] = set()
    for place, a in enumerate(given["annotations"]):
        label = a.get("id", f"#{place}") if isinstance(a, dict) else f"#{place}"
        if not isinstance(a, dict) or a.get("image_id") not in people:
            report.add("annotation", label, "annotation of an unknown image", str(a)[:80])
        elif label in seen:
            report.add("annotation", label, "annotation id used twice")
        else:
            seen.add(label)
            people[a["image_id"]].append({**a, "id": label})
    return Video(path, given, joint_order(given["categories"], str(path)), images, people, report)


def joint_order(categories: Sequence[Any], where: str) -> tuple[int, ...]:
    """Index of each of PoseTrack's 15 joints in a file's list.

    Raises:
        ValueError: a joint is missing.
    """
    joints = next((c["keypoints"] for c in categories if isinstance(c, dict) and c.get("keypoints")), [])
    if missing := [j for j in POSETRACK.joints if j not in joints]:
        raise ValueError(f"{where}: its category person lacks the joints {', '.join(missing)}; is it a PoseTrack18 file?")
    return tuple(joints.index(j) for j in POSETRACK.joints)


def joints_of(a: Mapping[str, Any], video: Video) -> Float[np.ndarray, "15 3"] | str:
    """An annotation's joints as x, y, visibility (0 not labelled, 1 labelled with flag 0, 2 labelled), or an error message."""
    flat, n = numbers(a.get("keypoints")), len(next(c["keypoints"] for c in video.given["categories"] if c.get("keypoints")))
    if flat is None or len(flat) != 3 * n:
        return f"keypoints are not 3 x {n} numbers"
    if not np.isfinite(flat).all():
        return "keypoints are not finite"
    joints = flat.reshape(n, 3)[list(video.order)]
    joints[:, 2] = np.where((joints == 0).all(1), 0, np.where(joints[:, 2] > 0, 2, 1))
    return joints


# ── for evaluation ──


def truths(videos: Sequence[Video], name: str = "PoseTrack") -> tuple[list[HeadScaledTruth], Report]:
    """The ground truth of each frame (see `manypose.evaluation.metrics.posetrack`), and the problems. Unlabelled frames have no people.

    People without a head box or track id, or with a track id that is used twice in the frame, are reported and left out.
    """
    report = Report(name, problems=[p for video in videos for p in video.report.problems])
    frames = [_frame(video, image, report) for video in videos for image in video.images]
    report.images, report.people = sum(len(f) > 0 for f in frames), sum(len(f) for f in frames)
    report.regions = sum(len(f.ignored) for f in frames)
    return frames, report


def _frame(video: Video, image: Mapping[str, Any], report: Report) -> HeadScaledTruth:
    keypoints, sizes, ids = [], [], []
    for a in video.people[image["id"]] if image.get("is_labeled", True) else ():
        joints, head, track = joints_of(a, video), numbers(a.get("bbox_head")), a.get("track_id")
        if isinstance(joints, str):
            report.add("annotation", a["id"], joints)
        elif head is None or len(head) != 4 or not np.isfinite(head).all() or head[2] <= 0 or head[3] <= 0:
            report.add("annotation", a["id"], "no head box", f"bbox_head {str(a.get('bbox_head'))[:60]}")
        elif not isinstance(track, int) or isinstance(track, bool):
            report.add("annotation", a["id"], "no track id", f"track_id {str(track)[:40]}")
        elif track in ids:
            report.add("annotation", a["id"], "track id used twice in a frame", f"track_id {track}, image {image['id']}")
        else:
            keypoints.append(joints)
            sizes.append(float(head_size(np.array([[0.0, 0.0, head[2], head[3]]]))[0]))
            ids.append(track)
    return HeadScaledTruth(
        POSETRACK, image["id"], np.array(keypoints, np.float64).reshape(-1, K, 3), np.array(sizes, np.float64), np.array(ids, np.int64),
        ignored_regions(image, report), Path(image["file_name"]).parent.name or video.name,
    )  # fmt: skip


def ignored_regions(image: Mapping[str, Any], report: Report) -> list[Float[np.ndarray, "_ 2"]]:
    """A frame's ignored regions as polygons; invalid ones are reported and left out."""
    regions = []
    xs, ys = image.get("ignore_regions_x") or [], image.get("ignore_regions_y") or []
    for place in range(max(len(xs), len(ys))):
        x, y = (numbers(v[place]) if place < len(v) else None for v in (xs, ys))
        if x is None or y is None or len(x) != len(y) or len(x) < 3 or not np.isfinite([x, y]).all():
            report.add("image", image["id"], "ignore region is no polygon", f"region {place}")
        else:
            regions.append(np.stack([x, y], 1))
    return regions


# ── for training ──


def posetrack(images: str | Path, annotations: str | Path, keep: Keep = "annotated", **reading: Unpack[Reading]) -> Photos:
    """Labelled frames as samples. The mask is 0 in ignored regions.

    Args:
        images: PoseTrack's root, in which ``images/val/…`` lies.
        annotations: the folder of per-video files, or one of them.
        keep, reading: see `manypose.data.coco`, as for errors.
    """
    report, root = Report(str(annotations)), Path(images)
    listed: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for video in read_posetrack(annotations):
        report.problems += video.report.problems
        for image in video.images:
            if image.get("is_labeled", True):
                listed.append(_sized(image, root))
                rows += _rows(video, listed[-1], report)
    if not listed:
        raise ValueError(f"{annotations}: no frame is labelled; is it the test set?")
    photos = photos_of({"images": listed, "annotations": rows}, root, POSETRACK, report, keep)
    return dataset(photos, POSETRACK, report, **reading)


def _sized(image: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """The frame's entry with height and width, which PoseTrack's files lack; a missing image is reported later."""
    if isinstance(image.get("height"), int) and isinstance(image.get("width"), int):
        return {**image}
    try:
        with Image.open(root / image["file_name"]) as picture:
            width, height = picture.size
    except (OSError, Image.DecompressionBombError):
        width = height = 1
    return {**image, "width": width, "height": height}


def _rows(video: Video, image: Mapping[str, Any], report: Report) -> Iterator[dict[str, Any]]:
    """A frame's people and ignored regions as COCO annotations; an ignored region becomes a crowd."""
    for a in video.people[image["id"]]:
        joints = joints_of(a, video)
        if isinstance(joints, str):
            report.add("annotation", a["id"], joints)
            continue
        given = numbers(a.get("bbox"))
        box = given.tolist() if given is not None and len(given) == 4 else _box(joints)
        yield {"id": a["id"], "image_id": image["id"], "bbox": _seen(box, image), "iscrowd": 0, "keypoints": joints.ravel().tolist()}
    for place, polygon in enumerate(ignored_regions(image, report)):
        low, size = polygon.min(0), np.ptp(polygon, axis=0)
        yield {
            "id": f"image {image['id']} region {place}", "image_id": image["id"], "iscrowd": 1, "segmentation": [polygon.ravel().tolist()],
            "bbox": _seen([*low.tolist(), *size.tolist()], image),
        }  # fmt: skip


def _seen(box: list[float], image: Mapping[str, Any]) -> list[float]:
    """An xywh box clipped to the frame."""
    x0, y0, x1, y1 = max(box[0], 0.0), max(box[1], 0.0), min(box[0] + box[2], image["width"]), min(box[1] + box[3], image["height"])
    return [x0, y0, x1 - x0, y1 - y0]


def _box(joints: Float[np.ndarray, "15 3"]) -> list[float]:
    x0, y0, x1, y1 = boxes_around(joints[None, :, :2], joints[None, :, 2] > 0)[0].tolist()
    pad = AROUND * (x1 - x0), AROUND * (y1 - y0)
    return [x0 - pad[0], y0 - pad[1], x1 - x0 + 2 * pad[0], y1 - y0 + 2 * pad[1]]
