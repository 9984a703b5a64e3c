"""What the pages show is right as far as it can be told without running it: verbs, options, imports, YAML and files."""

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest
import yaml
from shared import REPOSITORY

from manypose.cli.__main__ import QUIET, SERVE, VERBOSE, VERBS
from manypose.cli.arguments import CONFIG_OPTIONS, sort_words
from manypose.cli.own_data import SHORTHANDS
from manypose.cli.signature import read_verb

PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md"))]

SHELL = ("", "bash", "console", "sh")


def blocks(path: Path) -> list[tuple[str, str]]:
    """The language and content of each block of a page."""
    return re.findall(r"^```(\w*)[^\n]*\n(.*?)^```$", path.read_text(encoding="utf-8"), re.M | re.S)


def commands() -> list:
    """Every line ``manypose VERB …``, without its comment; placeholders such as ``VERB`` or ``…`` are no commands."""
    found = []
    for path in PAGES:
        lines = [line for language, content in blocks(path) if language in SHELL for line in content.replace("\\\n", " ").splitlines()]
        for line in lines:
            words = shlex.split(line.removeprefix("$ "), comments=True)
            at = next((i for i, word in enumerate(words) if word.endswith("manypose")), None)
            words = [] if at is None or {"VERB", "…"} & set(words) else words[at + 1 :]
            words = words[: words.index("&&")] if "&&" in words else words
            if words:
                found.append(pytest.param(words, id=f"{path.stem}: {' '.join(words)[:60]}"))
    return found


@pytest.mark.parametrize("words", commands())
def test_a_command_has_only_options_that_there_are(words: list[str]):
    if words[0] in ("help", "version", "--help"):
        return
    name = max((v for v in VERBS if words[: len(v.split())] == v.split()), key=len, default=None)
    assert name is not None, f"no verb {words[0]}"
    verb = read_verb(VERBS[name][0], flatten=name not in ("train", "grouping train"))
    sort_words(verb, words[len(name.split()) :], (QUIET, VERBOSE, SERVE, *CONFIG_OPTIONS, *SHORTHANDS))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_programs_import_what_there_is(path: Path):
    for language, content in blocks(path):
        if language == "python":
            for node in ast.walk(ast.parse(content)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("manypose"):
                    module = importlib.import_module(node.module or "")
                    for alias in node.names:
                        assert hasattr(module, alias.name) or importlib.import_module(f"{node.module}.{alias.name}"), alias.name
        elif language == "yaml":
            yaml.safe_load(content)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_links_lead_to_files_and_headings(path: Path):
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://", "mailto:")):
            file, _, heading = target.partition("#")
            place = (path.parent / file).resolve() if file else path
            assert place.exists(), f"{path.name}: {target}"
            if heading and place.suffix == ".md":
                assert heading in slugs(place), f"{path.name}: {target}"


def slugs(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    plain = [re.sub(r"[^\w\s-]", "", re.sub(r"\]\([^)]*\)", "", title)) for title in titles]
    return {re.sub(r"[-\s]+", "-", title.strip().lower()) for title in plain}
