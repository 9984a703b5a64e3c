"""Ids of a video's people in a program, on the command line, in every format, and in PoseTrack's evaluation."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from dots import FLY, BoxDots, Dots, photo_of
from shared import REPOSITORY
from synthetic_people.drawn.videos import SyntheticVideo, found_in

from manypose.cli.__main__ import main
from manypose.cli.predict_into import predict_to
from manypose.evaluation.evaluate import evaluate
from manypose.evaluation.metrics.posetrack import posetrack_mot
from manypose.inference.model import Model
from manypose.io import photos as media
from manypose.io import videos as video
from manypose.poses import formats
from manypose.poses.poses import Poses
from manypose.poses.skeleton import POSETRACK, Skeleton
from manypose.tracking.tracker import Tracker, TrackOptions

JOINTS = np.array([[40.0, 60.0], [100.0, 70.0], [70.0, 25.0]])


def frame(i: int) -> np.ndarray:
    return photo_of((96, 160), JOINTS + np.array([3 * i, 0]), 7)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    pytest.importorskip("av", reason="the extra 'video' is not installed")
    with video.writer(tmp_path / "clip.mp4", 12) as add:
        for i in range(6):
            add(frame(i) if i != 3 else np.full((96, 160, 3), 60, np.uint8))  # nobody for a moment
    return tmp_path / "clip.mp4"


EXPECTED = [[1], [1], [1], [], [1], [1]]


def ids(poses) -> list[list[int]]:
    return [p.ids.tolist() for p in poses]


def test_in_a_program(clip):
    model = Model(Dots())
    assert ids(model.predict(clip, track=True)) == EXPECTED
    assert ids(model.predict(clip, track=True, batch_size=1)) == EXPECTED
    photos = list(video.frames(clip))
    assert ids(model.predict(photos, track=True)) == EXPECTED
    assert ids(model.predict((f for f in photos), track=Tracker(TrackOptions(flow="none", max_missing_frames=0)))) == [
        [1],
        [1],
        [1],
        [],
        [2],
        [2],
    ]
    assert all(p.ids is None for p in model.predict(photos))


def test_frame_by_frame_with_a_tracker(clip):
    tracker, model = Tracker(TrackOptions(flow="farneback")), Model(Dots())
    assert [model.predict(f, track=tracker).ids.tolist() for f in video.frames(clip)] == EXPECTED
    with pytest.raises(ValueError, match="not one; give a Tracker"):
        model.predict(frame(0), track=True)


def test_a_top_down_model_looks_again():
    """Boxes are missing in two frames; their people are found in the boxes where they should be."""
    box = np.array([[20.0, 10, 125, 85]])
    frames = [frame(i) for i in range(6)]
    boxes = [box + np.array([3, 0, 3, 0]) * i if i not in (2, 3) else [] for i in range(6)]
    found = Model(BoxDots()).predict(frames, boxes=boxes, track=True)
    assert ids(found) == [[1]] * 6
    assert all(np.abs(p.keypoints[0] - JOINTS - np.array([3 * i, 0])).max() < 1 for i, p in enumerate(found))


def test_every_format_has_the_ids(clip, tmp_path):
    out = tmp_path / "out"
    media.write(tmp_path / "a.png", frame(0))
    outcome = predict_to(
        [clip, tmp_path / "a.png"], Model(Dots()), out, formats=("coco", "csv", "jsonl", "openpose"), tracker=lambda model: model.tracker
    )
    assert outcome.failed == []
    lines = dict(formats.from_jsonl((out / "poses.jsonl").read_text().splitlines()))
    assert [p.ids.tolist() if p.ids is not None else [] for name, p in lines.items() if "#" in name] == EXPECTED
    assert lines["a.png"].ids is None
    rows = [r for r in json.loads((out / "coco.json").read_text()) if "#" in r["file_name"]]
    assert [r["track_id"] for r in rows] == [1] * 5
    table = [row.split(",") for row in (out / "poses.csv").read_text().splitlines()[1:]]
    assert {row[6] for row in table if "#" in row[0]} == {"1", ""}  # a frame without people has a row too
    people = json.loads((out / "openpose" / "clip_000000000004_keypoints.json").read_text())["people"]
    assert [p["person_id"] for p in people] == [[1]]
    drawn = list(video.frames(out / "clip_poses.mp4"))
    assert len(drawn) == 6
    # The label stands over the head, on what was grey.
    assert np.abs(drawn[0][:20].astype(int) - 60).max() > 100


def test_on_the_command_line(clip, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("manypose.cli.predict.one_or_several", lambda *_, **__: Model(Dots()))
    out = tmp_path / "out"
    command = ["predict", str(clip), "--track", "--flow", "none", "--format", "jsonl", "--out", str(out), "--no-pictures"]
    assert main(command) == 0
    lines = [json.loads(line) for line in (out / "poses.jsonl").read_text().splitlines()]
    assert [[p["id"] for p in line["people"]] for line in lines] == EXPECTED
    assert main([*command, "--max-missing-frames", "0"]) == 0
    assert json.loads((out / "poses.jsonl").read_text().splitlines()[5])["people"][0]["id"] == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--redetector", "mspn-1"], "a redetector needs tracking"),
        (["--track", "--max-missing-frames", "-1"], "max_missing_frames must be 0 to 100,000 frames, got -1"),
        (["--track", "--flow", "raft"], "expected one of dis, farneback, none, got raft"),
        (["--track", "--redetector", "other"], "must be a top-down model"),
    ],
)
def test_bad_commands(clip, tmp_path, capsys, monkeypatch, more, message):
    for name in ("one_or_several", "load"):
        monkeypatch.setattr(f"manypose.cli.predict.{name}", lambda *_, **__: Model(Dots()))
    monkeypatch.chdir(tmp_path)
    assert main(["predict", str(clip), "--out", "out", *more]) != 0
    said = capsys.readouterr().err.strip()
    assert message in said
    assert len(said.splitlines()) == 1
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p != clip]


def test_photos_are_not_tracked(tmp_path):
    media.write(tmp_path / "a.png", frame(0))
    with pytest.raises(ValueError, match="needs a video or a folder of frames, and a single photo"):
        predict_to([tmp_path / "a.png"], Model(Dots()), tmp_path / "out", tracker=lambda model: model.tracker)
    assert not (tmp_path / "out").exists()


# ── PoseTrack ──


@pytest.fixture(scope="module")
def measuring() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tracking_benchmark", REPOSITORY / "benchmarks" / "tracking.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Walker(Dots):
    """A fly with a person's joints."""

    skeleton = Skeleton.build("walker", ["left_wrist", "right_wrist", "head_top"], [], [0.05] * 3)

    def decode(self, outputs: dict, size: tuple[int, int]) -> list[Poses]:
        return [Poses(self.skeleton, p.keypoints, 0.9 * p.keypoint_scores, p.scores) for p in super().decode(outputs, size)]


def walkers(root: Path, name: str, first: int, count: int = 5) -> None:
    """A video with one walker in PoseTrack18's form."""
    images, people = [], []
    for i in range(count):
        file = f"images/val/{name}/{i:03d}.png"
        media.write(root / file, frame(i))
        images.append({"id": first + i, "file_name": file, "is_labeled": True})
        flat = np.zeros((17, 3))
        flat[[9, 10, 2]] = np.column_stack([JOINTS + np.array([3 * i, 0]), np.ones(3)])
        people.append(
            {
                "id": 10 * (first + i),
                "image_id": first + i,
                "track_id": 4,
                "keypoints": flat.ravel().tolist(),
                "bbox_head": [60, 20, 12, 12],
            }
        )
    joints = "nose head_bottom head_top left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist"
    joints += " left_hip right_hip left_knee right_knee left_ankle right_ankle"
    content = {"images": images, "annotations": people, "categories": [{"id": 1, "name": "person", "keypoints": joints.split()}]}
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations" / f"{name}.json").write_text(json.dumps(content))


def test_a_model_on_posetrack_is_measured_whole(tmp_path):
    """MOTA of a model's own people, in two videos; its result file goes to the server and is measured the same."""
    root = tmp_path / "data"
    for i, name in enumerate(("a", "b")):
        walkers(root, name, 100 * (i + 1))
    options = {"dataset": "posetrack", "annotations": root / "annotations", "quiet": True}
    done = evaluate(model=Model(Walker()), images=root, results_out=tmp_path / "out", json=tmp_path / "f.json", **options)
    assert done.figures["MOTA"] == 100
    assert "tracked with dis flow" in done.protocol
    assert "identity switches: 0" in str(done)
    assert json.loads((tmp_path / "f.json").read_text())["switches"] == 0
    rows = json.loads((tmp_path / "out" / "b.json").read_text())["annotations"]
    assert [r["track_id"] for r in rows] == [1] * 5  # each video counts its own
    again = evaluate(results=tmp_path / "out", **options)
    np.testing.assert_equal(again.figures, done.figures)
    plain = evaluate(model=Model(Walker()), images=root, no_track=True, **options)
    assert "MOTA" not in plain.figures
    assert plain.figures["mAP"] == done.figures["mAP"]
    least = evaluate(model=Model(Walker()), images=root, joint_threshold=1.0, flow="none", **options)
    assert least.figures["recall"] == 0
    assert "joints from score 1, tracked with no flow" in least.protocol


class Pair(Walker):
    """Two of them, in every frame one step further to the right."""

    STEP = 5

    def decode(self, outputs: dict, size: tuple[int, int]) -> list[Poses]:
        both = [
            np.concatenate([p.keypoints, p.keypoints + np.float32([self.STEP * size[0] / 96, 0])]) for p in super().decode(outputs, size)
        ]
        return [Poses(self.skeleton, xy, np.full((2, 3), 0.9), np.float32([0.9, 0.8])) for xy in both]


@pytest.mark.parametrize("matching", ["hungarian", "greedy"])
def test_11_evaluation_with_the_papers_greedy_matching(tmp_path, monkeypatch, matching):
    """`--matching greedy` reaches the tracker, and costs MOTA where the first person steps to where the second was."""
    monkeypatch.setattr(f"{__name__}.frame", lambda i: photo_of((96, 160), JOINTS + np.array([Pair.STEP * i, 0])))
    walkers(tmp_path, "a", 100, count=3)  # PoseTrack does not count the last frame
    content = json.loads((tmp_path / "annotations" / "a.json").read_text())
    for i, person in enumerate(content["annotations"][:3]):
        flat = np.zeros((17, 3))
        flat[[9, 10, 2]] = np.column_stack([JOINTS + np.array([Pair.STEP * (i + 1), 0]), np.ones(3)])
        content["annotations"].append({**person, "id": person["id"] + 1, "track_id": 5, "keypoints": flat.ravel().tolist()})
        flat[[9, 10, 2], 0] -= Pair.STEP
        person["keypoints"] = flat.ravel().tolist()
    for person in content["annotations"]:
        person["bbox_head"] = [60, 20, 4, 4]  # the next person is too far away for a pair to be kept
    (tmp_path / "annotations" / "a.json").write_text(json.dumps(content))
    monkeypatch.setattr("manypose.evaluation.evaluate.one_or_several", lambda *_, **__: Model(Pair()))
    command = ["evaluate", "--model", "pair", "--dataset", "posetrack", "--annotations", tmp_path / "annotations", "--images", tmp_path]
    command += ["--flow", "none", "--matching", matching, "--json", tmp_path / "f.json", "--quiet"]
    assert main(list(map(str, command))) == 0
    found = json.loads((tmp_path / "f.json").read_text())
    assert found["switches"] == (6 if matching == "greedy" else 0)  # three joints of two people
    assert ("greedily" in found["protocol"]) == (matching == "greedy")


def test_the_written_video_is_one_that_evaluation_reads(measuring, tmp_path):
    from manypose.data.datasets.posetrack import read_posetrack, truths
    from manypose.data.datasets.posetrack_results import write_posetrack

    measuring.write(tmp_path, frames=12, seed=3, lanes=3)
    videos = read_posetrack(tmp_path / "annotations")
    frames, report = truths(videos)
    assert report.problems == []
    made, rng, tracker = SyntheticVideo(12, 3, lanes=3, skeleton=POSETRACK), np.random.default_rng(0), Tracker(TrackOptions(flow="none"))
    found = {}
    for i, truth in enumerate(frames):
        crowd = made.people(i)
        assert np.allclose(truth.keypoints[..., :2], crowd.truth.keypoints[..., :2] * crowd.truth.labelled[..., None])
        assert np.allclose(truth.head_sizes, crowd.truth.head_sizes)
        found[truth.image_id] = tracker.update(found_in(crowd, rng))
    write_posetrack(tmp_path / "out", videos, found)
    done = evaluate(dataset="posetrack", annotations=tmp_path / "annotations", results=tmp_path / "out", quiet=True)
    assert done.figures["MOTA"] == posetrack_mot([found[t.image_id] for t in frames], frames).mota > 98


def test_the_benchmark_measures(measuring):
    assert measuring.speed(20)["ids"] >= 10
    rows = measuring.memory(40, 20)
    assert [row["frame"] for row in rows] == [20, 40]
    assert rows[1]["KiB"] < rows[0]["KiB"] + 500
    found = measuring.quality(TrackOptions(flow="none"), range(1, 2), 20, 1, {}, 3)
    assert found["recall"] == 100


def test_flies_have_no_ids_without_tracking():
    assert Model(Dots()).predict(frame(0)).ids is None
    assert FLY.joints[2] == "head"


def test_scores_do_not_fade_over_a_track_and_the_threshold_holds():
    """A box in the first frame only: somebody who stands still keeps about that score; nobody below the threshold is given out."""
    frames, boxes = [frame(0)] * 12, [[[20.0, 10, 125, 85, 0.6]], *[[]] * 11]
    model = Model(BoxDots())
    found = model.predict(frames, boxes=boxes, track=True)
    assert ids(found) == [[1]] * 12
    assert [float(p.scores[0]) for p in found] == pytest.approx([float(found[0].scores[0])] * 12, rel=0.05)
    first = float(found[0].scores[0])
    assert [len(p) for p in model.predict(frames, boxes=boxes, track=True, threshold=min(1.0, 1.05 * first))] == [0] * 12
    grey = np.full_like(frames[0], 60)
    faded = [(frames[0] * (1 - i / 14) + grey * (i / 14)).astype(np.uint8) for i in range(12)]
    found = model.predict(faded, boxes=boxes, track=True, threshold=0.3)
    assert all(s >= 0.3 for p in found for s in p.scores.tolist())
    assert sum(map(len, found)) < 12
