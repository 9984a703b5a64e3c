"""The benchmark of evaluation (`benchmarks/evaluation.py`) makes what it says, of COCO val's size, and everything of it is counted."""

import importlib.util

import pytest
from shared import REPOSITORY

from manypose.evaluation.error_analysis.analysis import analyse
from manypose.evaluation.metrics.annotations import read_results, read_truth
from manypose.evaluation.metrics.oks_ap import oks_ap


@pytest.mark.slow
def test_coco_val_sized() -> None:
    spec = importlib.util.spec_from_file_location("evaluation_benchmark", REPOSITORY / "benchmarks" / "evaluation.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    content, found = module.made(5000, 11000, 25000)
    truth = read_truth(content)
    results = read_results(found, truth)
    assert (len(truth.image_ids), len(truth.ids), len(results)) == (5000, 11000, 25000)
    assert oks_ap(truth, results)["AP"] > 0.3
    assert analyse(truth, results).everybody.found > 10000
