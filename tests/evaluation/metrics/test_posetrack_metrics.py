"""PoseTrack's measures: CLEAR MOT equal to motmetrics, PoseTrack's own habits, keypoint AP by hand."""

import doctest

import motmetrics
import numpy as np
import pytest

from manypose.data.datasets.head_sizes import HeadScaledTruth
from manypose.evaluation.metrics import posetrack
from manypose.evaluation.metrics.posetrack import Tracks, posetrack_ap, posetrack_mot
from manypose.poses.poses import Poses
from manypose.poses.skeleton import POSETRACK

K = len(POSETRACK)


def test_doctests():
    assert doctest.testmod(posetrack, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0


# ── sequences ──


def random_video(rng: np.random.Generator, name: str, frames: int, people: int) -> list[tuple[Poses, HeadScaledTruth]]:
    """People who walk, hide and come back; a tracker that misses, invents and exchanges ids."""
    at = rng.uniform(0, 300, (people, K, 2))
    names = rng.permutation(50)[:people]
    alias = {int(n): int(i) for n, i in zip(names, rng.permutation(200)[:people], strict=True)}
    video = []
    for frame in range(frames):
        at = at + rng.normal(0, 4, (people, 1, 2))
        here = rng.random(people) > 0.15
        here[rng.integers(people)] = True
        labelled = rng.random((people, K)) > 0.2
        keypoints = np.concatenate([at, labelled[..., None].astype(float)], -1)[here]
        truth = HeadScaledTruth(POSETRACK, frame, keypoints, rng.uniform(20, 40, here.sum()), names[here], (), name)
        for a, b in [rng.choice(names, 2, replace=False)] if people > 1 and rng.random() < 0.3 else []:
            alias[int(a)], alias[int(b)] = alias[int(b)], alias[int(a)]
        seen = here & (rng.random(people) > 0.1)
        ids = [alias[int(n)] for n in names[seen]]
        found = at[seen] + rng.normal(0, 8, (seen.sum(), K, 2))
        ghosts = int(rng.integers(0, 3))
        found = np.concatenate([found, rng.uniform(0, 300, (ghosts, K, 2))])
        ids += (1000 + frame * 10 + np.arange(ghosts)).tolist()
        scores = rng.uniform(0.1, 1, (len(found), K)) * (rng.random((len(found), K)) > 0.2)
        video.append((Poses(POSETRACK, found, scores, scores.mean(1), ids=np.array(ids, int)), truth))
    return video


def by_motmetrics(videos: list[list[tuple[Poses, HeadScaledTruth]]], joint: int) -> dict[str, float]:
    """The oracle's counts of one joint, straight from the definition of a possible pair."""
    names = ["num_misses", "num_switches", "num_false_positives", "num_objects", "num_detections"]
    total = dict.fromkeys([*names, "distance"], 0.0)
    for video in videos:
        acc = motmetrics.MOTAccumulator(auto_id=True)
        for found, truth in video:
            t = [i for i in range(len(truth)) if truth.keypoints[i, joint, 2] > 0]
            f = [i for i in range(len(found)) if found.keypoint_scores[i, joint] > 0]
            d = np.full((len(t), len(f)), np.nan)
            for a, i in enumerate(t):
                for b, j in enumerate(f):
                    away = np.hypot(*(truth.keypoints[i, joint, :2] - found.keypoints[j, joint])) / truth.head_sizes[i]
                    d[a, b] = away if away <= 0.5 else np.nan
            acc.update([int(truth.ids[i]) for i in t], [int(found.ids[j]) for j in f], d)
        result = motmetrics.metrics.create().compute(acc, metrics=[*names, "motp"], return_dataframe=False)
        for n in names:
            total[n] += result[n]
        total["distance"] += float(acc.mot_events["D"][acc.mot_events["Type"].isin(["MATCH", "SWITCH"])].sum())
    return total


@pytest.mark.parametrize("seed", range(50))
def test_equal_to_motmetrics(seed):
    rng = np.random.default_rng(seed)
    videos = [random_video(rng, f"v{v}", int(rng.integers(2, 9)), int(rng.integers(1, 6))) for v in range(2)]
    frames = [frame for video in videos for frame in video]
    ours = posetrack_mot([p for p, _ in frames], [t for _, t in frames], as_poseval=False)
    motas = []
    for j in (0, 3, 14) if seed else range(K):
        theirs, c = by_motmetrics(videos, j), ours.joints[POSETRACK.joints[j]]
        assert (c.misses, c.switches, c.false_positives, c.objects, c.detections) == tuple(
            theirs[n] for n in ("num_misses", "num_switches", "num_false_positives", "num_objects", "num_detections")
        )
        assert c.distance == pytest.approx(theirs["distance"])
        errors = theirs["num_misses"] + theirs["num_switches"] + theirs["num_false_positives"]
        assert c.mota == pytest.approx(100 * (1 - errors / theirs["num_objects"]))
        assert c.motp == pytest.approx(100 * (1 - theirs["distance"] / theirs["num_detections"]))
        motas.append(c.mota)
    if seed == 0:
        assert ours.mota == pytest.approx(np.mean(motas))
        assert ours.mota_of_parts["head"] == pytest.approx(np.mean(motas[:3]))


def test_random_sequences_have_everything_that_is_counted():
    rng = np.random.default_rng(1)
    frames = random_video(rng, "v", 40, 5)
    c = posetrack_mot([p for p, _ in frames], [t for _, t in frames]).joints["nose"]
    assert min(c.misses, c.switches, c.false_positives, c.detections) > 0


# ── by hand ──


def frame(found: list[tuple[float, int]], true: list[tuple[float, int]], sequence: str = "v", **kwargs) -> tuple[Poses, HeadScaledTruth]:
    """People whose joints all lie at one x; head size 10."""
    at = np.array([[[x, 0.0]] * K for x, _ in found]).reshape(-1, K, 2)
    there = np.ones((len(found), K))
    truth = np.array([[[x, 0.0, 1.0]] * K for x, _ in true]).reshape(-1, K, 3)
    return (
        Poses(POSETRACK, at, there, np.ones(len(found)), ids=np.array([i for _, i in found], int)),
        HeadScaledTruth(POSETRACK, 1, truth, np.full(len(true), 10.0), np.array([i for _, i in true], int), sequence=sequence, **kwargs),
    )


def measure(*frames, **kwargs):
    return posetrack_mot([p for p, _ in frames], [t for _, t in frames], **kwargs)


def test_perfect_tracks():
    result = measure(*[frame([(0, 1), (50, 2)], [(0, 1), (50, 2)])] * 3)
    assert (result.mota, result.motp, result.precision, result.recall, result.switches) == (100, 100, 100, 100, 0)
    assert posetrack_ap(*map(list, zip(*[frame([(0, 1)], [(0, 1)])], strict=True))).mean == pytest.approx(100)


def test_the_threshold_still_counts():
    assert measure(frame([(5, 1)], [(0, 1)])).recall == 100
    assert measure(frame([(5.001, 1)], [(0, 1)])).recall == 0
    assert measure(frame([(2, 1)], [(0, 1)])).motp == pytest.approx(80)


def test_a_switch_counts_once_a_joint_and_the_new_pair_is_kept():
    same, other = frame([(0, 1)], [(0, 9)]), frame([(0, 2)], [(0, 9)])
    result = measure(same, other, other, as_poseval=False)
    assert result.switches == K
    assert result.mota == pytest.approx(100 * (1 - 1 / 3))


def test_a_pair_is_kept_though_another_is_nearer():
    result = measure(frame([(0, 1)], [(0, 9)]), frame([(4, 1), (0, 2)], [(0, 9)]), as_poseval=False)
    assert result.switches == 0
    assert result.joints["nose"].false_positives == 1


def test_sequences_do_not_share_pairs():
    result = measure(frame([(0, 1)], [(0, 9)], "a"), frame([(0, 2)], [(0, 9)], "b"), as_poseval=False)
    assert result.switches == 0


def test_poseval_leaves_out_the_last_frame():
    good, bad = frame([(0, 1)], [(0, 9)]), frame([(90, 1)], [(0, 9)])
    assert measure(good, bad).mota == 100
    assert measure(good, bad, as_poseval=False).mota == 0


def test_poseval_counts_one_miss_where_nothing_was_found():
    good, empty = frame([(0, 1)], [(0, 9)]), frame([], [(0, 9), (50, 8), (99, 7)])
    c = measure(empty, good).joints["nose"]
    assert (c.objects, c.misses, c.false_positives) == (1, 1, 1)
    c = measure(empty, good, as_poseval=False).joints["nose"]
    assert (c.objects, c.misses, c.false_positives) == (4, 3, 0)


def test_frames_without_annotated_people_are_left_out():
    result = measure(frame([(0, 1)], [(0, 9)]), frame([(0, 3)], []), as_poseval=False)
    assert result.joints["nose"].false_positives == 0


def test_ignored_regions_count_on_neither_side():
    square = np.array([[40.0, -10.0], [60.0, -10.0], [60.0, 10.0], [40.0, 10.0]])
    covered = frame([(0, 1), (50, 2), (55, 3)], [(0, 9), (50, 8)], ignored=[square])
    c = measure(covered, as_poseval=False).joints["nose"]
    assert (c.objects, c.detections, c.false_positives) == (1, 1, 0)
    assert posetrack_ap([covered[0]], [covered[1]]).precision == 100


def test_totals_are_means_over_the_joints_that_have_a_value():
    found, truth = frame([(0, 1)], [(0, 9)])
    truth.keypoints[:, 3:] = 0
    found.keypoint_scores[:, 3:] = 0
    result = posetrack_mot([found], [truth], as_poseval=False)
    assert result.mota == 100
    assert np.isnan(result.joints["left_hip"].mota)
    assert np.isnan(result.mota_of_parts["ankle"])
    assert result.motp == pytest.approx(100 * 3 / K)  # PoseTrack gives a joint without pairs a MOTP of 0


# ── bad input ──


def test_ids_used_twice_are_named():
    with pytest.raises(ValueError, match="image 1: track id 4 is used by several found people"):
        measure(frame([(0, 4), (50, 4)], [(0, 9)]))
    with pytest.raises(ValueError, match="image 1: track id 9 is used by several annotated people"):
        measure(frame([(0, 4)], [(0, 9), (50, 9)]))


def test_missing_ids_and_empty_sets_are_errors():
    found, truth = frame([(0, 1)], [(0, 9)])
    nameless = Poses(POSETRACK, found.keypoints, found.keypoint_scores, found.scores)
    with pytest.raises(ValueError, match="found people have no track ids"):
        posetrack_mot([nameless], [truth])
    with pytest.raises(ValueError, match="no frame has an annotated person"):
        measure(frame([(0, 1)], []))


def test_tracks_of_nobody():
    tracks = Tracks()
    tracks.frame([], [], np.zeros((0, 0)))
    tracks.frame([], [5], np.zeros((0, 1)))
    assert (tracks.counts.false_positives, tracks.counts.objects) == (1, 0)
    assert np.isnan(tracks.counts.mota)
    assert tracks.counts.precision == 0
