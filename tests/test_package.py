"""The package as users meet it: public names, versions, and what its pages say."""

import functools
import importlib.metadata
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from shared import REPOSITORY

import manypose
from manypose.cli import __main__ as cli
from manypose.cli.arguments import CONFIG_OPTIONS, parse_config, sort_words
from manypose.cli.signature import read_verb
from manypose.methods.catalog import MODELS

SHELLS = ("", "bash", "sh", "console")
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def blocks(page: Path, language: str = "") -> list[str]:
    """The code blocks of a page."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    return [text for kind, text in found if kind == language]


def test_one_version():
    assert importlib.metadata.version("manypose") == manypose.__version__
    assert f"version: {manypose.__version__}\n" in (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8")


def test_public_names():
    assert manypose.__all__ == ["Method", "Poses", "Skeleton", "load", "predict"]
    for name in manypose.__all__:
        assert getattr(manypose, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'train_'"):
        manypose.train_  # noqa: B018


def test_importing_is_quick_and_predict_stays_a_function():
    program = """
import sys, manypose
assert "torch" not in sys.modules
from manypose.inference.model import Model
import manypose.inference.model
assert callable(manypose.predict) and callable(manypose.load)
from manypose import *
assert predict is manypose.predict
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_types_are_shipped():
    assert (REPOSITORY / "src/manypose/py.typed").exists()


def test_ci_runs_the_readmes_test_command():
    first, second = blocks(REPOSITORY / "README.md")[:2]
    assert "manypose predict --example" in first
    assert first.count("\n") == second.count("\n") == 1
    script = (REPOSITORY / ".ci/run").read_text()
    found = re.search(r"^command=\$\((.*)\)$", script, re.M)
    assert found is not None
    assert 'eval "$command"' in script
    assert subprocess.run(["bash", "-c", found[1]], cwd=REPOSITORY, capture_output=True, text=True).stdout == second


def test_readme_and_docs_list_every_model_as_published():
    bundled = re.findall(r"^\| `([\w-]+)` \|", (REPOSITORY / "README.md").read_text(encoding="utf-8"), re.M)  # nothing is published of them
    rows = re.findall(r"^\| `([\w-]+)` \| (.*?) ?\|", (REPOSITORY / "docs/choosing.md").read_text(encoding="utf-8"), re.M)
    assert not {name for name, _ in rows} & {*bundled}
    rows += [(name, "") for name in bundled]
    assert dict(rows) == {name: named.published for name, named in MODELS.items() if named.factory.startswith("manypose.")}


def commands() -> list[tuple[str, str]]:
    """Every line of every page that calls manypose."""
    lines = [
        (page.name, line.strip())
        for page in PAGES
        for shell in SHELLS
        for block in blocks(page, shell)
        for line in block.replace("\\\n", " ").splitlines()
    ]
    found = [(name, line.partition("manypose ")[2]) for name, line in lines if re.match(r"(\S*=\S+ |\S+ && |\S*/)*manypose ", line)]
    return [(name, line) for name, line in found if line.split()[0] != "VERB"]


def test_pages_show_commands():
    assert len(commands()) > 10


@pytest.mark.parametrize(("page", "line"), commands())
def test_commands_of_the_pages_are_understood(page: str, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    load = cli._load

    def only_parsed(verb: str):
        return functools.wraps(load(verb))(lambda *args, **kwargs: 0)

    words = shlex.split(line, comments=True)
    if words[0] == "train":
        if "NAME" in line or "--data" in words:
            return  # stands for any config; tests/docs/test_commands.py runs those with a data set of their own
        monkeypatch.chdir(REPOSITORY)
        given = sort_words(read_verb(cli.VERBS["train"][0], flatten=False), words[1:], CONFIG_OPTIONS)
        assert parse_config(load("train"), given, "manypose train")[1].model in MODELS
        return
    monkeypatch.setattr(cli, "_load", only_parsed)
    monkeypatch.setattr("manypose.serve.show_errors.show", lambda *_, **__: 0)
    assert cli.main(words) == 0, capsys.readouterr().err


def test_python_of_the_pages_compiles():
    for page in PAGES:
        for block in blocks(page, "python"):
            compile(block, str(page), "exec")


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
