"""Drawing people."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manypose.io import photos
from manypose.poses.drawing import LEFT, MIDDLE, RIGHT, draw, joint_colour, limb_colour, line_width, person_colour
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO, CROWDPOSE, MPII, Skeleton


def person(scale: float = 1.0, at=(0.0, 0.0), score: float = 1.0, ids=None) -> Poses:
    """Somebody standing, 100 px tall at scale 1, COCO order; their left is on the right of the picture."""
    x = [50, 54, 46, 58, 42, 65, 35, 72, 28, 76, 24, 60, 40, 61, 39, 62, 38]
    y = [10, 8, 8, 10, 10, 25, 25, 42, 42, 58, 58, 58, 58, 78, 78, 98, 98]
    xy = np.stack([x, y], -1)[None].astype(np.float32) * scale + np.float32(at)
    return Poses(COCO, xy, np.full((1, 17), score, np.float32), np.ones(1, np.float32), ids=ids)


def grey(h: int = 120, w: int = 110) -> np.ndarray:
    return np.full((h, w, 3), 128, np.uint8)


@pytest.mark.parametrize(
    ("skeleton", "limb", "colour"),
    [
        (COCO, ("left_elbow", "left_wrist"), LEFT),
        (COCO, ("left_shoulder", "left_elbow"), LEFT),
        (COCO, ("right_hip", "right_knee"), RIGHT),
        (COCO, ("left_shoulder", "left_hip"), MIDDLE),
        (COCO, ("left_shoulder", "right_shoulder"), MIDDLE),
        (COCO, ("nose", "left_eye"), MIDDLE),
        (COCO, ("left_ear", "left_shoulder"), MIDDLE),
        (CROWDPOSE, ("neck", "right_shoulder"), MIDDLE),
        (MPII, ("pelvis", "left_hip"), MIDDLE),
        (MPII, ("right_elbow", "right_wrist"), RIGHT),
        (Skeleton.build("fly", ["head", "left_wing"], [(0, 1)], [0.1, 0.1]), ("head", "left_wing"), LEFT),
    ],
)
def test_the_fields_colours(skeleton, limb, colour):
    assert limb_colour(skeleton, [skeleton.index(j) for j in limb]) == colour


def test_joints_are_coloured_by_side_and_the_face_blue():
    assert [joint_colour(COCO, COCO.index(j)) for j in ("left_eye", "left_shoulder", "right_knee")] == [MIDDLE, LEFT, RIGHT]


def test_what_is_drawn_where():
    photo = grey()
    got = draw(photo, person(), alpha=1.0)
    assert (photo == 128).all()
    xy = person().keypoints[0].round().astype(int)
    for j, (x, y) in enumerate(xy):
        if j > 4:  # the face's points touch one another
            assert tuple(got[y, x]) == joint_colour(COCO, j), COCO.joints[j]
    thigh = ((xy[11] + xy[13]) / 2).round().astype(int)
    assert tuple(got[thigh[1], thigh[0]]) == LEFT
    far = np.abs(np.stack(np.mgrid[:120, :110][::-1], -1)[:, :, None] - xy).max(-1).min(-1) > 30
    assert (got[far] == 128).all()


def test_a_stroke_is_centred_on_its_joint():
    # A lone joint far from the edges: the centre of gravity of what changed is the joint, to a fraction of a pixel.
    for at in ((50.0, 40.0), (50.5, 40.25), (30.3, 60.7)):
        xy = np.zeros((1, 17, 2), np.float32)
        scores = np.zeros((1, 17), np.float32)
        xy[0, 9], scores[0, 9] = at, 1
        changed = np.abs(draw(grey(), Poses(COCO, xy, scores, np.ones(1, np.float32)), width=4.0).astype(float) - 128).sum(-1)
        y, x = np.mgrid[:120, :110]
        assert abs((changed * x).sum() / changed.sum() - at[0]) < 0.15
        assert abs((changed * y).sum() / changed.sum() - at[1]) < 0.15


def test_joints_of_low_score_are_left_out():
    assert np.array_equal(draw(grey(), person(score=0.05)), grey())
    assert not np.array_equal(draw(grey(), person(score=0.05), joint_threshold=0.01), grey())
    assert np.array_equal(draw(grey(), person(score=0.0), joint_threshold=0.0), grey())


def test_boxes_and_ids_are_optional():
    plain = draw(grey(), person())
    assert not np.array_equal(draw(grey(), person(), boxes=True), plain)
    tracked = person(ids=np.array([7]))
    assert not np.array_equal(draw(grey(), tracked), plain)
    assert np.array_equal(draw(grey(), tracked, ids=False), plain)


def test_alpha_blends():
    assert np.array_equal(draw(grey(), person(), alpha=0.0), grey())
    full, half = (draw(grey(), person(), alpha=a).astype(float) for a in (1.0, 0.5))
    assert np.abs(half - (full + 128) / 2).max() <= 1


def test_lines_grow_with_the_person_and_the_photo():
    box = np.array([0.0, 0.0, 300.0, 400.0])
    assert line_width(box * 0.05, (1000, 1000)) < line_width(box, (1000, 1000)) <= line_width(box * 4, (1000, 1000))
    assert line_width(box * 0.01, (200, 200)) >= 1
    assert line_width(box * 10, (4000, 4000)) > 4 * line_width(box, (500, 500))


@settings(max_examples=30, deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(1e-3, 1e4))
def test_people_anywhere_and_of_any_size(x, y, scale):
    got = draw(grey(), person(scale, (x, y), ids=np.array([12345])), boxes=True)
    assert got.shape == (120, 110, 3)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3)])
def test_tiny_photos(size):
    assert draw(grey(*size), person(ids=np.array([1])), boxes=True).shape == (*size, 3)


def test_nobody():
    assert np.array_equal(draw(grey(), Poses.empty(COCO), boxes=True), grey())


def test_poses_draw_themselves(tmp_path):
    photos.write(tmp_path / "a.png", grey())
    poses = person()
    with pytest.raises(ValueError, match=r"poses.draw\(path, photo\)"):
        poses.draw(tmp_path / "b.png")
    drawn = poses.draw(tmp_path / "b.png", tmp_path / "a.png")
    assert np.array_equal(photos.read(tmp_path / "b.png"), drawn)
    assert np.array_equal(drawn, draw(grey(), poses))
    with_photo = Poses(poses.skeleton, poses.keypoints, poses.keypoint_scores, poses.scores, photo=grey())
    assert np.array_equal(with_photo.draw(boxes=True), draw(grey(), poses, boxes=True))


def colours_of(picture: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(int(v) for v in c) for c in np.unique(picture.reshape(-1, 3), axis=0)}


@pytest.mark.usefixtures("untyped")
def test_issue_17_line_7_a_colour_a_person_or_an_id():
    two = person(at=(0, 0)), person(at=(100, 0))
    both = Poses(COCO, *(np.concatenate([getattr(p, n) for p in two]) for n in ("keypoints", "keypoint_scores", "scores")))
    photo = grey(120, 220)
    by_person = draw(photo, both, colour_by="person", alpha=1)
    assert {person_colour(0), person_colour(1)} <= colours_of(by_person)
    assert LEFT not in colours_of(by_person)
    assert person_colour(0) in colours_of(by_person[:, :100])
    assert person_colour(0) not in colours_of(by_person[:, 105:])
    tracked = Poses(COCO, both.keypoints, both.keypoint_scores, both.scores, ids=np.array([7, 3]))
    by_id = draw(photo, tracked, colour_by="id", ids=False, alpha=1)
    assert person_colour(7) in colours_of(by_id[:, :100])
    assert np.array_equal(draw(photo, both, colour_by="id", alpha=1), by_person)
    with pytest.raises(ValueError, match="colour_by is side, person or id"):
        draw(photo, both, colour_by="hair")  # type: ignore[arg-type]


def test_colours_of_neighbours_are_far_apart():
    shown = np.array([person_colour(i) for i in range(8)], int)
    apart = np.abs(shown[:, None] - shown[None]).max(2)
    assert apart[~np.eye(8, dtype=bool)].min() >= 70


def test_scores_are_written_on_request():
    plain, scored = draw(grey(), person()), draw(grey(), person(), scores=True)
    assert (plain != scored).any(2).sum() > 20
