"""What type checkers see of the public names is complete; issue 17, line 2."""

import json
import os
import pydoc
import subprocess
import sys
from pathlib import Path

import pytest

import manypose

pytestmark = pytest.mark.slow

PUBLIC = (
    "manypose.load", "manypose.predict", "manypose.poses.poses.Poses", "manypose.poses.person.Person", "manypose.poses.skeleton.Skeleton",
    "manypose.inference.model.Model", "manypose.inference.model.load", "manypose.inference.model.predict",
    "manypose.inference.options.PredictOptions", "manypose.tracking.tracker.Tracker", "manypose.methods.method.Method",
)  # fmt: skip


def test_issue_17_line_2_public_names_have_complete_types():
    program = Path(sys.executable).with_name("pyright")
    assert program.exists(), "pyright is not installed; it comes with the extra 'dev'"
    command = [program, "--pythonpath", sys.executable, "--verifytypes", "manypose", "--ignoreexternal", "--outputjson"]
    found = {**os.environ, "PYTHONPATH": str(Path(manypose.__file__).parents[1])}  # pyright does not follow every editable installation
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=found)
    symbols = json.loads(done.stdout)["typeCompleteness"]["symbols"]
    chosen = [s for s in symbols if any(s["name"] == name or s["name"].startswith(f"{name}.") for name in PUBLIC)]
    assert len(chosen) > 60
    unknown = {s["name"]: [d["message"] for d in s["diagnostics"]] for s in chosen if not s["isTypeKnown"] or s["isTypeAmbiguous"]}
    assert not unknown, "\n".join(f"{name}: {said}" for name, said in unknown.items())


def test_issue_17_line_2_help_and_dir_say_what_there_is():
    assert {"Poses", "Skeleton", "load", "predict"} <= set(dir(manypose))
    text = pydoc.render_doc(manypose, renderer=pydoc.plaintext)
    for said in ("load(", "predict(", "class Poses", "class Skeleton"):
        assert said in text
