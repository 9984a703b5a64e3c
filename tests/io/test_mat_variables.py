"""Variables of .mat files: SciPy's values for whole files, `ValueError` alone for damaged ones."""

import io
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat, savemat
from spoiled import spoiled_bytes

from manypose.io.mat_variables import read_variables, simplified

CONTENT: dict[str, Any] = {
    "struct": {"people": [{"id": i, "name": f"p{i}", "at": {"x": 0.5 * i}} for i in range(3)], "one": [1], "none": []},
    "cells": np.array([[np.arange(3.0), np.zeros((2, 0))], [np.array("ab"), np.array([[1]])]], dtype=object),
    "array": np.random.default_rng(0).normal(size=(2, 3, 4)), "scalar": np.float32(0.5), "small": np.arange(3, dtype=np.int16),
    "flags": np.array([True, False]), "complex": np.array([1 + 2j, 3]), "text": "häy", "lines": np.array(["ab", "cd"]),
    "empty": np.zeros((0, 3)),
}  # fmt: skip


def written(**options: Any) -> bytes:
    out = io.BytesIO()
    savemat(out, CONTENT, **options)
    return out.getvalue()


def same(mine: Any, theirs: Any) -> bool:
    if isinstance(mine, dict):
        return mine.keys() == theirs.keys() and all(same(v, theirs[k]) for k, v in mine.items())
    if isinstance(theirs, list) or np.asarray(theirs).dtype.hasobject:
        return len(mine) == len(theirs) and all(map(same, mine, theirs))
    return np.array_equal(mine, theirs)


@pytest.mark.parametrize("compressed", [False, True])
def test_values_are_those_of_scipy(compressed: bool):
    content = written(do_compression=compressed)
    theirs = loadmat(io.BytesIO(content), simplify_cells=True)
    mine = {name: simplified(value) for name, value in read_variables(content)}
    assert mine.keys() == CONTENT.keys()
    for name, value in mine.items():
        assert same(value, theirs[name]), name


def test_a_variable_of_another_kind_is_none():
    from scipy.sparse import eye_array

    out = io.BytesIO()
    savemat(out, {"sparse": eye_array(3).tocsc(), "x": 1.0})
    assert dict(read_variables(out.getvalue())) == {"sparse": None, "x": np.ones((1, 1))}


@settings(max_examples=50, derandomize=True)
@given(data=st.data(), compressed=st.booleans())
def test_damaged_files_are_refused(data: st.DataObject, compressed: bool):
    content = written(do_compression=compressed)
    try:
        for _, value in read_variables(content[:128] + spoiled_bytes(data, content[128:])):
            simplified(value)
    except ValueError as e:
        assert str(e)  # noqa: PT017


def test_much_from_little_is_refused():
    packed = zlib.compress(bytes(10**6))
    content = written()[:128] + np.array([15, len(packed)], "<u4").tobytes() + packed
    with pytest.raises(ValueError, match="larger than 0 MB"):
        dict(read_variables(content, largest=10**5))


def test_cells_in_cells_have_an_end():
    value: Any = 1.0
    for _ in range(40):
        outer = np.empty((1, 1), object)
        outer[0, 0] = value
        value = outer
    out = io.BytesIO()
    savemat(out, {"deep": value})
    with pytest.raises(ValueError, match="32 deep"):
        dict(read_variables(out.getvalue()))
