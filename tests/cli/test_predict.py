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
from manypose.cli.outcome import Outcome
from manypose.cli.predict_into import Part, predict_to
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
    """The files of a folder that people look at."""
    return sorted(p.name for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))


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
    assert len(names(out)) == 5
    assert json.loads((out / "failed.json").read_text()) == {"failed": told}


def test_nothing_to_look_at(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        predict_to([tmp_path / "missing.jpg"], Model(Dots()), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "a.jpg").write_bytes(b"")
    outcome = predict_to([tmp_path / "a.jpg"], Model(Dots()), tmp_path / "out", complain=lambda _: None)
    assert len(outcome.failed) == 1
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["failed.json"]


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
    with pytest.raises(ValueError, match="none of the given photos"):
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
    assert names(tmp_path / "out") == ["failed.json"]


class Disk:
    """Text files on a disk that is full after some bytes."""

    def __init__(self, monkeypatch, room: int, only: str):
        real = open

        def opened(file, mode="r", *args, **kwargs):
            handle = real(file, mode, *args, **kwargs)
            if ("w" in mode or "a" in mode) and only in str(file):
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


def _full_at_the_third():
    calls = []

    def draw(picture, poses, **_):
        calls.append(1)
        if len(calls) == 3:
            raise OSError(28, "No space left on device", "b-2_poses.jpg")
        return picture

    return draw


def test_a_full_disk_is_one_error_and_leaves_nothing_half_written(photos, tmp_path, monkeypatch):
    out = tmp_path / "out"
    with monkeypatch.context() as full:
        Disk(full, 300, "poses")
        with pytest.raises(OSError, match=r"cannot be written: No space left on device: .*poses\.jsonl") as caught:
            predict_to([photos], Model(Dots()), out, formats=("coco", "jsonl"), drawing=None)
    assert caught.value.filename.endswith("poses.jsonl")
    assert names(out) == []
    with monkeypatch.context() as full:
        full.setattr("manypose.cli.predict_into.draw", _full_at_the_third())
        with pytest.raises(OSError, match="No space left"):
            predict_to([photos], Model(Dots()), out, formats=("coco", "jsonl"))
    before = [json.loads(line)["image"] for line in (out / "poses.jsonl").read_text().splitlines()]
    assert before == ["000000000785.png", "b.jpg"]
    assert len(json.loads((out / "coco.json").read_text())) == 2
    assert predict_to([photos], Model(Dots()), out, formats=("coco", "jsonl")).resumed == 2
    assert [json.loads(line)["image"] for line in (out / "poses.jsonl").read_text().splitlines()] == [*before, "b.png"]


def test_an_unwritable_folder(photos, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        predict_to([photos], Model(Dots()), tmp_path / "file" / "out")
    with pytest.raises(ValueError, match=r"no format 'xml'; there are coco"):
        predict_to([photos], Model(Dots()), tmp_path / "out", formats=("xml",))


# ── stopped and gone on with ──


class Counting(Dots):
    """Stops after some photos, as a kill would: with an exception that nothing catches."""

    def __init__(self, after: int = 10**9):
        super().__init__()
        self.after, self.looked = after, 0

    def decode(self, outputs, size):
        self.looked += len(outputs["heat"])
        if self.looked > self.after:
            raise KeyboardInterrupt
        return super().decode(outputs, size)


def content(out: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in out.rglob("*") if p.is_file() and p.name != ".progress.jsonl"}


def photo_set(tmp_path: Path, count: int = 9) -> Path:
    for i in range(count):
        media.write(tmp_path / "many" / f"{i}.png", photo_of((96, 128), JOINTS + i))
    return tmp_path / "many"


def test_a_stopped_run_goes_on_and_ends_as_an_undisturbed_one(tmp_path):
    photos, every = photo_set(tmp_path), {"formats": ("coco", "csv", "jsonl", "openpose"), "options": PredictOptions(batch_size=1)}
    whole = predict_to([photos], Model(Counting()), tmp_path / "whole", **every)
    out = tmp_path / "out"
    for after in (0, 2, 3):
        with pytest.raises(KeyboardInterrupt):
            predict_to([photos], Model(Counting(after)), out, **every)
        lines = (out / "poses.jsonl").read_text().splitlines() if after else []
        people = json.loads((out / "coco.json").read_text()) if after else []
        assert len(lines) == len(people) == {0: 0, 2: 2, 3: 5}[after]  # whole, after Ctrl-C too
    last = Counting()
    done = predict_to([photos], Model(last), out, **every)
    assert (last.looked, done.resumed) == (4, 5)
    assert (done.photos, done.people) == (whole.photos, whole.people) == (9, 9)
    assert content(out) == content(tmp_path / "whole")
    again = predict_to([photos], lambda: pytest.fail("nothing is left to do"), out, **every)
    assert (again.photos, again.resumed) == (9, 9)


def test_what_a_kill_leaves_half_written_is_done_again(tmp_path):
    photos, out, one = photo_set(tmp_path, 5), tmp_path / "out", {"formats": ("jsonl",), "drawing": None}
    predict_to([photos], Model(Dots()), out, **one)
    whole = (out / "poses.jsonl").read_bytes()
    progress = (out / ".progress.jsonl").read_text().splitlines()
    for cut in range(40, len(whole), 97):
        (out / "poses.jsonl").write_bytes(whole[:cut])
        (out / ".progress.jsonl").write_text("\n".join(progress[:4]) + '\n{"path": "/x", "sta')
        predict_to([photos], Model(Dots()), out, **one)
        assert (out / "poses.jsonl").read_bytes() == whole


def test_a_changed_photo_is_done_again_and_a_new_one_added(tmp_path):
    photos, out = photo_set(tmp_path, 3), tmp_path / "out"
    predict_to([photos], Model(Dots()), out)
    media.write(photos / "1.png", photo_of((100, 128), JOINTS))
    media.write(photos / "9.png", photo_of((96, 128), JOINTS))
    method = Counting()
    assert predict_to([photos], Model(method), out).resumed == 2
    assert method.looked == 2
    assert sorted(r["image_id"] for r in json.loads((out / "coco.json").read_text())) == [0, 1, 2, 9]


def test_other_settings_need_a_word_where_the_run_was_not_finished(tmp_path):
    photos, out = photo_set(tmp_path, 4), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        predict_to([photos], Model(Counting(2)), out, options=PredictOptions(batch_size=1))
    with pytest.raises(ValueError, match=r"unfinished run with other settings \(options\).*--overwrite"):
        predict_to([photos], Model(Dots()), out, options=PredictOptions(flip=True))
    assert predict_to([photos], Model(Dots()), out, options=PredictOptions(flip=True), overwrite=True).resumed == 0
    assert predict_to([photos], Model(Dots()), out).resumed == 0  # that run was finished: other settings begin anew
    assert predict_to([photos], Model(Dots()), out, options=PredictOptions(batch_size=3)).resumed == 4


def test_a_video_that_was_stopped_is_done_again_as_a_whole(tmp_path):
    pytest.importorskip("av", reason="the extra 'video' is not installed")
    for name in ("a", "b"):
        with videos.writer(tmp_path / f"{name}.mp4", 12) as add:
            for i in range(6):
                add(photo_of((96, 150), JOINTS + i, 7))
    clips, every = [tmp_path / "a.mp4", tmp_path / "b.mp4"], {"formats": ("coco", "csv", "jsonl"), "options": PredictOptions(batch_size=1)}
    predict_to(clips, Model(Dots()), tmp_path / "whole", **every)
    with pytest.raises(KeyboardInterrupt):
        predict_to(clips, Model(Counting(9)), tmp_path / "out", **every)
    assert len((tmp_path / "out" / "poses.jsonl").read_text().splitlines()) == 9
    method = Counting()
    predict_to(clips, Model(method), tmp_path / "out", **every)
    assert method.looked == 6
    assert content(tmp_path / "out").keys() == content(tmp_path / "whole").keys()
    for name in ("coco.json", "poses.csv", "poses.jsonl"):
        assert content(tmp_path / "out")[name] == content(tmp_path / "whole")[name]


def test_a_file_as_the_folder_is_refused(photos):
    with pytest.raises(ValueError, match=r"b.jpg: is a file; --out needs a folder"):
        predict_to([photos], Model(Dots()), photos / "b.jpg")


def test_results_of_other_photos_are_replaced_with_a_warning(photos, tmp_path, recwarn):
    first, second = photos / "b.jpg", photos / "b.png"
    predict_to([first], Model(Dots()), tmp_path / "out")
    predict_to([first], Model(Dots()), tmp_path / "out", options=PredictOptions(flip=True))
    assert not [w for w in recwarn if "replaced" in str(w.message)]
    with pytest.warns(UserWarning, match="results of 1 other photo or video from an earlier run are replaced; another --out"):
        predict_to([second], Model(Dots()), tmp_path / "out")


def test_people_are_counted_in_photos_and_frames():
    assert Outcome(photos=2, people=1, empty=1).counts() == "1 person in 2 photos (no people in 1 of them)"
    assert Outcome(photos=4, people=6, frames=4, in_frames=6).counts() == "1.5 people a frame in 4 frames"
    assert Outcome(photos=5, people=8, frames=4, in_frames=6, tracks=2).counts() == "2 people in 1 photo, 2 tracked people in 4 frames"
    assert Outcome().counts() == "0 people in 0 photos"


# ── names ──


def test_one_name_in_two_folders(tmp_path):
    paths = [media.write(tmp_path / f / "1.png", photo_of((96, 128), JOINTS + i)) for i, f in enumerate(("x", "y/z"))]
    predict_to(paths, Model(Dots()), tmp_path / "out", formats=("coco", "csv", "jsonl"))
    rows = json.loads((tmp_path / "out" / "coco.json").read_text())
    assert [r["file_name"] for r in rows] == ["x/1.png", "y/z/1.png"]
    assert len({r["image_id"] for r in rows}) == 2
    assert list(formats.from_csv((tmp_path / "out" / "poses.csv").read_text().splitlines(), FLY)) == ["x/1.png", "y/z/1.png"]
    assert "1_poses.jpg" in names(tmp_path / "out")
    assert "1-2_poses.jpg" in names(tmp_path / "out")


@pytest.mark.parametrize("name", ["名" * 82, "=cmd()", "a\nb", "x" * 250, os.fsdecode(b"\xff\xfe photo")])
def test_odd_names_do_not_end_the_run(tmp_path, name):
    folder = tmp_path / "photos"
    media.write(folder / "a.png", photo_of((96, 128), JOINTS))
    odd = folder / f"{name}.png"
    odd.write_bytes((folder / "a.png").read_bytes())
    media.write(folder / "z.png", photo_of((96, 128), JOINTS))
    outcome = predict_to([folder], Model(Dots()), tmp_path / "out", formats=("coco", "csv", "jsonl", "openpose"))
    assert (outcome.photos, outcome.failed) == (3, [])
    assert len(names(tmp_path / "out" / "openpose")) == 3
    assert all(p.parent in (tmp_path / "out", tmp_path / "out" / "openpose") for p in (tmp_path / "out").rglob("*") if p.is_file())


@pytest.mark.slow
@pytest.mark.parametrize("paths", [lambda n: [Path(f"/p/{i}.jpg") for i in range(n)], lambda n: [Path(f"/p/{i}/a.jpg") for i in range(n)]])
def test_naming_takes_time_in_proportion_to_the_number(paths):
    from time import process_time

    from manypose.cli.output_names import named

    def seconds(n: int) -> float:
        start = process_time()
        found = named(paths(n))
        assert len({f.stem for f in found}) == len({f.image_id for f in found}) == n
        return (process_time() - start) / n

    assert min(seconds(4_000) for _ in range(2)) < 2.5 * min(seconds(400) for _ in range(4))


# ── parts of videos, frames as a video ──


def test_part_of_a_video_and_its_times(tmp_path):
    pytest.importorskip("av", reason="the extra 'video' is not installed")
    with videos.writer(tmp_path / "clip.mp4", 10) as add:
        for i in range(20):
            add(photo_of((96, 150), JOINTS + i, 7))
    part = Part(every=3, start=0.5, end=1.5)
    predict_to([tmp_path / "clip.mp4"], Model(Dots()), tmp_path / "out", formats=("jsonl", "csv"), part=part)
    lines = [json.loads(line) for line in (tmp_path / "out" / "poses.jsonl").read_text().splitlines()]
    assert [(line["frame"], line["time"]) for line in lines] == [(6, 0.6), (9, 0.9), (12, 1.2)]
    assert (tmp_path / "out" / "poses.csv").read_text().splitlines()[1].endswith(",6,0.6")
    assert len(list(videos.frames(tmp_path / "out" / "clip_poses.mp4"))) == 3
    with pytest.raises(ValueError, match="every must"):
        Part(every=0)
    with pytest.raises(ValueError, match="end must be later"):
        Part(start=2, end=1)
    with pytest.raises(ValueError, match=r"--start .* no effect on photos such as .*a\.png.*--fps"):
        predict_to([media.write(tmp_path / "a.png", photo_of((96, 150), JOINTS, 7))], Model(Dots()), tmp_path / "other", part=part)
    assert not (tmp_path / "other").exists()


def test_times_of_a_part():
    for text, seconds in (("90", 90), ("1:30", 90), ("0:01:30.5", 90.5), ("100:00", 6000), ("1:00:00", 3600), (2.5, 2.5), ("1e2", 100)):
        assert Part(start=text, end="200:00:00").between == (seconds, 720_000)
    for text in ("-1", "1:-1", "-1:30", "1:60", "1:60:00", "1:1:1:1", "nan", "inf", "1:", ":1", "", "x", "1:1.5:2"):
        with pytest.raises(ValueError, match="start must be a time such as 90"):
            Part(start=text)


def test_a_varying_rate_is_kept(tmp_path):
    pytest.importorskip("av", reason="the extra 'video' is not installed")
    times = [0.1 * i for i in range(5)] + [3 + 0.1 * i for i in range(5)]
    with videos.writer(tmp_path / "clip.mp4", 10) as add:
        for i, time in enumerate(times):
            add(photo_of((96, 150), JOINTS + i, 7), time)
    predict_to([tmp_path / "clip.mp4"], Model(Dots()), tmp_path / "out", formats=("jsonl",))
    assert [json.loads(line)["time"] for line in (tmp_path / "out" / "poses.jsonl").read_text().splitlines()] == pytest.approx(times)
    assert [f.time for f in videos.read(tmp_path / "out" / "clip_poses.mp4")] == pytest.approx(times, abs=1e-3)


def test_a_folder_of_frames_is_tracked_as_a_video(tmp_path):
    for folder in ("one", "two"):
        for i in range(4):
            media.write(tmp_path / folder / f"{i:03d}.png", photo_of((96, 160), JOINTS + 3 * i))
    sources = [tmp_path / "one", tmp_path / "two"]
    outcome = predict_to(sources, Model(Dots()), tmp_path / "out", formats=("jsonl",), drawing=None, tracker=lambda model: model.tracker)
    assert outcome.counts() == "2 tracked people in 8 frames"
    lines = [json.loads(line) for line in (tmp_path / "out" / "poses.jsonl").read_text().splitlines()]
    assert [[p["id"] for p in line["people"]] for line in lines] == [[1]] * 8


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
    assert f"in 1 photo (no people in 1 of them); wrote {out / 'coco.json'}, {out / 'poses.csv'}, {out / 'b_poses.jpg'}" in said
    assert names(out) == ["b_poses.jpg", "coco.json", "poses.csv"]


def test_command_line_continues_past_a_bad_file(photos, untrained, tmp_path, capsys):
    (photos / "c.jpg").write_bytes(b"")
    code, said, errors = run(capsys, "predict", photos, "--model", untrained, "--out", tmp_path / "out", "--size", 64, "--device", "cpu")
    assert code == 1
    assert len([line for line in errors.splitlines() if "error" in line]) == 1
    assert "c.jpg: an empty file" in errors
    assert "in 3 photos" in said


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
