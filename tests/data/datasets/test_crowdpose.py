"""CrowdPose's files: area by its own rule, crowd index, faults by id."""

import json

import cv2
import numpy as np
import pytest
from shared import shared

from manypose.data.datasets.crowdpose import crowdpose, read_crowdpose
from manypose.poses.skeleton import CROWDPOSE


def test_the_sample_photos():
    folder = shared("data", "format_samples", "crowdpose")
    data = crowdpose(folder, folder / "test_crowdpose.json")
    assert len(data) == 2
    assert data.report.problems == []
    sample = data[0]
    assert sample.skeleton is CROWDPOSE
    assert sample.keypoints.shape == (2, 14, 3)
    assert sample.areas == pytest.approx([0.53 * 273.15 * 352.42, 0.53 * 244.5 * 349.72])
    assert [p.crowd for p in data.photos] == [0.33, 0.39]
    assert len(data.photos[0].ignored) == 1  # the person without a labelled joint
    assert sample.keypoints[0, CROWDPOSE.index("head")].tolist() == [256, 27, 1]


@pytest.mark.slow
def test_the_complete_val_annotations(tmp_path):
    given = json.loads(shared("data", "eval_fixtures", "crowdpose", "crowdpose_val.json").read_text())
    ours = tmp_path / "photos"
    ours.mkdir()
    for image in given["images"]:
        (ours / image["file_name"]).touch()  # only that they are there matters here
    photos, report = read_crowdpose(ours, shared("data", "eval_fixtures", "crowdpose", "crowdpose_val.json"))
    labelled = {a["id"] for a in given["annotations"] if max(a["keypoints"][2::3]) > 0 and not a["iscrowd"]}
    dropped = {p.id for p in report.problems if p.what == "annotation" and p.dropped}
    assert report.people == len(labelled - dropped)
    assert len(dropped) < 10
    assert all(p.crowd is not None and 0 <= p.crowd <= 3.02 for p in photos)


@pytest.fixture
def folder(tmp_path):
    cv2.imwrite(str(tmp_path / "1.jpg"), np.zeros((60, 80, 3), np.uint8))
    given = {
        "images": [{"id": 1, "file_name": "1.jpg", "height": 60, "width": 80, "crowdIndex": 0.5}],
        "annotations": [{"id": 7, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 30], "keypoints": [20, 20, 2] * 14}],
        "categories": [{"id": 1, "name": "person", "keypoints": list(CROWDPOSE.joints)}],
    }

    def write(change=lambda given: None):
        again = json.loads(json.dumps(given))
        change(again)
        (tmp_path / "people.json").write_text(json.dumps(again))
        return tmp_path, tmp_path / "people.json"

    return write


def test_an_area_in_the_file_does_not_count(folder):
    data = crowdpose(*folder(lambda g: g["annotations"][0].update(area=5)))
    assert data[0].areas == pytest.approx([0.53 * 20 * 30])


def test_the_area_is_that_of_the_whole_box(folder):
    data = crowdpose(*folder(lambda g: g["annotations"][0].update(bbox=[-10, 10, 40, 30])))
    assert data[0].areas == pytest.approx([0.53 * 40 * 30])
    assert data[0].boxes[0].tolist() == [0, 10, 30, 40]


@pytest.mark.parametrize("index", [None, -0.1, "0.5", float("nan")])
def test_a_missing_crowd_index_is_reported_by_id(folder, index):
    _, report = read_crowdpose(*folder(lambda g: g["images"][0].update(crowdIndex=index)))
    assert report.ids("no crowd index") == [1]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"keypoints": [20, 20, 2] * 17}, "keypoints are not 3 x 14 numbers"),
        ({"keypoints": [20, float("nan"), 2] * 14}, "keypoints are not finite"),
        ({"bbox": "10 10 20 30"}, "box is not 4 numbers"),
        ({"image_id": 9}, "annotation of an unknown image"),
    ],
)
def test_a_bad_person_is_reported_by_id(folder, change, kind):
    def spoil(given):
        given["annotations"].append({**given["annotations"][0], "id": 8, **change})

    data = crowdpose(*folder(spoil))
    assert data.report.ids(kind) == [8]
    assert len(data[0].keypoints) == 1


def test_other_joints_are_an_error(folder):
    with pytest.raises(ValueError, match="people have 17 joints, CrowdPose's have 14"):
        crowdpose(*folder(lambda g: g["categories"][0].update(keypoints=[f"j{i}" for i in range(17)])))
    with pytest.raises(ValueError, match="joints are in another order"):
        crowdpose(*folder(lambda g: g["categories"][0].update(keypoints=list(CROWDPOSE.joints[::-1]))))
