"""The oracle benchmark's maps of Simple Pose, and what the assembly makes of the first images."""

import json

import numpy as np
import oracle
import pytest
import torch
from shared import shared

from manypose.data.datasets.coco import annotated_people

ARCHIVE = ("data", "coco_keypoints", "person_keypoints_val2017_rebuilt.npz")


def arm() -> np.ndarray:
    keypoints = np.zeros((1, 17, 3))
    keypoints[0, 6], keypoints[0, 8] = (100, 80, 2), (140, 200, 1)
    return keypoints


def test_frame_and_maps_are_the_published_ones():
    """Height 512, padded to multiples of 64; a joint lies at (x + 0.5) s - 0.5, cell i at 4 i + 1.5."""
    simple_pose = oracle.METHODS["simple_pose"]
    maps, warp = simple_pose.maps(arm(), (400, 500), 1)
    assert warp.size == (512, 640)
    assert {n: tuple(m.shape) for n, m in maps.items()} == {"part": (1, 30, 128, 160), "heat": (1, 18, 128, 160)}
    x, y = (np.array([100, 80]) + 0.5) * 1.28 - 0.5
    cy, cx = np.unravel_index(int(maps["heat"][0, 2].argmax()), (128, 160))
    assert abs(4 * cx + 1.5 - x) <= 2
    assert abs(4 * cy + 1.5 - y) <= 2
    assert sorted(torch.nonzero(maps["heat"][0].flatten(1).any(1)).flatten().tolist()) == [2, 3]
    assert torch.nonzero(maps["part"][0].flatten(1).any(1)).flatten().tolist() == [10]
    assert float(maps["part"][maps["part"] > 0].min()) == pytest.approx(0.01)


def test_each_degradation_is_drawn_from_the_image_number():
    simple_pose = oracle.METHODS["simple_pose"]
    clean = simple_pose.maps(arm(), (400, 500), 9)[0]
    draw = np.random.Generator(np.random.PCG64(9))
    gain = draw.uniform(0.3, 1, (1, 18))
    gained = simple_pose.maps(arm(), (400, 500), 9, True, frozenset({"gain"}))[0]
    assert float(gained["heat"][0, 2].max() / clean["heat"][0, 2].max()) == pytest.approx(gain[0, 2], rel=1e-5)
    assert torch.equal(gained["part"], clean["part"])
    a, b, c = (simple_pose.maps(arm(), (400, 500), i, True)[0] for i in (9, 9, 10))
    assert torch.equal(a["heat"], b["heat"])
    assert not torch.equal(a["heat"], c["heat"])
    assert 0.01 < float(a["heat"][0, 17].mean()) < 0.015  # noise of 0.03, cut off at 0
    kept = draw.uniform(size=(1, 18)) >= 0.1
    joints = simple_pose.maps(arm(), (400, 500), 9, True, frozenset({"joints"}))[0]
    assert bool(joints["heat"][0, 2].any()) == kept[0, 2]


@pytest.mark.parametrize(("degraded", "least"), [(False, 0.95), (True, 0.85)])
def test_first_images(tmp_path, degraded, least):
    out = tmp_path / "out.json"
    oracle.main(
        ["--method", "simple_pose", "--images", "60", "--data", str(shared(*ARCHIVE)), "--json", str(out), *["--degraded"] * degraded]
    )
    written = json.loads(out.read_text())
    assert written["AP"] >= least
    people = sum(len(i.keypoints) for i in sorted(annotated_people(shared(*ARCHIVE)), key=lambda image: image.image_id)[:60])
    assert written["persons_annotated"] == people
    assert written["persons_out"] <= 1.1 * people


def test_the_authors_grouping_is_not_copied():
    with pytest.raises(SystemExit, match="mended and not copied"):
        oracle.METHODS["simple_pose"].decode({}, None, published=True)
