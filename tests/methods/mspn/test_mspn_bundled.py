"""The bundled top-down model."""

import numpy as np
import pytest
from shared import REPOSITORY, shared

from manypose.data.datasets.coco import coco
from manypose.inference.model import load
from manypose.io.photos import read
from manypose.weights.files import BUNDLED


def test_it_comes_with_the_package_and_is_small():
    assert (BUNDLED / "mspn-mobile.safetensors").stat().st_size < 30e6
    assert load("mspn-mobile", device="cpu").needs_boxes


def test_it_sees_people_on_the_example_photo_and_none_on_a_black_one():
    """One result a box, higher by far where there is a person."""
    model, photo = load("mspn-mobile", device="cpu"), read(REPOSITORY / "docs" / "example.jpg")
    box = [[120.9, 103.7, 345.6, 351.4]]  # the person in front
    seen = model.predict(photo, boxes=box, threshold=0)
    black = model.predict(np.zeros_like(photo), boxes=box, threshold=0)
    assert len(seen) == len(black) == 1
    assert seen.scores[0] > 0.2
    assert seen.scores[0] > 2 * black.scores[0]


@pytest.mark.slow
def test_it_finds_the_joints_of_people_in_their_boxes():
    """On photos that it was trained on: a check that weights, crops and decoding belong together, not a measure."""
    folder = shared("data") / "coco_photos"
    people = coco(folder / "train2017", folder / "person_keypoints_train.json")
    model, near, labelled = load("mspn-mobile", device="cpu"), 0, 0
    for i in range(0, len(people), 25):
        sample = people[i]
        box = sample.boxes[:1]
        poses = model.predict(sample.image, boxes=box, threshold=0)
        if len(poses) == 1:
            there = sample.keypoints[0, :, 2] > 0
            far = np.linalg.norm(poses.keypoints[0] - sample.keypoints[0, :, :2], axis=1)[there]
            side = np.sqrt(np.prod(box[0, 2:] - box[0, :2]))
            near, labelled = near + int((far < 0.2 * side).sum()), labelled + int(there.sum())
    assert labelled > 200
    assert near > 0.5 * labelled
