"""Self-training: a model annotates whom nobody annotated, and every training reads the file that comes of it.

A teacher looks at the photos of an annotation file. Whoever it finds who is not annotated yet becomes a person (score `sure` or more) or
a region that no loss looks at (`faint` or more); joints that nobody in the file has, such as the face points of sports photos, are added
to the annotated people. Then everybody in a photo is annotated or left out, and all of it can be learnt from, the background too, where
before the loss was masked outside the annotated people. Source: pseudo-labels (Lee, 2013), for keypoints Radosavovic et al., *Data
Distillation*, CVPR 2018; two thresholds, since a person that is missed would be learnt as background.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torchvision.ops import box_iou
from tqdm import tqdm

from manypose.data.datasets.coco_json import AREA_OF_BOX, load_json
from manypose.data.photos import read_rgb
from manypose.inference.model import Model, load
from manypose.inference.options import PredictOptions, changed
from manypose.inference.photos import PhotoInput, read_ahead
from manypose.inference.pipeline import detect, pose
from manypose.io.files import write_text
from manypose.poses.boxes import boxes_around, counted, person_boxes, with_scores
from manypose.poses.oks import oks
from manypose.poses.poses import Poses
from manypose.poses.skeleton import Skeleton

__all__ = ["Labelled", "label", "labelled"]

Row = dict[str, Any]

SAME_OKS, SAME_IOU = 0.3, 0.4
"""A found person who is as alike as this to an annotated one, in joints or in box, is that one."""


@dataclass
class Labelled:
    """What was added to an annotation file.

    Args:
        photos: looked at.
        people: new ones.
        regions: that no loss looks at.
        joints: of people who were annotated before.
    """

    photos: int = 0
    people: int = 0
    regions: int = 0
    joints: int = 0


def label(
    *,
    images: Path,
    annotations: Path,
    out: Path,
    model: str | None = None,
    weights: Path | None = None,
    detector: str | None = None,
    sure: float = 0.15,
    faint: float = 0.1,
    joint_threshold: float = 0.3,
    joints: int = 5,
    flip: bool = False,
    mixed: bool = False,
    batch_size: int = 8,
    device: str = "auto",
    quiet: bool = False,
) -> None:
    """Let a model annotate the people whom an annotation file leaves out, to train on (self-training).

    Photos whose people are all annotated stay as they are. New people have ``"labelled_by": model`` and their score.

    Args:
        images: folder of the photos.
        annotations: a file of COCO's format.
        out: the new file; must be another.
        model: the teacher: a model's name or a .safetensors file; by default the one that comes with the package.
        weights: a file for a named model.
        detector: who finds the people for a top-down teacher; by default the one that belongs to it.
        sure: people with this score or more are annotated.
        faint: people with this score or more, and those with too few joints, become regions that no loss looks at.
        joint_threshold: joints with a lower score are left out.
        joints: how many joints somebody needs to be annotated.
        flip: the teacher looks at the mirrored photo too.
        mixed: half precision on the network.
        batch_size: views that go through the network at once.
        device: auto, cpu, cuda or cuda:N.
        quiet: no progress bar, and nothing printed.

    Raises:
        FileNotFoundError, ValueError: files are missing or broken, or thresholds make no sense.
    """
    if not 0 <= faint <= sure or joints < 1:
        raise ValueError(f"label needs 0 <= faint <= sure and joints >= 1, got faint {faint}, sure {sure}, joints {joints}")
    if out.resolve() == annotations.resolve():
        raise ValueError(f"{out}: is the file that is read; give another for the new one")
    given = load_json(annotations, ("images", "annotations", "categories"))
    teacher = load(model, weights=weights, device=device)
    # A person's score is no higher than the box's.
    options = changed(PredictOptions(), flip=flip, batch_size=batch_size, mixed=mixed, threshold=faint, detector_threshold=faint)
    rules = Rules(sure, faint, joint_threshold, joints, Path(model or "default").stem)
    teacher.check(options, detector is not None)
    done, count = labelled(given, images, teacher, detector, options, rules, quiet)
    write_text(out, json.dumps(done, allow_nan=False))
    if not quiet:
        print(
            f"{out}: in {count.photos} photos {count.people} people, {count.regions} regions without a loss, "
            f"{count.joints} joints of annotated people"
        )


@dataclass(frozen=True)
class Rules:
    """See `label`."""

    sure: float
    faint: float
    joint_threshold: float
    joints: int
    by: str


def labelled(
    given: Mapping[str, Any], images: Path, teacher: Model, detector: Any, options: PredictOptions, rules: Rules, quiet: bool = True
) -> tuple[dict[str, Any], Labelled]:
    """The content of an annotation file with what a teacher adds; see `label`."""
    rows: dict[Any, list[Row]] = defaultdict(list)
    for row in given["annotations"]:
        rows[row["image_id"]].append(dict(row))
    todo = [image for image in given["images"] if image.get("all_persons_labelled") is False]
    if not todo:
        raise ValueError('everybody is annotated: no photo of the file has "all_persons_labelled": false')
    missing = _never(given["annotations"], teacher.skeleton)
    category = next((c["id"] for c in given["categories"] if c.get("name", "person") == "person"), 1)
    number = max((r["id"] for r in given["annotations"] if isinstance(r.get("id"), int)), default=0)
    count = Labelled(photos=len(todo))
    bar = tqdm(total=len(todo), desc="labelling", unit=" photos", disable=quiet or not sys.stderr.isatty())
    with bar:
        for image, found, again in zip(todo, *_looks(todo, rows, images, teacher, detector, options, missing), strict=True):
            mine = rows[image["id"]]
            count.joints += _complete(mine, again, missing, rules)
            for row in _strangers(found, mine, (image["height"], image["width"]), rules):
                number += 1
                mine.append({"id": number, "image_id": image["id"], "category_id": category, "labelled_by": rules.by, **row})
                count.people, count.regions = count.people + (not row["iscrowd"]), count.regions + row["iscrowd"]
            bar.update()
    ids = {image["id"] for image in todo}
    listed = [{**i, "all_persons_labelled": True} if i["id"] in ids else i for i in given["images"]]
    return {**given, "images": listed, "annotations": [r for i in given["images"] for r in rows[i["id"]]]}, count


def _never(annotations: Sequence[Row], skeleton: Skeleton) -> Bool[np.ndarray, " k"]:
    """The joints that nobody in the file has."""
    seen = np.zeros(len(skeleton), bool)
    for row in annotations:
        keypoints = row.get("keypoints") or []
        if keypoints and len(keypoints) != 3 * len(skeleton):
            raise ValueError(
                f"annotation {row.get('id')} has {len(keypoints)} numbers, the teacher's {len(skeleton)} joints need three each"
            )
        seen |= np.asarray(keypoints[2::3] or 0) > 0
    return ~seen


def _looks(
    todo: Sequence[Row],
    rows: Mapping[Any, list[Row]],
    images: Path,
    teacher: Model,
    detector: Any,
    options: PredictOptions,
    missing: np.ndarray,
) -> tuple[Iterator[tuple[Poses, np.ndarray]], Iterator[Poses | None]]:
    """The people in each photo with all detected boxes, and the annotated ones once more in their own boxes where they lack joints."""
    paths = [images / image["file_name"] for image in todo]

    def photos() -> Iterator[tuple[Path, UInt8[np.ndarray, "H W 3"]]]:
        """The photos in the pixels that their annotations count."""
        return ((path, read_rgb(path, size=(image["height"], image["width"]))) for path, image in zip(paths, todo, strict=True))

    def people(items: Iterable[PhotoInput]) -> Iterator[tuple[Poses, np.ndarray]]:
        for result in pose(teacher.method, items, options):
            if result.poses is None:
                raise result.error or RuntimeError(f"{result.item.name}: no result")
            yield result.poses, _boxes(result.poses) if result.item.boxes is None else result.item.boxes

    whole = (PhotoInput(rgb, keep=False, name=str(path)) for path, rgb in photos())
    finder = teacher.finder(detector)
    whole = read_ahead(whole, options.batch_size) if finder is None else detect(finder, read_ahead(whole, options.batch_size), options)
    if not missing.any():
        return people(whole), repeat(None, len(todo))
    if not teacher.needs_boxes:
        return people(whole), (poses for poses, _ in people(PhotoInput(rgb, keep=False, name=str(p)) for p, rgb in photos()))
    own = ([_corners(r) for r in rows[image["id"]] if _usable(r)] for image in todo)
    known = (PhotoInput(rgb, with_scores(b), keep=False, name=str(p)) for (p, rgb), b in zip(photos(), own, strict=True))
    return people(whole), (poses for poses, _ in people(known))


# ── one photo ──


def _boxes(poses: Poses) -> Float[np.ndarray, "n 5"]:
    return person_boxes(poses.keypoints, counted(poses.keypoint_scores), poses.boxes, poses.scores)


def _usable(row: Row) -> bool:
    return not row.get("iscrowd") and any(row.get("keypoints", [])[2::3]) and min(row["bbox"][2:]) > 1


def _corners(row: Row) -> list[float]:
    x, y, w, h = row["bbox"]
    return [x, y, x + w, y + h]


def _annotated(rows: Sequence[Row], k: int) -> tuple[Float[np.ndarray, "m k 3"], Float[np.ndarray, "m 4"]]:
    return (
        np.array([r["keypoints"] for r in rows], np.float64).reshape(-1, k, 3),
        np.array([_corners(r) for r in rows], np.float64).reshape(-1, 4),
    )


def _complete(rows: list[Row], poses: Poses | None, missing: Bool[np.ndarray, " k"], rules: Rules) -> int:
    """Gives annotated people the joints that nobody in the file has, from the found person who is most alike; how many."""
    mine = [r for r in rows if _usable(r)]
    if poses is None or not len(poses) or not mine:
        return 0
    truth, boxes = _annotated(mine, len(missing))
    sides = boxes[:, 2:] - boxes[:, :2]
    alike = oks(poses.keypoints, truth[..., :2], truth[..., 2] > 0, AREA_OF_BOX * sides.prod(1), poses.skeleton.sigmas)
    added = 0
    for i, row in enumerate(mine):
        best = int(alike[:, i].argmax())
        new = missing & (poses.keypoint_scores[best] >= rules.joint_threshold)
        if alike[best, i] < 0.5 or not new.any():
            continue
        joints = truth[i].copy()
        joints[new] = np.concatenate([poses.keypoints[best], np.full((len(new), 1), 2)], 1)[new]
        row["keypoints"], row["num_keypoints"] = _flat(joints), int((joints[:, 2] > 0).sum())
        added += int(new.sum())
    return added


def _strangers(found: tuple[Poses, np.ndarray], rows: Sequence[Row], size: tuple[int, int], rules: Rules) -> Iterator[Row]:
    """People who are not annotated, as annotations: those that are sure as such, the others as regions."""
    poses, detected = found
    there = poses.keypoint_scores >= rules.joint_threshold
    around = boxes_around(poses.keypoints, there | ~there.any(1, keepdims=True))
    boxes = _detected(around, detected, size)
    new = (poses.scores >= rules.faint) & ~_known(poses, boxes, rows)
    for i in np.flatnonzero(new):
        x0, y0, x1, y1 = (round(float(v), 2) for v in boxes[i])
        if x1 - x0 < 1 or y1 - y0 < 1:
            continue
        joints = np.concatenate([poses.keypoints[i], np.where(there[i], 2, 0)[:, None]], 1)
        inside = (joints[:, :2] >= -0.5).all(1) & (joints[:, :2] <= np.array(size[::-1]) - 0.5).all(1)
        joints[~there[i] | ~inside] = 0
        labelled = int((joints[:, 2] > 0).sum())
        person = poses.scores[i] >= rules.sure and labelled >= rules.joints
        yield {
            "iscrowd": int(not person), "bbox": [x0, y0, round(x1 - x0, 2), round(y1 - y0, 2)], "score": round(float(poses.scores[i]), 4),
            "area": round(AREA_OF_BOX * (x1 - x0) * (y1 - y0), 2), "num_keypoints": labelled if person else 0,
            "keypoints": _flat(joints if person else 0 * joints),
        }  # fmt: skip


def _known(poses: Poses, boxes: Float[np.ndarray, "n 4"], rows: Sequence[Row]) -> Bool[np.ndarray, " n"]:
    """Who is annotated, or stands where the file says that no loss may look."""
    known = np.zeros(len(poses), bool)
    mine = [r for r in rows if _usable(r)]
    if mine and len(poses):
        truth, theirs = _annotated(mine, len(poses.skeleton))
        sides = theirs[:, 2:] - theirs[:, :2]
        alike = oks(poses.keypoints, truth[..., :2], truth[..., 2] > 0, AREA_OF_BOX * sides.prod(1), poses.skeleton.sigmas)
        known |= (alike >= SAME_OKS).any(1) | (_iou(boxes, theirs) >= SAME_IOU).any(1)
    for row in rows:
        if not _usable(row) and min(row["bbox"][2:]) > 0:
            x0, y0, x1, y1 = _corners(row)
            middle = (boxes[:, :2] + boxes[:, 2:]) / 2
            known |= (middle >= (x0, y0)).all(1) & (middle <= (x1, y1)).all(1)
    return known


def _detected(around: Float[np.ndarray, "n 4"], detected: Float[np.ndarray, "m 5"], size: tuple[int, int]) -> Float[np.ndarray, "n 4"]:
    """The detected box that fits the box around each person's joints best, within the photo."""
    limits = np.array([size[1], size[0], size[1], size[0]]) - 0.5
    if not len(detected) or not len(around):
        return np.clip(around.astype(np.float64), 0, limits)
    return np.clip(detected[_iou(around, detected[:, :4]).argmax(1), :4].astype(np.float64), 0, limits)


def _iou(a: np.ndarray, b: np.ndarray) -> Float[np.ndarray, "n m"]:
    return box_iou(torch.from_numpy(np.asarray(a, np.float64)), torch.from_numpy(np.asarray(b, np.float64))).numpy()


def _flat(joints: Float[np.ndarray, "k 3"]) -> list[float]:
    return [int(v) if i % 3 == 2 else round(float(v), 2) for i, v in enumerate(joints.ravel())]
