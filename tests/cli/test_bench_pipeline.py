"""``manypose bench pipeline``: its steps add up to what prediction takes."""

import json
from pathlib import Path

import pytest

from manypose.cli import bench_pipeline
from manypose.cli.__main__ import main

pytestmark = pytest.mark.usefixtures("untyped")


@pytest.mark.slow
def test_steps_add_up(tmp_path: Path, capsys: pytest.CaptureFixture):
    out = tmp_path / "steps.json"
    words = ["bench", "pipeline", "--model", "fast", "--runtime", "onnx,torch", "--people", "1,3", "--threads", "1", "--repeats", "3"]
    assert main([*words, "--json", str(out)]) == 0
    told = json.loads(out.read_text())
    assert [(r["runtime"], r["people"], r["threads"]) for r in told["rows"]] == [
        ("onnx", 1, 1),
        ("onnx", 3, 1),
        ("torch", 1, 1),
        ("torch", 3, 1),
    ]
    for row in told["rows"]:
        steps = {step: row[step][0] for step in bench_pipeline.STEPS}
        assert all(value > 0 for value in steps.values())
        if row["people"] == 1:  # the photo holds one person
            assert 0.5 < sum(steps.values()) / row["whole"][0] < 2
    for one, three in (told["rows"][:2], told["rows"][2:]):
        assert three["network"][0] > 1.5 * one["network"][0]
    assert capsys.readouterr().out.splitlines()[0].split() == ["runtime", "threads", "people", *bench_pipeline.STEPS, "whole"]


def test_wrong_numbers_and_models_are_one_error(capsys: pytest.CaptureFixture):
    assert main(["bench", "pipeline", "--repeats", "0"]) == 1
    assert "of at least 1" in capsys.readouterr().err
    assert main(["bench", "pipeline", "--model", "nanodet"]) == 1
    assert "a top-down model with a detector" in capsys.readouterr().err
