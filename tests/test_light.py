"""The light installation: everything that `predict` does works where PyTorch and its companions cannot be imported."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from manypose.io import photos as media
from manypose.io.extras import TORCH
from manypose.io.sources import example_photo

HEAVY = (*TORCH, "accelerate", "matplotlib", "pandas", "onnx", "skimage", "faster_coco_eval")

BLOCKED = f"import sys\nfor name in {HEAVY!r}: sys.modules[name] = None\n"


def light(program: str, *words: object) -> subprocess.CompletedProcess:
    """A program that runs without the heavy packages."""
    return subprocess.run([sys.executable, "-c", BLOCKED + program, *map(str, words)], capture_output=True, text=True)


def command(*words: object) -> subprocess.CompletedProcess:
    return light("from manypose.cli.__main__ import main\nsys.exit(main(sys.argv[1:]))", *words)


def test_people_are_found_drawn_and_written(tmp_path: Path):
    done = command("predict", "--example", "--format", "coco,csv,jsonl,openpose", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 person in 1 photo")
    (person,) = json.loads((tmp_path / "coco.json").read_text())
    nose = person["keypoints"][:2]
    assert np.abs(np.array(nose) - [225, 120]).max() < 25  # as seen in the photo
    assert {p.name for p in tmp_path.iterdir()} >= {"astronaut_poses.jpg", "coco.json", "poses.csv", "poses.jsonl"}


@pytest.mark.slow
def test_people_of_frames_are_tracked(tmp_path: Path):
    photo = media.read(example_photo())
    for i in range(4):
        media.write(tmp_path / "frames" / f"{i}.png", np.roll(photo, 3 * i, 1))
    done = command("predict", tmp_path / "frames", "--model", "fast", "--track", "--format", "jsonl", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "out" / "poses.jsonl").read_text().splitlines()]
    ids = [person["id"] for row in rows for person in row["people"]]
    assert ids == [1, 1, 1, 1], rows[0]


@pytest.mark.slow
def test_the_first_pose_by_torch_imports_nothing_that_only_other_models_need(tmp_path: Path):
    blocked = "import sys\nfor name in ('torchvision', 'timm', 'scipy', 'huggingface_hub'): sys.modules[name] = None\n"
    program = blocked + "from manypose.cli.__main__ import main\nsys.exit(main(sys.argv[1:]))"
    words = ("predict", "--example", "--runtime", "torch", "--no-pictures", "--out", str(tmp_path))
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 person in 1 photo")


@pytest.mark.parametrize(
    "words",
    [
        ("train", "--config", "c.yaml"),
        ("evaluate", "--results", "r.json"),
        ("convert", "a.pth", "--model", "swahr-w32", "--out", "b.safetensors"),
        ("export", "fast", "--out", "x.onnx"),
        ("bench", "decode"),
        ("predict", "--example", "--model", "simple-pose-mobile"),
        ("predict", "--example", "--runtime", "torch"),
        ("predict", "--example", "--detector", "ssd300_vgg16"),
    ],
    ids=lambda words: "_".join(words[:4]),
)
def test_what_needs_pytorch_says_so_in_one_line(words, tmp_path: Path):
    out = ("--out", str(tmp_path / "out")) if words[0] == "predict" else ()
    done = command(*words, *out)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "which is not installed: pip install 'manypose[torch]'" in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_doctor_and_the_table_of_models_need_no_pytorch():
    done = command("doctor")
    assert done.returncode == 0, done.stderr
    assert "graph-test   mspn-mobile on cpu by onnxruntime: works" in done.stdout
    assert "torch, torchvision, timm, scipy, huggingface_hub missing: pip install 'manypose[torch]'" in done.stdout
    assert command("models").returncode == 0


def test_python_says_it_too():
    done = light("import manypose\nprint(len(manypose.predict(sys.argv[1])))\nmanypose.load('swahr-w32', weights='x.pth')", example_photo())
    assert done.stdout == "1\n"
    assert done.stderr.strip().splitlines()[-1].endswith("needs PyTorch, which is not installed: pip install 'manypose[torch]'")
