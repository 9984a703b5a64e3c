"""Training of the PRN: it goes on bit for bit through the one loop, and refuses what cannot work."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from prn_crowd import crowd
from torch.optim.optimizer import register_optimizer_step_pre_hook

from manypose.cli.__main__ import main
from manypose.methods.multiposenet.attention import AttentionPRN
from manypose.methods.multiposenet.dense_prn import DensePRN
from manypose.methods.multiposenet.prn import PRN
from manypose.methods.multiposenet.prn_data import People
from manypose.methods.multiposenet.prn_file import load_prn
from manypose.methods.multiposenet.prn_train import PrnTrainingConfig
from manypose.poses.skeleton import COCO
from manypose.training.loop import Saving
from manypose.training.prn import fit, train

SIZES = {
    PRN: {"size": (8, 6), "nodes": 8},
    DensePRN: {"size": (8, 6), "nodes": 8},
    AttentionPRN: {"size": (4, 3), "width": 8, "layers": 1, "heads": 2},
}


def newest(out: Path) -> str:
    return sorted((out / "checkpoints").iterdir())[-1].name


@pytest.mark.parametrize("kind", SIZES)
def test_training_that_is_stopped_ends_as_one_that_is_not(people, kind, tmp_path):
    def fresh():
        torch.manual_seed(0)
        return kind(**SIZES[kind])

    course = PrnTrainingConfig(epochs=1.5, batch_size=32, lost=0.2)
    whole = fit(fresh(), people, course, tmp_path / "whole")
    runs = 0
    while True:
        parts = fresh()
        for p in parts.parameters():
            if runs:
                torch.nn.init.zeros_(p)  # all that counts is in the file
        broken = fit(parts, people, course, tmp_path / "parts", Saving(look=50), max_minutes=0.0)
        runs += 1
        if (
            sorted((tmp_path / "parts" / "checkpoints").iterdir())[-1].name
            == sorted((tmp_path / "whole" / "checkpoints").iterdir())[-1].name
        ):
            break
    assert runs >= 3
    assert whole.read_bytes() == broken.read_bytes()


def test_a_training_goes_on_with_its_own_settings_alone(people, tmp_path, capsys):
    course = {"epochs": 2, "batch_size": 32}
    fit(PRN(size=(4, 3), nodes=4), people, PrnTrainingConfig(**course), tmp_path, max_minutes=0.0)
    with pytest.raises(ValueError, match=r"belongs to another training: seed was 0, is now 1"):
        fit(PRN(size=(4, 3), nodes=4), people, PrnTrainingConfig(**course, seed=1), tmp_path)
    with pytest.raises(ValueError, match=r"belongs to another training: nodes was 4, is now 5"):
        fit(PRN(size=(4, 3), nodes=5), people, PrnTrainingConfig(**course), tmp_path)
    fit(PRN(size=(4, 3), nodes=4), people, PrnTrainingConfig(**course, lr=1e-4), tmp_path, max_minutes=0.0)
    assert "lr was 0.002, is 0.0001 from here on" in capsys.readouterr().out


def mirrored(people: People) -> People:
    """Everybody as in a mirror: x changes its sign, left and right joints change places."""
    x0, y0, x1, y1 = people.boxes.unbind(1)
    keypoints = people.keypoints[:, list(COCO.mirror)] * torch.tensor([-1.0, 1, 1])
    return replace(people, keypoints=keypoints, boxes=torch.stack([-x1, y0, -x0, y1], 1))


def test_18_training_shows_images_in_a_mirror(people, tmp_path):
    """With chance 1 it learns what it learns from mirrored annotations with chance 0, and with neither something else."""
    learnt = []
    for data, chance in ((people, 1.0), (mirrored(people), 0.0), (people, 0.0)):
        torch.manual_seed(0)
        net = PRN(size=(8, 6), nodes=8, dropout=0.0).train()
        out = tmp_path / str(len(learnt))
        fit(net, data, PrnTrainingConfig(epochs=10, batch_size=32, lr=1e-2, jitter=0.0, mirror=chance), out, log="none")
        learnt.append(net.last.detach())
    torch.testing.assert_close(learnt[0], learnt[1], atol=1e-3, rtol=1e-2)
    assert (learnt[0] - learnt[2]).abs().max() > 1e-2
    assert 0 < PrnTrainingConfig().mirror < 1


@pytest.mark.slow
def test_18_the_rate_rises_at_the_start_and_falls_to_the_end(people, tmp_path):
    rates = []
    hook = register_optimizer_step_pre_hook(lambda optimizer, *_: rates.append(optimizer.param_groups[0]["lr"]))
    try:
        fit(PRN(size=(4, 3), nodes=4), people, PrnTrainingConfig(epochs=100, batch_size=32, lr=1e-2), tmp_path, log="none")
    finally:
        hook.remove()
    top = int(np.argmax(rates))
    assert len(rates) > 100
    assert rates[0] < 0.2 * max(rates)
    assert max(rates) == pytest.approx(1e-2, rel=0.1)
    assert rates[-1] < 0.05 * max(rates)
    assert np.all(np.diff(rates[:top]) > 0)
    assert np.all(np.diff(rates[top:]) <= 0)


def test_more_epochs_go_on(archive, tmp_path):
    small = {"nodes": 4, "size": [4, 3], "batch_size": 32}
    assert load_prn(train(archive, tmp_path, epochs=1, **small)).skeleton.name == "coco"
    train(archive, tmp_path, epochs=2, **small)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


def test_bad_input_is_one_clear_error(archive, tmp_path, untyped):
    for wrong in ({"epochs": 0}, {"batch_size": 0}, {"lost": 1.0}, {"size": [56]}):
        with pytest.raises(ValueError, match=r"must be|at least"):
            train(archive, tmp_path, **wrong)
    with pytest.raises(ValueError, match="attention is residual"):
        train(archive, tmp_path, network="attention", residual=False)
    with pytest.raises(ValueError, match="make no batch of 100000; give a smaller batch_size"):
        train(archive, tmp_path, batch_size=100_000)
    assert not list(tmp_path.rglob("*.safetensors"))


def _without(key: str):
    return {k: v for k, v in crowd(images=4).items() if k != key}


WRONG = {
    "no arrays": {},
    "no boxes": _without("bbox"),
    "no images": _without("img_wh"),
    "fewer boxes": {**crowd(images=4), "bbox": crowd(images=4)["bbox"][:-2]},
    "fewer keypoints": {**crowd(images=4), "keypoints": crowd(images=4)["keypoints"][:1]},
    "flat keypoints": {**crowd(images=4), "keypoints": crowd(images=4)["keypoints"].reshape(-1)},
    "a scalar": {**crowd(images=4), "image_id": np.array(3)},
    "another rank": {**crowd(images=4), "bbox": crowd(images=4)["bbox"][None]},
    "scalar images": {**crowd(images=4), "img_id": np.array(7)},
    "text": {**crowd(images=4), "keypoints": np.array(["a", "b"])},
    "objects": {**crowd(images=4), "area": np.array([None, {}], dtype=object)},
    "not a number": {**crowd(images=4), "bbox": crowd(images=4)["bbox"] * np.nan},
    "nobody": {k: v[:0] for k, v in crowd(images=4).items()},
}


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("verb", ["prn", "grouping"])
def test_a_wrong_archive_is_one_clear_error(kind, verb, tmp_path, capsys):
    path = tmp_path / "wrong.npz"
    np.savez(path, **WRONG[kind])
    if verb == "prn":
        words = ["prn", "train", str(path), str(tmp_path / "out")]
    else:
        (tmp_path / "c.yaml").write_text(f"annotations: {path}\nout: {tmp_path / 'out'}\nsteps: 1\ndevice: cpu\n")
        words = ["grouping", "train", "--config", str(tmp_path / "c.yaml")]
    assert main(words) == 1
    said = capsys.readouterr().err.strip()
    assert "\n" not in said
    assert "wrong.npz: not an archive of annotated people" in said
    assert "defect" not in said
    assert not list(tmp_path.rglob("*.safetensors"))
