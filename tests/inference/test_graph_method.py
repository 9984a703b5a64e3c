"""Prediction with a graph gives the people that PyTorch gives."""

from pathlib import Path

import numpy as np
import pytest

from manypose.inference.graph_method import with_graph
from manypose.inference.model import Model, load
from manypose.io.sources import example_photo
from manypose.methods.catalog import build
from manypose.weights.names import BUNDLED

pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.usefixtures("untyped")
BOXES = np.array([[80, 20, 400, 500], [150, 100, 350, 420]], np.float32)


@pytest.fixture(scope="module")
def exported() -> tuple[Model, Path]:
    """A model and its bundled graph."""
    return load("mspn-mobile-fast", device="cpu", runtime="torch"), BUNDLED / "mspn-mobile-fast.onnx"


def test_people_are_equal_to_half_a_pixel(exported: tuple[Model, Path]):
    model, path = exported
    expected = model.predict(example_photo(), boxes=BOXES, threshold=0.0, flip=True)
    found = Model(with_graph(model.method, path)).predict(example_photo(), boxes=BOXES, threshold=0.0, flip=True)
    assert len(found) == len(expected) > 0
    sure = expected.keypoint_scores > 0.1
    assert np.abs(found.keypoints - expected.keypoints)[sure].max() < 0.5
    assert np.abs(found.scores - expected.scores).max() < 1e-3


def test_the_graph_of_another_model_is_refused(exported: tuple[Model, Path]):
    with pytest.raises(ValueError, match="another model"):
        with_graph(build("swahr-w18-small"), exported[1])


def test_a_damaged_graph_is_one_error(exported: tuple[Model, Path], tmp_path: Path):
    model, path = exported
    (tmp_path / "graph.json").write_bytes(path.with_suffix(".json").read_bytes())
    (tmp_path / "graph.onnx").write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"graph\.onnx: ONNX Runtime cannot load it"):
        with_graph(model.method, tmp_path / "graph.onnx")
