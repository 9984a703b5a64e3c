"""Photos that lie on a side: people are found in them as in the upright ones, and a photo with a sure person is looked at once."""

from dataclasses import replace

import numpy as np
import pytest

import manypose
from manypose.inference import turned
from manypose.inference.turned import back, quarters_tilted
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO, MPII


@pytest.mark.parametrize("quarters", range(4))
def test_places_in_a_turned_copy_go_back_to_where_they_were(quarters):
    photo = np.arange(35).reshape(5, 7)
    copy = np.rot90(photo, quarters)
    y, x = np.indices(copy.shape)
    places = back(np.stack([x, y], -1).reshape(-1, 2).astype(float), quarters, (5, 7))
    assert np.array_equal(photo[tuple(places.astype(int)[:, ::-1].T)], copy.reshape(-1))


def standing(skeleton=COCO) -> Poses:
    """One person in a photo of 100 × 60 pixels, all of whose joints are seen."""
    height = {"nose": 12, "eye": 10, "ear": 11, "shoulder": 25, "elbow": 38, "wrist": 50, "hip": 55, "knee": 75, "ankle": 93}
    rows = [next((y for part, y in height.items() if part in joint), 20) for joint in skeleton.joints]
    places = [[30 + 6 * (joint.startswith("left") - joint.startswith("right")), y] for joint, y in zip(skeleton.joints, rows, strict=True)]
    return Poses(skeleton, np.array([places], np.float32), np.full((1, len(rows)), 0.8, np.float32), np.ones(1, np.float32))


@pytest.mark.parametrize("quarters", range(4))
def test_a_tilt_is_the_turn_after_which_the_person_stands(quarters):
    """In the photo turned by `quarters`, as many turns more make the circle full."""
    photo = np.rot90(np.zeros((100, 60)), quarters)
    person = standing()
    lying = replace(person, keypoints=back(person.keypoints, 4 - quarters, photo.shape), boxes=np.zeros((1, 4), np.float32))
    assert quarters_tilted(lying) == (4 - quarters) % 4
    faint = replace(lying, keypoint_scores=lying.keypoint_scores * 0.2)
    assert quarters_tilted(faint) == 0
    headless = lying.keypoint_scores.copy()
    headless[:, :5] = 0
    assert quarters_tilted(replace(lying, keypoint_scores=headless)) == (4 - quarters) % 4


@pytest.mark.parametrize(("degrees", "turns"), [(0, 0), (55, 0), (65, 1), (-55, 0), (-65, 3), (100, 1), (140, 2), (-140, 2)])
def test_whoever_leans_is_not_turned(degrees, turns):
    person, angle = standing(), np.radians(degrees)
    clockwise = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    assert quarters_tilted(replace(person, keypoints=(person.keypoints @ clockwise.T).astype(np.float32))) == turns


def test_a_skeleton_without_a_face_tells_no_tilt():
    assert quarters_tilted(standing(MPII)) == 0
    assert quarters_tilted(Poses.empty(COCO)) == 0


@pytest.fixture(scope="module")
def upright():
    astronaut = pytest.importorskip("skimage.data").astronaut()
    return astronaut, manypose.load("fast").predict(astronaut)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_photo_that_lies_on_its_side_has_the_same_people(upright, quarters):
    photo, expected = upright
    model = manypose.load("fast")
    lying = np.ascontiguousarray(np.rot90(photo, quarters))
    found = model.predict(lying)
    assert len(found) == len(expected) == 1
    # `back` of the other way round: from the upright photo to the lying one
    there = back(expected.keypoints[0], 4 - quarters, lying.shape[:2])
    seen = expected.keypoint_scores[0] > 0.3
    np.testing.assert_allclose(found.keypoints[0][seen], there[seen], atol=2)
    np.testing.assert_allclose(found.scores, expected.scores, atol=0.05)
    corners = back(expected.boxes.reshape(-1, 2, 2), 4 - quarters, lying.shape[:2])
    np.testing.assert_allclose(found.boxes, np.concatenate([corners.min(1), corners.max(1)], 1), atol=4)
    once = model.predict(lying, turned=False)
    assert not len(once) or once.scores.max() < found.scores.max()


def test_a_sure_person_is_not_looked_for_again(upright, monkeypatch):
    photo, expected = upright
    assert expected.scores.max() > turned.SURE
    monkeypatch.setattr(np, "rot90", lambda *_: pytest.fail("turned a photo that has a sure person"))
    assert len(manypose.load("fast").predict(photo)) == 1


def test_a_photo_with_swapped_channels_has_the_people_of_the_right_order(upright):
    photo, expected = upright
    found = manypose.load("fast").predict(photo[..., ::-1].copy(), colour="rgb")
    assert np.array_equal(found.keypoints, expected.keypoints)
    assert np.array_equal(found.photo, photo[..., ::-1])


@pytest.mark.parametrize(("factor", "taken"), [(0.5, True), (2.0, False)])
def test_the_swapped_copy_must_be_nearly_as_good(upright, monkeypatch, factor, taken):
    """Said to be swapped, a photo in the right order is predicted once more, not rotated."""
    photo, expected = upright
    rotated, asked = np.rot90, []
    monkeypatch.setattr(
        np, "rot90", lambda picture, quarters: asked.append((quarters, picture[..., 0].mean())) or rotated(picture, quarters)
    )
    monkeypatch.setattr(turned, "swapped", lambda *_: True)
    monkeypatch.setattr(turned, "AS_GOOD", factor)
    found = manypose.load("fast").predict(photo)
    assert asked == [(0, photo[..., 2].mean())]
    assert np.array_equal(found.keypoints, expected.keypoints) is not taken


def test_a_rotated_photo_with_swapped_channels_is_rotated_in_the_right_order(upright, monkeypatch):
    photo, _ = upright
    rotated, asked = np.rot90, []
    lying = np.ascontiguousarray(rotated(photo, 2))[..., ::-1].copy()
    monkeypatch.setattr(
        np, "rot90", lambda picture, quarters: asked.append((quarters, picture[..., 0].mean())) or rotated(picture, quarters)
    )
    monkeypatch.setattr(turned, "swapped", lambda *_: True)
    manypose.load("fast").predict(lying)
    assert (2, lying[..., 2].mean()) in asked
    assert asked[-1] == (0, lying[..., 2].mean())


def test_an_array_without_people_is_looked_at_again_once(monkeypatch):
    """Four copies: three turned, one with red and blue exchanged; the question whether it is BGR does not ask for more."""
    rotated, asked = np.rot90, []
    monkeypatch.setattr(np, "rot90", lambda picture, quarters: asked.append(quarters) or rotated(picture, quarters))
    assert len(manypose.load("fast").predict(np.full((64, 64, 3), 90, np.uint8))) == 0
    assert asked == [1, 2, 3, 0]


def test_a_stream_is_not_turned(monkeypatch):
    model = manypose.load("fast")
    blank = np.zeros((64, 64, 3), np.uint8)
    monkeypatch.setattr(np, "rot90", lambda *_: pytest.fail("turned a frame of a stream"))
    assert [len(p) for p in model.predict(iter([blank]))] == [0]
