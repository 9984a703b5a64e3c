"""``manypose prn detect``: a network's detections as annotations."""

import shutil

import numpy as np
import pytest
from shared import REPOSITORY

from manypose.cli.prn_detect import detect
from manypose.inference.model import load
from manypose.io.photos import read
from manypose.methods.multiposenet.prn_data import order, read_people


@pytest.fixture(scope="module")
def annotated(tmp_path_factory):
    """The example photo, annotated with what a model predicts there, and a second image whose photo is not there."""
    folder = tmp_path_factory.mktemp("photos")
    shutil.copy(REPOSITORY / "docs" / "example.jpg", folder / "000000000001.jpg")
    photo = read(folder / "000000000001.jpg")
    poses = load("multiposenet-mobile", device="cpu").predict(photo, threshold=0.02)
    keypoints = np.concatenate([poses.keypoints, 2 * (poses.keypoint_scores[..., None] > 0.2)], 2)
    boxes = np.concatenate([poses.boxes[:, :2], poses.boxes[:, 2:] - poses.boxes[:, :2]], 1)
    n, (h, w) = len(poses), photo.shape[:2]
    np.savez(
        folder / "people.npz", image_id=np.ones(n, int), keypoints=keypoints, bbox=boxes, area=boxes[:, 2] * boxes[:, 3] / 2,
        area_true=np.ones(n, bool), img_id=np.array([1, 2]), img_wh=np.array([[w, h], [w, h]]),
    )  # fmt: skip
    return folder


def test_what_a_model_finds_is_matched_with_the_people_it_found(annotated, tmp_path):
    out = detect(
        "multiposenet-mobile", annotated, annotated / "people.npz", tmp_path / "found.npz", threshold=0.2, box_threshold=0.02, device="cpu"
    )
    truth, found = read_people(annotated / "people.npz"), read_people(out)
    assert len(found.image_ids) == 1  # the photo that is there
    sure = order(found)
    assert len(sure) > 0
    for row in sure.tolist():
        place = (found.boxes[row] - truth.boxes[row]).abs().max()
        assert place < 0.15 * float(truth.boxes[row, 2] - truth.boxes[row, 0] + truth.boxes[row, 3] - truth.boxes[row, 1])
        both = (found.keypoints[row, :, 2] > 0) & (truth.keypoints[row, :, 2] > 0)
        assert both.any()


def test_what_cannot_be_used_is_one_clear_error(annotated, tmp_path):
    with pytest.raises(ValueError, match="mspn-mobile: not a MultiPoseNet"):
        detect("mspn-mobile", annotated, annotated / "people.npz", tmp_path / "found.npz", device="cpu")
    with pytest.raises(FileNotFoundError, match=r"has none of the photos of .*people\.npz, such as 0000"):
        detect("multiposenet-mobile", tmp_path, annotated / "people.npz", tmp_path / "found.npz", device="cpu")
    assert not (tmp_path / "found.npz").exists()
