"""What is published: a wheel and a source archive that install into an empty environment, and a container; issue 17, line 13."""

import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from shared import REPOSITORY

from manypose.cli.__main__ import VERBS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dist(tmp_path_factory) -> Path:
    """The folder of a wheel and a source archive, built from a copy of what git knows."""
    root = tmp_path_factory.mktemp("dist")
    archive = subprocess.run(["git", "archive", "--format=tar", "HEAD"], cwd=REPOSITORY, capture_output=True, check=True).stdout
    (root / "copy.tar").write_bytes(archive)
    with tarfile.open(root / "copy.tar") as tar:
        tar.extractall(root / "copy", filter="data")
    for kind in ("--sdist", "--wheel"):
        command = [sys.executable, "-m", "build", "--no-isolation", kind, "--outdir", root / "dist", root / "copy"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return root / "dist"


def test_issue_17_line_13_the_archives_hold_what_they_must(dist):
    (wheel,) = dist.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    assert {"manypose/py.typed", "manypose/weights/bundled/mspn-mobile.safetensors"} <= inside
    assert not [name for name in inside if name.startswith(("tests", "tools", "benchmarks")) or "__pycache__" in name]
    (source,) = dist.glob("*.tar.gz")
    with tarfile.open(source) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "NOTICE", "src/manypose/__init__.py"} <= names


def test_issue_17_line_13_twine_finds_nothing_wrong(dist):
    done = subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *dist.iterdir()], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_issue_17_line_13_the_wheel_works_in_another_environment(dist, tmp_path):
    """The dependencies are those of this environment; an empty one with a network is the workflow's matter."""
    venv.create(tmp_path / "env", system_site_packages=False, with_pip=False)
    python = tmp_path / "env/bin/python"
    (site,) = (tmp_path / "env").glob("lib/python3*/site-packages")
    (wheel,) = dist.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(site)
    others = next(p for p in map(Path, sys.path) if p.name == "site-packages")
    program = (
        "import sys; sys.path.append(sys.argv[1]); import manypose; assert manypose.__file__.startswith(sys.prefix), manypose.__file__; "
        "from manypose.cli.__main__ import main; sys.exit(main(sys.argv[2:]))"
    )
    for words in (["version"], ["models"], ["predict", "--help"]):
        done = subprocess.run([python, "-I", "-c", program, others, *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()


def test_the_container_names_what_there_is():
    text = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
    extras = re.search(r"^ARG EXTRAS=([\w,]+)$", text, re.M)
    assert extras is not None
    project = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    there = re.findall(r"^(\w+) = \[", project.partition("[project.optional-dependencies]")[2].partition("\n[")[0], re.M)
    assert set(extras[1].split(",")) <= set(there)
    command = re.search(r'^CMD \["(\w+)"', text, re.M)
    assert command is not None
    assert command[1] in VERBS
    kept = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {word for line in re.findall(r"^COPY (?!--)(.*)$", text, re.M) for word in line.split()[:-1]}
    assert copied == kept
    assert all((REPOSITORY / name).exists() for name in copied)
