"""Tracking: ids that stay with people, whatever order, place or gap they come in."""

import doctest
import tracemalloc
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from dots import FLY, BoxDots, Dots, photo_of
from hypothesis import given
from hypothesis import strategies as st
from synthetic_people.drawn.videos import SyntheticVideo, found_in

import manypose.tracking.tracker
from manypose.evaluation.metrics.posetrack import posetrack_mot
from manypose.inference.model import Model
from manypose.inference.options import PredictOptions
from manypose.inference.photos import PhotoInput, Result
from manypose.inference.pipeline import look_into_boxes, tracked
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO, POSETRACK
from manypose.tracking.tracker import Tracker, TrackOptions

STILL = TrackOptions(flow="none")
LOOK = partial(look_into_boxes, BoxDots())
BODY = np.random.default_rng(7).integers(0, [60, 160], (17, 2)).astype(np.float64)


def people(*at: tuple[float, float], scores: list[float] | None = None) -> Poses:
    """Whole people of one shape at these places."""
    keypoints = BODY + np.array(at, np.float64).reshape(-1, 1, 2)
    n = len(keypoints)
    return Poses(COCO, keypoints, np.ones((n, 17)), np.ones(n) if scores is None else np.array(scores))


def ids_of(tracker: Tracker, *frames: Poses) -> list[list[int]]:
    return [tracker.update(f).ids.tolist() for f in frames]  # type: ignore[union-attr]


@st.composite
def videos(draw) -> list[Poses]:
    """Any people on whole pixels: some joints missing, some people alike, some scores equal."""
    frames = []
    for _ in range(draw(st.integers(1, 5))):
        n = draw(st.integers(0, 5))
        rng = np.random.default_rng(draw(st.integers(0, 10_000)))
        at = rng.integers(0, 300, (n, 1, 2))
        there = rng.random((n, 17)) < 0.8
        there[:, 0] = True
        xy = np.where(there[..., None], BODY + at + rng.integers(-2, 3, (n, 17, 2)), 0).astype(np.float32)
        frames.append(Poses(COCO, xy, there * rng.choice([0.25, 0.5, 1.0], (n, 17)).astype(np.float32), rng.choice([0.5, 1.0], n)))
    return frames


def by_place(poses: Poses) -> dict[bytes, int]:
    return {k.tobytes() + s.tobytes(): int(i) for k, s, i in zip(poses.keypoints, poses.keypoint_scores, poses.ids, strict=True)}  # type: ignore[arg-type]


@given(videos(), st.sampled_from(["hungarian", "greedy"]))
def test_ids_are_unique_and_people_as_they_came(frames, matching):
    tracker, newest = Tracker(replace(STILL, matching=matching)), 0
    for poses in frames:
        out = tracker.update(poses)
        assert out.ids is not None
        assert len(set(out.ids.tolist())) == len(out) <= len(poses)
        assert (out.ids > 0).all()
        fresh = sorted(i for i in out.ids.tolist() if i > newest)
        assert fresh == list(range(newest + 1, newest + 1 + len(fresh)))
        newest += len(fresh)
        rows = [k.tobytes() for k in poses.keypoints]
        places = [rows.index(k.tobytes()) for k in out.keypoints]
        assert places == sorted(places)


@given(videos(), st.integers(0, 1000), st.sampled_from(["hungarian", "greedy"]))
def test_the_order_of_people_does_not_matter(frames, seed, matching):
    rng = np.random.default_rng(seed)
    one, other = (Tracker(replace(STILL, matching=matching)) for _ in range(2))
    for poses in frames:
        shuffled = poses[rng.permutation(len(poses))]
        assert by_place(one.update(poses)) == by_place(other.update(shuffled))


@given(videos(), st.integers(-500, 500), st.integers(-500, 500))
def test_the_place_of_the_scene_does_not_matter(frames, x, y):
    one, other = Tracker(STILL), Tracker(STILL)
    for poses in frames:
        there = (poses.keypoint_scores > 0)[..., None]
        away = replace(
            poses,
            keypoints=np.where(there, poses.keypoints + np.float32([x, y]), 0).astype(np.float32),
            boxes=poses.boxes + np.array([x, y, x, y], poses.boxes.dtype),
        )
        first, second = one.update(poses), other.update(away)
        assert first.ids.tolist() == second.ids.tolist()  # type: ignore[union-attr]


@given(st.integers(1, 12), st.integers(0, 14), st.integers(-6, 6), st.integers(-3, 3))
def test_gaps(gap, missing, x, y):
    """Somebody on their way is known again after a gap, where they should be by then, but not after a longer one than is allowed."""
    tracker = Tracker(replace(STILL, max_missing_frames=gap))
    steps = [people((i * x, i * y)) for i in range(4 + missing + 1)]
    assert ids_of(tracker, *steps[:4]) == [[1]] * 4
    assert ids_of(tracker, *[Poses.empty(COCO)] * missing) == [[]] * missing
    assert ids_of(tracker, steps[-1]) == [[1 if missing <= gap else 2]]


@pytest.mark.parametrize("matching", ["hungarian", "greedy"])
def test_people_who_walk_through_one_another(matching):
    """One walks right, one left; where they meet, the farther one is not seen for six frames."""
    tracker = Tracker(replace(STILL, matching=matching))
    for i in range(60):
        right, left = (8.0 * i, 0.0), (480 - 8.0 * i, 6.0)
        met = abs(right[0] - left[0]) <= 48
        poses = people(right, scores=[0.8]) if met else people(left, right, scores=[0.9, 0.8])  # new ids go by score
        assert tracker.update(poses).ids.tolist() == ([2] if met else [1, 2])  # type: ignore[union-attr]
    assert ids_of(tracker, people((900, 900))) == [[3]]


@pytest.mark.parametrize(("matching", "ids"), [("hungarian", [1, 2]), ("greedy", [2, 1])])
def test_11_the_papers_greedy_matching_pairs_the_nearest_first(matching, ids):
    """Two people take a step each, the first exactly to where the second was: the sum over both says so, the most similar pair does not."""
    assert ids_of(Tracker(replace(STILL, matching=matching)), people((0, 0), (6, 0)), people((6, 0), (12, 0))) == [[1, 2], ids]


def test_scores_decide_between_two_of_one_and_over_new_ones():
    tracker = Tracker(replace(STILL, min_new_score=0.5))
    twice = people((0, 0), (1, 0), (300, 0), scores=[0.7, 0.9, 0.4])
    out = tracker.update(twice)
    assert out.ids is not None
    assert out.ids.tolist() == [1]
    assert out.scores.tolist() == [0.9]
    assert ids_of(tracker, people((2, 0), (300, 0), scores=[0.1, 0.6])) == [[1, 2]]


def test_half_a_person_is_no_rival():
    """Two joints, exactly where they should be, do not take a whole person's id away."""
    tracker = Tracker(STILL)
    tracker.update(people((0, 0)))
    both = people((0, 0), (4, 0))
    both.keypoint_scores[0, 2:] = 0
    assert ids_of(tracker, both)[0][1] == 1


@pytest.mark.slow
def test_memory_is_that_of_the_people_known():
    rng, tracker, sizes = np.random.default_rng(0), Tracker(replace(STILL, max_missing_frames=5)), []
    tracemalloc.start()
    for i in range(160):
        tracker.update(people(*rng.uniform(0, 5000, (6, 2))))
        if i in (40, 159):
            sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert tracker._next > 600
    assert tracker._known is not None
    assert len(tracker._known) <= 6 * 6
    assert sizes[1] < sizes[0] + 100_000


# ── synthetic videos ──


def followed(video: SyntheticVideo, options: TrackOptions, step: int = 1, **spoil: float):
    """MOTA and switches of the tracker, and the MOTA of the same people with their true ids."""
    tracker, rng, truths, mine, true = Tracker(options), np.random.default_rng(video.seed), [], [], []
    for i in range(0, len(video), step):
        crowd = video.people(i)
        found = found_in(crowd, rng, **spoil)
        truths.append(crowd.truth)
        true.append(found)
        mine.append(tracker.update(found, video.picture(i) if tracker.needs_frames else None))
    done = posetrack_mot(mine, truths, as_poseval=False)
    return done.mota, done.switches, posetrack_mot(true, truths, as_poseval=False).mota


def test_perfect_people_who_cross():
    mota, switches, best = followed(SyntheticVideo(100, 1, lanes=4, skeleton=POSETRACK), STILL)
    assert best == 100
    assert mota > 99.5
    assert switches < 40  # of 15 joints; whoever enters or leaves the picture by single joints has no size


def test_noisy_people_who_cross():
    lost, switches = 0.0, 0
    for seed in (1, 2):
        video = SyntheticVideo(70, seed, lanes=4, skeleton=POSETRACK)
        mota, s, best = followed(video, STILL, noise=0.2, drop=0.1, hide=0.5)
        lost, switches = lost + best - mota, switches + s
    assert lost / 2 < 3
    assert switches < 2 * 80


@pytest.mark.parametrize("flow", ["dis", "farneback"])
def test_flow_on_drawn_frames(flow):
    video = SyntheticVideo(40, 4, size=(120, 160), lanes=3, skeleton=POSETRACK)
    mota, _, best = followed(video, TrackOptions(flow=flow), step=4, noise=0.1)
    assert best - mota < 1.5


# ── looking again ──


def test_a_person_who_was_missed_is_looked_at_again():
    joints = np.array([[40.0, 60.0], [110.0, 70.0], [75.0, 25.0]])
    tracker = Tracker(STILL, LOOK)
    kept = []
    for i in range(8):
        frame = photo_of((120, 260), joints + np.array([4 * i, 0]))
        seen = Poses(FLY, (joints + np.array([4 * i, 0]))[None], np.ones((1, 3)), np.ones(1))
        out = tracker.update(Poses.empty(FLY) if i in (3, 4, 6) else seen, frame)
        assert out.ids is not None
        assert out.ids.tolist() == [1]
        kept.append(np.abs(out.keypoints[0] - joints - np.array([4 * i, 0])).max())
    assert max(kept) < 0.7
    # Nobody is there any more: what is not found is not invented.
    empty = np.full((120, 260, 3), 60, np.uint8)
    assert len(tracker.update(Poses.empty(FLY), empty)) == 0


def test_looking_again_ends_with_the_gap_and_leaves_the_detected_alone():
    joints = np.array([[40.0, 60.0], [110.0, 70.0], [75.0, 25.0]])
    frame, seen = photo_of((120, 160), joints), Poses(FLY, joints[None], np.ones((1, 3)), np.ones(1))
    tracker = Tracker(replace(STILL, max_missing_frames=2), LOOK)
    assert [len(tracker.update(p, frame)) for p in (seen, *[Poses.empty(FLY)] * 5)] == [1, 1, 1, 0, 0, 0]
    tracker = Tracker(STILL, LOOK)
    far = Poses(FLY, joints[None] + (0, 0), np.ones((1, 3)), np.ones(1))
    tracker.update(replace(far, keypoints=joints[None] + (300, 0), boxes=far.boxes + 300), frame)
    out = tracker.update(seen, frame)
    assert out.ids is not None
    assert out.ids.tolist() == [2]


@pytest.mark.parametrize("finder", ["function", "method"])
def test_between_the_detectors_frames_people_are_followed(finder: str):
    joints = np.array([[40.0, 60.0], [110.0, 70.0], [75.0, 25.0]])
    frames = [photo_of((120, 260), joints + np.array([4 * i, 0])) for i in range(9)]
    asked, dots = [], Dots()

    def boxes_of(photos):
        asked.extend(photos)
        return [p.boxes + np.array([-6, -6, 6, 6]) for p in Model(dots).predict(list(photos))]

    detector = boxes_of if finder == "function" else Model(dots)
    tracker = Tracker(replace(STILL, detect_every=4), LOOK)
    found = Model(BoxDots()).predict(frames, detector=detector, track=tracker, detector_threshold=0.0, threshold=0.0)
    assert sum(shape[0] for shape in dots.seen) == 3  # the detector saw frames 0, 4 and 8
    assert finder == "method" or [any((a == f).all() for a in asked) for f in frames] == [i % 4 == 0 for i in range(9)]
    assert [p.ids.tolist() for p in found] == [[1]] * 9
    assert max(np.abs(p.keypoints[0] - joints - np.array([4 * i, 0])).max() for i, p in enumerate(found)) < 1.5


# ── use ──


def test_results_pass_through():
    items = [PhotoInput(np.zeros((50, 60, 3), np.uint8), name=f"f{i}") for i in range(3)]
    results = [
        Result(items[0], (50, 60), people((0, 0))),
        Result(items[1], error=ValueError("no")),
        Result(items[2], (50, 60), people((1, 1))),
    ]
    done = list(tracked(results, Tracker(TrackOptions(flow="none")), PredictOptions(threshold=0.0)))
    assert [r.item for r in done] == items
    assert done[1] is results[1]
    assert [r.poses.ids.tolist() for r in (done[0], done[2])] == [[1], [1]]  # type: ignore[union-attr]


def test_bad_use(untyped):
    for options in (
        {"flow": "raft"},
        {"matching": "best"},
        {"min_similarity": 0},
        {"max_missing_frames": -1},
        {"min_new_score": np.nan},
        {"nms": 2},
        {"box_margin": -1},
        {"detect_every": 0},
        {"detect_every": 32},
    ):
        with pytest.raises(ValueError, match=rf"{next(iter(options))}.*got"):
            TrackOptions(**options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="detect_every needs a top-down model"):
        Tracker(TrackOptions(detect_every=2))
    with pytest.raises(ValueError, match="needs the frame's pixels"):
        Tracker().update(people((0, 0)))
    with pytest.raises(ValueError, match="must be a top-down model"):
        Model(Dots()).tracker(redetector=Model(Dots()))
    tracker = Tracker(STILL)
    tracker.update(people((0, 0)))
    with pytest.raises(ValueError, match="skeleton 'fly' follow people of skeleton 'coco'"):
        tracker.update(Poses.empty(FLY))
    broken = people((0, 0), (100, 0))
    broken.keypoints[1, 3] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        tracker.update(broken)
    assert ids_of(tracker, people((1, 0))) == [[1]]


def test_the_docstrings_example():
    done = doctest.testmod(manypose.tracking.tracker)
    assert (done.failed, done.attempted > 2) == (0, True)
