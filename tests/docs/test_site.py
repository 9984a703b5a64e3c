"""The documentation site builds without a warning, and every page is reachable."""

import ast
import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from shared import REPOSITORY

PAGES = {p.name for p in (REPOSITORY / "docs").glob("*.md")}


def _leaves(nav: object) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    children = nav.values() if isinstance(nav, dict) else nav
    return [leaf for child in children for leaf in _leaves(child)]  # type: ignore[union-attr]


def test_every_page_is_in_the_navigation_once():
    nav = _leaves(yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    assert sorted(nav) == sorted(PAGES)


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path):
    program = Path(sys.executable).with_name("mkdocs")
    assert program.exists(), "mkdocs is not installed; it comes with the extra 'docs'"
    config = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")
    for name in ("docs", "src"):
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=shutil.ignore_patterns("*.safetensors", "__pycache__"))
    shutil.copy(REPOSITORY / "CHANGELOG.md", tmp_path)  # a page includes it
    (tmp_path / "mkdocs.yml").write_text(config, encoding="utf-8")
    done = subprocess.run([program, "build", "--strict", "--quiet"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site" / "api" / "index.html").read_text(encoding="utf-8").count("doc-heading") > 20


def test_the_architecture_walks_through_code_that_is_there():
    """One photo, one batch and one results file: each ``folder/file.py:name`` is defined there."""
    named = re.findall(r"`([\w/]+\.py):([\w.]+)`", (REPOSITORY / "docs/architecture.md").read_text(encoding="utf-8"))
    assert len(named) > 20
    for file, name in named:
        body = ast.parse((REPOSITORY / "src/manypose" / file).read_text(encoding="utf-8")).body
        for part in name.split("."):
            found = [n for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name == part]
            assert found, f"{file} has no {name}"
            body = found[0].body


def test_the_architecture_names_files_that_exist():
    """Every `folder/name` of the package or the repository, with or without suffix or a name in it; capitals are placeholders."""
    page = (REPOSITORY / "docs/architecture.md").read_text(encoding="utf-8")
    named = {n for n in re.findall(r"`([\w.]+/[\w/.]+)", page) if not re.search(r"\b[A-Z]{3,}\b", n)}
    assert len(named) > 30
    for name in named:
        places = [
            folder / n
            for folder in (REPOSITORY / "src/manypose", REPOSITORY)
            for n in (name, f"{name}.py", f"{name.rpartition('.')[0]}.py")
        ]
        assert any(p.exists() for p in places), name


def test_the_architecture_draws_the_floors_of_the_import_linter():
    """The same folders from the bottom up, with the same ones side by side."""
    page = (REPOSITORY / "docs/architecture.md").read_text(encoding="utf-8").partition("## The contract")[0]
    drawn = [set(re.findall(r"`(\w+)`", line.split("|")[1])) for line in page.splitlines() if line.startswith("| `")]
    linter = configparser.ConfigParser()
    linter.read(REPOSITORY / ".importlinter", encoding="utf-8")
    layers = linter["importlinter:contract:floors"]["layers"].split("\n")
    floors = [set(re.findall(r"\w+", layer)) for layer in reversed(layers) if layer.strip()]
    assert drawn == [floor for floor in floors if floor != {"__main__"}]
    assert set().union(*drawn) == {p.name for p in (REPOSITORY / "src/manypose").iterdir() if p.is_dir() and p.name != "__pycache__"}
