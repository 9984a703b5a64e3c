"""Configs may come from strangers: which variables they read, and which modules they import."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from shared import REPOSITORY

from manypose.cli import __main__ as cli
from manypose.cli.config import UsageError, fill_in, read_config

pytestmark = pytest.mark.usefixtures("untyped")


def test_variables_come_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MANYPOSE_PLACE", "/here")
    monkeypatch.delenv("MANYPOSE_NONE", raising=False)
    text = "${MANYPOSE_PLACE}/a ${MANYPOSE_PLACE:-x} ${MANYPOSE_NONE:-../there} ${MANYPOSE_NONE:-} $MANYPOSE_PLACE"
    assert fill_in(text) == "/here/a /here ../there  $MANYPOSE_PLACE"
    assert fill_in("${MANYPOSE_NONE:-${MANYPOSE_PLACE}/b}/c") == "/here/b/c"
    with pytest.raises(ValueError, match="needs the environment variable MANYPOSE_NONE, which is not set"):
        fill_in("${MANYPOSE_NONE}/a")


@pytest.mark.parametrize(
    "text", ["${SECRET}", "${SECRET:-x}", "a ${MANYPOSE_X:-${SECRET}}", "${oc.env:SECRET}", "${oc.env:SECRET,x}", "${a.b}"]
)
def test_other_variables_are_out_of_reach(text: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SECRET", "hunter2")
    with pytest.raises(ValueError, match=r"\$\{NAME\} and|--allow-env SECRET") as e:
        fill_in(text)
    assert "hunter2" not in str(e.value)


def test_a_variable_that_is_allowed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("SECRET", "7")
    (tmp_path / "a.yaml").write_text("seed: ${SECRET}\nout: x${SECRET}\n# ${OTHER}\n")
    assert read_config(tmp_path / "a.yaml", ["SECRET"]) == {"seed": 7, "out": "x7"}
    with pytest.raises(ValueError, match="SECRET needs the option --allow-env SECRET"):
        read_config(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("text", "says"), [("a: [", "not YAML"), ("- 1\n", "mapping"), ("", "mapping"), ("!!python/name:os.system", "not YAML")]
)
def test_what_is_no_config(text: str, says: str, tmp_path: Path):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(UsageError, match=says) as e:
        read_config(tmp_path / "a.yaml")
    assert str(tmp_path / "a.yaml") in str(e.value)


SMALL = """\
model: swahr-w18-small
out: OUT
data:
  class_path: manypose.data.loader
  init_args:
    sources: []
    augment: AUGMENT
    batch_size: 1
optimizer: OPTIMIZER
schedule: {epochs: 1}
validation: {measure: EVALUATE}
"""
CALLED = "import pathlib\npathlib.Path(__file__).with_suffix('.called').touch()\ndef run(*a, **k): raise SystemExit(7)\n"


@pytest.mark.parametrize(
    ("slot", "named"),
    [
        ("AUGMENT", "os.system"),
        ("AUGMENT", "{class_path: os.system}"),
        ("OPTIMIZER", "planted.run"),
        ("OPTIMIZER", "{class_path: planted.run, init_args: {lr: 1}}"),
        ("OPTIMIZER", "manypose.cli.config.os.getcwd"),
        ("EVALUATE", "builtins.exec"),
        ("EVALUATE", "planted.run"),
        ("EVALUATE", "torch.hub.load"),
        ("EVALUATE", "torch.optimplanted.run"),
    ],
)
def test_a_config_names_nothing_else(slot: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    (tmp_path / "planted.py").write_text(CALLED)
    monkeypatch.syspath_prepend(tmp_path)  # it could be imported
    text = SMALL.replace("OUT", str(tmp_path / "out")).replace(slot, named)
    text = (
        text.replace("AUGMENT", "null")
        .replace("validation: {measure: EVALUATE}", "validation: null")
        .replace("EVALUATE", "null")
        .replace("OPTIMIZER", "torch.optim.Adam")
    )
    (tmp_path / "a.yaml").write_text(text)
    assert cli.main(["train", "--config", str(tmp_path / "a.yaml")]) in (1, 2)
    said = capsys.readouterr().err
    assert "may name only" in said
    assert "--allow-import" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "planted.called").exists()
    assert not (tmp_path / "out").exists()


def test_a_module_that_is_allowed_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "wanted.py").write_text(CALLED)
    monkeypatch.syspath_prepend(tmp_path)
    text = SMALL.replace("OUT", str(tmp_path / "out")).replace("AUGMENT", "null").replace("OPTIMIZER", "torch.optim.Adam")
    (tmp_path / "a.yaml").write_text(text.replace("EVALUATE", "wanted.run"))
    cli.main(["train", "--config", str(tmp_path / "a.yaml"), "--allow-import", "wanted"])
    assert (tmp_path / "wanted.called").exists()


ENTRIES = {
    "console script": [str(Path(sys.executable).with_name("manypose"))],
    "python -m manypose": [sys.executable, "-m", "manypose"],
    "python -m manypose.cli": [sys.executable, "-m", "manypose.cli"],
    "torchrun": [str(Path(sys.executable).with_name("torchrun")), "--standalone", "--nproc-per-node=1", "-m", "manypose"],
}


@pytest.mark.parametrize("entry", [pytest.param(e, marks=() if e == "python -m manypose" else pytest.mark.slow) for e in ENTRIES])
def test_modules_in_the_working_folder_are_not_imported(entry: str, tmp_path: Path):
    """Neither what a config names nor what manypose itself imports later."""
    if shutil.which(ENTRIES[entry][0]) is None:
        pytest.skip(f"{ENTRIES[entry][0]} is not installed")
    here = tmp_path / "here"
    here.mkdir()
    # torchrun itself imports from the working folder; what it does before manypose starts is not ours.
    names = ["planted", "synthetic_people", *([] if entry == "torchrun" else ["yaml", "jsonargparse", "omegaconf", "timm", "accelerate"])]
    for name in names:
        (here / f"{name}.py").write_text(CALLED)
    text = SMALL.replace("OUT", "out").replace("AUGMENT", "null").replace("OPTIMIZER", "torch.optim.Adam")
    (here / "a.yaml").write_text(text.replace("EVALUATE", "planted.run"))
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
    done = subprocess.run([*ENTRIES[entry], "train", "--config", "a.yaml"], cwd=here, env=env, capture_output=True, text=True)
    assert done.returncode != 0
    assert "validation.measure: a config may name only classes of manypose and torch.optim, not 'planted.run'" in done.stderr
    assert sorted(p.name for p in here.glob("*.called")) == []
