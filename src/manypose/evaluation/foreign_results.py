"""Result folders of other programs, with one file for each photo: OpenPose, MMPose's inferencer, YOLO-pose (Ultralytics).

A file belongs to the photo of the same name: the path in the folder without suffix, or the name alone if only one photo has it.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from manypose.evaluation.metrics.annotations import Truth
from manypose.poses.formats import from_openpose

__all__ = ["read_folder"]

Row = dict[str, Any]


def read_folder(folder: Path, truth: Truth) -> tuple[list[Row], str]:
    """COCO results of a folder of OpenPose, MMPose or YOLO files, and a sentence on how they were read.

    Raises:
        ValueError: the folder has no such files, none belongs to a photo of the data set, or the named file cannot be read.
    """
    kind, suffix, read = _kind(folder)
    places = _by_stem(truth)
    rows: list[Row] = []
    matched = 0
    files = sorted(folder.rglob(f"*{suffix}"))
    for path in files:
        stem = path.relative_to(folder).as_posix().removesuffix(suffix)
        place = places.get(stem, places.get(stem.rpartition("/")[2]))
        if place is None:
            continue
        matched += 1
        try:
            people = list(read(path.read_text(encoding="utf-8-sig"), truth, place))
            if not all(np.isfinite([*person["keypoints"], person["score"]]).all() for person in people):
                raise ValueError("a number is not finite")
        except (ArithmeticError, AttributeError, IndexError, KeyError, OSError, RecursionError, TypeError, ValueError) as e:
            raise ValueError(f"{path}: not a result file of {kind} ({type(e).__name__}: {str(e)[:100]})") from None
        rows += [{"image_id": int(truth.image_ids[place]), "category_id": truth.category, **person} for person in people]
    if not matched:
        raise ValueError(f"{folder}: none of its {len(files)} {kind} files has the name of a photo of {truth.name}")
    return rows, f"results of {kind}: {matched} of {len(files)} files belong to {len(truth.image_ids)} photos, by file name"


def _kind(folder: Path) -> tuple[str, str, Callable[[str, Truth, int], Iterator[Row]]]:
    for kind, suffix, read in (("OpenPose", "_keypoints.json", _openpose), ("MMPose", ".json", _mmpose), ("YOLO", ".txt", _yolo)):
        if next(folder.rglob(f"*{suffix}"), None) is not None:
            return kind, suffix, read
    raise ValueError(f"{folder}: no result files of OpenPose (*_keypoints.json), MMPose (*.json) or YOLO (*.txt)")


def _by_stem(truth: Truth) -> dict[str, int]:
    """Indices of the images by path and by name without suffix; ambiguous names are left out."""
    stems = [Path(name).with_suffix("").as_posix() for name in truth.files]
    counts = Counter(stem.rpartition("/")[2] for stem in stems)
    alone = {name: i for i, stem in enumerate(stems) if counts[name := stem.rpartition("/")[2]] == 1}
    return {**alone, **{stem: i for i, stem in enumerate(stems)}}


def _openpose(text: str, truth: Truth, place: int) -> Iterator[Row]:
    """A person's score is the mean score of the detected joints."""
    people = from_openpose(json.loads(text), truth.skeleton)
    for xy, joints, score in zip(people.keypoints, people.keypoint_scores, people.scores, strict=True):
        yield {"keypoints": np.column_stack([xy, joints]).ravel().tolist(), "score": float(score)}


def _mmpose(text: str, truth: Truth, place: int) -> Iterator[Row]:
    """A person's score is the box score times the mean joint score, as in MMPose's COCO metric."""
    people = json.loads(text)
    people = people["predictions"] if isinstance(people, Mapping) else people
    people = people[0] if people and isinstance(people[0], Sequence) else people
    for person in people:
        joints = np.column_stack([np.asarray(person["keypoints"], float)[:, :2], np.asarray(person["keypoint_scores"], float)])
        x0, y0, x1, y1 = np.ravel(person.get("bbox", [0, 0, 0, 0])).tolist()[:4]
        score = float(np.ravel(person.get("bbox_score", 1.0))[0]) * float(joints[:, 2].mean())
        yield {"keypoints": joints.ravel().tolist(), "score": score, "bbox": [x0, y0, x1 - x0, y1 - y0]}


def _yolo(text: str, truth: Truth, place: int) -> Iterator[Row]:
    """Lines of class, box, joints and optionally the score (else the mean joint score). Coordinates are fractions of the photo's size."""
    h, w = truth.sizes[place].tolist()
    if not h or not w:
        raise ValueError("the annotation file lacks the photo's width and height, which YOLO's coordinates need")
    k = len(truth.skeleton)
    for line in text.splitlines():
        values = [float(v) for v in line.split()]
        if not values:
            continue
        if len(values) not in (5 + 3 * k, 6 + 3 * k, 7 + 3 * k):
            raise ValueError(f"{len(values)} numbers in a line; {k} joints need {5 + 3 * k}, or one more with the score")
        x, y, width, height = values[1:5]
        joints = np.reshape(values[5 : 5 + 3 * k], (k, 3)) * [w, h, 1]
        score = values[5 + 3 * k] if len(values) > 5 + 3 * k else float(joints[:, 2].mean())
        box = [(x - width / 2) * w, (y - height / 2) * h, width * w, height * h]
        yield {"keypoints": joints.ravel().tolist(), "score": score, "bbox": box}
