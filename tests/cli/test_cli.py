"""The command line: verbs, arguments from typed functions, one line for whatever goes wrong."""

import inspect
import json
import logging
import os
import re
import resource
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import torch
from shared import REPOSITORY

from manypose import __version__
from manypose.cli import __main__ as cli
from manypose.cli.arguments import UsageError, arguments, hint, sort_words
from manypose.cli.help import page
from manypose.cli.model_figures import count, multiply_adds
from manypose.cli.models import FIGURES
from manypose.cli.signature import read_verb
from manypose.methods.catalog import MODELS
from manypose.weights.files import BUNDLED, CHOICES

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


def given_to(verb, words: list[str]) -> dict:
    """The keyword arguments that a command line gives a function of this file."""
    read = read_verb(f"{__name__}:{verb.__name__}")
    return arguments(verb, read, sort_words(read, words))


@pytest.mark.parametrize(
    ("line", "given"),
    [
        ("a.jpg", {}),
        ("a.jpg -o x", {"out": Path("x")}),
        ("a.jpg --flip_it", {"flip_it": True}),
        ("a.jpg --flip-it false", {"flip_it": False}),
        ("--kinds a b a.jpg", {"kinds": ["a", "b"]}),
        ("--kinds a --kinds b a.jpg", {"kinds": ["a", "b"]}),
        ("--many 0.5 1 a.jpg --many 2", {"many": [0.5, 1.0, 2.0]}),
        ("--name -3 -- a.jpg", {"name": "-3"}),
        ("a.jpg --out x/y --times 5 --flip-it", {"out": Path("x/y"), "times": 5, "flip_it": True}),
        ("--many 0.5,1,2 a.jpg", {"many": [0.5, 1.0, 2.0]}),
        ("a.jpg --many=2", {"many": [2.0]}),
        ("a.jpg --many [0.5,1]", {"many": [0.5, 1.0]}),
        ("a.jpg --kinds a,b --how fast", {"kinds": ["a", "b"], "how": "fast"}),
        ("a.jpg --name 12", {"name": "12"}),
    ],
)
def test_arguments_of_a_typed_function(line: str, given: dict):
    assert given_to(verb, line.split()) == {"photos": ["a.jpg"], **given}


def test_file_names_are_taken_as_they_are():
    names = ["1", "null", "[a].jpg", "{b}", "é.png", "a b", "yes", "${HOME}", "a,b.jpg"]
    assert given_to(verb, names) == {"photos": names}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "missing: PHOTOS"),
        ("a --tims 3", "unknown option --tims; did you mean --times?"),
        ("a --time 3", "did you mean --times?"),
        ("a -x", "unknown option -x"),
        ("a --times many", "--times: expected a whole number, got many"),
        ("a --times 1.5", "--times: expected a whole number, got 1.5"),
        ("a --many 1,x", "--many: expected a number, got x"),
        ("a --how slow", "--how: expected one of fast, good, got slow"),
        ("a --how goood", "got goood; did you mean good?"),
        ("a --kinds a,c", "--kinds: expected one of a, b, got c"),
        ("a --out", "--out needs a value"),
        ("a --out --times 3", "--out needs a value"),
        ("a --flip-it=perhaps", "--flip-it: expected true or false, got perhaps"),
    ],
)
def test_what_does_not_fit_is_one_line(line: str, says: str):
    with pytest.raises(UsageError) as e:
        given_to(verb, line.split())
    assert says in str(e.value)
    assert "\n" not in str(e.value)


def test_help_is_the_docstring():
    said = " ".join(page(read_verb(f"{__name__}:verb"), "manypose verb", config=False).split())
    assert "Do something with" in said
    assert "PHOTO ... To look at." in said
    assert "50 % of it. Default: 3." in said
    assert "usage: manypose verb PHOTO ... [options]" in said


@dataclass(frozen=True)
class Knobs:
    """Two knobs.

    Args:
        loud: how loud it is.
        tone: which tone.
    """

    loud: float = 0.5
    tone: Literal["high", "low"] = "high"


def played(tune: str, *, knobs: Knobs = Knobs()) -> None:
    """Play a tune."""


def test_the_fields_of_a_dataclass_are_options():
    monkey = read_verb(f"{__name__}:played")
    assert [p.option for p in monkey.parameters] == ["tune", "--loud", "--tone"]
    assert given_to(played, ["x", "--tone", "low"]) == {"tune": "x", "knobs": Knobs(tone="low")}
    assert "How loud it is. Default: 0.5." in page(monkey, "manypose play", config=False)
    with pytest.raises(UsageError, match="--tone: expected one of high, low, got mid"):
        given_to(played, ["x", "--tone", "mid"])


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
def test_every_verb_has_help(name: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert run(*name.split(), "--help") == 0
    said = capsys.readouterr().out
    assert f"usage: manypose {name}" in " ".join(said.split())
    assert max(map(len, said.splitlines())) <= 80
    assert "class '" not in said
    assert "null" not in said
    assert run("help", *name.split()) == 0
    assert capsys.readouterr().out == said


@pytest.mark.parametrize("name", cli.VERBS)
def test_help_and_annotations_agree(name: str):
    """What is read from the source are the parameters of the function that is called."""
    read = read_verb(cli.VERBS[name][0], flatten=False)
    parameters = [p for p in inspect.signature(cli._load(name)).parameters.values() if p.kind is not p.VAR_KEYWORD]
    assert [p.name for p in read.parameters] == [p.name for p in parameters]
    assert [p.required for p in read.parameters] == [p.default is p.empty for p in parameters]
    for mine, theirs in zip(read.parameters, parameters, strict=True):
        assert mine.text or mine.built, f"{name}: the docstring does not explain {mine.name}"
        if isinstance(theirs.default, str | int | float | Path | None):
            assert mine.default == theirs.default or mine.required


def test_a_verb_without_its_words_shows_its_usage(capsys: pytest.CaptureFixture):
    assert run("predict") == 2
    said = capsys.readouterr().err
    assert said.startswith("usage: manypose predict [SOURCE ...] [options]\n")
    assert "manypose: error: missing: SOURCE;" in said
    assert run("convert") == 2


def test_version_in_words(capsys: pytest.CaptureFixture):
    assert run("version") == 0
    assert capsys.readouterr().out == f"manypose {__version__}\n"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("predikt", "no verb 'predikt'; did you mean predict?"),
        ("zzz", "no verb 'zzz'; there are predict, train"),
        ("bench", "manypose bench needs one of decode, network, pipeline, train"),
        ("bench decod", "manypose bench needs one of decode, network, pipeline, train; did you mean decode?"),
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


@pytest.mark.parametrize(
    ("words", "out", "err"), [([], True, True), (["--quiet"], False, False), (["-q"], False, False), (["-v"], True, True)]
)
def test_quiet_and_verbose_are_options_of_every_verb(words, out, err, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    levels = []

    def talk() -> None:
        print("a result")
        warnings.warn("a thing", stacklevel=1)
        levels.append(logging.getLogger("manypose.x").getEffectiveLevel())

    monkeypatch.setattr(cli, "_load", lambda verb: talk)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert run("doctor", *words) == 0
    said = capsys.readouterr()
    assert (bool(said.out), bool(said.err)) == (out, err)
    assert levels == [logging.DEBUG if "-v" in words else logging.WARNING if out else logging.ERROR]
    assert run("doctor") == 0


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
        (
            KeyError("x"),
            1,
            "manypose: error: KeyError: 'x' (a defect of manypose: please report it with the traceback of MANYPOSE_DEBUG=1)",
        ),
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


def test_ctrl_c_says_which_commands_go_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    monkeypatch.setattr(cli, "_run", lambda argv: broken(KeyboardInterrupt())())
    assert run("predict", "a.jpg") == 130
    assert capsys.readouterr().err == "manypose: interrupted; the same command resumes\n"


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
    return subprocess.run([sys.executable, "-m", "manypose", *line], capture_output=True, text=True, cwd=REPOSITORY, **more)


def test_help_needs_no_pytorch():
    done = program("--help", env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"})
    assert done.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "manypose" in imported
    assert not imported & {"torch", "numpy", "jsonargparse", "cv2"}


@pytest.mark.parametrize("verb", cli.VERBS)
def test_help_of_a_verb_is_quick(verb: str):
    """At most half a second of CPU (issue "Fast where it is used"), since nothing heavy is imported."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = program(*verb.split(), "--help", env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not imported & {"torch", "numpy", "jsonargparse", "cv2"}
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime <= 0.5


def test_a_reader_that_stops_early_is_no_error():
    line = f"{sys.executable} -m manypose models | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 141
    assert done.stderr == ""


# ── models ──


def test_the_help_of_predict_has_headings_and_folders(capsys):
    assert cli.main(["predict", "--help"]) == 0
    said = capsys.readouterr().out
    assert [line for line in said.splitlines() if line and line[0].isalpha() and line.endswith(":")] == [
        "inputs:", "options:", "prediction:", "tracking:", "frames of a video:", "every verb:",
    ]  # fmt: skip
    assert "--turned {true,false}" in said  # a switch that is on by default
    assert "-o DIR, --out DIR" in said


def test_models_table(capsys: pytest.CaptureFixture, tmp_path: Path):
    assert run("models", "--cost", "--json", tmp_path / "models.json") == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 100
    assert "torch.utils.flop_counter" in said
    lines = {line["name"]: line for line in json.loads((tmp_path / "models.json").read_text())}
    assert sorted(lines) == sorted(OURS)
    assert list(lines)[:2] == list(CHOICES.values())  # then the other bundled models
    assert sorted(not line["bundled"] for line in lines.values()) == [not line["bundled"] for line in lines.values()]
    for choice, name in CHOICES.items():
        assert f"bundled, {choice}" in next(r for r in said.splitlines() if r.startswith(f"{name} "))
    for name, line in lines.items():
        row = next(r for r in said.splitlines() if r.startswith(f"{name} "))
        assert f"{line['parameters'] / 1e6:.1f} M" in row
        adds = line["multiply_adds"] / 1e9
        assert f"{adds:.{1 if adds >= 1 else 2}f} G" in row
        assert line["bundled"] == (BUNDLED / f"{MODELS[name].weights or name}.safetensors").is_file()
    # Parameters are published: SWAHR, Table 1 (63.8 M for W48); HigherHRNet, Table 1 (28.6 M for W32).
    assert lines["swahr-w48"]["parameters"] / 1e6 == pytest.approx(63.8, abs=0.1)
    assert lines["higherhrnet-w32"]["parameters"] / 1e6 == pytest.approx(28.6, abs=0.1)


OURS = [name for name, spec in MODELS.items() if spec.factory.startswith("manypose.")]  # tests of other files add their own


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
def test_stored_figures_are_those_of_the_networks(name: str):
    stored = {row["name"]: row for row in json.loads(FIGURES.read_text())}
    assert list(stored) == OURS, "python -m manypose.cli.model_figures writes the stored figures anew"
    assert stored[name] == json.loads(json.dumps(vars(count(name))))


@pytest.mark.parametrize(("words", "code"), [(("models",), 0), (("predict", "--example", "--model", "defualt"), 1)])
def test_the_table_of_models_and_a_misspelt_one_need_no_pytorch(words, code):
    done = program(*words, env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"})
    assert done.returncode == code, done.stderr
    assert "torch" not in {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}


def test_multiply_adds_of_a_network_that_can_be_counted_by_hand():
    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.BatchNorm2d(8)

        def network(self, images):
            return {"out": self.norm(self.conv(images))}

    assert multiply_adds(Two(), 32) == 16 * 16 * 8 * 3 * 9


def test_train_without_options_says_what_the_short_form_needs(capsys):
    assert cli.main(["train"]) == 2
    assert "missing: --data SET.yaml --model NAME --out DIR, or --config FILE.yaml" in capsys.readouterr().err
