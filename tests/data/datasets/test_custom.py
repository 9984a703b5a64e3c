"""A user's own data set: skeleton from the annotations, a YAML file, a built-in name or in place; sigmas are never guessed."""

import json

import cv2
import numpy as np
import pytest
import yaml

from manypose.data.datasets.custom import custom, describe
from manypose.poses.skeleton import COCO

TRIANGLE = {"joints": ["top", "left_foot", "right_foot"], "limbs": [["top", "left_foot"]], "sigmas": [0.1, 0.2, 0.2]}


@pytest.fixture
def write(tmp_path):
    """A data set of one photo; arguments change its YAML and its category."""
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "a.png"), np.zeros((40, 50, 3), np.uint8))

    def make(category=None, joints=3, annotation=None, **given):
        people = {
            "images": [{"id": 1, "file_name": "a.png", "height": 40, "width": 50}],
            "annotations": [{"id": 4, "image_id": 1, "category_id": 3, "bbox": [5, 5, 20, 30], "keypoints": [10, 10, 2] * joints}],
            "categories": [{"id": 3, "name": "person", "keypoints": TRIANGLE["joints"], "skeleton": [[1, 2]]} | (category or {})],
        }
        people["annotations"][0] |= annotation or {}
        (tmp_path / "people.json").write_text(json.dumps(people))
        described = {"images": "photos", "annotations": "people.json"} | given
        (tmp_path / "set.yaml").write_text(yaml.safe_dump({k: v for k, v in described.items() if v is not None}))
        return tmp_path / "set.yaml"

    return make


def test_skeleton_and_sigmas_from_the_annotations(write):
    skeleton = describe(write(category={"sigmas": [0.1, 0.2, 0.3]})).skeleton
    assert skeleton.joints == ("top", "left_foot", "right_foot")
    assert skeleton.sigmas == (0.1, 0.2, 0.3)
    assert skeleton.limbs == ((0, 1),)
    assert skeleton.mirror == (0, 2, 1)


def test_joints_from_the_annotations_and_sigmas_from_the_yaml(write):
    assert describe(write(sigmas=[0.3, 0.2, 0.1])).skeleton.sigmas == (0.3, 0.2, 0.1)


def test_a_skeleton_in_place_and_in_a_file(write, tmp_path):
    assert describe(write(skeleton=TRIANGLE)).skeleton.sigmas == (0.1, 0.2, 0.2)
    (tmp_path / "triangle.yaml").write_text(yaml.safe_dump(TRIANGLE))
    assert describe(write(skeleton="triangle.yaml")).skeleton.name == "triangle"


def test_a_built_in_skeleton(write):
    path = write(category={"keypoints": list(COCO.joints)}, joints=17, skeleton="coco")
    assert describe(path).skeleton is COCO
    assert custom(path)[0].keypoints.shape == (1, 17, 3)


def test_samples(write):
    data = custom(write(skeleton=TRIANGLE))
    assert data[0].keypoints.tolist() == [[[10, 10, 2]] * 3]
    assert data[0].boxes.tolist() == [[5, 5, 25, 35]]
    assert data[0].areas == pytest.approx([0.53 * 600])  # no area in the file
    assert data[0].mask.all()
    masked = custom(write(skeleton=TRIANGLE, all_persons_labelled=False), margin=0)[0].mask[0]
    assert masked.sum() == 20 * 30


def test_missing_sigmas_are_an_error(write):
    with pytest.raises(ValueError, match=r"set\.yaml .*no built-in skeleton and no sigmas are given"):
        describe(write())
    with pytest.raises(ValueError, match=r"set\.yaml: a skeleton must give sigmas"):
        describe(write(skeleton={k: v for k, v in TRIANGLE.items() if k != "sigmas"}))
    with pytest.raises(ValueError, match="3 joints but 2 sigmas"):
        describe(write(sigmas=[0.1, 0.2]))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"images": None}, "gives at least 'images'"),
        ({"annotations": 5}, "gives at least 'images'"),
        ({"skelton": "coco"}, "unknown keys skelton"),
        ({"skeleton": 5}, "skeleton is a built-in name"),
        ({"skeleton": "coco"}, "skeleton 'coco' has the joints nose"),
        ({"skeleton": "coco", "sigmas": [1]}, "has sigmas of its own"),
        ({"sigmas": "0.1"}, "sigmas are a list"),
        ({"skeleton": TRIANGLE, "all_persons_labelled": "yes"}, "is true or false"),
        ({"skeleton": TRIANGLE, "annotations": "other.json"}, r"other\.json: no such annotation file"),
        ({"skeleton": "other.yaml"}, r"other\.yaml: cannot be read"),
    ],
)
def test_a_bad_description_is_one_clear_error(write, given, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        describe(write(**given))


def test_joints_that_contradict_the_annotations(write):
    turned = {**TRIANGLE, "joints": TRIANGLE["joints"][::-1]}
    with pytest.raises(ValueError, match="names and order must agree"):
        describe(write(skeleton=turned))
    with pytest.raises(ValueError, match="no category with keypoints"):
        describe(write(category={"keypoints": []}))


def test_two_categories_with_joints(write, tmp_path):
    path = write(skeleton=TRIANGLE)
    people = json.loads((tmp_path / "people.json").read_text())
    people["categories"].append({"id": 5, "name": "dog", "keypoints": ["tail"]})
    (tmp_path / "people.json").write_text(json.dumps(people))
    with pytest.raises(ValueError, match=r"which category is meant.*--category"):
        describe(path)


def test_people_are_checked_by_id(write):
    with pytest.raises(ValueError, match="keypoints are not 3 x 3 numbers"):
        custom(write(skeleton=TRIANGLE, annotation={"keypoints": [1, 2, 2] * 4}))


def test_no_file_and_no_yaml(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such data set YAML"):
        describe(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(ValueError, match="cannot be read as YAML"):
        describe(tmp_path / "bad.yaml")
