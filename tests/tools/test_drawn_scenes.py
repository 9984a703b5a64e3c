from pathlib import Path

import cv2
import numpy as np
import pytest
from scene_checks import joint_counts
from synthetic_people.drawn.draw_person import draw_person, figure_joints, turned_away
from synthetic_people.drawn.figure import project, random_figure, random_proportions
from synthetic_people.drawn.look import random_look
from synthetic_people.drawn.scenes import SyntheticPeople

from manypose.data.augmentation.views import Augment
from manypose.poses.skeleton import COCO

LIGHT = np.array([-0.5, -0.6, -0.62])
CROWD = SyntheticPeople(length=30, seed=1, size=(96, 120), people=(2, 5), crowd=0.7, objects=3)


@pytest.fixture(scope="module")
def scenes():
    return [CROWD.scene(i) for i in range(len(CROWD))]


def test_seen_joints_lie_on_their_person_and_every_joint_in_the_picture(scenes):
    assert min(joint_counts(scenes)) > 100


def test_whoever_is_covered_by_another_has_no_seen_joint_there(scenes):
    covered = 0
    for scene in scenes:
        for number, person in enumerate(scene.sample.keypoints):
            x, y = np.round(person[:, :2]).astype(int).T
            others = scene.owner[np.clip(y, 0, 95), np.clip(x, 0, 119)]
            under = (person[:, 2] > 0) & (others >= 0) & (others != number)
            assert (person[under, 2] == 1).all()
            covered += under.sum()
    assert covered > 50


def test_hidden_joints_are_behind_somebody_where_there_are_no_things():
    hidden = bare = 0
    for i in range(12):
        scene = SyntheticPeople(12, 9, (112, 112), (2, 4), (0.4, 0.9), 0.8, 0.2, 0).scene(i)
        for person in scene.sample.keypoints:
            x, y = np.clip(np.round(person[person[:, 2] == 1, :2]).astype(int), 0, 111).T
            bare += (scene.owner[y, x] == -1).sum()
            hidden += len(x)
    assert hidden > 60
    assert bare <= 0.02 * hidden  # on the very outline a pixel is less than half covered


def test_boxes_areas_and_segmentation_are_those_of_the_masks(scenes):
    for scene in scenes:
        sample, masks = scene.sample, scene.masks
        assert len(masks) == len(sample.boxes) == len(sample.keypoints) == len(sample.areas)
        for mask, box, area in zip(masks, sample.boxes, sample.areas, strict=True):
            ys, xs = np.nonzero(mask)
            assert box.tolist() == [xs.min() - 0.5, ys.min() - 0.5, xs.max() + 0.5, ys.max() + 0.5]
            assert area == mask.sum() >= 12
        assert sample.segmentation is not None
        assert np.array_equal(sample.segmentation == 1, masks.any(0) | (sample.mask[0] == 0))
        assert (masks.sum(0) <= 1).all()
        assert (sample.keypoints[..., 2] > 0).any(1).all()


def test_people_of_whom_almost_nothing_is_seen_are_masked(scenes):
    masked = [s for s in scenes if (s.owner == -2).any()]
    assert masked
    for scene in scenes:
        assert np.array_equal(scene.sample.mask[0] == 0, scene.owner == -2)


def test_a_scene_follows_from_seed_and_index_alone():
    a, b = SyntheticPeople(5, seed=2, size=(64, 64)), SyntheticPeople(9, seed=2, size=(64, 64))
    _ = b[7]
    for i in (3, 0, -1):
        j = i % 5
        assert np.array_equal(a[i].image, b[j].image)
        assert np.array_equal(a[i].keypoints, b[j].keypoints)
    assert not np.array_equal(a[0].image, a[1].image)
    assert not np.array_equal(a[0].image, SyntheticPeople(5, seed=3, size=(64, 64))[0].image)
    with pytest.raises(IndexError):
        a[5]


def test_how_many_how_large_and_how_crowded_can_be_chosen():
    def overlap(crowd: float) -> float:
        scenes = [SyntheticPeople(12, 5, (96, 96), (4, 4), (0.3, 0.4), crowd, 0.0, 0).scene(i) for i in range(7)]
        return float(np.mean([(s.sample.keypoints[..., 2] == 1).mean() for s in scenes]))

    assert overlap(1.0) > overlap(0.0) + 0.05
    alone = SyntheticPeople(10, 6, (120, 120), (1, 1), (0.5, 0.6), 0.0, 0.0, 0)
    for i in range(10):
        sample = alone[i]
        assert len(sample.boxes) == 1
        assert (sample.keypoints[0, :, 2] > 0).all()
        span = max(np.ptp(sample.boxes[0, ::2]), np.ptp(sample.boxes[0, 1::2]))
        assert 0.2 * 120 < span < 0.95 * 120
    assert [len(SyntheticPeople(1, s, (64, 64), (0, 0))[0].boxes) for s in range(3)] == [0, 0, 0]


def test_a_person_reaching_beyond_the_picture_loses_joints():
    cut = SyntheticPeople(12, 7, (96, 96), (1, 1), (1.6, 2.0), 0.0, 1.0, 0)
    outside = [(cut[i].keypoints[..., 2] == 0).mean() for i in range(12) if len(cut[i].boxes)]
    assert np.mean(outside) > 0.2


@pytest.mark.parametrize("facing", [0, 180])
def test_faces_are_seen_from_the_front_only(facing):
    seen = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        figure = random_figure(rng)
        away = figure.head[2, 2] > 0.6  # the skull's forward axis, away from the viewer
        toward = figure.head[2, 2] < -0.6
        if (facing == 180 and not away) or (facing == 0 and not toward):
            continue
        at = -np.array(figure.points["skull"][:2]) * 150 + 100
        drawn = draw_person(figure, random_look(rng), 150, (float(at[0]), float(at[1])), (200, 200), LIGHT, 0.4)
        assert turned_away(figure)[:3].all() == (facing == 180)
        seen += drawn.keypoints[:3, 2].tolist()
    assert len(seen) >= 6
    assert (np.mean(np.array(seen) == 2) > 0.6) if facing == 0 else not (np.array(seen) == 2).any()


def test_far_face_points_can_be_left_unlabelled():
    size = {"length": 10, "seed": 8, "size": (96, 96), "people": (1, 1), "height": (0.6, 0.8), "truncate": 0.0, "objects": 0}
    with_far, without = (SyntheticPeople(**size, far_face=v) for v in (1, 0))
    fewer = 0
    for i in range(10):
        a, b = with_far[i].keypoints, without[i].keypoints
        assert np.array_equal(a[:, 5:], b[:, 5:])
        assert ((a[:, :5, 2] == b[:, :5, 2]) | (b[:, :5, 2] == 0)).all()
        fewer += (a[:, :5, 2] > 0).sum() - (b[:, :5, 2] > 0).sum()
    assert fewer > 3


def test_bones_keep_their_lengths_in_every_pose():
    for seed in range(30):
        rng = np.random.default_rng(seed)
        body = random_proportions(rng)
        p = random_figure(rng, body).points
        for s in ("left", "right"):
            for a, b, length in (
                ("shoulder", "elbow", body.upper_arm),
                ("elbow", "wrist", body.forearm),
                ("hip", "knee", body.thigh),
                ("knee", "ankle", body.shin),
            ):
                assert np.linalg.norm(p[f"{s}_{a}"] - p[f"{s}_{b}"]) == pytest.approx(length, abs=1e-9)
        assert np.linalg.norm(p["left_hip"] - p["right_hip"]) == pytest.approx(2 * body.hip, abs=1e-9)


def test_left_is_left():
    """A body that faces the viewer has its left on the right of the picture, one that faces away on the left."""
    for seed in range(40):
        figure = random_figure(np.random.default_rng(seed))
        across = figure.points["left_shoulder"][0] - figure.points["right_shoulder"][0]
        forward, up = figure.chest[:, 2], figure.chest[:, 1]
        if up[1] < -0.8 and abs(forward[2]) > 0.8:
            assert (across > 0) == (forward[2] < 0)
        assert np.linalg.det(figure.chest) == pytest.approx(1)
        assert np.linalg.det(figure.head) == pytest.approx(1)


def test_projection_is_perspective_about_the_given_pixel():
    xyz, local = project(np.array([[0.0, 0, 0], [0.1, 0, 0], [0.1, 0, 5.0]]), 100, (50, 60), distance=5.0)
    assert xyz[:2] == pytest.approx(np.array([[50, 60, 0], [60, 60, 0]]))
    assert xyz[2] == pytest.approx([55, 60, 500])
    assert local == pytest.approx([100, 100, 50])


def test_a_person_outside_the_picture_is_nothing_and_a_tiny_one_no_error():
    rng = np.random.default_rng(0)
    figure, look = random_figure(rng), random_look(rng)
    assert figure_joints(figure).shape == (17, 3)
    assert not draw_person(figure, look, 50, (900, 900), (64, 64), LIGHT, 0.4).keypoints.any()
    tiny = draw_person(figure, look, 3, (32, 32), (64, 64), LIGHT, 0.4)
    assert np.isfinite(tiny.canvas.rgb).all()
    assert (tiny.keypoints[:, 2] > 0).all()


def test_backgrounds_come_from_a_folder(tmp_path: Path):
    cv2.imwrite(str(tmp_path / "blue.png"), np.full((60, 80, 3), (200, 10, 10), np.uint8))
    scene = SyntheticPeople(3, 0, (48, 48), (1, 1), (0.4, 0.5), objects=0, backgrounds=tmp_path).scene(1)
    nobody = scene.sample.image[scene.owner == -1]
    assert np.abs(np.median(nobody, 0) - (10, 10, 200)).max() < 12
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"broken\.png"):
        [SyntheticPeople(30, 0, (48, 48), (0, 0), backgrounds=tmp_path)[i] for i in range(30)]
    with pytest.raises(ValueError, match="no folder with pictures"):
        SyntheticPeople(backgrounds=tmp_path / "nothing")


@pytest.mark.parametrize("wrong", [{"length": 0}, {"size": (4, 200)}, {"people": (3, 1)}, {"people": (-1, 1)}, {"height": (0.0, 1.0)}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="SyntheticPeople needs"):
        SyntheticPeople(**wrong)


def test_scenes_go_through_augmentation():
    out = Augment(size=64)(CROWD[0], np.random.default_rng(0))
    assert out.image.shape == (64, 64, 3)
    assert out.skeleton is COCO
