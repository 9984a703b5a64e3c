"""The command line: verbs, arguments from typed functions, one line for whatever goes wrong."""

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Literal

import pytest
from shared import REPOSITORY

from manypose import __version__
from manypose.cli import __main__ as cli
from manypose.cli.arguments import UsageError, bind, hint
from manypose.cli.config import read_environment

pytestmark = pytest.mark.usefixtures("untyped")


def verb(
    photos: list[str],
    *,
    out: Path = Path("there"),
    many: list[float] = [1.0],  # noqa: B006 - never changed
    kinds: list[Literal["a", "b"]] | None = None,
    how: Literal["fast", "good"] = "good",
    times: int = 3,
    flip_it: bool = False,
    name: str | None = None,
) -> None:
    """Do something with `photos`.

    Args:
        photos: to look at.
        times: 50 % of ``it``.
    """


@pytest.mark.parametrize(
    ("line", "given"),
    [
        ("a.jpg", {}),
        ("a.jpg --out x/y --times 5 --flip-it", {"out": Path("x/y"), "times": 5, "flip_it": True}),
        ("--many 0.5,1,2 a.jpg", {"many": [0.5, 1.0, 2.0]}),
        ("a.jpg --many=2", {"many": [2.0]}),
        ("a.jpg --many [0.5,1]", {"many": [0.5, 1.0]}),
        ("a.jpg --kinds a,b --how fast", {"kinds": ["a", "b"], "how": "fast"}),
        ("a.jpg --name 12", {"name": "12"}),
    ],
)
def test_arguments_of_a_typed_function(line: str, given: dict):
    default = {"out": Path("there"), "many": [1.0], "kinds": None, "how": "good", "times": 3, "flip_it": False, "name": None}
    assert bind(verb, line.split(), "verb") == ([["a.jpg"]], {**default, **given})


def test_file_names_are_taken_as_they_are():
    read_environment()  # as after a training in the same process: the reader of configs must not read file names
    names = ["1", "null", "[a].jpg", "{b}", "é.png", "a b", "yes"]
    assert bind(verb, names, "verb")[0] == [names]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "required: photos"),
        ("a --tims 3", "--tims 3; did you mean --times?"),
        ("a --time 3", "did you mean --times?"),
        ("a --times many", "--times: expected int, got many"),
        ("a --times 1.5", "--times: expected int, got 1.5"),
        ("a --many 1,x", "--many: expected float, got x"),
        ("a --how slow", "--how: expected one of fast, good, got slow"),
        ("a --kinds a,c", "got c"),
        ("a --out", "--out: expected one argument"),
        ("a --flip-it=perhaps", "--flip-it"),
    ],
)
def test_what_does_not_fit_is_one_line(line: str, says: str):
    with pytest.raises(UsageError) as e:
        bind(verb, line.split(), "verb")
    assert says in str(e.value)
    assert "\n" not in str(e.value)


def test_help_is_the_docstring(capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit) as e:
        bind(verb, ["--help"], "manypose verb")
    assert e.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Do something with" in said
    assert "PHOTO to look at." in said
    assert "50 percent of it." in said


def test_hint():
    assert hint(["--zzz"], ["--flip"]) == ""
    assert hint(["--zzz", "--flop"], ["--flip"]) == "; did you mean --flip?"


# ── main ──


def run(*line: str) -> int:
    return cli.main([str(word) for word in line])


def test_usage_lists_every_verb(capsys: pytest.CaptureFixture):
    assert run("--help") == 0
    said = capsys.readouterr().out
    assert all(re.search(rf"^  {verb} ", said, re.M) for verb in cli.VERBS)
    assert run("--version") == 0
    assert capsys.readouterr().out == f"manypose {__version__}\n"


@pytest.mark.parametrize("name", cli.VERBS)
def test_every_verb_has_help(name: str, capsys: pytest.CaptureFixture):
    assert run(*name.split(), "--help") == 0
    assert f"usage: manypose {name}" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("predikt", "no verb 'predikt'; did you mean predict?"),
        ("zzz", "no verb 'zzz'; there are predict, train"),
        ("bench", "manypose bench needs one of decode, network, train"),
        ("bench decod", "manypose bench needs one of decode, network, train"),
        ("models --coast", "did you mean --cost?"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_2(line: str, says: str, capsys: pytest.CaptureFixture):
    assert run(*line.split()) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("manypose: error: ")
    assert said.err.count("\n") == 1
    assert says in said.err


def broken(error: BaseException):
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ValueError("two\n  lines"), 1, "manypose: error: two lines"),
        (FileNotFoundError(2, "No such file or directory", "a.jpg"), 1, "manypose: error: a.jpg: No such file or directory"),
        (OSError(28, "No space left on device"), 1, "manypose: error: No space left on device"),
        (ImportError("needs the extra"), 1, "manypose: error: needs the extra"),
        (MemoryError(), 1, "manypose: error: MemoryError"),
        (KeyError("x"), 1, "manypose: error: KeyError: 'x' (a defect of manypose: MANYPOSE_DEBUG=1 shows where; please report it)"),
        (KeyboardInterrupt(), 130, "manypose: interrupted"),
        (SystemExit(3), 3, ""),
        (SystemExit("text"), 1, ""),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_errors_are_one_line(error: BaseException, code: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    monkeypatch.setattr(cli, "_load", lambda verb: broken(error))
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    assert run("doctor") == code
    assert capsys.readouterr().err.strip() == line


def test_debug_shows_where(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    monkeypatch.setattr(cli, "_load", lambda verb: broken(ValueError("oh")))
    monkeypatch.setenv("MANYPOSE_DEBUG", "1")
    assert run("doctor") == 1
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert said.endswith("manypose: error: oh\n")


def test_a_very_long_message_is_cut(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    monkeypatch.setattr(cli, "_load", lambda verb: broken(ValueError("x" * 5000)))
    run("doctor")
    assert len(capsys.readouterr().err) < 900


def test_warnings_are_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    def warn() -> None:
        warnings.warn("a thing\nto know", stacklevel=1)

    monkeypatch.setattr(cli, "_load", lambda verb: warn)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert run("doctor") == 0
    assert capsys.readouterr().err == "manypose: warning: a thing to know\n"


# ── as a program ──


def program(*line: str, **more) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "manypose.cli.__main__", *line], capture_output=True, text=True, cwd=REPOSITORY, **more)


def test_help_needs_no_pytorch():
    done = program("--help", env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"})
    assert done.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "manypose" in imported
    assert not imported & {"torch", "numpy", "jsonargparse", "cv2"}


def test_a_reader_that_stops_early_is_no_error():
    line = f"{sys.executable} -m manypose.cli models | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 141
    assert done.stderr == ""


# ── models ──


def test_models_table(capsys: pytest.CaptureFixture, tmp_path: Path):
    import json

    from manypose.methods.catalog import MODELS
    from manypose.weights.files import CHOICES

    assert run("models", "--cost", "--json", tmp_path / "models.json") == 0
    said = capsys.readouterr().out
    assert "torch.utils.flop_counter" in said
    lines = {line["name"]: line for line in json.loads((tmp_path / "models.json").read_text())}
    assert list(lines) == list(MODELS)
    for choice, name in CHOICES.items():
        assert f"bundled, {choice}" in next(r for r in said.splitlines() if r.startswith(f"{name} "))
    for name, line in lines.items():
        row = next(r for r in said.splitlines() if r.startswith(f"{name} "))
        assert f"{line['parameters'] / 1e6:.1f} M" in row
        adds = line["multiply_adds"] / 1e9
        assert f"{adds:.{1 if adds >= 1 else 2}f} G" in row
    # Parameters are published: SWAHR, Table 1 (63.8 M for W48); HigherHRNet, Table 1 (28.6 M for W32).
    assert lines["swahr-w48"]["parameters"] / 1e6 == pytest.approx(63.8, abs=0.1)
    assert lines["higherhrnet-w32"]["parameters"] / 1e6 == pytest.approx(28.6, abs=0.1)


def test_multiply_adds_of_a_network_that_can_be_counted_by_hand():
    import torch

    from manypose.cli.models import multiply_adds

    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.BatchNorm2d(8)

        def network(self, images):
            return {"out": self.norm(self.conv(images))}

    assert multiply_adds(Two(), 32) == 16 * 16 * 8 * 3 * 9
