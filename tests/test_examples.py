"""What stands in examples/ works."""

import importlib.util

import numpy as np
import pytest
from shared import REPOSITORY

from manypose.io import photos
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO, named


@pytest.fixture(scope="module")
def count_people():
    spec = importlib.util.spec_from_file_location("count_people", REPOSITORY / "examples/count_people.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_raised_hands(count_people):
    keypoints, scores = np.full((3, 17, 2), 50, np.float32), np.ones((3, 17), np.float32)
    keypoints[0, COCO.index("left_wrist"), 1] = 20  # raised
    keypoints[1, COCO.index("right_wrist"), 1] = 20  # raised, but not seen
    scores[1, COCO.index("right_wrist")] = 0
    assert count_people.raised_hands(Poses(COCO, keypoints, scores, np.ones(3, np.float32))) == 1


def test_a_folder_is_counted(count_people, tmp_path, capsys):
    for name in ("a.png", "b.png"):
        photos.write(tmp_path / name, np.zeros((64, 64, 3), np.uint8))
    count_people.main(tmp_path)
    assert capsys.readouterr().out.splitlines() == [f"{name}: 0 people, 0 with a raised hand" for name in ("a.png", "b.png")]


def test_the_skeleton_of_ones_own():
    hand = named(str(REPOSITORY / "examples/hand.yaml"))
    assert (hand.name, len(hand), len(hand.limbs)) == ("hand", 6, 5)
