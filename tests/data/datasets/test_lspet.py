"""Leeds Sports Pose Extended: COCO-format file, both kinds of joints.mat, faults by photo number."""

import cv2
import numpy as np
import pytest
from scipy.io import savemat
from shared import shared

from manypose.data.datasets.lspet import LSP, lspet, read_lspet
from manypose.poses.skeleton import COCO, CROWDPOSE


def test_the_photos_beside_the_project():
    folder = shared("data", "lspet_photos")
    data = lspet(folder / "images", folder / "person_keypoints.json")
    assert len(data) == 4425
    assert data.report.people == 4425
    sample = data[0]
    assert sample.keypoints.shape == (1, 17, 3)
    assert (sample.keypoints[0, :5, 2] == 0).all()
    assert sample.mask.shape[0] == 17
    assert not sample.mask[:5].any()  # face points are not annotated at all
    assert 0 < sample.mask[5:].mean() < 1  # others in the photo may be unlabelled


@pytest.fixture
def photos(tmp_path):
    for i in (1, 2, 3):
        cv2.imwrite(str(tmp_path / f"im{i:05d}.jpg"), np.zeros((100, 120, 3), np.uint8))
    return tmp_path


def random_joints(n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate([rng.uniform(10, 90, (14, 2, n)), np.ones((14, 1, n))], 1)


def test_extended_joints_count_from_one_and_1_means_found(photos):
    joints = random_joints(3)
    joints[5, 2, 1] = 0
    savemat(photos / "joints.mat", {"joints": joints})
    people, report = read_lspet(photos, photos / "joints.mat")
    assert report.problems == []
    assert [p.image_id for p in people] == [1, 2, 3]
    assert people[0].keypoints[0, :, :2] == pytest.approx(joints[:, :2, 0] - 1, abs=1e-4)
    assert people[0].keypoints[0, :, 2].tolist() == [2] * 14
    assert people[1].keypoints[0, 5].tolist() == [0, 0, 0]
    low, high = people[0].boxes[0, :2], people[0].boxes[0, 2:]
    assert (low <= people[0].keypoints[0, :, :2].min(0)).all()
    assert (high >= people[0].keypoints[0, :, :2].max(0)).all()


def test_plain_joints_have_axes_exchanged_and_1_means_hidden(photos):
    joints = random_joints(3).transpose(1, 0, 2)
    joints[2] = 0
    joints[2, 4, 0] = 1
    savemat(photos / "joints.mat", {"joints": joints})
    people, _ = read_lspet(photos, photos / "joints.mat")
    assert people[0].keypoints[0, :, 2].tolist() == [1 if j == 4 else 2 for j in range(14)]


@pytest.mark.parametrize(("name", "skeleton"), [("coco", COCO), ("crowdpose", CROWDPOSE)])
def test_joints_go_to_those_of_the_same_name(photos, name, skeleton):
    joints = random_joints(3)
    savemat(photos / "joints.mat", {"joints": joints})
    data = lspet(photos, photos / "joints.mat", name)
    sample = data[0]
    for i, joint in enumerate(skeleton.joints):
        if joint in LSP.joints:
            assert sample.keypoints[0, i, :2] == pytest.approx(joints[LSP.index(joint), :2, 0] - 1, abs=1e-4)
        else:
            assert sample.keypoints[0, i, 2] == 0
            assert not sample.mask[i].any()
    assert sample.mask[-1].any()
    assert not sample.mask[-1].all()


def test_one_person_alone_can_be_read(photos):
    savemat(photos / "joints.mat", {"joints": random_joints(1)})
    assert len(read_lspet(photos, photos / "joints.mat")[0]) == 1


def test_faults_are_reported_by_photo_number(photos):
    joints = random_joints(4)
    joints[3, 0, 0] = 500
    joints[7, 1, 1] = np.nan
    joints[:, 2, 2] = 0
    savemat(photos / "joints.mat", {"joints": joints})
    people, report = read_lspet(photos, photos / "joints.mat")
    assert report.ids("keypoints outside the photo") == [1, 2]
    assert report.ids("no joint is labelled") == [3]
    assert report.ids("photo file missing") == [4]
    assert people[0].keypoints[0, 3].tolist() == [0, 0, 0]
    assert np.isfinite(people[1].keypoints).all()


def test_files_that_are_something_else(photos, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"joints\.mat: no such"):
        read_lspet(photos, photos / "joints.mat")
    (photos / "joints.mat").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"joints\.mat: not a \.mat file"):
        read_lspet(photos, photos / "joints.mat")
    savemat(photos / "joints.mat", {"points": random_joints(3)})
    with pytest.raises(ValueError, match="has no variable 'joints', it has points"):
        read_lspet(photos, photos / "joints.mat")
    savemat(photos / "joints.mat", {"joints": np.zeros((5, 5, 5))})
    with pytest.raises(ValueError, match=r"'joints' is 14x3xN \(LSPET\) or 3x14xN \(LSP\), got \(5, 5, 5\)"):
        read_lspet(photos, photos / "joints.mat")
    (tmp_path / "empty").mkdir()
    savemat(photos / "joints.mat", {"joints": random_joints(3)})
    with pytest.raises(ValueError, match=r"no photos im1\.jpg"):
        read_lspet(tmp_path / "empty", photos / "joints.mat")
