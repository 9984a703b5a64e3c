"""Detections as annotations, to train a PRN on the inputs of inference (MultiPoseNet, Sections 3.4, 3.5)."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from torchvision.ops import box_iou

from manypose.data.datasets.coco import AnnotatedImage
from manypose.poses.oks import keypoint_similarity
from manypose.poses.skeleton import Skeleton

__all__ = ["as_annotations"]


def as_annotations(
    image: AnnotatedImage,
    skeleton: Skeleton,
    xy: Float[np.ndarray, "c 2"],
    joint: Int[np.ndarray, " c"],
    boxes: Float[np.ndarray, "m 4"],
    least_iou: float = 0.5,
    least_oks: float = 0.5,
) -> AnnotatedImage:
    """The annotated people with their detected boxes and keypoint candidates in place of annotations.

    Rows of area 0, people missed by the detector and unmatched candidates, are only candidates in the regions of other rows.

    Args:
        image: annotated people, in photo pixels.
        skeleton: their joints.
        xy, joint: the detected candidates, in photo pixels.
        boxes: the detected boxes, xyxy in photo pixels.
        least_iou: smallest IoU of a detected box and a person.
        least_oks: smallest OKS of a candidate and a joint; 0.5 is a distance of 1.2 standard deviations.
    """
    n, k = image.keypoints.shape[:2]
    keypoints = np.zeros((n, k, 3), np.float32)
    left = np.ones(len(xy), bool)
    square = ((image.keypoints[:, joint, :2] - xy) ** 2).sum(2)
    alike = keypoint_similarity(square, np.maximum(image.areas, 1), np.array(skeleton.sigmas)[joint])
    alike[image.keypoints[:, joint, 2] == 0] = 0
    for j in range(k):
        of = np.flatnonzero(joint == j)
        person, candidate = _pairs(alike[:, of], least_oks)
        keypoints[person, j] = np.column_stack([xy[of[candidate]], np.full(len(person), 2)])
        left[of[candidate]] = False
    overlap = box_iou(torch.from_numpy(image.boxes).float(), torch.from_numpy(boxes).float()).numpy()
    person, box = _pairs(overlap, least_iou)
    found, areas = np.zeros((n, 4), np.float32), np.zeros(n, np.float64)
    found[person], areas[person] = boxes[box], image.areas[person]
    others = _rows(xy, joint, left, k)
    return AnnotatedImage(
        image.image_id,
        image.size,
        np.concatenate([keypoints, others]),
        np.concatenate([found, np.zeros((len(others), 4), np.float32)]),
        np.concatenate([areas, np.zeros(len(others))]),
        np.concatenate([image.area_true, np.zeros(len(others), bool)]),
    )


def _pairs(value: Float[np.ndarray, "n m"], least: float) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]]:
    """The one-to-one pairs with the highest sum of values, each at least `least`."""
    a, b = linear_sum_assignment(np.where(value >= least, value, 0), maximize=True)
    good = value[a, b] >= least
    return a[good], b[good]


def _rows(xy: Float[np.ndarray, "c 2"], joint: Int[np.ndarray, " c"], left: Bool[np.ndarray, " c"], k: int) -> Float[np.ndarray, "r k 3"]:
    """Unmatched candidates, in the smallest number of rows with one candidate per joint."""
    counts = np.bincount(joint[left], minlength=k)
    rows = np.zeros((int(counts.max(initial=0)), k, 3), np.float32)
    for j in range(k):
        of = np.flatnonzero(left & (joint == j))
        rows[: len(of), j] = np.column_stack([xy[of], np.full(len(of), 2)])
    return rows
