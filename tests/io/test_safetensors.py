"""The one reader and writer of safetensors: what is written is read, and a hostile or broken file is one clear error."""

import json
import struct
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from manypose.io.safetensors import HEADER_LIMIT, read_about, read_arrays, read_tensors, write_arrays, write_tensors

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(), v, max_size=3),
    max_leaves=8,
)


@given(about=st.dictionaries(st.text(), json_values, max_size=4), seed=st.integers(0, 99))
def test_what_is_written_is_read(tmp_path_factory, about, seed):
    path = tmp_path_factory.mktemp("a") / "a.safetensors"
    rng = np.random.default_rng(seed)
    arrays = {"a": rng.normal(size=(3, 2)).astype(np.float32).T, "b": rng.integers(0, 9, 4), "c": np.array(True)}
    write_arrays(path, arrays, about)
    assert read_about(path) == about
    found, again = read_arrays(path)
    assert found == about
    assert all(np.array_equal(again[k], v) and again[k].dtype == v.dtype for k, v in arrays.items())
    write_tensors(path, {k: torch.from_numpy(np.array(v)) for k, v in arrays.items()}, about)
    assert read_about(path) == about
    assert all(np.array_equal(v.numpy(), arrays[k]) for k, v in read_tensors(path)[1].items())


def raw(header: bytes, length: int | None = None, body: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + body


def described(about: str) -> bytes:
    return raw(json.dumps({"__metadata__": {"manypose": about}}).encode())


BROKEN = {
    "empty": b"",
    "three bytes": b"abc",
    "a header that is longer than the file": raw(b"{}", 2**62),
    "a huge header": raw(b" " * (HEADER_LIMIT + 1)),
    "no JSON in the header": raw(b"{no"),
    "metadata of numbers": raw(b'{"__metadata__": {"manypose": 3}}'),
    "tensors outside the file": raw(b'{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}'),
    "a tensor of negative size": raw(b'{"a": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}}', body=bytes(16)),
    "a description that is no JSON": described("{"),
    "a description that is a list": described("[1]"),
    "a description that is nested 100,000 deep": described("[" * 100_000),
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("read", [read_about, read_arrays, read_tensors])
def test_broken_files_are_one_clear_error(tmp_path, kind, read):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(BROKEN[kind])
    with pytest.raises(ValueError, match=r"bad.safetensors: (not a whole safetensors file|its description is list)") as caught:
        read(path)
    assert "\n" not in str(caught.value)


@given(at=st.integers(0, 400), byte=st.integers(0, 255))
def test_a_changed_byte_is_read_or_a_value_error(tmp_path_factory, at, byte):
    path = tmp_path_factory.mktemp("a") / "a.safetensors"
    write_arrays(path, {"a": np.zeros((2, 3), np.float32), "b": np.zeros(5)}, {"x": [1, {"y": 2}]})
    data = bytearray(path.read_bytes())
    data[at % len(data)] = byte
    path.write_bytes(data)
    try:
        about, arrays = read_arrays(path)
    except ValueError as e:
        assert "a.safetensors" in str(e)  # noqa: PT017
    else:
        assert isinstance(about, dict)
        assert all(isinstance(v, np.ndarray) for v in arrays.values())


def test_files_of_other_programs_have_no_description(tmp_path):
    save_file({"a": np.zeros(1)}, tmp_path / "other.safetensors")
    assert read_about(tmp_path / "other.safetensors") == {}


def test_reading_a_description_needs_no_torch(tmp_path):
    write_arrays(tmp_path / "a.safetensors", {"a": np.ones(2)}, {"n": 1})
    code = (
        "import sys; from manypose.io.safetensors import read_arrays; import pathlib; "
        f"assert read_arrays({str(tmp_path / 'a.safetensors')!r})[0] == {{'n': 1}}; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_other_names_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a.pth: weights are written as .safetensors"):
        write_arrays(tmp_path / "a.pth", {}, {})
    assert not list(tmp_path.iterdir())
