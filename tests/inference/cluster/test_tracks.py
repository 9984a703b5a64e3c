from fractions import Fraction

import jobs
import numpy as np
import pytest
from dots import BoxDots, Dots, photo_of

from manypose.inference.cluster import tracks
from manypose.inference.cluster.engine import Actors
from manypose.inference.cluster.job import begin
from manypose.inference.cluster.predict import forget_errors
from manypose.inference.cluster.report import failures, status
from manypose.inference.cluster.rows import Row, read_rows, to_shard
from manypose.inference.cluster.sources import Cutting
from manypose.inference.cluster.tracks import chunks_of, follow_video, follow_videos
from manypose.inference.cluster.worker import PredictBlocks, Recipe
from manypose.inference.model import Model
from manypose.inference.options import PredictOptions
from manypose.io import videos
from manypose.io.storage import Folder
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO
from manypose.tracking.tracker import Tracker, TrackOptions

pytest.importorskip("pyarrow", reason="the extra 'cluster' is not installed")

SHAPE = np.stack([np.cos(np.arange(17) * 2.4), 2 * np.sin(np.arange(17) * 2.4)], 1) * 20


def crowd(frames: int, people: int, seed: int) -> list[Poses]:
    """People who walk about, come, go, and are missed now and then, often for longer than a tracker waits."""
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
        gone = rng.random(people) < 0.01
        away = np.where(gone & (away == 0), rng.integers(1, 60, people), away)
        there = rng.permutation(np.flatnonzero(away == 0))
        xy = (place[there, None] + SHAPE + rng.normal(0, 0.5, (len(there), 17, 2))).astype(np.float32)
        out.append(Poses(COCO, xy, np.ones((len(there), 17), np.float32), np.full(len(there), 0.9, np.float32)))
    return out


def chunked(folder, frames: list[Row], size: int, suffix: str):
    """A job with a video whose chunks are predicted."""
    starts = range(0, len(frames), size)
    plan = [{"kind": "frames", "uri": "clip.mp4", "first": f, "stop": None, "chunk": [i, len(starts)]} for i, f in enumerate(starts)]
    job = begin(Folder(str(folder)), {}, suffix, plan)
    for n, first in enumerate(starts):
        job.folder.write(job.shard(n, chunk=True), to_shard(frames[first : first + size], COCO, ".parquet"))
    return job


@pytest.mark.slow
def test_chunks_of_3000_frames_give_the_ids_of_the_whole(tmp_path, untyped):
    frames, options = crowd(3000, 6, 0), TrackOptions(flow="none")
    tracker = Tracker(options)
    whole = [tracker.update(p) for p in frames]
    job = chunked(tmp_path / "job", [Row("clip.mp4", (9, 9), p, None, i, i / 25) for i, p in enumerate(frames)], 70, ".jsonl")
    follow_video(job, 0, Tracker(options), PredictOptions(), COCO)
    found = jobs.rows(job)
    assert [(r.frame, r.time) for r in found] == [(i, i / 25) for i in range(3000)]
    assert max(int(p.ids.max()) for p in whole if len(p)) > 40  # far more tracks than people: many numbers that could shift
    for a, b in zip(whole, found, strict=True):
        assert a.ids.tolist() == ([] if b.people.ids is None else b.people.ids.tolist())


@pytest.mark.parametrize("flow", ["none", "dis"])
def test_a_video_in_chunks_gives_the_rows_of_the_whole(tmp_path, monkeypatch, flow):
    clip = write_clip(tmp_path / "clip.mp4", 90)
    monkeypatch.setattr(Recipe, "loaded", lambda self, boxes=False: Model(Dots()))
    monkeypatch.setattr(tracks, "spread", here)
    options = TrackOptions(flow=flow, max_missing_frames=4)
    for track in (False, True):
        recipe, found = Recipe(tracking=options if track else None), {}
        for name, size in (("whole", 500), ("chunks", 20)):
            job = jobs.plan([clip, clip.parent], tmp_path / f"{name}{track}", Cutting(chunk_frames=size), recipe)
            assert len(job) == (1 if name == "whole" else 4)  # the video is named twice, and counts once
            jobs.do(job, jobs.actor(job, recipe))
            follow_videos(job, recipe, Actors())
            assert len(job.finished()) == len(job)
            assert not (tmp_path / f"{name}{track}" / "chunks").exists()
            found[name] = jobs.rows(job)
        plain = list(Model(Dots()).predict(clip, track=Tracker(options) if track else False))
        assert [(r.frame, r.time, r.uri) for r in found["chunks"]] == [(i, round(i / 25, 4), str(clip)) for i in range(90)]
        for a, b, c in zip(found["whole"], found["chunks"], plain, strict=True):
            np.testing.assert_array_equal(a.people.keypoints, b.people.keypoints)
            np.testing.assert_array_equal(a.people.ids, b.people.ids)
            np.testing.assert_array_equal(b.people.ids, c.ids)
            assert (a.people.ids is None) == (not track)


def test_people_who_are_followed_between_detections_and_across_chunks(tmp_path):
    """`detect_every` looks into the boxes of tracks, which needs the pixels of all frames in the second pass."""
    clip = write_clip(tmp_path / "clip.mp4", 50)
    recipe = Recipe(tracking=TrackOptions(flow="none", detect_every=7))
    model = Model(BoxDots())

    def detector(photos):
        return [np.array([[0, 0, 110, 90, 0.9]], np.float32) for _ in photos]

    plain = list(model.predict(clip, detector=detector, track=model.tracker(recipe.tracking)))
    job = jobs.plan([clip], tmp_path / "job", Cutting(chunk_frames=15), recipe)
    assert [job.block(n)["first"] for n in range(len(job))] == [0, 21]
    work = PredictBlocks(recipe, model, boxes=True)
    work.finder = detector
    who = jobs.actor(job)
    who.work = work
    jobs.do(job, who)
    assert job.finished() == {}
    assert str(status(job)).startswith("0 of 2 blocks (2 to do: the same command resumes the job)\n2 of them are predicted chunks")
    assert [len(r.people) for r in read_rows(job.folder.read(job.shard(1, chunk=True)), ".parquet")][:8] == [1, 0, 0, 0, 0, 0, 0, 1]
    follow_video(job, 0, work.tracker(), PredictOptions(), model.skeleton)
    assert [r.people.ids.tolist() for r in jobs.rows(job)] == [p.ids.tolist() for p in plain] == [[1]] * 50
    for row, people in zip(jobs.rows(job), plain, strict=True):
        np.testing.assert_array_equal(row.people.keypoints, people.keypoints)


def test_a_chunk_with_an_error_does_not_end_the_video(tmp_path):
    frames = [Row("clip.mp4", (9, 9), p, None, i, 0.0) for i, p in enumerate(crowd(40, 2, 0))]
    frames[10] = Row("clip.mp4", error="the video is damaged")
    frames.insert(30, Row("clip.mp4", (9, 9), Poses.empty(COCO), None, 29, 0.0))
    job = chunked(tmp_path / "job", frames, 15, ".parquet")
    follow_video(job, 0, Tracker(TrackOptions(flow="none")), PredictOptions(), COCO)
    found = jobs.rows(job)
    assert len(found) == 41
    assert found[10].error == "the video is damaged"
    assert {int(i) for r in found if r.people is not None and len(r.people) for i in r.people.ids} == {1, 2}


def test_a_second_pass_that_was_stopped_goes_on(tmp_path):
    frames = [Row("clip.mp4", (9, 9), p, None, i, 0.0) for i, p in enumerate(crowd(40, 3, 0))]
    job = chunked(tmp_path / "job", frames, 10, ".parquet")
    assert list(chunks_of(job, 2)) == [0, 1, 2, 3]
    first, write = [], type(job.folder).write

    def stopped(folder, name, data):
        if len(first) == 2:
            raise KeyboardInterrupt
        first.append(name)
        write(folder, name, data)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(job.folder), "write", stopped)
        with pytest.raises(KeyboardInterrupt):
            follow_video(job, 0, Tracker(TrackOptions(flow="none")), PredictOptions(), COCO)
    assert sorted(job.finished()) == [0, 1]
    follow_video(job, 0, Tracker(TrackOptions(flow="none")), PredictOptions(), COCO)
    tracker = Tracker(TrackOptions(flow="none"))
    assert [r.people.ids.tolist() for r in jobs.rows(job)] == [tracker.update(r.people).ids.tolist() for r in frames]


def test_an_error_in_a_chunk_is_retried_with_the_whole_video(tmp_path):
    frames = [Row("clip.mp4", (9, 9), p, None, i, 0.0) for i, p in enumerate(crowd(40, 2, 0))]
    job = chunked(tmp_path / "job", [*frames[:35], Row("clip.mp4", error="the video is damaged")], 10, ".parquet")
    follow_video(job, 0, Tracker(TrackOptions(flow="none")), PredictOptions(), COCO)
    assert failures(job) == [3]
    forget_errors(job)
    assert job.finished() == {}


def write_clip(path, frames: int):
    pytest.importorskip("av")
    with videos.writer(path, Fraction(25)) as add:
        for i in range(frames):
            add(photo_of((96, 128), np.array([[30, 30], [60, 40], [45, 60]]) + 0.3 * i))
    return path


def here(job, todo, actor, arguments, actors):
    """The actors' work in this process."""
    who = actor(*arguments)
    return [who({"item": [n]}) for n in todo]
