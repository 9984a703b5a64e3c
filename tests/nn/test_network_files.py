"""Parts of models in files: what a file says of itself is checked before anything is built, and all bundled files load as stored."""

import resource

import pytest
import torch
from safetensors.torch import load_file

from manypose.io.safetensors import read_about, read_tensors, write_tensors
from manypose.methods.catalog import MODELS
from manypose.methods.multiposenet.prn_file import load_prn
from manypose.methods.simple.grouping_file import load_grouping
from manypose.weights import files

PRN, GROUPING = (files.BUNDLED / f"{name}.safetensors" for name in ("prn", "simple-grouping"))
READERS = {"prn": (PRN, load_prn), "grouping": (GROUPING, load_grouping)}


@pytest.mark.parametrize("path", sorted(files.BUNDLED.glob("*.safetensors")), ids=lambda p: p.stem)
def test_every_bundled_file_loads_as_it_is_stored(path):
    load = {PRN: load_prn, GROUPING: load_grouping}.get(path, lambda p: files.load(p, device="cpu"))
    stored, loaded = load_file(path), load(path).state_dict()  # type: ignore[union-attr]
    assert stored.keys() == loaded.keys()
    for name, tensor in stored.items():
        torch.testing.assert_close(loaded[name].float(), tensor.float(), rtol=0, atol=0)
        assert loaded[name].dtype != torch.float16


WRONG = {
    "prn": [
        {"prn": {"kind": "Perceptron"}}, {"prn": []}, {"prn": 3}, {}, {"prn": {"kind": ["PRN"]}}, {"prn": {"kind": "PRN", "nodes": 10**7}},
        {"prn": {"kind": "PRN", "nodes": 60_000, "layers": 2}}, {"prn": {"kind": "PRN", "nodes": "many"}}, 
        {"prn": {"kind": "PRN", "size": [0, 0]}},
        {"prn": {"kind": "PRN", "size": 3}}, {"prn": {"kind": "PRN", "colour": "red"}}, {"prn": {"kind": "PRN"}, "skeleton": None},
        {"prn": {"kind": "PRN"}, "skeleton": {"joints": 3}}, {"prn": {"kind": "PRN", "layers": 10**9}}, {"prn": {"dropout": "x"}},
    ],
    "grouping": [
        {"grouping": None}, {"grouping": {"joints": 10**7}}, {"grouping": {"size": [1, 2]}}, {"grouping": {"size": "ab"}},
        {"grouping": {"x": 1}},
        {"grouping": {"joints": 60_000, "widths": [60_000] * 4}}, {"grouping": {"widths": []}}, {"grouping": {"joints": -3}},
    ],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "about"), [(kind, about) for kind, cases in WRONG.items() for about in cases])
def test_a_wrong_description_of_a_part_is_one_clear_error(kind, about, tmp_path):
    source, load = READERS[kind]
    path, (own, state) = tmp_path / "part.safetensors", read_tensors(source)
    write_tensors(path, state, {**{k: v for k, v in own.items() if k != kind}, **about})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r"part.safetensors: ") as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000, "kilobytes"


@pytest.mark.parametrize(
    "change",
    [{"kwargs": []}, {"kwargs": {"trunk": 3}}, {"kwargs": {"trunk": "none"}}, {"kwargs": {"widht": 3}}, {"kwargs": "x"}, {"model": ["a"]}],
)  # fmt: skip
def test_a_wrong_description_of_a_model_is_one_clear_error(change, tmp_path):
    own, state = read_tensors(files.BUNDLED / "mspn-mobile.safetensors")
    path = tmp_path / "model.safetensors"
    write_tensors(path, state, {**own, **change})
    with pytest.raises(ValueError, match=r"model.safetensors: "):
        files.load(path)


def test_bundled_models_say_which_they_are():
    for path in files.BUNDLED.glob("*.safetensors"):
        assert path in (PRN, GROUPING) or read_about(path)["model"] in MODELS
