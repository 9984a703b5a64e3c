"""Training of the grouping CNN: it learns, and goes on through the one loop."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from grouping_scene import PLAIN, archive, cnn, scene
from shared import REPOSITORY

from manypose.cli.__main__ import main
from manypose.data.datasets.coco import annotated_people
from manypose.io.safetensors import read_about
from manypose.methods.simple.grouping import GroupingCNN, grouping_loss
from manypose.methods.simple.grouping_file import load_grouping
from manypose.methods.simple.grouping_train import drawn_examples
from manypose.methods.simple.training_maps import Examples
from manypose.training.grouping import train


@pytest.mark.slow
def test_it_learns_and_goes_on_where_it_stopped(tmp_path, capsys):
    """Two runs of four steps are one of eight to the last bit; the loss falls."""
    people = archive(tmp_path / "people.npz", [scene(i) for i in range(6)])
    settings_ = {"rois": 6, "lr": 5e-3, "warmup": 2, "rendering": PLAIN, "device": "cpu", "seed": 3}

    def run(folder, **more):
        torch.manual_seed(7)
        return load_grouping(train(people, tmp_path / folder, network=cnn(), **{**settings_, "steps": 8, **more}))

    whole = run("whole")
    run("parts", max_minutes=0)
    for _ in range(7):
        run("parts", max_minutes=0)
    parts = run("parts")
    assert all(torch.equal(v, parts.state_dict()[k]) for k, v in whole.state_dict().items())
    with pytest.raises(ValueError, match="belongs to another training: rois was 6, is now 7"):
        run("parts", rois=7)
    capsys.readouterr()
    examples = drawn_examples(list(annotated_people(people)), whole, PLAIN, 12, np.random.default_rng(1))
    trained = run("long", steps=60)
    assert losses_of(trained, examples) < 0.9 * losses_of(cnn().eval(), examples)


def losses_of(network: GroupingCNN, examples: Examples) -> float:
    with torch.no_grad():
        return float(sum(grouping_loss(network.logits(examples.rois), examples.roi, examples.joint, examples.cells, examples.own).values()))


def test_one_command_trains_from_the_config(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MANYPOSE_DATA", str(tmp_path))
    config = REPOSITORY / "configs/simple/grouping.yaml"
    place = archive(tmp_path / "people.npz", [scene(i) for i in range(3)])
    given_ = ["grouping", "train", "--config", str(config), "--device", "cpu", "--annotations", str(place)]
    assert main([*given_, "--out", str(tmp_path / "out"), "--steps", "1", "--rois", "2"]) == 0
    assert load_grouping(tmp_path / "out" / "grouping.safetensors").extend == 2.0
    assert main([*given_, "--setps", "1"]) == 2
    assert "did you mean --steps" in capsys.readouterr().err
    place.unlink()
    assert main([*given_, "--out", str(tmp_path / "none")]) == 1
    assert "no such annotation file" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_a_killed_training_goes_on_bit_for_bit(tmp_path):
    people = archive(tmp_path / "people.npz", [scene(i) for i in range(3)])
    (tmp_path / "c.yaml").write_text(
        f"annotations: {people}\nsteps: 6\nrois: 2\nsave_every: 1\ndevice: cpu\n"
        "network: {class_path: manypose.methods.simple.grouping.GroupingCNN, init_args: {size: [32, 32], widths: [8, 8, 8, 8]}}\n"
    )
    words = ["grouping", "train", "--config", str(tmp_path / "c.yaml"), "--out"]
    program = [sys.executable, "-m", "manypose.cli", *words]
    subprocess.run([*program, tmp_path / "whole"], check=True, capture_output=True)
    process = subprocess.Popen([*program, tmp_path / "broken"], stderr=subprocess.DEVNULL)
    until = time.monotonic() + 90
    while not list((tmp_path / "broken").glob("checkpoints/step-*")) and time.monotonic() < until and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    subprocess.run([*program, tmp_path / "broken"], check=True, capture_output=True)
    name = "grouping.safetensors"
    assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "broken" / name).read_bytes()
    assert read_about(tmp_path / "broken" / name)["step"] == 6
