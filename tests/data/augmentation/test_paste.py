"""Pasted people: what is in front hides what is behind, labels follow, and the same sample comes each time."""

import json

import cv2
import numpy as np
import pytest
from synthetic_people.drawn.scenes import SyntheticPeople

from manypose.data.augmentation.paste import Cutout, Pasted, cutouts, paste
from manypose.data.datasets.coco import coco
from manypose.data.sample import Sample
from manypose.poses.skeleton import COCO
from manypose.poses.warp import Warp


def block(h=20, w=10, value=200):
    """A person who is a bright block; joints on its middle line."""
    joints = np.zeros((17, 3), np.float32)
    joints[:, 0], joints[:, 1], joints[:, 2] = (w - 1) / 2, np.linspace(1, h - 2, 17), 2
    return Cutout(np.full((h, w, 3), value, np.uint8), np.full((h, w), 255, np.uint8), joints)


def empty(size=(60, 80), people=()):
    k = np.array(people, np.float32).reshape(-1, 17, 3)
    boxes = np.array([[*p[:, :2].min(0), *p[:, :2].max(0)] for p in k], np.float32).reshape(-1, 4)
    plane = np.ones((1, *size), np.uint8)
    return Sample(COCO, np.zeros((*size, 3), np.uint8), k, boxes, np.full(len(k), 100, np.float32), plane, np.zeros(size, np.uint8))


def at(x, y, scale=1.0, size=(60, 80)):
    return Warp(np.array([[scale, 0, x], [0, scale, y]], np.float64), size)


def test_pixels_joints_box_and_mask_agree():
    made = paste(empty(), block(), at(30, 15))
    inside = made.image[..., 0] > 100
    ys, xs = np.nonzero(inside)
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (30, 39, 15, 34)
    np.testing.assert_allclose(made.boxes, [[29.5, 14.5, 39.5, 34.5]])
    assert made.areas.tolist() == [200]
    assert made.segmentation is not None
    assert np.array_equal(made.segmentation == 1, inside)
    np.testing.assert_allclose(made.keypoints[0, :, 0], 34.5)
    np.testing.assert_allclose(made.keypoints[0, [0, -1], 1], [16, 33])


def test_mirrored_people_change_sides():
    cutout = block()
    cutout.keypoints[COCO.joints.index("left_wrist"), 0] = 0
    made = paste(empty(), cutout, at(30, 15).mirror())
    assert made.keypoints[0, COCO.joints.index("right_wrist"), 0] == 79 - 30


def test_whoever_is_behind_is_hidden_there_and_leaves_when_covered():
    behind = np.zeros((17, 3), np.float32)
    behind[:, 0], behind[:, 1], behind[:, 2] = 34, np.linspace(20, 55, 17), 2
    half = paste(empty(people=[behind]), block(), at(30, 15))
    assert len(half.keypoints) == 2
    covered = behind[:, 1] < 34.4
    assert (half.keypoints[0, covered, 2] == 1).all()
    assert (half.keypoints[0, ~covered, 2] == 2).all()
    gone = paste(empty(people=[behind]), block(60, 30), at(20, 5))
    assert len(gone.keypoints) == 1
    assert gone.mask[0, 55, 34] == 1  # the new person is labelled


def test_outside_the_picture_changes_nothing():
    base = empty()
    assert paste(base, block(), at(200, 15)) is base


@pytest.fixture
def photos(tmp_path):
    """Three drawn scenes, written as a data set with segmentations."""
    drawn = SyntheticPeople(length=3, seed=4, size=(160, 160), people=(2, 3), height=(0.6, 0.9), truncate=0, crowd=0, objects=0)
    images, people = [], []
    for i in range(3):
        scene = drawn.scene(i)
        cv2.imwrite(str(tmp_path / f"{i}.png"), scene.sample.image[..., ::-1])
        images.append({"id": i, "file_name": f"{i}.png", "height": 160, "width": 160})
        for joints, box, mask in zip(scene.sample.keypoints, scene.sample.boxes, scene.masks, strict=True):
            outlines = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
            shape = [(o.reshape(-1) + 0.5).tolist() for o in outlines if len(o) >= 3]
            xywh = [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()]
            row = {"id": len(people), "image_id": i, "category_id": 1, "bbox": xywh, "segmentation": shape, "area": float(mask.sum())}
            people.append({**row, "keypoints": joints.reshape(-1).tolist(), "num_keypoints": 17, "iscrowd": 0})
    content = {"images": images, "annotations": people, "categories": [{"id": 1, "name": "person", "keypoints": list(COCO.joints)}]}
    (tmp_path / "people.json").write_text(json.dumps(content))
    return coco(tmp_path, tmp_path / "people.json")


def test_people_are_cut_out_of_photos_and_pasted_the_same_each_time(photos):
    found = cutouts(photos)
    assert len(found) >= 3
    for cutout in found:
        seen = cutout.keypoints[cutout.keypoints[:, 2] == 2]
        cell = np.round(seen[:, :2]).astype(int)
        near = cv2.dilate(cutout.cover, np.ones((5, 5), np.uint8))
        assert (near[cell[:, 1], cell[:, 0]] > 0).mean() >= 0.9
    onto = SyntheticPeople(length=5, seed=1, size=(120, 150), people=(0, 1))
    made, again = Pasted(onto, photos, seed=2), Pasted(onto, photos, seed=2)
    assert len(made) == 5
    for i in range(5):
        one, other = made[i], again[i]
        assert np.array_equal(one.image, other.image)
        assert np.array_equal(one.keypoints, other.keypoints)
        labelled = one.keypoints[one.keypoints[..., 2] > 0]
        assert ((labelled[:, :2] >= -0.5) & (labelled[:, :2] <= (149.5, 119.5))).all()
    assert sum(len(made[i].keypoints) for i in range(5)) > sum(len(onto[i].keypoints) for i in range(5))
    with pytest.raises(IndexError, match="no sample 5"):
        made[5]


def test_nobody_to_cut_out_is_an_error(photos):
    with pytest.raises(ValueError, match="no person in it has a segmentation"):
        cutouts(photos, smallest=10_000)
