"""The fidelity page names tests, configs and benchmarks that exist."""

import re

from shared import REPOSITORY

PAGE = REPOSITORY / "docs" / "fidelity.md"


def test_every_test_it_names_is_there():
    named = set(re.findall(r"`([\w/.]+\.py)::(\w+)`", PAGE.read_text()))
    assert len(named) > 40
    lost = [f"{file}::{test}" for file, test in sorted(named) if f"def {test}(" not in (REPOSITORY / "tests" / file).read_text()]
    assert not lost


def test_every_config_and_benchmark_it_names_is_there():
    text = PAGE.read_text()
    configs = {p.name for p in (REPOSITORY / "configs").rglob("*.yaml")}
    named = [n for n in re.findall(r"([\w*]+\.yaml)", text) if "*" not in n]
    assert named
    assert set(named) <= configs
    assert all((REPOSITORY / p).is_file() for p in re.findall(r"`(benchmarks/\w+\.py)`", text))


def test_each_paper_has_about_35_rows():
    for section in PAGE.read_text().split("\n## ")[1:]:
        assert section.count("\n| ") - 1 >= 30, section[:40]
