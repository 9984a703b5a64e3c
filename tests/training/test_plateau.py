"""Line 12: the rate falls in plateaux of the loss, and a stopped training remembers where it stood."""

import csv
import json

import pytest
import torch
from safetensors.torch import load_file
from tiny_training import run

from manypose.training.plateau import Level, Plateau
from manypose.training.schedule import Schedule


def levels(losses: list[float], rule: Plateau) -> list[float]:
    level, shares = Level(), []
    for loss in losses:
        level = level.plus(2 * loss, 2).ended(rule)
        shares.append(rule.share(level))
    return shares


def test_12_the_rate_falls_after_so_many_epochs_without_a_better_loss():
    rule = Plateau(factor=0.1, patience=2, min_decrease=0.01)
    assert levels([5, 4, 3, 2], rule) == [1, 1, 1, 1]
    assert levels([5, 5, 5, 5, 5], rule) == pytest.approx([1, 1, 0.1, 0.1, 0.01])
    assert levels([5, 6, 4, 4.5, 4.2], rule) == pytest.approx([1, 1, 1, 1, 0.1])
    assert levels([5, 4.96, 4.96], rule) == pytest.approx([1, 1, 0.1])  # less than a hundredth better
    assert levels([5, 5, 5, 5, 5], Plateau(0.1, 2, lowest=0.05)) == pytest.approx([1, 1, 0.1, 0.1, 0.05])


def test_18_defaults_of_the_rule():
    """Five epochs without a thousandth less make a plateau; the rate then falls tenfold, and without a limit."""
    assert levels([5] * 6, Plateau()) == pytest.approx([1] * 5 + [0.1])
    assert levels([5, 4.996] + [4.996] * 4, Plateau()) == pytest.approx([1] * 5 + [0.1])
    assert levels([5, 4.994] + [4.994] * 4, Plateau()) == pytest.approx([1] * 6)
    assert Plateau().share(Level(falls=9)) == pytest.approx(1e-9)
    assert Level().plus(3, 1).plus(5, 3).ended(Plateau()).best == 2  # (3 + 5) / 4 steps


@pytest.mark.slow
def test_12_a_training_falls_and_goes_on_where_it_stood(tmp_path):
    schedule = Schedule(6.0, decay="plateau", patience=1, factor=0.5)
    for name in ("whole", "parts"):
        if name == "parts":
            run(tmp_path / name, schedule=schedule, lr=1e-6, max_minutes=0.0)
            stored = json.loads(sorted((tmp_path / name / "checkpoints").glob("step-*"))[-1].joinpath("training.json").read_text())
            assert stored["progress"]["plateau"]["steps"] == stored["step"] % 6
        run(tmp_path / name, schedule=schedule, lr=1e-6)
    a, b = (load_file(tmp_path / n / "tiny.safetensors") for n in ("whole", "parts"))
    assert all(torch.equal(a[k], b[k]) for k in a)
    rows = list(csv.DictReader((tmp_path / "whole" / "curves.csv").open()))
    rates = [float(row["value"]) for row in rows if row["name"] == "lr"]
    assert rates[0] == pytest.approx(1e-6)
    assert rates[-1] < 0.6e-6


def test_12_rules_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="patience >= 1"):
        Schedule(3.0, decay="plateau", patience=0)
    with pytest.raises(ValueError, match="factor between 0 and 1"):
        Schedule(3.0, decay="plateau", factor=1.0)
