"""docs/coming-from.md: every call of ours that it shows runs, in its order; issue 17, "What it must show"."""

import json
import re
import shlex
import types
from pathlib import Path

import cv2
import numpy as np
import pytest
from fake_coco import fake_coco
from PIL import Image
from shared import REPOSITORY

import manypose
from manypose.cli.__main__ import main
from manypose.io import photos as media
from manypose.io import sources, videos
from manypose.io.sources import example_photo

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("untyped")]

SHORT = ["--data.length", "4", "--batch-size", "2", "--epochs", "1", "--log", "csv", "--device", "cpu"]


def calls() -> list[tuple[str, str]]:
    """(Section, call) of the right column of every table."""
    found, section = [], ""
    for line in (REPOSITORY / "docs/coming-from.md").read_text(encoding="utf-8").splitlines():
        section = line[3:] if line.startswith("## ") else section
        cells = [c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 2 and cells[1].startswith("`"):
            found.append((section, cells[1].strip("`")))
    return found


@pytest.fixture
def place(tmp_path, own_data, monkeypatch) -> Path:
    """A folder with what the calls name; a camera of two pictures."""
    person = cv2.resize(media.read(example_photo()), (160, 160), interpolation=cv2.INTER_AREA)
    content, _ = fake_coco(1, images=2, extra=0)
    for image, name in zip(content["images"], ("a", "b"), strict=True):
        image |= {"width": 160, "height": 160, "file_name": f"{name}.jpg"}
        for folder in ("photos", "val2017"):
            media.write(tmp_path / folder / f"{name}.jpg", person)
        people = [
            {"keypoints": np.full((17, 2), 50.0).tolist(), "keypoint_scores": [0.5] * 17, "bbox": [[0, 0, 100, 100]], "bbox_score": 0.9}
        ]
        (tmp_path / "mmpose_predictions").mkdir(exist_ok=True)
        (tmp_path / "mmpose_predictions" / f"{name}.json").write_text(json.dumps(people))
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    media.write(tmp_path / "photo.jpg", person)
    with videos.writer(tmp_path / "clip.mp4", 12) as add:
        for i in range(2):
            add(np.roll(person, i, 1))
    own_data(tmp_path / "busts")
    frames = [person[..., ::-1].copy(), person[..., ::-1].copy()]
    capture = types.SimpleNamespace(
        isOpened=lambda: True, read=lambda: (True, frames.pop()) if frames else (False, None), release=lambda: None
    )
    monkeypatch.setattr(sources.cv2, "VideoCapture", lambda index: capture)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_program_has_its_table():
    sections = {section for section, _ in calls()}
    assert {"Ultralytics YOLO-pose", "MMPose", "rtmlib", "MediaPipe", "OpenPifPaf"} <= sections
    assert len(calls()) > 40


def test_every_call_runs(place: Path, capsys: pytest.CaptureFixture[str]):
    photo = media.read(place / "photo.jpg")
    known = {"manypose": manypose, "numpy": np, "frame": photo[..., ::-1].copy(), "image": Image.fromarray(photo)}
    seen: set[str] = set()
    for section, call in calls():
        if call.startswith("manypose "):
            words = shlex.split(call)[1:]
            if call not in seen:
                assert main([*words, *(SHORT if words[0] == "train" else [])]) == 0, f"{section}: {call}: {capsys.readouterr().err}"
        else:
            exec(compile(call, f"{section}: {call}", "exec"), known)
        seen.add(call)
    assert len(known["poses"]) == 1
    assert (place / "out.jpg").is_file()
