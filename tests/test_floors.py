"""The house stands: floors and rooms by import-linter, style by ruff, types by pyright."""

import ast
import re
import shutil
import statistics
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from shared import REPOSITORY


def run(*command: str) -> str:
    """A tool's output; it must succeed."""
    beside = Path(sys.executable).with_name(command[0])
    program = str(beside) if beside.exists() else shutil.which(command[0])
    assert program, f"{command[0]} is not installed; it comes with the extra 'dev'"
    done = subprocess.run([program, *command[1:]], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


def test_floors_and_rooms():
    assert "0 broken" in run("lint-imports", "--no-cache")


def test_every_room_is_kept_apart():
    rooms = [p.name for p in (REPOSITORY / "src/manypose/methods").iterdir() if (p / "__init__.py").exists()]
    contract = (REPOSITORY / ".importlinter").read_text().partition("importlinter:contract:rooms")[2]
    assert rooms
    for room in rooms:
        assert f"manypose.methods.{room}\n" in contract


def test_style():
    run("ruff", "check", "--no-cache", ".")
    run("ruff", "format", "--no-cache", "--check", ".")


@pytest.mark.slow
def test_types():
    assert "0 errors" in run("pyright", "--pythonpath", sys.executable)


SOURCE = REPOSITORY / "src/manypose"
FLOORS = ("io", "poses", "data nn", "methods", "weights tracking", "inference", "training evaluation export", "serve", "cli", "__main__")


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    return {".".join(p.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__"): p for p in SOURCE.rglob("*.py")}


@cache
def arrows() -> dict[str, set[str]]:
    """Which modules each module imports, wherever in the file, by its syntax tree."""
    named = modules()
    found: dict[str, set[str]] = {name: set() for name in named}
    for name, path in named.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                words = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{name} imports relatively"
                words = [f"{node.module}.{a.name}" if f"{node.module}.{a.name}" in named else node.module or "" for a in node.names]
            else:
                continue
            found[name] |= {word for word in words if word in named and word not in (name, "manypose")}
    return found


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Names that import one another in a circle; empty where there is none."""
    left = {name: set(to) for name, to in graph.items()}
    while left:
        ends = {name for name, to in left.items() if not to & left.keys()}
        if not ends:
            return sorted(left)
        left = {name: to for name, to in left.items() if name not in ends}
    return []


def room_of(module: str) -> str:
    """The entry at the top of the package that a module belongs to."""
    return module.split(".")[1] if "." in module else ""


def rooms() -> dict[str, set[str]]:
    """Which rooms each room imports."""
    graph: dict[str, set[str]] = {}
    for name, to in arrows().items():
        graph.setdefault(room_of(name), set()).update(room_of(other) for other in to if room_of(other) != room_of(name))
    graph.pop("", None)  # the package's own face
    return graph


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == ["a", "b", "c", "d"]
    assert circle({"a": {"b"}, "b": set()}) == []


def test_no_circle_of_files_or_rooms():
    assert circle(arrows()) == []
    assert circle(rooms()) == []


def test_no_arrow_runs_back_up():
    height = {room: i for i, floor in enumerate(FLOORS) for room in floor.split()}
    up = {(a, b) for a, to in rooms().items() for b in to if height[b] >= height[a]}
    assert not up


def test_few_entries_at_the_top():
    entries = {p.name for p in SOURCE.iterdir() if p.name not in ("__pycache__", "py.typed")}
    assert len(entries - {"__init__.py", "__main__.py"}) <= 15, sorted(entries)


def test_files_are_short():
    """About 120 lines, none over 400: a paper is read in one sitting."""
    lengths = {str(p): p.read_text(encoding="utf-8").count("\n") for p in SOURCE.rglob("*.py") if p.name != "__init__.py"}
    assert {p for p, n in lengths.items() if n > 400} == set()
    assert statistics.median(lengths.values()) <= 125


HEAVY = ("torch", "torchvision", "timm", "scipy", "matplotlib", "onnx")
"""Packages that the light installation lacks."""

NEEDS_TORCH = (
    "inference.eager", "inference.ensemble", "inference.test_time_augmentation", "inference.graph_method", "weights.files",
)  # fmt: skip

LIGHT = [
    name
    for name in modules()
    if name.startswith(tuple(f"manypose.{room}" for room in ("io", "poses", "tracking", "inference", "weights")))
    or name in ("manypose.methods.method", "manypose.methods.catalog", "manypose.cli.predict", "manypose.cli.models", "manypose.cli.doctor")
    if name.removeprefix("manypose.") not in NEEDS_TORCH
]


def test_the_lower_floors_import_without_pytorch():
    program = f"import sys\nsys.modules.update(dict.fromkeys({HEAVY!r}))\nfor name in {LIGHT!r}: __import__(name)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert len(LIGHT) > 20
    assert done.returncode == 0, done.stderr[-800:]


METHODS = {"method", "model", "net", "network", "module", "decoder", "teacher", "student", "detector", "finder", "prn", "chooser", "trunk"}


def test_methods_are_not_probed():
    """The three protocols say what a method has; nothing asks a method for a name."""
    found = [
        f"{name}:{node.lineno}"
        for name, path in modules().items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("hasattr", "getattr") and node.args
        if ast.unparse(node.args[0]).rpartition(".")[2] in METHODS
    ]
    assert not found


def test_no_code_comes_out_of_files():
    """No eval or exec; pickle only where published checkpoints are read by a restricted reader; torch.load reads weights alone."""
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("eval", "exec"), f"{name}:{node.lineno}"
                if called == "torch.load":
                    options = {k.arg: ast.unparse(k.value) for k in node.keywords}
                    assert options.get("weights_only") == "True", f"{name}:{node.lineno}"


def test_nothing_of_a_developers_machine_is_in_the_project():
    """Absolute paths of somebody's folders have no place in what others check out."""
    files = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True)
    if files.returncode != 0:
        pytest.skip("not a git checkout: which files belong to the project is not known")
    names = files.stdout.split()
    assert "pyproject.toml" in names
    wrong = [
        name
        for name in names
        if (REPOSITORY / name).suffix in (".py", ".md", ".yaml", ".toml", ".cff") and name != "tests/test_floors.py"
        if re.search(r"(?<![\w./{}-])/(work|home|Users|opt|root)/", (REPOSITORY / name).read_text(encoding="utf-8"))
    ]
    assert not wrong
