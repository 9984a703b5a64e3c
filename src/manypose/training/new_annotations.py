"""The annotations that a teacher adds to one photo: new people, regions without a loss, and joints of annotated people."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torchvision.ops import box_iou

from manypose.data.datasets.coco_json import AREA_OF_BOX
from manypose.inference.options import PredictOptions
from manypose.poses.boxes import boxes_around, counted, person_boxes
from manypose.poses.oks import oks
from manypose.poses.poses import Poses

__all__ = ["LabelOptions", "Row", "add_joints", "box_rows", "corners", "new_people", "usable"]

Row = dict[str, Any]
"""An annotation of COCO's JSON format."""

SAME_OKS, SAME_IOU = 0.3, 0.4
"""OKS and IoU from which a detected and an annotated person are the same."""


@dataclass(frozen=True)
class LabelOptions:
    """Rules for the annotations that a teacher adds, and its prediction options.

    Args:
        min_score: smallest score of a person that is annotated. Raising it adds fewer people.
        ignore_score: smallest score of a person below `min_score`, or with too few joints, that becomes a region without loss. Raising
            it makes more of the photo background.
        joint_threshold: joints with a lower score are left out.
        joints: smallest number of joints of a person that is annotated.
        flip: also run the network on the mirrored photo and average both.
        mixed: half precision in the network.
        batch_size: number of views in one forward pass.

    Raises:
        ValueError: thresholds are inconsistent.
    """

    min_score: float = 0.15
    ignore_score: float = 0.1
    joint_threshold: float = 0.3
    joints: int = 5
    flip: bool = False
    mixed: bool = False
    batch_size: int = 8

    def __post_init__(self) -> None:
        if not 0 <= self.ignore_score <= self.min_score or self.joints < 1:
            raise ValueError(
                "label needs 0 <= ignore score <= min score and joints >= 1, "
                f"got ignore score {self.ignore_score}, min score {self.min_score}, joints {self.joints}"
            )

    def predicting(self) -> PredictOptions:
        """The teacher's prediction options; a person's score is at most the box's."""
        least = self.ignore_score
        return PredictOptions(flip=self.flip, threshold=least, detector_threshold=least, batch_size=self.batch_size, mixed=self.mixed)


def usable(row: Row) -> bool:
    """Whether an annotation is a person with labelled joints and a box."""
    return not row.get("iscrowd") and any(row.get("keypoints", [])[2::3]) and min(row["bbox"][2:]) > 1


def corners(row: Row) -> list[float]:
    """The annotation's box, xyxy."""
    x, y, w, h = row["bbox"]
    return [x, y, x + w, y + h]


def box_rows(poses: Poses) -> Float[np.ndarray, "n 5"]:
    """Boxes around the joints of detected people, with their scores."""
    return person_boxes(poses.keypoints, counted(poses.keypoint_scores), poses.boxes, poses.scores)


def add_joints(rows: Sequence[Row], poses: Poses | None, missing: Bool[np.ndarray, " k"], rules: LabelOptions) -> int:
    """Give annotated people the `missing` joints of the most similar detected person, in place; returns how many."""
    mine = [r for r in rows if usable(r)]
    if poses is None or not len(poses) or not mine:
        return 0
    truth, _, similar = _compared(poses, mine)
    added = 0
    for i, row in enumerate(mine):
        best = int(similar[:, i].argmax())
        new = missing & (poses.keypoint_scores[best] >= rules.joint_threshold)
        if similar[best, i] < 0.5 or not new.any():
            continue
        truth[i, new] = np.column_stack([poses.keypoints[best, new], np.full(new.sum(), 2)])
        row["keypoints"], row["num_keypoints"] = _flat(truth[i]), int((truth[i, :, 2] > 0).sum())
        added += int(new.sum())
    return added


def new_people(
    poses: Poses, detected: Float[np.ndarray, "m 5"], rows: Sequence[Row], size: tuple[int, int], rules: LabelOptions
) -> Iterator[Row]:
    """Annotations of the detected people who are not annotated: as people, or as regions without a loss.

    Args:
        poses: the detected people.
        detected: all detected boxes with scores.
        rows: the photo's annotations.
        size: height and width of the photo.
        rules: thresholds.
    """
    there = poses.keypoint_scores >= rules.joint_threshold
    boxes = _detected(boxes_around(poses.keypoints, there | ~there.any(1, keepdims=True)), detected, size)
    new = (poses.scores >= rules.ignore_score) & ~_known(poses, boxes, rows)
    for i in np.flatnonzero(new):
        x0, y0, x1, y1 = (round(float(v), 2) for v in boxes[i])
        if x1 - x0 < 1 or y1 - y0 < 1:
            continue
        joints = np.column_stack([poses.keypoints[i], np.where(there[i], 2, 0)])
        inside = (joints[:, :2] >= -0.5).all(1) & (joints[:, :2] <= np.array(size[::-1]) - 0.5).all(1)
        joints[~there[i] | ~inside] = 0
        labelled = int((joints[:, 2] > 0).sum())
        person = poses.scores[i] >= rules.min_score and labelled >= rules.joints
        yield {
            "iscrowd": int(not person), "bbox": [x0, y0, round(x1 - x0, 2), round(y1 - y0, 2)], "score": round(float(poses.scores[i]), 4),
            "area": round(AREA_OF_BOX * (x1 - x0) * (y1 - y0), 2), "num_keypoints": labelled if person else 0,
            "keypoints": _flat(joints if person else 0 * joints),
        }  # fmt: skip


def _compared(poses: Poses, rows: Sequence[Row]) -> tuple[Float[np.ndarray, "m k 3"], Float[np.ndarray, "m 4"], Float[np.ndarray, "n m"]]:
    """Keypoints and boxes of annotated people, and the OKS of each detected person to each of them."""
    truth = np.array([r["keypoints"] for r in rows], np.float64).reshape(len(rows), -1, 3)
    areas = AREA_OF_BOX * np.array([r["bbox"][2] * r["bbox"][3] for r in rows], np.float64)
    similar = oks(poses.keypoints, truth[..., :2], truth[..., 2] > 0, areas, poses.skeleton.sigmas)
    return truth, np.array([corners(r) for r in rows], np.float64), similar


def _known(poses: Poses, boxes: Float[np.ndarray, "n 4"], rows: Sequence[Row]) -> Bool[np.ndarray, " n"]:
    """A mask of the detected people who are annotated, or have their centre in a region without loss."""
    known = np.zeros(len(poses), bool)
    mine = [r for r in rows if usable(r)]
    if mine and len(poses):
        _, theirs, similar = _compared(poses, mine)
        known |= (similar >= SAME_OKS).any(1) | (_iou(boxes, theirs) >= SAME_IOU).any(1)
    for row in rows:
        if not usable(row) and min(row["bbox"][2:]) > 0:
            x0, y0, x1, y1 = corners(row)
            middle = (boxes[:, :2] + boxes[:, 2:]) / 2
            known |= (middle >= (x0, y0)).all(1) & (middle <= (x1, y1)).all(1)
    return known


def _detected(around: Float[np.ndarray, "n 4"], detected: Float[np.ndarray, "m 5"], size: tuple[int, int]) -> Float[np.ndarray, "n 4"]:
    """The detected box that overlaps most with the box around each person's joints, clipped to the photo."""
    if len(detected) and len(around):
        around = detected[_iou(around, detected[:, :4]).argmax(1), :4]
    return np.clip(around.astype(np.float64), 0, np.tile(size[::-1], 2) - 0.5)


def _iou(a: np.ndarray, b: np.ndarray) -> Float[np.ndarray, "n m"]:
    return box_iou(torch.from_numpy(np.asarray(a, np.float64)), torch.from_numpy(np.asarray(b, np.float64))).numpy()


def _flat(joints: Float[np.ndarray, "k 3"]) -> list[float]:
    return [int(v) if i % 3 == 2 else round(float(v), 2) for i, v in enumerate(joints.ravel())]
