"""The commands that README and docs show run, on small inputs that have the same names; issue 17, "What it must show"."""

import json
import re
import shlex
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from fake_coco import fake_coco
from test_package import commands

from manypose.cli.__main__ import main
from manypose.io import photos as media
from manypose.io import videos
from manypose.io.sources import example_photo

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("untyped")]

ELSEWHERE = re.compile(
    r"^(bench|cluster|convert|export|grouping|models|prn|serve|version)\b|--config|--weights|-weights FILE|\b(FILE|DIR)\b|runs/|dogs/"
    r"|imhn-4|w32\.|fasterrcnn|posetrack18|--example|COCO_val|--serve|--show"
)
"""Commands with tests of their own, those that need a display or go on until somebody ends them, and those that need files that are not
ours to give (published checkpoints, whole data sets)."""

SHORT = ["--data.length", "4", "--batch-size", "2", "--epochs", "1", "--log", "csv", "--device", "cpu"]


def shown() -> list[str]:
    """The commands, each once."""
    return list(dict.fromkeys(" ".join(shlex.split(line, comments=True)) for _, line in commands() if not ELSEWHERE.search(line)))


@pytest.fixture(scope="module")
def place(tmp_path_factory, own_data) -> Path:
    """A folder with everything that the commands name."""
    root = tmp_path_factory.mktemp("place")
    person = cv2.resize(media.read(example_photo()), (160, 160), interpolation=cv2.INTER_AREA)
    content, results = fake_coco(1, images=2, extra=0)
    for folder in ("photos", "folder", "my_photos", "val2017", "more"):
        for i in (1, 2):
            media.write(root / folder / (f"{i}.png" if folder == "more" else f"{i:012d}.jpg"), np.roll(person, i, 1))
    for image in content["images"]:
        image |= {"width": 160, "height": 160, "all_persons_labelled": False}
    for name in ("person_keypoints_val2017", "mine", "my", "people"):
        (root / f"{name}.json").write_text(json.dumps(content))
    for name in ("of_another_program", "results"):
        (root / f"{name}.json").write_text(json.dumps(results))
    boxes = [{"image_id": i, "category_id": 1, "bbox": [5, 5, 120, 150], "score": 0.9} for i in (1, 2)]
    for name in ("boxes", "detections"):
        (root / f"{name}.json").write_text(json.dumps(boxes))
    media.write(root / "photo.jpg", person)
    with videos.writer(root / "clip.mp4", 12) as add:
        for i in range(3):
            add(np.roll(person, i, 1))
    own_data(root / "busts")
    return root


def test_there_are_commands_to_run():
    assert len(shown()) > 12
    assert {line.split()[0] for line in shown()} >= {"predict", "evaluate", "train", "label", "doctor"}


@pytest.mark.parametrize("line", shown())
def test_a_command_runs(line: str, place: Path, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(place)
    words = line.split()
    if words[0] == "train" and "--print-config" not in words:
        words += SHORT
    elif words[0] == "predict" and "--out" not in words:
        words += ["--out", str(tmp_path / "out")]
    if words[:2] == ["doctor", "data"]:
        assert main(words) in (0, 1)  # 1: it found something wrong, as it should in random annotations
    else:
        assert main(words) == 0, capsys.readouterr().err
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
