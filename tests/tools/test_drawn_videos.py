"""Videos of drawn people who cross: the same every time, with the truth of who is who."""

import numpy as np
import pytest
from synthetic_people.drawn.figure import Proportions
from synthetic_people.drawn.gait import STRIDE, walking
from synthetic_people.drawn.videos import SyntheticVideo, found_in

from manypose.poses.skeleton import COCO, MPII, POSETRACK


def test_any_frame_at_any_time():
    video, again = SyntheticVideo(60, 3, size=(96, 128)), SyntheticVideo(60, 3, size=(96, 128))
    picture = again.picture(41)
    for i in (5, 41):
        assert np.array_equal(video.people(i).truth.keypoints, again.people(i).truth.keypoints)
    assert np.array_equal(video.picture(41), picture)
    assert not np.array_equal(video.picture(40), picture)
    assert not np.array_equal(SyntheticVideo(60, 4, size=(96, 128)).picture(41), picture)


@pytest.mark.parametrize("skeleton", [COCO, POSETRACK])
def test_people_walk_on(skeleton):
    """From frame to frame everybody moves a little, to one side; new people have new ids; in time they cross."""
    video, last, ways, turns, crossed, ids = SyntheticVideo(150, 1, skeleton=skeleton), {}, {}, {}, False, set()
    for i in range(len(video)):
        crowd = video.people(i)
        truth = crowd.truth
        assert truth.ids is not None
        assert len(set(truth.ids.tolist())) == len(truth)
        assert ((crowd.hidden >= 0) & (crowd.hidden <= 1)).all()
        crossed |= bool((crowd.hidden > 0.5).any())
        now = {int(p): k for p, k in zip(truth.ids, truth.keypoints, strict=True)}
        for person in now.keys() & last.keys():
            both = (now[person][:, 2] > 0) & (last[person][:, 2] > 0)
            if both.sum() > 8:
                way = (now[person] - last[person])[both, :2]
                assert np.abs(way).max() < 0.12 * video.size[0]
                ways.setdefault(person, []).append(way[:, 0].mean())
        for person in now:  # nobody comes back once the next one is on their way
            lane, turn = (person - 1) % video.lanes, (person - 1) // video.lanes
            assert turn >= turns.get(lane, 0)
            turns[lane] = turn
        ids |= now.keys()
        last = now
    assert crossed
    assert len(ids) > video.lanes
    for steps in ways.values():
        assert len({np.sign(s) for s in np.array(steps)[:: len(steps)]}) == 1
    sides = {np.sign(np.mean(steps)) for steps in ways.values()}
    assert sides == {-1.0, 1.0}


def test_joints_lie_on_the_people_drawn():
    """Without people the background is left: at the joints of those in front the picture differs from it."""
    video = SyntheticVideo(60, 5, size=(160, 200), lanes=2)
    background = np.median([video.picture(i) for i in range(0, 60, 6)], axis=0)
    on = []
    for i in (12, 30, 48):
        picture, truth = video.picture(i), video.people(i).truth
        x, y = np.round(truth.keypoints[truth.labelled][:, :2].T).astype(int)
        on += list(np.abs(picture[y, x] - background[y, x]).max(1) > 12)
    assert np.mean(on) > 0.8


def test_a_walk_swings_and_comes_back():
    body = Proportions()
    figures = [walking(body, phase, 90) for phase in (0, 0.25, 0.5, 0.75, 1)]
    for name, start in figures[0].points.items():
        assert np.allclose(start, figures[4].points[name])
    for figure in figures:
        thigh = figure.points["left_knee"] - figure.points["left_hip"]
        assert np.linalg.norm(thigh) == pytest.approx(body.thigh)
        assert figure.points["left_ankle"][1] > figure.points["left_knee"][1] > 0  # y is down
    step = figures[1].points["left_ankle"][0] - figures[1].points["right_ankle"][0]
    assert 0.25 * STRIDE < step < 0.75 * STRIDE  # the left foot is before the right one, to the right of the picture


def test_what_a_detector_makes_of_it():
    video = SyntheticVideo(200, 2, skeleton=POSETRACK)
    rng = np.random.default_rng(0)
    perfect = found_in(video.people(20), rng)
    truth = video.people(20).truth
    assert perfect.ids is not None
    assert truth.ids is not None
    for person, keypoints, scores in zip(perfect.ids, perfect.keypoints, perfect.keypoint_scores, strict=True):
        row = int(np.flatnonzero(truth.ids == person)[0])
        assert np.array_equal(scores > 0, truth.labelled[row])
        assert np.array_equal(keypoints[scores > 0], truth.keypoints[row, truth.labelled[row], :2])
    frames = [video.people(i) for i in range(0, 200, 2)]
    there = sum(len(f.truth) for f in frames)
    found = [found_in(f, rng, drop=0.3, noise=0.2, ghosts=0.5) for f in frames]
    ghosts = sum(int((f.ids == 0).sum()) for f in found)  # type: ignore[union-attr]
    assert 0.6 < (sum(map(len, found)) - ghosts) / there < 0.8
    assert 30 < ghosts < 70
    assert all(found_in(f, rng, hide=0.0).ids.tolist() or f.hidden.any() for f in frames if len(f.truth))  # type: ignore[union-attr]


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"lanes": 0}, {"size": (8, 8)}, {"height": (0.5, 0.2)}, {"skeleton": MPII}])
def test_bad_arguments(wrong, untyped):
    with pytest.raises(ValueError, match="SyntheticVideo needs"):
        SyntheticVideo(**wrong)
    with pytest.raises(IndexError, match="no frame 100, there are 100"):
        SyntheticVideo().people(100)
