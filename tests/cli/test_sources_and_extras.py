"""What `predict` looks at besides files, and what it does with each picture on request (issue 17, lines 3 and 7)."""

import csv
import io
import json
import logging
import re
import sys
import threading
import types
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
from dots import BoxDots, Dots, photo_of

from manypose.cli.__main__ import main
from manypose.cli.extras import Window
from manypose.cli.moving import Moving, local
from manypose.cli.outcome import Drawing, Part
from manypose.cli.predict_into import predict_to
from manypose.inference.model import Model
from manypose.inference.options import PredictOptions
from manypose.io import photos as media
from manypose.io import sources as places
from manypose.io import videos

JOINTS = np.array([[40.0, 60.0], [110.0, 70.0], [75.0, 25.0]])


def picture(i: int = 0) -> np.ndarray:
    return photo_of((96, 150), JOINTS + i)


def predicted(sources, out: Path, fps=None, **more):
    with local([str(s) for s in sources], fps) as found:
        return predict_to(found, Model(Dots()), out, formats=("jsonl", "csv"), **more)


def names_of(out: Path) -> list[str]:
    return [json.loads(line)["image"] for line in (out / "poses.jsonl").read_text().splitlines()]


@pytest.fixture
def server(tmp_path):
    """The address of a folder with one photo."""
    media.write(tmp_path / "www/a.png", picture())
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "www"))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_address[1]}"
        served.shutdown()


def test_issue_17_line_3_an_address(server, tmp_path):
    outcome = predicted([f"{server}/a.png"], tmp_path / "out")
    assert (outcome.photos, outcome.people, names_of(tmp_path / "out")) == (1, 1, ["a.png"])


def test_an_address_that_is_not_there_fails_alone(server, tmp_path):
    told: list[str] = []
    outcome = predicted([f"{server}/b.png", f"{server}/a.png"], tmp_path / "out", complain=told.append)
    assert outcome.photos == 1
    assert len(told) == 1
    assert "b.png: cannot be downloaded" in told[0]


def test_issue_17_line_3_standard_input(tmp_path, monkeypatch):
    content = cv2.imencode(".png", picture())[1].tobytes()
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(content)))
    outcome = predicted(["-"], tmp_path / "out")
    assert (outcome.people, names_of(tmp_path / "out")) == (1, ["stdin"])
    assert (tmp_path / "out/stdin_poses.jpg").is_file()


class Camera:
    """Stands for cv2.VideoCapture: three pictures, then Ctrl-C or the end."""

    def __init__(self, index: int, interrupted: bool) -> None:
        self.there, self.interrupted = index == 0, interrupted
        self.left = [picture(i) for i in range(3)]

    def isOpened(self):
        return self.there

    def read(self):
        if not self.left and self.interrupted:
            raise KeyboardInterrupt
        return (True, cv2.cvtColor(self.left.pop(0), cv2.COLOR_RGB2BGR)) if self.left else (False, None)

    def release(self):
        pass


@pytest.mark.parametrize("interrupted", [False, True])
def test_issue_17_line_3_a_camera_until_ctrl_c(interrupted, tmp_path, monkeypatch):
    pytest.importorskip("av", reason="the extra 'video' is not installed")
    monkeypatch.setattr(places.cv2, "VideoCapture", lambda index: Camera(index, interrupted))
    outcome = predicted([0], tmp_path / "out")
    assert outcome.people == outcome.photos >= 1
    assert len(list(videos.frames(tmp_path / "out/camera0_poses.mp4"))) == outcome.photos
    assert names_of(tmp_path / "out")[0] == "camera0#0"
    again = predicted([0], tmp_path / "out")  # a camera shows something else the next time
    assert again.resumed == 0
    assert len(names_of(tmp_path / "out")) == again.photos


def test_no_such_camera_is_one_line(tmp_path, monkeypatch):
    pytest.importorskip("av", reason="the extra 'video' is not installed")
    monkeypatch.setattr(places.cv2, "VideoCapture", lambda index: Camera(1, False))
    told: list[str] = []
    predicted([7], tmp_path / "out", complain=told.append)
    assert told == ["camera 7: not found, or in use by another program"]


def test_addresses_of_streams_are_videos():
    with local(["rtsp://user@10.0.0.1:554/live", "https://example.org/clip.mp4"]) as found:
        first, second = found
    assert isinstance(first, Moving)
    assert isinstance(second, Moving)
    assert (first.source, first.path.name, first.live) == ("rtsp://user@10.0.0.1:554/live", "live", True)
    assert (second.path.name, second.live) == ("clip.mp4", False)


def test_issue_17_line_3_a_folder_of_frames_is_a_video(tmp_path):
    pytest.importorskip("av", reason="the extra 'video' is not installed")
    for i in range(4):
        media.write(tmp_path / f"walk/{i:03}.png", picture(2 * i))
    outcome = predicted([tmp_path / "walk"], tmp_path / "out", fps=10, part=Part(every=2))
    assert (outcome.photos, outcome.people) == (2, 2)
    assert names_of(tmp_path / "out") == ["walk#0", "walk#2"]
    assert [json.loads(line)["time"] for line in (tmp_path / "out/poses.jsonl").read_text().splitlines()] == [0.0, 0.2]
    assert len(list(videos.frames(tmp_path / "out/walk_poses.mp4"))) == 2
    with pytest.raises(ValueError, match=r"fps must be .* from 0\.01 to 1000, got 0"), local(["a"], 0):
        pass


def test_issue_17_line_7_a_photo_without_people_is_kept(tmp_path):
    media.write(tmp_path / "photos/a.png", np.zeros((96, 150, 3), np.uint8))
    media.write(tmp_path / "photos/b.png", picture())
    outcome = predicted([tmp_path / "photos"], tmp_path / "out")
    assert outcome.empty == 1
    assert names_of(tmp_path / "out") == ["a.png", "b.png"]
    rows = list(csv.DictReader((tmp_path / "out/poses.csv").read_text().splitlines()))
    assert [(r["image"], r["joint"]) for r in rows][:2] == [("a.png", ""), ("b.png", "left_wing")]


def test_issue_17_line_7_the_best_score_below_the_threshold_is_said(tmp_path, capsys):
    media.write(tmp_path / "b.png", picture() // 2)
    media.write(tmp_path / "empty.png", np.zeros((96, 150, 3), np.uint8))
    predicted([tmp_path / "b.png", tmp_path / "empty.png"], tmp_path / "out", options=PredictOptions(threshold=1.0))
    faint, empty = capsys.readouterr().out.splitlines()
    said = re.search(r"b\.png: no people found; the best person's score is (0\.\d\d), below the threshold 1 ", faint)
    assert said is not None
    assert empty.endswith("empty.png: no people found; nothing in it has a score above 0")
    lines = [json.loads(line) for line in (tmp_path / "out/poses.jsonl").read_text().splitlines()]
    assert lines[0]["best_score"] == pytest.approx(float(said[1]), abs=0.005)
    assert lines[1]["best_score"] == 0

    def faint_boxes(pictures):
        return [np.array([[10, 10, 100, 80, 0.2]], np.float32) for _ in pictures]

    with local([str(tmp_path / "b.png")]) as found:
        predict_to(found, Model(BoxDots()), tmp_path / "boxes", finder=lambda: faint_boxes, options=PredictOptions(turned=False))
    assert "the best box's score is 0.20, below the detector's threshold 0.3" in capsys.readouterr().out


class Terminal(io.StringIO):
    """Somebody looks at it."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("level", "bar"), [(logging.WARNING, True), (logging.ERROR, False)], ids=["plain", "quiet"])
def test_issue_17_line_6_quiet_has_no_progress_bar(level, bar, tmp_path, monkeypatch):
    """``--quiet`` sets the level of the log (see `manypose.cli.__main__`)."""
    media.write(tmp_path / "photos/a.png", picture())
    media.write(tmp_path / "photos/b.png", picture())
    logger, screen = logging.getLogger("manypose"), Terminal()
    before = logger.level
    monkeypatch.setattr(sys, "stderr", screen)
    try:
        logger.setLevel(level)
        predicted([tmp_path / "photos"], tmp_path / "out")
    finally:
        logger.setLevel(before)
    assert ("2/2" in screen.getvalue()) is bar


def test_issue_17_line_7_crops(tmp_path):
    media.write(tmp_path / "b.png", picture())
    predicted([tmp_path / "b.png"], tmp_path / "out", crops=True, drawing=None)
    crop = media.read(tmp_path / "out/crops/b_0.jpg")
    assert crop.shape[0] < 96
    assert crop.shape[1] < 150
    assert crop.max() > 100
    assert not (tmp_path / "out/b_poses.jpg").exists()


def test_issue_17_line_7_each_drawn_picture_is_shown(tmp_path):
    media.write(tmp_path / "b.png", picture())
    shown: list[np.ndarray] = []
    predicted([tmp_path / "b.png"], tmp_path / "out", show=shown.append, drawing=Drawing(colour_by="person", scores=True))
    assert [s.shape for s in shown] == [(96, 150, 3)]
    assert (shown[0] != picture()).any()


def test_show_without_a_display_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert main(["predict", "x.jpg", "--show", "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.startswith("manypose: error: --show needs a display")
    assert not (tmp_path / "out").exists()


def test_a_window_shows_pictures(monkeypatch):
    class Widget:
        """Takes whatever a widget is told."""

        told: list[str]

        def __init__(self, *_: object) -> None:
            self.told = []

        def winfo_screenwidth(self):
            return 100

        def winfo_screenheight(self):
            return 80

        def __getattr__(self, name: str):
            return lambda *_, **__: self.told.append(name)

    made: list[Widget] = []

    def widget(*_: object) -> Widget:
        made.append(Widget())
        return made[-1]

    sizes: list[tuple[int, int]] = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setitem(sys.modules, "tkinter", types.SimpleNamespace(Tk=widget, Label=widget, TclError=RuntimeError))
    monkeypatch.setattr("PIL.ImageTk.PhotoImage", lambda image: sizes.append(image.size))
    window = Window()
    window.show(np.zeros((300, 200, 3), np.uint8))
    window.close()
    assert sizes == [(48, 72)]  # nine tenths of the screen
    assert made[0].told == ["title", "update", "destroy"]
