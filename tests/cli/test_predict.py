"""Prediction into a folder, and the command line over it."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from dots import FLY, BoxDots, Dots, photo_of

from manypose.cli.__main__ import main
from manypose.cli.predict_into import predict_to
from manypose.inference.model import Model
from manypose.inference.options import PredictOptions
from manypose.io import photos as media
from manypose.io import videos
from manypose.methods.catalog import build
from manypose.poses import formats
from manypose.weights import files as weights

pytestmark = pytest.mark.filterwarnings("ignore:left out")
JOINTS = np.array([[40.0, 60.0], [110.0, 70.0], [75.0, 25.0]])


@pytest.fixture
def photos(tmp_path):
    """A folder with three photos, one of them called a number, and something else."""
    folder = tmp_path / "photos"
    for i, name in enumerate(("000000000785.png", "b.jpg", "b.png")):
        media.write(folder / name, photo_of((100, 150), JOINTS + i))
    (folder / "notes.txt").write_text("x")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


def test_everything_is_written(photos, tmp_path, recwarn):
    out = tmp_path / "out"
    outcome = predict_to([photos], Model(Dots()), out, formats=("coco", "csv", "jsonl", "openpose"))
    assert names(out) == [
        "000000000785_keypoints.json", "000000000785_poses.jpg", "b-2_keypoints.json", "b-2_poses.jpg", "b_keypoints.json", "b_poses.jpg",
        "coco.json", "poses.csv", "poses.jsonl",
    ]  # fmt: skip
    assert (outcome.photos, outcome.people, outcome.failed) == (3, 3, [])
    assert "neither photo nor video: 1 file" in str(recwarn.pop(UserWarning).message)
    rows = json.loads((out / "coco.json").read_text())
    assert {r["file_name"]: r["image_id"] for r in rows} == {"000000000785.png": 785, "b.jpg": 1, "b.png": 2}
    found = formats.from_coco(rows, FLY)
    assert np.abs(found[785].keypoints[0] - JOINTS).max() < 0.6
    assert np.abs(found[2].keypoints[0] - JOINTS - 2).max() < 0.6
    lines = dict(formats.from_jsonl((out / "poses.jsonl").read_text().splitlines()))
    assert lines.keys() == {"000000000785.png", "b.jpg", "b.png"}
    table = formats.from_csv((out / "poses.csv").read_text().splitlines(), FLY)
    assert np.array_equal(table["b.png"].keypoints, lines["b.png"].keypoints)
    people = json.loads((out / "openpose" / "b_keypoints.json").read_text())["people"]
    assert len(people) == 1
    drawn = media.read(out / "b_poses.jpg")
    assert drawn.shape == (100, 150, 3)
    assert np.abs(drawn.astype(int) - media.read(photos / "b.jpg")).max() > 100


def test_bad_photos_are_told_and_the_others_go_on(photos, tmp_path):
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    (photos / "empty.png").write_bytes(b"")
    told = []
    out = tmp_path / "out"
    outcome = predict_to([photos, tmp_path / "missing.jpg"], Model(Dots()), out, complain=told.append)
    assert outcome.photos == 3
    assert told == outcome.failed
    assert sorted(Path(line.split(":")[0]).name for line in told) == ["broken.jpg", "empty.png", "missing.jpg"]
    assert "coco.json" in names(out)
    assert len(names(out)) == 4


def test_nothing_to_look_at(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        predict_to([tmp_path / "missing.jpg"], Model(Dots()), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "a.jpg").write_bytes(b"")
    outcome = predict_to([tmp_path / "a.jpg"], Model(Dots()), tmp_path / "out", complain=lambda _: None)
    assert len(outcome.failed) == 1
    assert names(tmp_path / "out") == []


def test_the_model_is_loaded_only_when_there_is_something_to_do(tmp_path):
    def load():
        raise AssertionError

    with pytest.raises(FileNotFoundError):
        predict_to([tmp_path / "missing.jpg"], load, tmp_path / "out")


def test_boxes(photos, tmp_path):
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps([{"image_id": 785, "category_id": 1, "bbox": [20, 10, 110, 80], "score": 0.5}]))
    outcome = predict_to([photos], Model(BoxDots()), tmp_path / "out", boxes=file)
    assert (outcome.photos, outcome.people) == (3, 1)
    with pytest.raises(ValueError, match="takes no boxes"):
        predict_to([photos], Model(Dots()), tmp_path / "out2", boxes=file)
    with pytest.raises(ValueError, match="none of its photos"):
        predict_to([photos / "b.jpg"], Model(BoxDots()), tmp_path / "out3", boxes=file)
    assert names(tmp_path / "out2") == []


def test_video(tmp_path):
    pytest.importorskip("av", reason="the extra 'video' is not installed")
    with videos.writer(tmp_path / "clip.mp4", 12) as add:
        for i in range(5):
            add(photo_of((96, 150), JOINTS + i, 7))
    media.write(tmp_path / "a.png", photo_of((96, 150), JOINTS))
    out = tmp_path / "out"
    outcome = predict_to([tmp_path / "clip.mp4", tmp_path / "a.png"], Model(Dots()), out, formats=("jsonl", "openpose"))
    assert (outcome.photos, outcome.people) == (6, 6)
    assert names(out)[:2] == ["a_keypoints.json", "a_poses.jpg"]
    assert {"clip_poses.mp4", "clip_000000000004_keypoints.json"} <= set(names(out))
    assert videos.about(out / "clip_poses.mp4").fps == 12
    assert len(list(videos.frames(out / "clip_poses.mp4"))) == 5
    ids = [json.loads(line)["image_id"] for line in (out / "poses.jsonl").read_text().splitlines()]
    assert len(set(ids)) == 6


def test_a_broken_video_leaves_no_drawing(tmp_path):
    pytest.importorskip("av", reason="the extra 'video' is not installed")
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(90))
    told = []
    outcome = predict_to([tmp_path / "clip.mp4"], Model(Dots()), tmp_path / "out", complain=told.append)
    assert len(outcome.failed) == len(told) == 1
    assert "clip.mp4" in told[0]
    assert names(tmp_path / "out") == []


class Disk:
    """Text files on a disk that is full after some bytes."""

    def __init__(self, monkeypatch, room: int, only: str):
        real = open

        def opened(file, mode="r", *args, **kwargs):
            handle = real(file, mode, *args, **kwargs)
            if "w" in mode and only in str(file):
                written, put = [0], handle.write

                def write(data):
                    written[0] += len(data)
                    if written[0] > room:
                        raise OSError(28, "No space left on device")
                    return put(data)

                handle = _Proxy(handle, write)
            return handle

        monkeypatch.setattr("builtins.open", opened)


class _Proxy:
    def __init__(self, handle, write):
        self._handle, self.write = handle, write

    def __getattr__(self, name):
        return getattr(self._handle, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._handle.close()


def test_a_full_disk_is_one_error_and_leaves_nothing_half_written(photos, tmp_path, monkeypatch):
    out = tmp_path / "out"
    Disk(monkeypatch, 300, "poses")
    with pytest.raises(OSError, match=r"cannot be written: No space left on device: .*poses\.jsonl") as caught:
        predict_to([photos], Model(Dots()), out, formats=("coco", "jsonl"), pictures=False)
    assert caught.value.filename.endswith("poses.jsonl")
    assert names(out) == []


def test_an_unwritable_folder(photos, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        predict_to([photos], Model(Dots()), tmp_path / "file" / "out")
    with pytest.raises(ValueError, match=r"no format 'xml'; there are coco"):
        predict_to([photos], Model(Dots()), tmp_path / "out", formats=("xml",))


# ── the command line, with the real method (random weights: what it finds does not matter here) ──


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    torch.manual_seed(0)
    return weights.save(build("swahr-w18-small"), tmp_path_factory.mktemp("weights") / "w18.safetensors", name="swahr-w18-small")


def run(capsys, *argv: object) -> tuple[int, str, str]:
    code = main([str(a) for a in argv])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_command_line(photos, untrained, tmp_path, capsys):
    out = tmp_path / "out"
    code, said, errors = run(
        capsys, "predict", photos / "b.jpg", "--model", untrained, "--out", out, "--format", "coco,csv", "--device", "cpu", "--size", 64
    )
    assert (code, errors) == (0, "")
    assert f"in 1 picture; wrote {out / 'coco.json'}, {out / 'poses.csv'}, {out / 'b_poses.jpg'}" in said
    assert names(out) == ["b_poses.jpg", "coco.json", "poses.csv"]


def test_command_line_continues_past_a_bad_file(photos, untrained, tmp_path, capsys):
    (photos / "c.jpg").write_bytes(b"")
    code, said, errors = run(capsys, "predict", photos, "--model", untrained, "--out", tmp_path / "out", "--size", 64, "--device", "cpu")
    assert code == 1
    assert len([line for line in errors.splitlines() if "error" in line]) == 1
    assert "c.jpg: an empty file" in errors
    assert "in 3 pictures" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--scales", "1,0"], "scales must be"),
        (["--size", "-5"], "size must be"),
        (["--batch-size", "0"], "batch_size must be"),
        (["--format", "xml"], "xml"),
        (["--flipp"], "flip"),
        (["--device", "cuda:77"], "GPU"),
        (["--boxes", "none.json"], "none.json"),
        (["--threshold", "high"], "threshold"),
    ],
)
def test_command_line_refuses_in_one_line(photos, untrained, tmp_path, capsys, options, message):
    code, said, errors = run(capsys, "predict", photos / "b.jpg", "--model", untrained, "--out", tmp_path / "out", *options)
    assert code != 0
    assert message in errors
    assert len(errors.strip().splitlines()) == 1
    assert not said
    assert names(tmp_path / "out") == []


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_command_line_in_a_folder_that_may_not_be_written(photos, untrained, tmp_path, capsys):
    (tmp_path / "out").mkdir(mode=0o500)
    code, _, errors = run(capsys, "predict", photos / "b.jpg", "--model", untrained, "--out", tmp_path / "out", "--size", 64)
    assert code == 1
    assert "cannot be written" in errors


# ── the real method ──


def test_swahr_gives_the_same_at_any_batch_size(untrained, photos):
    from manypose.inference.model import load

    model = load(untrained, device="cpu")
    pictures = [photo_of((100 + 40 * (i % 2), 150), JOINTS + i) for i in range(5)]
    options = {"size": 96, "flip": True, "scales": (0.5, 1.0), "threshold": 0.0}
    alone = [model.predict(p, **options) for p in pictures]
    assert any(len(p) for p in alone)
    for a, b in zip(alone, model.predict(pictures, batch_size=4, **options), strict=True):
        assert len(a) == len(b)
        assert np.abs(a.keypoints - b.keypoints).max(initial=0) < 1e-3
        assert np.allclose(a.scores, b.scores, atol=1e-4)
    assert PredictOptions(**options).scales == (0.5, 1.0)
