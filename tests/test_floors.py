"""The house stands: floors and rooms by import-linter, style by ruff, types by pyright."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

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


def test_types():
    assert "0 errors" in run("pyright", "--pythonpath", sys.executable)


def test_files_are_short():
    """About 120 lines, none over 400: a paper is read in one sitting."""
    long = [p for p in (REPOSITORY / "src").rglob("*.py") if p.read_text(encoding="utf-8").count("\n") > 400]
    assert not long


def test_nothing_of_a_developers_machine_is_in_the_project():
    """Absolute paths of somebody's folders have no place in what others check out."""
    files = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True)
    names = files.stdout.split() if files.returncode == 0 else []
    wrong = [
        name
        for name in names
        if (REPOSITORY / name).suffix in (".py", ".md", ".yaml", ".toml", ".cff") and name != "tests/test_floors.py"
        if re.search(r"(?<![\w./{}-])/(work|home|Users|opt|root)/", (REPOSITORY / name).read_text(encoding="utf-8"))
    ]
    assert not wrong
