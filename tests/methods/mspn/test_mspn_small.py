"""The light top-down model that comes with the package."""

import numpy as np
from shared import shared

from manypose.data.datasets.coco import coco
from manypose.inference.model import load
from manypose.weights.files import BUNDLED


def test_it_comes_with_the_package_and_is_small():
    assert (BUNDLED / "mspn-small.safetensors").stat().st_size < 30e6
    model = load("mspn-small", device="cpu")
    assert model.needs_boxes
    photo = np.zeros((100, 100, 3), np.uint8)
    assert len(model.predict(photo, boxes=[[10, 10, 60, 90]])) <= 1


def test_it_finds_the_joints_of_people_in_their_boxes():
    """On photos that it was trained on: a check that weights, crops and decoding belong together, not a measure."""
    folder = shared("data") / "coco_photos"
    people = coco(folder / "train2017", folder / "person_keypoints_train.json")
    model, near, labelled = load("mspn-small", device="cpu"), 0, 0
    for i in range(0, len(people), 25):
        sample = people[i]
        box = sample.boxes[:1]
        poses = model.predict(sample.image, boxes=box, threshold=-1)
        if len(poses) == 1:
            there = sample.keypoints[0, :, 2] > 0
            far = np.linalg.norm(poses.keypoints[0] - sample.keypoints[0, :, :2], axis=1)[there]
            side = np.sqrt(np.prod(box[0, 2:] - box[0, :2]))
            near, labelled = near + int((far < 0.2 * side).sum()), labelled + int(there.sum())
    assert labelled > 200
    assert near > 0.5 * labelled
