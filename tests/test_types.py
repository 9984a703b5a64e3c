"""What type checkers see of the public names is complete; issue 17, line 2."""

import ast
import dataclasses
import inspect
import json
import os
import pydoc
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import manypose
from manypose import Method, Poses, Skeleton, load, predict
from manypose.inference.model import Model
from manypose.inference.options import PredictOptions
from manypose.poses.person import Person
from manypose.tracking.tracker import Tracker

CLASSES: tuple[Any, ...] = (Poses, Person, Skeleton, Model, PredictOptions, Tracker, Method)
FUNCTIONS: tuple[Any, ...] = (load, predict)


def members(kind: Any) -> list[str]:
    """The public attributes, properties and methods of a class."""
    own = {name for name, value in vars(kind).items() if callable(value) or isinstance(value, property | classmethod | staticmethod)}
    fields = {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set(kind.__annotations__)
    return sorted(name for name in own | fields if not name.startswith("_"))


def defined_in(kind: Any) -> dict[str, ast.FunctionDef]:
    """The public functions in the body of a class or, of a function, the function, by name."""
    text = Path(inspect.getsourcefile(kind) or "").read_text(encoding="utf-8")
    (node,) = (n for n in ast.parse(text).body if isinstance(n, ast.ClassDef) and n.name == kind.__name__)
    return {n.name: n for n in node.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")}


@pytest.mark.slow
def test_issue_17_line_2_public_names_have_complete_types(tmp_path: Path):
    """Pyright knows the whole type of each member, from the outside."""
    program = Path(sys.executable).with_name("pyright")
    assert program.exists(), "pyright is not installed; it comes with the extra 'dev'"
    lines = ["import manypose", *(f"from {kind.__module__} import {kind.__name__}" for kind in CLASSES)]
    for kind in CLASSES:
        lines += [f"def of_{kind.__name__}(x: {kind.__name__}) -> None:", *(f"    reveal_type(x.{name})" for name in members(kind))]
    lines += [f"reveal_type(manypose.{function.__name__})" for function in FUNCTIONS]
    (tmp_path / "seen.py").write_text("\n".join(lines) + "\n")
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"extraPaths": [str(Path(manypose.__file__).parents[1])]}))
    done = subprocess.run(
        [program, "--pythonpath", sys.executable, "--outputjson", "-p", tmp_path],
        capture_output=True, text=True, timeout=600, env=os.environ, check=False,
    )  # fmt: skip
    found = [(d["severity"], d["message"]) for d in json.loads(done.stdout)["generalDiagnostics"]]
    assert not [message for severity, message in found if severity == "error"]
    types = [message for _, message in found if message.startswith("Type of")]
    assert len(types) == sum("reveal_type" in line for line in lines) > 60
    assert not [message for message in types if "Unknown" in message]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_issue_17_line_2_every_parameter_and_result_is_annotated(kind: Any):
    for name, node in defined_in(kind).items():
        given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
        assert node.returns is not None, f"{kind.__name__}.{name}"
        assert all(a.annotation for a in given if a is not None and a.arg not in ("self", "cls")), f"{kind.__name__}.{name}"


def test_issue_17_line_2_help_and_dir_say_what_there_is():
    assert {"Poses", "Skeleton", "load", "predict"} <= set(dir(manypose))
    text = pydoc.render_doc(manypose, renderer=pydoc.plaintext)
    for said in ("load(", "predict(", "class Poses", "class Skeleton"):
        assert said in text
