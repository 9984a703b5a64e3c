"""A training that goes on with other settings, after damage, or with hostile files in its folder."""

import json
import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from shared import REPOSITORY
from tiny_training import run

from manypose.io.safetensors import read_about
from manypose.training.facts import Facts
from manypose.training.loop import BEST
from manypose.training.state import pack, random_state, set_random_state, unpack
from manypose.training.train import ParameterGroup
from manypose.training.validation import Validation


def last(out: Path) -> Path:
    return sorted((out / "checkpoints").glob("step-*"))[-1]


def optimizer_groups(out: Path) -> list[dict]:
    about = read_about(last(out) / "optimizer.safetensors")
    return unpack(about["state"], {str(i): torch.zeros(1) for i in range(999)})["param_groups"]


def test_08_other_rates_and_decays_count_from_there_on_and_are_said(tmp_path, capsys):
    run(tmp_path, max_minutes=0.0, lr=1e-3)
    run(tmp_path, lr=5e-4, optimizer_args={"weight_decay": 0.5}, clip_norm=3.0)
    group = optimizer_groups(tmp_path)[0]
    assert (group["weight_decay"], group["lr"]) == (0.5, pytest.approx(5e-4, rel=0.9))
    assert group["lr"] < 5e-4
    said = capsys.readouterr().out
    assert "optimizer[0].weight_decay was 0, is 0.5 from here on" in said
    assert "optimizer[0].lr was 0.001, is 0.0005 from here on" in said
    assert "clip_norm was None, is 3.0 from here on" in said


def test_the_weight_decay_that_is_asked_for_is_used(tmp_path):
    """From the same checkpoint on, SGD with decay is ``w - lr (g + d w)``: weights differ, and by what the decay takes."""
    weights = {}
    for decay in (0.0, 0.5):
        out = tmp_path / str(decay)
        run(out, sgd=True, lr=0.1, max_minutes=0.0, every=1, schedule_decay="constant")
        before = load_file(last(out) / "model.safetensors")
        run(out, sgd=True, lr=0.1, max_minutes=0.0, every=1, schedule_decay="constant", optimizer_args={"weight_decay": decay})
        weights[decay] = load_file(last(out) / "model.safetensors")
    name = "method.trunk.0.weight"
    torch.testing.assert_close(weights[0.0][name] - weights[0.5][name], 0.1 * 0.5 * before[name], rtol=1e-3, atol=1e-7)


def test_more_epochs_go_on_from_a_finished_training(tmp_path):
    run(tmp_path / "long", epochs=2.0, schedule_decay="constant")
    run(tmp_path / "short", epochs=1.0, schedule_decay="constant")
    assert json.loads((last(tmp_path / "short") / "training.json").read_text())["step"] == 6
    run(tmp_path / "short", epochs=2.0, schedule_decay="constant")
    a, b = (load_file(tmp_path / n / "tiny.safetensors") for n in ("long", "short"))
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert read_about(tmp_path / "short" / "tiny.safetensors")["steps"] == 12


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["missing", "older", "half"])
def test_08_a_weights_file_that_lags_behind_its_checkpoint_is_written_again(tmp_path, damage):
    """`kill -9` between the last checkpoint and the weights file."""
    run(tmp_path / "whole", ema=0.9)
    file, whole = tmp_path / "broken" / "tiny.safetensors", (tmp_path / "whole" / "tiny.safetensors").read_bytes()
    run(tmp_path / "broken", ema=0.9, max_minutes=0.0)
    old = file.read_bytes()
    run(tmp_path / "broken", ema=0.9)
    assert file.read_bytes() == whole
    file.unlink()
    if damage != "missing":
        file.write_bytes(old if damage == "older" else whole[:2000])
    run(tmp_path / "broken", ema=0.9)
    assert file.read_bytes() == whole


class Evil:
    def __init__(self, witness: Path):
        self.witness = witness

    def __reduce__(self):
        return (open, (str(self.witness), "w"))


PLANTED = ["model", "optimizer", "average", "random-00000", "training.json", "optimizer.bin", "random_states_0.pkl"]


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("kind", ["torch", "pickle"])
def test_a_planted_pickle_does_not_run(tmp_path, name, kind):
    run(tmp_path, ema=0.9, max_minutes=0.0)
    witness = tmp_path / "was run"
    path = last(tmp_path) / (name if "." in name or "_" in name else f"{name}.safetensors")
    if kind == "torch":
        torch.save({"state": Evil(witness), "param_groups": []}, path)
    else:
        path.write_bytes(pickle.dumps(Evil(witness)))
    if name == "random_states_0.pkl":
        run(tmp_path, ema=0.9)
    else:
        with pytest.raises(ValueError, match=r"damaged; delete it|holds pickles of an earlier version, which are not read"):
            run(tmp_path, ema=0.9)
    assert not witness.exists()


def test_no_source_file_runs_what_it_reads():
    """`pickle` stands in the reader of published checkpoints alone, and every ``torch.load`` there is restricted."""
    for path in sorted((REPOSITORY / "src").rglob("*.py")):
        text = path.read_text()
        for word in ("import pickle", "from pickle", "pickle.load", "torch.load(", "joblib", "dill", "np.load("):
            if word in text:
                lines = [line for line in text.splitlines() if word in line]
                assert path.name == "checkpoint_files.py" or word == "np.load(", (path, lines)
        assert text.count("torch.load(") == text.count("weights_only=True"), path
        code = [line.split("#")[0] for line in text.splitlines()]
        bad = [line for line in code if any(f" {w}(" in f" {line}".replace("(", " (", 1).replace(" (", "(") for w in ("eval", "exec"))]
        assert not bad, (path, bad)
        assert "allow_pickle=True" not in text, path


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda v: st.lists(v) | st.tuples(v, v) | st.dictionaries(st.text() | st.integers(), v),
        max_leaves=9,
    )
)
def test_states_come_back_from_json(tree):
    packed, tensors = pack({"x": tree, "t": torch.arange(3), "a": np.arange(2)})
    back = unpack(json.loads(json.dumps(packed)), tensors)
    assert back["x"] == tree
    assert torch.equal(back["t"], torch.arange(3))
    assert np.array_equal(back["a"], np.arange(2))


def test_objects_are_not_stored():
    with pytest.raises(TypeError, match="tensors, numbers and texts, not a Evil"):
        pack({"a": [Evil(Path("x"))]})


def test_random_generators_go_on():
    cpu = torch.device("cpu")
    packed, tensors = pack(random_state(cpu))
    drawn = torch.rand(3), np.random.rand(3), random.random(), torch.randn(1), np.random.randn(1), random.gauss(0, 1)
    set_random_state(unpack(json.loads(json.dumps(packed)), tensors), cpu)
    again = torch.rand(3), np.random.rand(3), random.random(), torch.randn(1), np.random.randn(1), random.gauss(0, 1)
    assert all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(drawn, again, strict=True))


def test_08_all_fixed_settings_that_differ_are_named():
    stored = Facts({"a": 1, "b": {"c": [1, 2]}}, {"x": 1}).to_json()
    with pytest.raises(ValueError, match=r"place: belongs to another training: a was 1, is now 2; b\.c\[1\] was 2, is now 3; give another"):
        Facts({"a": 2, "b": {"c": [1, 3]}}, {"x": 1}).check(stored, "place")
    assert Facts({"a": 1, "b": {"c": [1, 2]}}, {"x": 2, "y": 0}).check(stored, "place") == [
        "x was 1, is 2 from here on", "y was None, is 0 from here on",
    ]  # fmt: skip


# ── validation ──


def measured(values: list[float]):
    calls: list[dict] = []

    def measure(method):
        calls.append({k: v.clone() for k, v in method.state_dict().items()})
        return {"loss": 0.0, "AP": values[len(calls) - 1]}

    return measure, calls


def test_15_the_best_weights_are_kept(tmp_path):
    measure, calls = measured([0.2, 0.5, float("nan"), 0.5])
    run(tmp_path, validation=Validation(measure, every=0.5, figure="AP"))
    best = load_file(tmp_path / BEST)
    assert all(torch.equal(best[k], v) for k, v in calls[1].items())
    assert read_about(tmp_path / BEST)["step"] == 6
    assert read_about(tmp_path / "tiny.safetensors")["step"] == 12


def test_patience_ends_a_training_and_more_patience_goes_on(tmp_path):
    measure, calls = measured([0.5, 0.4, 0.3, 0.6, 0.1, 0.1])
    run(tmp_path, validation=Validation(measure, every=0.5, figure="AP", patience=2))
    assert len(calls) == 3
    run(tmp_path, validation=Validation(measure, every=0.5, figure="AP", patience=2))
    assert len(calls) == 3, "a finished training stays as it is"
    run(tmp_path, validation=Validation(measure, every=0.5, figure="AP", patience=3))
    assert read_about(tmp_path / BEST)["step"] == 12


def test_a_stop_does_not_forget_the_best(tmp_path):
    measure, calls = measured([0.5, 0.4, 0.3, 0.2])
    for _ in range(12):
        run(tmp_path, validation=Validation(measure, every=0.5, figure="AP"), max_minutes=0.0)
    assert len(calls) == 4
    assert read_about(tmp_path / BEST)["step"] == 3


def test_a_figure_that_is_not_measured_is_said(tmp_path):
    with pytest.raises(ValueError, match="validation gives no figure 'mAP'; it gives loss, AP"):
        run(tmp_path, validation=Validation(measured([1.0])[0], every=0.5, figure="mAP"))


@pytest.mark.parametrize("wrong", [{"every": 0}, {"every": float("nan")}, {"patience": 0}])
def test_validations_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="validation needs every > 0 and patience >= 1"):
        Validation(measured([])[0], **wrong)


# ── batches, groups, curves ──


def test_15_the_global_batch_decides_the_accumulation(tmp_path):
    plain = {"sgd": True, "lr": 0.5, "precision": "no", "model_args": {"norm": False, "dropout": 0.0}, "epochs": 1.0}
    one = load_file(run(tmp_path / "one", batch=8, **plain))
    two = load_file(run(tmp_path / "two", batch=4, global_batch=8, **plain))
    # A SIGTERM from outside, such as a time limit's, ends a training early and without an error: that is not what is compared here.
    assert [read_about(tmp_path / name / "tiny.safetensors")["step"] for name in ("one", "two")] == [3, 3]
    for k in one:
        torch.testing.assert_close(one[k], two[k], rtol=0, atol=1e-6)


def test_15_parameter_groups_have_their_own_rate_and_decay(tmp_path):
    begun = load_file(run(tmp_path / "begun", lr=0.0, sgd=True))
    groups = [ParameterGroup("trunk.*", lr_factor=0.0), ParameterGroup("*.bias", weight_decay=0.25)]
    trained = load_file(run(tmp_path / "trained", sgd=True, lr=0.1, parameter_groups=groups))
    assert torch.equal(trained["trunk.0.weight"], begun["trunk.0.weight"])
    assert not torch.equal(trained["head.1.weight"], begun["head.1.weight"])
    assert [g["weight_decay"] for g in optimizer_groups(tmp_path / "trained")] == [0, 0.25, 0]


def test_15_warm_up_in_steps(tmp_path):
    rates = []
    for step in range(4):
        run(tmp_path, warmup_steps=4, schedule_decay="constant", every=1, max_minutes=0.0, lr=1.0, sgd=True)
        rates.append(optimizer_groups(tmp_path)[0]["lr"])
        assert json.loads((last(tmp_path) / "training.json").read_text())["step"] == step + 1
    assert rates == pytest.approx([0.1, 0.325, 0.55, 0.775])


@pytest.mark.parametrize("log", ["csv", "none", "tensorboard"])
def test_curves_and_pictures(tmp_path, log):
    validation = Validation(lambda _: {"AP": 0.25}, every=1.0)
    run(tmp_path, log=log, max_minutes=0.0, validation=validation)
    if log != "none":
        with (tmp_path / "curves.csv").open("a") as file:
            file.write("9,loss/heat,7.0\n1,lo")  # of a part that was lost by kill -9
    run(tmp_path, log=log, validation=validation)
    assert (tmp_path / "tensorboard").exists() == (log == "tensorboard")
    assert (tmp_path / "curves.csv").exists() == (tmp_path / "curves.png").exists() == (log != "none")
    assert (tmp_path / "first_batch.jpg").stat().st_size > 500
    if log == "none":
        return
    rows = [line.split(",") for line in (tmp_path / "curves.csv").read_text().splitlines()]
    assert rows[0] == ["step", "name", "value"]
    heat = [(int(s), float(v)) for s, n, v in rows[1:] if n == "loss/heat"]
    assert [s for s, _ in heat] == sorted({s for s, _ in heat})
    assert 7.0 not in [v for _, v in heat]
    assert [(s, v) for s, n, v in rows[1:] if n == "AP"] == [("6", "0.25"), ("12", "0.25")]
