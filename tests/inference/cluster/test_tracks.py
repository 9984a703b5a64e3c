from dataclasses import replace
from fractions import Fraction

import jobs
import numpy as np
import pytest
from dots import photo_of

from manypose.inference.cluster.rows import Row
from manypose.inference.cluster.sources import Cutting
from manypose.inference.cluster.tracks import join_videos, joined
from manypose.inference.cluster.worker import Recipe
from manypose.io import videos
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO
from manypose.tracking.tracker import Tracker, TrackOptions

SHAPE = np.stack([np.cos(np.arange(17) * 2.4), 2 * np.sin(np.arange(17) * 2.4)], 1) * 20


def crowd(frames: int, people: int, seed: int) -> list[Poses]:
    """People who walk about, come, go, and are missed now and then, for as long as 25 frames."""
    rng = np.random.default_rng(seed)
    place = rng.uniform(0, 2000, (people, 2))
    speed = rng.uniform(-2, 2, (people, 2))
    away = np.zeros(people, int)
    out = []
    for _ in range(frames):
        speed = np.clip(speed + rng.normal(0, 0.1, speed.shape), -3, 3)
        speed = np.where((place < 0) | (place > 2000), np.sign(1000 - place) * abs(speed), speed)
        place = place + speed
        away = np.maximum(away - 1, 0)
        gone = rng.random(people) < 0.004
        away = np.where(gone & (away == 0), rng.integers(1, 60, people), away)
        there = rng.permutation(np.flatnonzero(away == 0))
        xy = (place[there, None] + SHAPE + rng.normal(0, 0.5, (len(there), 17, 2))).astype(np.float32)
        out.append(Poses(COCO, xy, np.ones((len(there), 17), np.float32), np.full(len(there), 0.9, np.float32)))
    return out


def followed(frames, options, first):
    tracker = Tracker(options)
    return [Row("clip.mp4", (9, 9), tracker.update(p), None, first + i, 0.0) for i, p in enumerate(frames)]


@pytest.mark.slow
def test_pieces_of_3000_frames_give_the_ids_of_the_whole(untyped):
    frames, options = crowd(3000, 5, 0), TrackOptions(flow="none")
    whole = followed(frames, options, 0)
    pieces = []
    for first in range(0, 3000, 500):
        lead = max(0, first - 60)
        pieces.append(({"first": first}, followed(frames[lead : first + 500], options, lead)))
    parts = [row for rows in joined(iter(pieces)) for row in rows]
    assert [r.frame for r in parts] == list(range(3000))
    same = np.concatenate([a.people.ids == b.people.ids for a, b in zip(whole, parts, strict=True)])
    assert len(same) > 10_000
    assert same.mean() >= 0.99
    # Without frames in common nothing can be joined: the test would see it.
    alone = [({"first": f}, followed(frames[f : f + 100], options, f)) for f in range(0, 400, 100)]
    cut = [row for rows in joined(iter(alone)) for row in rows]
    assert np.concatenate([a.people.ids == b.people.ids for a, b in zip(whole, cut, strict=False)]).mean() < 0.5


def test_a_video_in_pieces_gives_the_rows_of_the_whole(tmp_path):
    pytest.importorskip("av")
    pytest.importorskip("pyarrow")
    with videos.writer(tmp_path / "clip.mp4", Fraction(25)) as add:
        for i in range(90):
            add(photo_of((96, 128), np.array([[30, 30], [60, 40], [45, 60]]) + 0.3 * i))
    options = TrackOptions(flow="none", max_missing_frames=4)
    found = {}
    for track in (False, True):
        recipe = Recipe(tracking=options if track else None)
        for name, size in (("whole", 500), ("pieces", 20)):
            job = jobs.plan([tmp_path / "clip.mp4"], tmp_path / f"{name}{track}", Cutting(chunk_frames=size, overlap=8), recipe)
            job.settings["recipe"] = {"tracking": track}
            jobs.do(job, jobs.actor(job, recipe))
            assert len(job) == (1 if name == "whole" else 4)
            assert len(job.finished("chunks" if track else "shards")) == len(job)
            join_videos(job)
            found[name, track] = jobs.rows(job)
            assert not (tmp_path / f"{name}{track}" / "chunks").exists()
    for track in (False, True):
        whole, pieces = found["whole", track], found["pieces", track]
        assert [(r.frame, r.time, r.uri) for r in pieces] == [(i, round(i / 25, 4), str(tmp_path / "clip.mp4")) for i in range(90)]
        for a, b in zip(whole, pieces, strict=True):
            np.testing.assert_array_equal(a.people.keypoints, b.people.keypoints)
            np.testing.assert_array_equal(a.people.ids, b.people.ids)
            assert (a.people.ids is None) == (not track)


def test_a_piece_with_an_error_does_not_end_the_video():
    frames = [replace(p, ids=None) for p in crowd(40, 2, 0)]
    broken = [*followed(frames[:20], TrackOptions(flow="none"), 0), Row("clip.mp4", error="the video is damaged")]
    parts = list(joined(iter([({"first": 0}, broken), ({"first": 20}, followed(frames[15:], TrackOptions(flow="none"), 15))])))
    assert [len(p) for p in parts] == [21, 20]
    assert parts[0][-1].error == "the video is damaged"
