"""Rendered people: where joints are labelled is where the body is, the same scene each time."""

import numpy as np
import pytest
import torch
from scene_checks import joint_counts
from synthetic_people.rendered.bodies import PARTS, Bodies
from synthetic_people.rendered.postures import BONES, Bank, joints, postures, real_poses
from synthetic_people.rendered.render import Light, Renderer
from synthetic_people.rendered.scenes import RenderedPeople

from manypose.poses.skeleton import COCO

pytest.importorskip("anny", reason="the extra synth is not installed")


def egl() -> str:
    try:
        Renderer((16, 16))
    except ValueError as e:
        return str(e)
    return ""


needs_egl = pytest.mark.skipif(bool(egl()), reason=egl())


@pytest.fixture(scope="module")
def bodies():
    return Bodies()


@pytest.fixture(scope="module")
def scenes():
    people = RenderedPeople(length=16, seed=3, size=(128, 160), people=(1, 4))
    return people, [people.scene(i) for i in range(len(people))]


# ── postures and bodies ──


def test_the_bones_are_where_the_body_model_puts_them(bodies):
    """The picking of postures measures the limbs that the mesh has: two ways to the same joints."""
    rest, n = bodies.rest, 6
    turns = postures(np.random.default_rng(0), n, rest)
    shape = bodies._shape(None, n)
    heads = bodies._posed({b: torch.from_numpy(t).float() for b, t in turns.items()}, shape)["bone_poses"][:, :, :3, 3].numpy()
    of = lambda bone: heads[:, bodies.model.bone_labels.index(bone)]  # noqa: E731
    names = [f"{b}.{s}" for b in ("upperarm01", "lowerarm01", "wrist", "upperleg01", "lowerleg01", "foot") for s in "LR"]
    theirs = np.stack([of(name) for name in names], 1)
    ours = joints(turns, rest)
    middle = of("root")[:, None]
    np.testing.assert_allclose(theirs - middle, ours, atol=1e-4)


def test_every_turn_is_a_rotation(bodies):
    turns = postures(np.random.default_rng(1), 50, bodies.rest)
    assert set(turns) == set(BONES)
    for turn in turns.values():
        np.testing.assert_allclose(turn @ turn.transpose(0, 2, 1), np.broadcast_to(np.eye(3), turn.shape), atol=1e-9)
        np.testing.assert_allclose(np.linalg.det(turn), 1, atol=1e-9)


def test_a_bank_picks_what_looks_like_the_real_pose(bodies):
    rng = np.random.default_rng(0)
    made = Bank(bodies.rest, seed=5, size=3000)
    real = made.look[:40]  # poses that can be met
    near = Bank(bodies.rest, seed=6, size=3000, real=real)
    distance = lambda bank: np.mean([min(np.linalg.norm(real - look(bank, rng), axis=1)) for _ in range(60)])  # noqa: E731

    def look(bank, rng):
        turns, view = bank.pick(rng)
        seen = joints({b: t[None] for b, t in turns.items()}, bodies.rest) @ view.T
        xy = seen[0, :, :2] - seen[0, :, :2].mean(0)
        return (xy / np.sqrt((xy**2).sum(-1).mean())).reshape(-1)

    assert distance(near) < 0.75 * distance(made)


def test_left_is_left_and_up_is_up(bodies):
    """Seen from the front, the body's left is on the picture's right; the nose is in front of the ears."""
    made = bodies.make(np.random.default_rng(0), [{b: np.eye(3) for b in BONES}])
    at = dict(zip(COCO.joints, made.joints[0], strict=True))
    assert at["left_shoulder"][0] > 0.1 > -0.1 > at["right_shoulder"][0]
    assert at["nose"][2] > at["left_hip"][2] > at["left_ankle"][2]
    assert at["nose"][1] < at["left_ear"][1]
    assert 0.7 < made.tall[0] < 2.6
    assert set(np.unique(bodies.part)) <= set(range(len(PARTS)))
    assert len(np.unique(bodies.part)) > 10


def test_real_poses_come_from_a_file_with_people(tmp_path):
    points = np.random.default_rng(0).uniform(0, 100, (5, 17, 3))
    points[..., 2] = 2
    points[0, 9, 2] = 0
    np.savez(tmp_path / "a.npz", keypoints=points)
    assert real_poses(tmp_path / "a.npz").shape == (4, 24)
    points[..., 2] = 0
    np.savez(tmp_path / "b.npz", keypoints=points)
    with pytest.raises(ValueError, match=r"b\.npz.*no person"):
        real_poses(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", other=points)
    with pytest.raises(ValueError, match=r"c\.npz.*keypoints"):
        real_poses(tmp_path / "c.npz")


# ── rendering ──


@needs_egl
def test_a_square_is_drawn_where_the_lens_puts_it():
    """Pixel centres are integers: x = focal · X / Z + W / 2 - 0.5."""
    corners = np.array([[-1, -1, 4], [1, -1, 4], [1, 0.5, 4], [-1, 0.5, 4]], np.float32)
    normals = np.tile(np.float32([0, 0, -1]), (4, 1))
    paint = np.ones((4, 4), np.float32)
    white = np.ones(3)
    light = Light(np.array([0, 0, -1.0]), white * 0, white, white, 0.0)
    drawn = Renderer((40, 60)).draw(corners[None], normals[None], paint[None], corners, np.array([[0, 1, 2], [0, 2, 3]]), 40.0, light)
    rows, columns = np.flatnonzero((drawn.owner == 0).any(1)), np.flatnonzero((drawn.owner == 0).any(0))
    assert (columns[0], columns[-1], rows[0], rows[-1]) == (20, 39, 10, 24)
    assert drawn.rgb[rows[3], columns[3]].tolist() == [255, 255, 255]
    np.testing.assert_allclose(drawn.depth[drawn.owner == 0], 4, rtol=1e-3)
    assert np.isinf(drawn.depth[0, 0])


@needs_egl
def test_seen_joints_lie_on_their_person(scenes):
    seen, hidden = joint_counts(scenes[1])
    assert seen > 150
    assert hidden > 30


@needs_egl
def test_boxes_hold_what_is_seen_and_areas_count_it(scenes):
    for scene in scenes[1]:
        for mask, box, area in zip(scene.masks, scene.sample.boxes, scene.sample.areas, strict=True):
            ys, xs = np.nonzero(mask)
            assert area == mask.sum()
            np.testing.assert_allclose(box, [xs.min() - 0.5, ys.min() - 0.5, xs.max() + 0.5, ys.max() + 0.5])


@needs_egl
def test_a_scene_is_the_same_each_time_and_others_differ(scenes):
    people, made = scenes
    again = RenderedPeople(length=16, seed=3, size=(128, 160), people=(1, 4)).scene(5)
    assert np.array_equal(again.sample.image, made[5].sample.image)
    assert np.array_equal(again.sample.keypoints, made[5].sample.keypoints)
    assert not np.array_equal(again.sample.image, made[6].sample.image)
    with pytest.raises(IndexError, match="no scene 16"):
        people.scene(16)


@needs_egl
def test_nobody_is_a_scene_too():
    scene = RenderedPeople(length=1, people=(0, 0), size=(32, 48)).scene(0)
    assert scene.sample.keypoints.shape == (0, 17, 3)
    assert scene.sample.mask.all()


def test_ranges_that_are_empty_say_so():
    with pytest.raises(ValueError, match="RenderedPeople needs"):
        RenderedPeople(people=(3, 2))
    with pytest.raises(ValueError, match="no folder with pictures"):
        RenderedPeople(backgrounds="nowhere")
