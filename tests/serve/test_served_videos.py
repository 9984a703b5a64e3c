"""Videos by HTTP: the same people as by `Model.predict`, progress, results; and what happens when the service ends."""

import signal
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from serve.running import clip, photo, running, served

from manypose.inference.model import Model
from manypose.io import videos
from manypose.poses.formats import from_coco, from_jsonl
from manypose.serve.limits import Limits


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("clip") / "a walk.mp4")


def finished(client: httpx.Client, name: str, seconds: float = 120) -> dict:
    end = time.monotonic() + seconds
    while (job := client.get(f"/video/{name}").json())["state"] in ("queued", "running"):
        assert time.monotonic() < end, job
        time.sleep(0.1)
    return job


@pytest.mark.slow
def test_the_same_people_as_in_a_program(client: httpx.Client, model: Model, video: Path):
    here = list(model.predict(video, track=True))
    answer = client.post("/video", files={"video": (video.name, video.read_bytes())})
    assert (answer.status_code, answer.json()["frames"]) == (202, 12)
    name = answer.json()["id"]
    assert answer.headers["location"] == f"/video/{name}"
    job = finished(client, name)
    assert (job["state"], job["progress"], job["looked_at"], job["restarts"]) == ("done", 1.0, 12, 0)
    there = list(from_jsonl(client.get(job["results"]["jsonl"]).text.splitlines()))
    assert [image for image, _ in there] == [f"a walk.mp4#{i}" for i in range(12)]
    for mine, (_, theirs) in zip(here, there, strict=True):
        assert theirs.ids is not None
        assert theirs.ids.tolist() == ([] if mine.ids is None else mine.ids.tolist())
        np.testing.assert_allclose(theirs.keypoints, mine.keypoints * (mine.keypoint_scores > 0)[..., None], atol=0.02)
    coco = from_coco(client.get(job["results"]["coco"]).json())
    assert set(coco) == set(range(1, 13))
    assert client.get(job["results"]["csv"]).text.startswith("image,person,joint")
    drawn = client.get(job["results"]["mp4"])
    assert drawn.headers["content-type"] == "video/mp4"
    assert "a_walk_poses.mp4" in drawn.headers["content-disposition"]
    assert client.delete(f"/video/{name}").status_code == 204
    assert client.get(f"/video/{name}").status_code == 404


def test_the_drawn_video_is_one(client: httpx.Client, video: Path, tmp_path: Path):
    job = finished(client, client.post("/video?boxes=true&track=false", content=video.read_bytes()).json()["id"])
    (tmp_path / "drawn.mp4").write_bytes(client.get(job["results"]["mp4"]).content)
    plain, drawn = list(videos.frames(video)), list(videos.frames(tmp_path / "drawn.mp4"))
    assert len(drawn) == len(plain)
    assert np.abs(drawn[0].astype(int) - plain[0]).max() > 60
    assert job["video"] == "the video"


@pytest.mark.slow
def test_limits_of_videos(model: Model, video: Path, tmp_path: Path):
    content = video.read_bytes()
    with served({"fast": model}, tmp_path, limits=Limits(max_frames=5)) as client:
        assert client.post("/video", content=content).status_code == 413
        assert not list((tmp_path / "jobs").iterdir())
    with served({"fast": model}, tmp_path, limits=Limits(max_video_minutes=1e-6, max_videos=1)) as client:
        job = client.post("/video", content=content).json()
        late = client.post("/video", content=content)
        said = finished(client, job["id"])
        assert said["state"] == "failed"
        assert "minutes" in said["note"]
        assert client.get(f"/video/{job['id']}/coco").status_code == 409
        assert late.status_code in (202, 503)  # the first may have failed already
    with served({"fast": model}, tmp_path, limits=Limits(keep_hours=1e-9)) as client:  # and old ones are forgotten
        client.post("/video", content=content)
        assert client.get(f"/video/{job['id']}").status_code == 404


def test_a_damaged_video_fails_in_one_line(client: httpx.Client, video: Path):
    content = bytearray(video.read_bytes())
    middle = content.index(b"mdat") + 200
    content[middle:] = bytes(len(content) - middle)  # no index either
    answer = client.post("/video", files={"v": ("c.mp4", bytes(content))})
    said = answer.json()["error"] if answer.status_code == 422 else finished(client, answer.json()["id"])["note"]
    assert said.startswith("c.mp4: ")
    assert "\n" not in said


@pytest.mark.slow
def test_killed_while_a_video_runs_it_begins_again_and_says_so(tmp_path: Path):
    long = clip(tmp_path / "long.mp4", frames=300)
    with running(tmp_path, "--model", "fast") as (client, process):
        name = client.post("/video?draw=false", content=long.read_bytes()).json()["id"]
        while not client.get(f"/video/{name}").json()["looked_at"]:
            time.sleep(0.02)
        process.kill()
        process.wait()
    clip(tmp_path / "jobs" / name / "new.mp4", frames=6).rename(tmp_path / "jobs" / name / "upload")  # a shorter one: the test has no time
    with running(tmp_path, "--model", "fast") as (client, process):
        job = client.get(f"/video/{name}").json()
        assert job["restarts"] == 1
        assert job["note"] == "the service was stopped during this job, which starts again"
        job = finished(client, name)
        assert (job["state"], job["looked_at"]) == ("done", 6)
        assert len(client.get(job["results"]["jsonl"]).text.splitlines()) == 6
        answers: list[int] = []
        clients = [threading.Thread(target=lambda: answers.append(client.post("/predict", content=photo()).status_code)) for _ in range(12)]
        for thread in clients:
            thread.start()
        while client.get("/health").json()["photos_accepted"] < 6 and not answers:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)  # what was accepted is finished
        for thread in clients:
            thread.join()
        assert process.wait(30) == 0
        assert answers.count(200) >= 6
        assert set(answers) <= {200, 503}
        assert process.stderr is not None
        assert "starts again" in process.stderr.read()
