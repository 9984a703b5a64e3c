"""Prediction with a graph gives the people that PyTorch gives."""

from pathlib import Path

import numpy as np
import pytest

from manypose.export.onnx import export
from manypose.inference.graph_method import with_graph
from manypose.inference.model import Model, load
from manypose.io.sources import example_photo
from manypose.methods.catalog import build

pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.usefixtures("untyped")
BOXES = np.array([[80, 20, 400, 500], [150, 100, 350, 420]], np.float32)


def test_people_are_equal_to_half_a_pixel(tmp_path: Path):
    model = load("mspn-small", device="cpu")
    expected = model.predict(example_photo(), boxes=BOXES, threshold=0.0, flip=True)
    method = with_graph(model.method, export(model.method, tmp_path / "graph.onnx"))
    found = Model(method).predict(example_photo(), boxes=BOXES, threshold=0.0, flip=True)
    assert len(found) == len(expected) > 0
    sure = expected.keypoint_scores > 0.1
    assert np.abs(found.keypoints - expected.keypoints)[sure].max() < 0.5
    assert np.abs(found.scores - expected.scores).max() < 1e-3


def test_the_graph_of_another_model_is_refused(tmp_path: Path):
    small = load("mspn-small", device="cpu").method
    path = export(small, tmp_path / "graph.onnx")
    with pytest.raises(ValueError, match="another model"):
        with_graph(build("swahr-w18-small"), path)


def test_a_damaged_graph_is_one_error(tmp_path: Path):
    small = load("mspn-small", device="cpu").method
    path = export(small, tmp_path / "graph.onnx")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"graph\.onnx: ONNX Runtime cannot load it"):
        with_graph(small, path)
