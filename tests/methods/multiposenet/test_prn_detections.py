"""Detections in the form of annotations: whose they are, and what belongs to no person."""

import numpy as np
import pytest
import torch

from manypose.data.datasets.coco import AnnotatedImage, annotated_people
from manypose.methods.multiposenet.prn_data import order, points, read_people
from manypose.methods.multiposenet.prn_detections import as_annotations
from manypose.poses.skeleton import COCO


def annotated(seed: int = 0) -> AnnotatedImage:
    """Three people side by side, with all joints."""
    g = np.random.default_rng(seed)
    xy = g.uniform(0, 80, (3, 17, 2)) + np.array([[[10, 10]], [[110, 10]], [[210, 10]]])
    boxes = np.concatenate([xy.min(1) - 2, xy.max(1) + 2], 1).astype(np.float32)
    keypoints = np.concatenate([xy, np.full((3, 17, 1), 2)], 2).astype(np.float32)
    return AnnotatedImage(7, (120, 320), keypoints, boxes, np.full(3, 6000.0), np.ones(3, bool))


def test_perfect_detections_are_the_annotations():
    image, g = annotated(), np.random.default_rng(1)
    person, joint = (v.ravel() for v in np.mgrid[:3, :17])
    shuffled = g.permutation(51)
    xy = image.keypoints[person, joint, :2][shuffled] + g.normal(0, 0.3, (51, 2))
    made = as_annotations(image, COCO, xy, joint[shuffled], image.boxes[[2, 0, 1]] + np.float32(1))
    assert made.keypoints.shape == (3, 17, 3)  # no candidate is left
    assert np.abs(made.keypoints - image.keypoints).max() < 2
    np.testing.assert_allclose(made.boxes, image.boxes + 1)
    assert (made.areas == image.areas).all()


def test_missed_people_and_false_candidates_are_rivals_without_a_region():
    image = annotated()
    xy = np.concatenate([image.keypoints[1, :5, :2], image.keypoints[0, :5, :2], [[160.0, 60.0], [300.0, 5.0]]])
    joint = np.array([0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 9, 9])
    image.keypoints[1, 9] = 0  # not labelled: a candidate of its kind in its box is another's
    image.keypoints[:, 9, :2] = 1e4
    made = as_annotations(image, COCO, xy, joint, image.boxes[:1])
    assert made.areas.tolist() == [6000.0, 0, 0, 0, 0]  # one detected, two missed, two rows of what is left of joint 9
    assert (made.keypoints[1, :5, 2] == 2).all()
    assert (made.keypoints[3:, 9, 2] == 2).all()
    assert made.keypoints[3:, :9].sum() == 0


@pytest.mark.parametrize("nothing", ["candidates", "boxes"])
def test_nothing_detected(nothing):
    image = annotated()
    xy, joint = (np.zeros((0, 2)), np.zeros(0, np.int64)) if nothing == "candidates" else (image.keypoints[:, 0, :2], np.zeros(3, np.int64))
    made = as_annotations(image, COCO, xy, joint, image.boxes if nothing == "candidates" else np.zeros((0, 4)))
    assert len(made.keypoints) == 3
    assert (made.keypoints[..., 2].sum() == 0) == (nothing == "candidates")
    assert (made.areas.sum() == 0) == (nothing == "boxes")


def test_07_training_reads_them(tmp_path):
    """Rows without a region are never learnt, but their candidates are seen in the regions of others."""
    image = annotated()
    made = as_annotations(image, COCO, image.keypoints[..., :2].reshape(-1, 2), np.tile(np.arange(17), 3), image.boxes[:2])
    size = made.boxes[:, 2:] - made.boxes[:, :2]
    np.savez(
        tmp_path / "found.npz", image_id=np.full(len(made.areas), 7), keypoints=made.keypoints,
        bbox=np.column_stack([made.boxes[:, :2], size]),
        area=made.areas, area_true=made.area_true, img_id=np.array([7]), img_wh=np.array([[320, 120]]),
    )  # fmt: skip
    assert len(next(annotated_people(tmp_path / "found.npz")).keypoints) == 3
    people = read_people(tmp_path / "found.npz")
    assert sorted(order(people).tolist()) == [0, 1]
    seen = points(people, torch.tensor([1]), margin=0.5)
    assert (~seen.own & seen.seen).sum() > 0
