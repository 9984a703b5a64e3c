import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_training import Tiny, run

from manypose.io.safetensors import read_tensors
from manypose.poses.skeleton import CROWDPOSE
from manypose.training.schedule import Schedule
from manypose.training.train import ParameterGroup
from manypose.training.validation import Validation

PROGRAM = Path(__file__).parents[1] / "tiny_training.py"
SETTINGS = {"ema": 0.9, "clip_norm": 1.0}


def states(out: Path) -> dict[str, torch.Tensor]:
    """Everything that the last checkpoint and the weights file hold, by name."""
    last = sorted((out / "checkpoints").glob("step-*"))[-1]
    return {
        **{f"weights.{k}": v for k, v in load_file(out / "tiny.safetensors").items()},
        **{f"{p.name}.{k}": v for p in sorted(last.glob("*.safetensors")) for k, v in load_file(p).items()},
        "step": torch.tensor(json.loads((last / "training.json").read_text())["step"]),
    }


def assert_same(a: Path, b: Path) -> None:
    first, second = states(a), states(b)
    assert first.keys() == second.keys()
    differ = [k for k in first if not torch.equal(first[k], second[k])]
    assert not differ


def start(out: Path, sleep: float = 0.0) -> subprocess.Popen:
    environment = {**os.environ, "TINY_SLEEP": str(sleep)}
    return subprocess.Popen([sys.executable, PROGRAM, out, json.dumps(SETTINGS)], env=environment, stderr=subprocess.PIPE, text=True)


def wait_for(path: Path, process: subprocess.Popen) -> None:
    until = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.slow
def test_killed_trainings_go_on_bit_for_bit(tmp_path):
    """`kill -9` in the middle, then SIGTERM, then the rest: 12 steps equal to 12 undisturbed ones."""
    run(tmp_path / "whole", **SETTINGS)
    broken = tmp_path / "broken"
    process = start(broken, sleep=0.05)  # 0.2 s a step
    wait_for(broken / "checkpoints" / "step-00000003" / "training.json", process)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process = start(broken, sleep=0.05)
    wait_for(broken / "checkpoints" / "step-00000006" / "training.json", process)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    stopped = int(states(broken)["step"])
    assert 6 <= stopped < 12
    run(broken, **SETTINGS)
    assert_same(tmp_path / "whole", broken)
    assert not list((broken / "checkpoints").glob(".*")), "nothing half-written is left"


@pytest.mark.slow
def test_time_budget_stops_with_a_checkpoint_and_goes_on(tmp_path):
    run(tmp_path / "whole", workers=1, **SETTINGS)
    for _ in range(3):
        run(tmp_path / "parts", max_minutes=0.0, **SETTINGS)
    assert int(states(tmp_path / "parts")["step"]) == 3
    run(tmp_path / "parts", **SETTINGS)
    assert_same(tmp_path / "whole", tmp_path / "parts")


def test_a_finished_training_stays_as_it_is(tmp_path):
    first = run(tmp_path, **SETTINGS).read_bytes()
    assert run(tmp_path, **SETTINGS).read_bytes() == first


def test_only_the_last_checkpoints_are_kept(tmp_path):
    run(tmp_path, every=2)
    assert [p.name for p in sorted((tmp_path / "checkpoints").iterdir())] == ["step-00000010", "step-00000012"]


def test_a_half_written_checkpoint_is_not_used(tmp_path):
    run(tmp_path / "whole", **SETTINGS)
    run(tmp_path / "broken", max_minutes=0.0, **SETTINGS)
    left = tmp_path / "broken" / "checkpoints" / ".step-00000009.tmp"
    left.mkdir()
    (left / "model.safetensors").write_bytes(b"half")
    (tmp_path / "broken" / "checkpoints" / "step-00000008").mkdir()
    run(tmp_path / "broken", **SETTINGS)
    assert_same(tmp_path / "whole", tmp_path / "broken")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"accumulate": 2}, "accumulate was 1, is now 2"),
        ({"batch": 3}, "data.batch was 4, is now 3"),
        ({"model_args": {"width": 5}}, "model_args.width was None, is now 5"),
        ({"skeleton": "crowdpose", "joints": 14}, r"skeleton\.name was coco, is now crowdpose.*data\.sources\[0\]\.content was"),
        ({"data_seed": 4}, "data.seed was 3, is now 4"),
        ({"others": True}, r"data\.sources\[0\]\.content was"),
        ({"sgd": True}, "optimizer was Adam, is now SGD"),
        ({"ema": 0.9}, "ema was False, is now True"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(tmp_path, change, named):
    run(tmp_path, epochs=0.5)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(ValueError, match=rf"belongs to another training: .*{named}"):
        run(tmp_path, **{"epochs": 0.5, **change})
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def torchrun(out: Path, *settings: dict) -> None:
    trainings = [json.dumps(s) for s in settings]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", PROGRAM, out, *trainings]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_two_processes_train_as_one_with_the_double_batch(tmp_path):
    """Gradients are averaged: SGD without batch statistics or dropout gives the same weights, also after a stop in between."""
    plain = {
        "sgd": True,
        "lr": 0.5,
        "precision": "no",
        "model_args": {"norm": False, "dropout": 0.0},
        "clip_norm": 0.1,
        "ema": 0.9,
        "epochs": 1.0,
    }
    run(tmp_path / "one", batch=8, **plain)
    stopped = {"batch": 4, "max_minutes": 0.0, "every": 50, **plain}
    torchrun(tmp_path / "two", stopped, {**stopped, "max_minutes": None})
    made = [json.loads(p.read_text()) for p in sorted((tmp_path / "two" / "checkpoints").glob("*/training.json"))]
    assert [m["step"] for m in made] == [2, 3]
    assert made[0]["processes"] == 2
    one, two = load_file(tmp_path / "one" / "tiny.safetensors"), load_file(tmp_path / "two" / "tiny.safetensors")
    begun = load_file(run(tmp_path / "begun", **{**plain, "lr": 0.0, "epochs": 0.2}))
    assert max((one[k] - begun[k]).abs().max() for k in one) > 0.01, "it learnt something"
    for k in one:
        torch.testing.assert_close(one[k], two[k], rtol=0, atol=1e-6)


def test_accumulated_gradients_are_those_of_the_whole_batch(tmp_path):
    plain = {"sgd": True, "lr": 0.5, "precision": "no", "model_args": {"norm": False, "dropout": 0.0}, "clip_norm": 0.1, "epochs": 1.0}
    one = load_file(run(tmp_path / "one", batch=8, **plain))
    two = load_file(run(tmp_path / "two", batch=4, accumulate=2, **plain))
    for k in one:
        torch.testing.assert_close(one[k], two[k], rtol=0, atol=1e-6)


@pytest.mark.parametrize("more", [{}, {"precision": "bf16", "channels_last": True}])
def test_losses_fall_and_stand_in_tensorboard(tmp_path, more):
    run(tmp_path, epochs=5.0, **more)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert {"loss/heat", "loss/size", "loss/sum", "lr", "images_per_second"} <= set(events.Tags()["scalars"])
    heat = [e.value for e in events.Scalars("loss/heat")]
    assert [e.step for e in events.Scalars("lr")][-1] == 30
    assert heat[-1] < 0.7 * heat[0]


def test_the_average_is_what_its_formula_says(tmp_path):
    """The average after four steps, from the weights after each of them."""
    schedule = Schedule(4 / 6, decay="constant")
    plain = load_file(run(tmp_path / "plain", schedule=schedule))
    each = []
    for _ in range(4):  # one step a call
        run(tmp_path / "averaged", schedule=schedule, every=1, ema=0.3, max_minutes=0.0)
        last = sorted((tmp_path / "averaged" / "checkpoints").glob("step-*"))[-1]
        each.append({k.removeprefix("method."): v for k, v in load_file(last / "model.safetensors").items()})
    saved = load_file(tmp_path / "averaged" / "tiny.safetensors")
    for k, v in plain.items():
        assert torch.equal(v, each[-1][k]), "averaging changes nothing in the training"
        expected = each[0][k]
        for step in (2, 3, 4):
            decay = min(0.3, (1 + step) / (10 + step))
            expected = decay * expected + (1 - decay) * each[step - 1][k]
        if v.is_floating_point():
            torch.testing.assert_close(saved[k], expected)
            assert v.ndim == 0 or not torch.equal(saved[k], v)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_names_its_step_and_keeps_the_checkpoint(tmp_path, monkeypatch, value):
    run(tmp_path, max_minutes=0.0)
    before = [p.name for p in (tmp_path / "checkpoints").iterdir()]
    plain, calls = Tiny.loss, []

    def poisoned(self, outputs, targets):
        calls.append(1)
        return {**plain(self, outputs, targets), "heat": outputs["heat"].mean() * (value if len(calls) == 4 else 1)}

    monkeypatch.setattr(Tiny, "loss", poisoned)
    with pytest.raises(FloatingPointError, match=r"'heat' is not finite .* at step 5; the last checkpoint stays"):
        run(tmp_path, every=50)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == before


def test_weights_that_are_not_finite_are_never_saved(tmp_path, monkeypatch):
    """The root of zero is finite, its gradient is not: the loss does not show it before the next step."""
    monkeypatch.setattr(Tiny, "loss", lambda self, outputs, targets: {"root": (0 * outputs["heat"]).abs().sqrt().mean()})
    with pytest.raises(FloatingPointError, match="weights are not finite after step 1"):
        run(tmp_path, every=1)
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize("offset", [0, 100, 3000, 12_000, 20_000])
def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch, offset):
    run(tmp_path, max_minutes=0.0, **SETTINGS)
    before = states(tmp_path)
    left = [offset]

    def full(tensors, path, metadata):
        """A disk that holds so many bytes more."""
        data = save(tensors, metadata)
        path.write_bytes(data[: left[0]])
        left[0] -= len(data)
        if left[0] < 0:
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr("safetensors.torch.save_file", full)
        with pytest.raises(OSError, match=r"step-00000003: cannot be written: .*No space left.*; the checkpoints before it stay"):
            run(tmp_path, **SETTINGS)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-00000001"]
    assert all(torch.equal(v, before[k]) for k, v in states(tmp_path).items())
    run(tmp_path, **SETTINGS)
    assert int(states(tmp_path)["step"]) == 12


@pytest.mark.parametrize("name", ["training.json", "model.safetensors", "optimizer.safetensors", "random-00000.safetensors"])
def test_a_damaged_checkpoint_is_named(tmp_path, name):
    run(tmp_path, max_minutes=0.0)
    file = tmp_path / "checkpoints" / "step-00000001" / name
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(ValueError, match=r"step-00000001: damaged; delete it"):
        run(tmp_path)


def test_fine_tuning_takes_what_fits(tmp_path):
    first = run(tmp_path / "first")
    tuned = load_file(run(tmp_path / "second", init=first, skeleton="crowdpose", sgd=True, lr=0.0, joints=14))
    first_weights = load_file(first)
    assert torch.equal(tuned["trunk.0.weight"], first_weights["trunk.0.weight"])
    assert len(tuned["head.1.weight"]) == 14
    about, _ = read_tensors(tmp_path / "second" / "tiny.safetensors")
    assert about["skeleton"] == CROWDPOSE.to_mapping()
    assert about["step"] == 12


def test_evaluation_sees_the_average_and_disturbs_nothing(tmp_path):
    seen = []

    def evaluate(method):
        assert not method.training
        torch.rand(7)  # an evaluation that draws must not change the training
        seen.append({k: v.clone() for k, v in method.state_dict().items()})
        return {"AP": float(len(seen))}

    run(tmp_path / "plain", **SETTINGS)
    run(tmp_path / "evaluated", validation=Validation(evaluate, every=0.5), **SETTINGS)
    assert_same(tmp_path / "plain", tmp_path / "evaluated")
    assert len(seen) == 4
    events = EventAccumulator(str(tmp_path / "evaluated" / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("AP")] == [(3, 1), (6, 2), (9, 3), (12, 4)]
    assert all(torch.equal(v, seen[-1][k]) for k, v in load_file(tmp_path / "evaluated" / "tiny.safetensors").items())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"accumulate": 0}, "accumulate must be at least 1"),
        ({"ema": 1.0}, "ema is a decay"),
        ({"every": 0}, "must be at least 1"),
        ({"precision": "fp16"}, "fp16 needs a GPU"),
        ({"accumulate": 7}, "less than one step"),
        ({"global_batch": 6}, "global_batch 6 is no whole number of batches of 4 samples on 1 processes"),
        ({"global_batch": 8, "accumulate": 1}, "global_batch 8 .* and accumulate 1"),
        ({"log": "mlflow"}, "log mlflow needs the package mlflow: pip install mlflow"),
        ({"parameter_groups": [ParameterGroup("trnk.*")]}, r"no parameter is left for 'trnk\.\*'; the model's parts are trunk"),
        ({"model_args": {"widht": 4}}, "'tiny' cannot be built with .*widht"),
        ({"skeleton": "octopus"}, "no skeleton 'octopus'"),
        ({"skeleton": "crowdpose"}, "the data have 17 joints, the model's skeleton 'crowdpose' has 14"),
        ({"init": Path("nowhere.safetensors")}, "nowhere.safetensors: no such weights file"),
    ],
)
def test_what_cannot_work_is_said_at_once(tmp_path, settings, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run(tmp_path, **settings)
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.slow
def test_without_its_extra_training_names_it():
    code = "import sys; sys.modules['accelerate'] = None; import manypose.training.train"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "training needs the extra 'train': pip install 'manypose[train]' (accelerate is missing)" in done.stderr


def test_the_rate_follows_its_schedule():
    linear = Schedule(300, warmup=3, warmup_from=0.1)
    assert [linear.at(e) for e in (0, 1.5, 3, 151.5, 300)] == pytest.approx([0.1, 0.55, 1, 0.5, 0])
    steps = Schedule(300, decay="steps", milestones=(200, 260))
    assert [steps.at(e) for e in (0, 199.9, 200, 260, 299)] == pytest.approx([1, 1, 0.1, 0.01, 0.01])
    cosine = Schedule(10, decay="cosine", final=0.2)
    assert [cosine.at(e) for e in (0, 5, 10)] == pytest.approx([1, 0.6, 0.2])
    assert Schedule(10, warmup=1, decay="constant").at(7) == 1
    assert Schedule(10, warmup=2).at(0) == pytest.approx(0.1)
    assert [Schedule(10, warmup=2, decay="cosine").at(e) for e in (2, 6, 10, 11)] == pytest.approx([1, 0.5, 0, 0])
    assert Schedule(6, warmup_steps=3).in_epochs(6).warmup == 0.5
    rule = Schedule(6, decay="plateau", factor=0.2, patience=3, final=0.01).plateau
    assert rule is not None
    assert (rule.factor, rule.patience, rule.lowest) == (0.2, 3, 0.01)
    assert Schedule(6).plateau is None


@pytest.mark.parametrize(
    "arguments",
    [
        {"epochs": 3, "warmup": 1, "warmup_steps": 2},
        {"epochs": 0},
        {"epochs": float("nan")},
        {"epochs": 3, "warmup": 3},
        {"epochs": 3, "decay": "steps"},
    ],
)
def test_schedules_that_make_no_sense_are_refused(arguments):
    with pytest.raises(ValueError, match=r"schedule needs|needs milestones|schedule takes"):
        Schedule(**arguments)
