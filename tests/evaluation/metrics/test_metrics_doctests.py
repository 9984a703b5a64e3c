"""The examples in the metrics' docstrings."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import manypose.evaluation.metrics

MODULES = sorted(p.stem for p in Path(manypose.evaluation.metrics.__file__).parent.glob("[a-z]*.py"))


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    failed, _ = doctest.testmod(import_module(f"manypose.evaluation.metrics.{name}"))
    assert failed == 0


def test_the_metrics_have_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    counts = {name: sum(len(t.examples) for t in finder.find(import_module(f"manypose.evaluation.metrics.{name}"))) for name in MODULES}
    assert all(counts[name] for name in ("oks_ap", "crowdpose", "detection", "segmentation")), counts
