"""COCO's run-length masks: pycocotools is the oracle, and nothing is decoded that does not fit its photo."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as oracle

from manypose.data.run_length import decode_runs, run_lengths


@settings(max_examples=60, deadline=None)
@given(h=st.integers(1, 60), w=st.integers(1, 60), seed=st.integers(0, 999), share=st.floats(0, 1))
def test_compressed_masks_are_pycocotools(h, w, seed, share):
    mask = np.random.default_rng(seed).random((h, w)) < share
    rle = oracle.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert np.array_equal(decode_runs(rle, (h, w)), mask)
    plain = run_lengths(rle["counts"], h * w).tolist()
    assert np.array_equal(decode_runs({"size": [h, w], "counts": plain}), mask)


ANYTHING = st.one_of(st.text(max_size=30), st.binary(max_size=30), st.lists(st.integers(-9, 2**70), max_size=9), st.none(), st.integers())


@settings(max_examples=200, deadline=None)
@given(counts=ANYTHING)
def test_anything_else_is_one_error(counts):
    with suppress(ValueError):
        assert decode_runs({"size": [4, 5], "counts": counts}).shape == (4, 5)


def test_a_mask_of_another_size_than_the_photo_is_refused():
    with pytest.raises(ValueError, match="70000x60000 pixels for a photo of 5x4"):
        decode_runs({"size": [60000, 70000], "counts": [0, 4_200_000_000]}, (4, 5))
