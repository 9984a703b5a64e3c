"""Graphs give what PyTorch gives, at three photo sizes and batches of one and three; what cannot be exported is one clear error."""

import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from manypose.export.onnx import Graph, export
from manypose.methods.catalog import build
from manypose.methods.method import TopDownMethod
from manypose.weights.files import BUNDLED
from manypose.weights.files import load as load_method
from manypose.weights.graphs import read_about

ort = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.usefixtures("untyped")

MODELS = ("mspn-small", "swahr-w18-small", "multiposenet-small", "imhn-small")


def made(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return build(name).eval()  # type: ignore[attr-defined]


def photos(n: int, size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 256, (n, *size, 3), dtype=np.uint8)


def sizes(method) -> list[tuple[int, int]]:
    s = method.stride
    return [method.input_size] if isinstance(method, TopDownMethod) else [(4 * s, 4 * s), (3 * s, 5 * s), (6 * s, 2 * s)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[torch.nn.Module, Path]]:
    """A model and its graph in single precision, exported once."""
    folder = tmp_path_factory.mktemp("graphs")

    @functools.cache
    def graph(name: str) -> tuple[torch.nn.Module, Path]:
        method = made(name)
        return method, export(method, folder / f"{name}.onnx", name=name)

    return graph


@pytest.mark.parametrize("name", MODELS)
def test_graphs_equal_pytorch(name: str, written):
    method, path = written(name)
    session = ort.InferenceSession(str(path))
    about = read_about(path)
    assert about["model"] == name
    graph = Graph(method, about["outputs_of"])
    for size in sizes(method):
        for n in (1, 3):
            images = photos(n, size)
            with torch.no_grad():
                expected = graph.outputs(torch.from_numpy(images))
            found = dict(zip([o.name for o in session.get_outputs()], session.run(None, {"images": images}), strict=True))
            assert found.keys() == expected.keys()
            for key, value in expected.items():
                scale = max(1.0, float(value.abs().max()))
                assert np.abs(found[key] - value.numpy()).max() < 1e-4 * scale, (key, size, n)


def test_half_precision_is_half_the_size_and_near(written, tmp_path: Path):
    method, whole = written("mspn-small")
    half = export(method, tmp_path / "float16.onnx", precision="float16")
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    images = photos(2, method.input_size)
    a, b = (ort.InferenceSession(str(p)).run(None, {"images": images})[0] for p in (whole, half))
    assert 0 < np.abs(a - b).max() < 0.01 * np.abs(a).max()


def test_int8_needs_photos_and_is_smaller(written, tmp_path: Path):
    method, whole = written("mspn-small")
    with pytest.raises(ValueError, match="--calibration"):
        export(method, tmp_path / "small.onnx", precision="int8")
    assert not list(tmp_path.iterdir())
    small = export(method, tmp_path / "small.onnx", precision="int8", calibration=[photos(2, method.input_size)])
    assert small.stat().st_size < 0.4 * whole.stat().st_size
    assert json.loads(small.with_suffix(".json").read_text())["precision"] == "int8"


def test_simple_is_refused_by_name(tmp_path: Path):
    with pytest.raises(ValueError, match="SIMPLE cannot be exported yet"):
        export(made("simple-small"), tmp_path / "simple.onnx")
    assert not list(tmp_path.iterdir())


def test_other_suffixes_and_missing_descriptions_are_one_error(tmp_path: Path):
    with pytest.raises(ValueError, match=r"suffix must be \.onnx"):
        export(made("mspn-small"), tmp_path / "model.pt")
    with pytest.raises(FileNotFoundError, match="manypose export"):
        read_about(tmp_path / "model.onnx")
    (tmp_path / "model.json").write_text("[]")
    with pytest.raises(ValueError, match="export the model again"):
        read_about(tmp_path / "model.onnx")


def outside(path: Path) -> dict[str, tuple[int, ...]]:
    """The tensors that a graph takes from a weights file: name, offset, length and shape."""
    tensors = onnx.load(str(path), load_external_data=False).graph.initializer
    found = {t.name: ({e.key: e.value for e in t.external_data}, t.dims) for t in tensors if t.external_data}
    return {name: (int(where["offset"]), int(where["length"]), *dims) for name, (where, dims) in found.items()}


@pytest.mark.parametrize("name", ["mspn-mobile-fast", "nanodet-fast"])
def test_the_graphs_of_the_package_are_what_export_writes(name: str, tmp_path: Path):
    """`manypose export NAME --out src/manypose/weights/bundled/NAME.onnx --link …/WEIGHTS.safetensors` rewrites them."""
    weights, stored = BUNDLED / f"{name.removesuffix('-fast')}.safetensors", BUNDLED / f"{name}.onnx"
    shutil.copy(weights, tmp_path)
    method = load_method(name, device="cpu")
    fresh = export(method, tmp_path / stored.name, name=name, link=tmp_path / weights.name)
    assert read_about(fresh) == read_about(stored)
    assert outside(fresh) == outside(stored)
    assert fresh.stat().st_size < 200_000
    images = photos(2, sizes(method)[0])
    a, b = (ort.InferenceSession(str(p)).run(None, {"images": images})[0] for p in (fresh, stored))
    assert np.abs(a - b).max() < 1e-4


def test_a_graph_refers_to_weights_beside_it_alone(tmp_path: Path):
    with pytest.raises(ValueError, match="in its own folder"):
        export(made("mspn-mobile"), tmp_path / "model.onnx", link=BUNDLED / "mspn-mobile.safetensors")
    shutil.copy(BUNDLED / "mspn-mobile.safetensors", tmp_path)
    with pytest.raises(ValueError, match="differs from the method's"):
        export(made("mspn-mobile"), tmp_path / "model.onnx", link=tmp_path / "mspn-mobile.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["mspn-mobile.safetensors"]
