"""Result files in PoseTrack's format: one JSON file per video, with joints, joint scores and track ids."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from manypose.data.datasets.annotation_report import numbers
from manypose.data.datasets.coco_json import load_json
from manypose.data.datasets.posetrack import K, Video, joint_order
from manypose.io.files import write_text
from manypose.poses.poses import Poses
from manypose.poses.skeleton import POSETRACK

__all__ = ["JOINTS", "read_posetrack_results", "write_posetrack"]

JOINTS = (*POSETRACK.joints[:3], "left_ear", "right_ear", *POSETRACK.joints[3:])
"""PoseTrack18's 17 joints; the ears are always 0."""
PLACES = tuple(JOINTS.index(j) for j in POSETRACK.joints)


def read_posetrack_results(results: str | Path, videos: Sequence[Video]) -> dict[int, Poses]:
    """The detected people of every frame, by image id.

    A joint is detected unless its position and flag are all 0; detected joints with score 0 get the smallest positive score.
    People of a file without any ``track_id`` have no ids; only keypoint AP can be computed from them.

    Args:
        results: a folder with a file of the same name for each video, or the file of a single video.
        videos: the annotated videos.

    Raises:
        FileNotFoundError: a video's file is missing.
        ValueError: a file is wrong; the message names the file, the first wrong annotation and the reason.
    """
    root = Path(results)
    if not root.exists():
        raise FileNotFoundError(f"{root}: no such file or folder of results")
    found: dict[int, Poses] = {}
    for video in videos:
        path = root / video.path.name if root.is_dir() else root
        if root.is_file() and len(videos) > 1:
            raise ValueError(f"{root}: one file of results for {len(videos)} videos; give the folder with a file for each")
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no results for video {video.name}; there must be a file of this name, empty lists allowed")
        found |= _read(path, video)
    return found


def _read(path: Path, video: Video) -> dict[int, Poses]:
    given = load_json(path)
    order = joint_order(given["categories"], str(path)) if given.get("categories") else PLACES
    n = len(next((c["keypoints"] for c in given.get("categories") or () if isinstance(c, dict) and c.get("keypoints")), JOINTS))
    frames: dict[int, list[Mapping[str, Any]]] = {image["id"]: [] for image in video.images}
    tracked = any(isinstance(a, dict) and "track_id" in a for a in given["annotations"])
    names: set[Any] = set()
    for place, a in enumerate(given["annotations"]):
        name = f"annotation {a['id']}" if isinstance(a, dict) and "id" in a else f"annotation number {place} (from 0)"
        wrong = _wrong(a, n, frames, tracked)
        if wrong is None and "id" in a and str(a["id"]) in names:
            wrong = "its id is used twice"
        if wrong is None and tracked and any(b["track_id"] == a["track_id"] for b in frames[a["image_id"]]):
            wrong = f"track_id {a['track_id']} is used twice in image {a['image_id']}"
        if wrong is not None:
            raise ValueError(f"{path}: {name}: {wrong}")
        names.add(str(a.get("id", name)))
        frames[a["image_id"]].append(a)
    return {image: _poses(people, n, order, tracked or not given["annotations"]) for image, people in frames.items()}


def _wrong(a: Any, n: int, frames: Mapping[int, Any], tracked: bool) -> str | None:
    if not isinstance(a, dict):
        return "an annotation is a JSON object"
    needed = ("image_id", "track_id", "keypoints", "scores") if tracked else ("image_id", "keypoints", "scores")
    if missing := [key for key in needed if a.get(key) is None]:
        return f"{missing[0]!r} is missing"
    if a["image_id"] not in frames:
        return f"the video has no image with id {str(a['image_id'])[:40]}"
    if tracked and (not isinstance(a["track_id"], int) or isinstance(a["track_id"], bool)):
        return f"track_id is {a['track_id']!r:.40}; it is a whole number"
    for key, length in (("keypoints", 3 * n), ("scores", n)):
        if any(isinstance(v, str) for v in a[key]) if isinstance(a[key], list) else True:
            return f"{key} are not a list of numbers; write numbers without quotes"
        values = numbers(a[key])
        if values is None or len(values) != length:
            found = "no flat list" if values is None else f"{len(values)} numbers"
            return f"{key} must be {length} numbers ({n} joints), got {found}"
        if not np.isfinite(values).all():
            return f"{key} are not all finite"
    return "a score is below 0; scores are positive" if min(a["scores"]) < 0 else None


def _poses(people: Sequence[Mapping[str, Any]], n: int, order: Sequence[int], tracked: bool) -> Poses:
    joints = np.array([a["keypoints"] for a in people], np.float64).reshape(-1, n, 3)[:, list(order)]
    scores = np.array([a["scores"] for a in people], np.float64).reshape(-1, n)[:, list(order)]
    there = (joints != 0).any(-1)
    scores = np.where(there, np.maximum(scores, np.finfo(np.float64).tiny), 0)
    ids = np.array([a["track_id"] for a in people], np.int64) if tracked else None
    return Poses(POSETRACK, joints[..., :2], scores, scores.sum(1) / np.maximum(there.sum(1), 1), ids=ids)


def write_posetrack(folder: str | Path, videos: Sequence[Video], found: Mapping[int, Poses]) -> list[Path]:
    """Write one file of results for each video, with the name of its annotation file; frames absent from `found` have no people.

    Args:
        folder: created if it does not exist.
        videos: the videos that were predicted on, of the test set too.
        found: people by image id, with PoseTrack's joints and track ids.

    Raises:
        ValueError: an unknown image, another skeleton, missing or repeated track ids, or numbers that are not finite; nothing is written.
    """
    known = {image["id"] for video in videos for image in video.images}
    if unknown := sorted(set(found) - known):
        raise ValueError(f"{folder}: image {unknown[0]} is in none of the {len(videos)} videos")
    texts = [(video.path.name, json.dumps(_file(video, found))) for video in videos]
    return [write_text(Path(folder) / name, text) for name, text in texts]


def _file(video: Video, found: Mapping[int, Poses]) -> dict[str, Any]:
    people = [a for image in video.images if image["id"] in found for a in _annotations(image["id"], found[image["id"]])]
    keys = ("file_name", "id", "frame_id", "vid_id", "nframes", "is_labeled")
    return {
        "images": [{key: image[key] for key in keys if key in image} for image in video.images],
        "annotations": people,
        "categories": [{"id": 1, "name": "person", "supercategory": "person", "keypoints": list(JOINTS)}],
    }


def _annotations(image: int, poses: Poses) -> list[dict[str, Any]]:
    if poses.skeleton.joints != POSETRACK.joints:
        raise ValueError(f"image {image}: PoseTrack takes its own 15 joints, got skeleton {poses.skeleton.name!r}; use Poses.to")
    if poses.ids is None or len(set(poses.ids.tolist())) != len(poses):
        raise ValueError(f"image {image}: every person needs a track id of its own; track the people first")
    if not (np.isfinite(poses.keypoints).all() and np.isfinite(poses.keypoint_scores).all() and (poses.keypoint_scores >= 0).all()):
        raise ValueError(f"image {image}: joints or scores are not finite numbers, or a score is below 0")
    joints, scores = np.zeros((len(poses), len(JOINTS), 3)), np.zeros((len(poses), len(JOINTS)))
    there = poses.keypoint_scores > 0
    joints[:, PLACES] = np.concatenate([poses.keypoints, np.ones((len(poses), K, 1))], -1) * there[..., None]
    scores[:, PLACES] = poses.keypoint_scores
    return [
        {
            "id": image * 100 + i, "image_id": image, "category_id": 1, "track_id": int(poses.ids[i]), "score": float(poses.scores[i]),
            "keypoints": joints[i].ravel().tolist(), "scores": scores[i].tolist(),
            "bbox": [*poses.boxes[i, :2].tolist(), *(poses.boxes[i, 2:] - poses.boxes[i, :2]).tolist()],
        }
        for i in range(len(poses))
    ]  # fmt: skip
