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

from manypose.io.safetensors import HEADER_LIMIT, read_about, read_tensors, write_tensors

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
    write_tensors(path, {k: torch.from_numpy(np.array(v)) for k, v in arrays.items()}, about)
    assert read_about(path) == about
    found, again = read_tensors(path)
    assert found == about
    assert all(np.array_equal(again[k].numpy(), v) and again[k].numpy().dtype == v.dtype for k, v in arrays.items())


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
@pytest.mark.parametrize("read", [read_about, read_tensors])
def test_broken_files_are_one_clear_error(tmp_path, kind, read):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(BROKEN[kind])
    with pytest.raises(ValueError, match=r"bad.safetensors: (not a complete safetensors file|its description is list)") as caught:
        read(path)
    assert "\n" not in str(caught.value)


@given(at=st.integers(0, 400), byte=st.integers(0, 255))
def test_a_changed_byte_is_read_or_a_value_error(tmp_path_factory, at, byte):
    path = tmp_path_factory.mktemp("a") / "a.safetensors"
    write_tensors(path, {"a": torch.zeros(2, 3), "b": torch.zeros(5, dtype=torch.float64)}, {"x": [1, {"y": 2}]})
    data = bytearray(path.read_bytes())
    data[at % len(data)] = byte
    path.write_bytes(data)
    try:
        about, tensors = read_tensors(path)
    except ValueError as e:
        assert "a.safetensors" in str(e)  # noqa: PT017
    else:
        assert isinstance(about, dict)
        assert all(isinstance(v, torch.Tensor) for v in tensors.values())


def test_files_of_other_programs_have_no_description(tmp_path):
    save_file({"a": np.zeros(1)}, tmp_path / "other.safetensors")
    assert read_about(tmp_path / "other.safetensors") == {}


def test_reading_a_description_needs_no_torch(tmp_path):
    write_tensors(tmp_path / "a.safetensors", {"a": torch.ones(2)}, {"n": 1})
    code = (
        "import sys; from manypose.io.safetensors import read_about; "
        f"assert read_about({str(tmp_path / 'a.safetensors')!r}) == {{'n': 1}}; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_other_names_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a.pth: weights files end in .safetensors"):
        write_tensors(tmp_path / "a.pth", {}, {})
    assert not list(tmp_path.iterdir())
