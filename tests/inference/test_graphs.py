"""Graphs in place of PyTorch: the same people, by every runtime; what cannot be run is one clear error."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from shared import REPOSITORY

import manypose
from manypose.inference.graph_models import DetectorGraph, PersonGraph
from manypose.inference.loading import load_any
from manypose.inference.options import PredictOptions
from manypose.inference.photos import PhotoInput
from manypose.inference.pipeline import detect
from manypose.inference.running import runner
from manypose.io.photos import read
from manypose.io.sources import example_photo
from manypose.weights.names import BUNDLED

pytestmark = pytest.mark.usefixtures("untyped")
BOXES = np.array([[100, 20, 400, 500], [150, 100, 350, 420], [0, 0, 511, 511], [200, 40, 290, 180]], np.float32)
PHOTOS = (example_photo(), REPOSITORY / "docs" / "rendered_people.jpg")


def boxes_of(name: str, runtime, flip: bool) -> list[np.ndarray]:
    photos, options = [PhotoInput(p) for p in PHOTOS], PredictOptions(detector_threshold=0.1, flip=flip)
    found = [photo.boxes for photo in detect(load_any(name, device="cpu", runtime=runtime), photos, options)]
    return [f for f in found if f is not None]


@pytest.mark.parametrize(
    ("name", "runtime"), [("nanodet", "onnx"), ("nanodet-fast", "onnx"), pytest.param("nanodet-fast", "openvino", marks=pytest.mark.slow)]
)
def test_boxes_are_those_of_pytorch(name: str, runtime):
    for flip in (False, True):
        for found, expected in zip(boxes_of(name, runtime, flip), boxes_of(name, "torch", flip), strict=True):
            assert found.shape == expected.shape
            assert len(expected) > 0
            assert np.abs(found - expected).max() < 0.05


@pytest.mark.parametrize("runtime", ["onnx", pytest.param("openvino", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", [pytest.param("default", marks=pytest.mark.slow), "fast"])
def test_people_are_those_of_pytorch(name: str, runtime):
    models = [manypose.load(name, device="cpu", runtime=r) for r in (runtime, "torch")]
    assert (models[0].runtime, models[1].runtime) == (runtime, "torch")
    for flip in (False, True):
        for options in ({"boxes": BOXES, "threshold": 0.0}, {}):
            found, expected = (model.predict(PHOTOS[0], flip=flip, **options) for model in models)
            assert len(found) == len(expected) > 0
            assert np.abs(found.keypoints - expected.keypoints)[expected.keypoint_scores > 0.05].max() < 0.5
            assert np.abs(found.scores - expected.scores).max() < 1e-3


def test_batches_change_nothing():
    model = manypose.load("fast", device="cpu")
    one, three = (model.predict(PHOTOS[0], boxes=BOXES, threshold=0.0, batch_size=n) for n in (1, 3))
    assert np.abs(one.keypoints - three.keypoints).max() < 0.01


def test_graphs_are_taken_where_they_lie_and_pytorch_elsewhere(monkeypatch):
    assert isinstance(load_any("mspn-mobile", device="cpu"), PersonGraph)
    assert isinstance(load_any("nanodet"), DetectorGraph)
    for other in ({"runtime": "torch"}, {"skeleton": "coco"}, {"weights": BUNDLED / "mspn-mobile.safetensors"}):
        assert not isinstance(load_any("mspn-mobile", device="cpu", **other), PersonGraph)
    assert not isinstance(load_any("simple-pose-mobile"), PersonGraph)
    monkeypatch.setattr("manypose.inference.loading._on_gpu", lambda device: True)
    assert not isinstance(load_any("mspn-mobile"), PersonGraph)


def test_what_cannot_be_run_is_one_error(tmp_path: Path):
    with pytest.raises(ValueError, match="runtime must be auto, onnx, openvino or torch, got 'tensorrt'"):
        manypose.load(runtime="tensorrt")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="manypose export simple-pose-mobile --out"):
        manypose.load("simple-pose-mobile", runtime="onnx")
    with pytest.raises(ValueError, match="'xpu'"):
        manypose.load(runtime="onnx", device="xpu")
    with pytest.raises(ValueError, match="OpenVINO is supported only on the CPU"):
        manypose.load(runtime="openvino", device="cuda")
    with pytest.raises(ValueError, match="give the graph only"):
        manypose.load(BUNDLED / "nanodet.onnx", runtime="torch")
    with pytest.raises(ValueError, match="a graph cannot be moved"):
        manypose.load(device="cpu").to("cuda")
    graph = Path(shutil.copy(BUNDLED / "mspn-mobile-fast.onnx", tmp_path / "mine.onnx"))
    with pytest.raises(FileNotFoundError, match=r"mine\.json: missing"):
        manypose.load(graph)
    about = json.loads((BUNDLED / "mspn-mobile-fast.json").read_text())
    graph.with_suffix(".json").write_text(json.dumps({**about, "decoding": {}}))
    with pytest.raises(ValueError, match=r"mine\.onnx: ONNX Runtime cannot load it"):
        manypose.load(graph)  # without the weights beside it
    shutil.copy(BUNDLED / "mspn-mobile.safetensors", tmp_path)
    with pytest.raises(ValueError, match=r"mine\.json: KeyError.*export the model again"):
        manypose.load(graph)
    graph.with_suffix(".json").write_text(json.dumps(about))
    model = manypose.load(str(graph))
    assert model.detector == "nanodet-fast"
    assert len(model.predict(PHOTOS[0])) > 0
    graph.with_suffix(".json").write_text(json.dumps({**about, "model": "fast"}))  # written by the name of a choice
    assert manypose.load(graph).detector == "nanodet-fast"


def test_a_detectors_graph_gives_people_whose_joints_stand_in_the_middle():
    graph = load_any("nanodet-fast")
    assert isinstance(graph, DetectorGraph)
    assert runner(graph) is graph
    people = manypose.load("nanodet-fast").predict(read(PHOTOS[0]))
    assert len(people) > 0
    assert np.allclose(people.keypoints[:, 0], (people.boxes[:, :2] + people.boxes[:, 2:]) / 2, atol=0.01)
    with pytest.raises(TypeError, match="whole photos"):
        replace(graph, size=64).people(read(PHOTOS[0]), BOXES)
