"""Lines 11 and 13: the size counts the short edge, the long one (Simple Pose's tables), or a square (SIMPLE's 512 × 512)."""

import numpy as np
import pytest
from dots import Dots, photo_of
from hypothesis import given
from hypothesis import strategies as st

from manypose.inference.model import Model
from manypose.inference.options import PredictOptions
from manypose.inference.views import photo_views

SIDES = st.tuples(st.integers(20, 900), st.integers(20, 900))


@given(SIDES, st.sampled_from([32, 64]), st.sampled_from([256, 512]))
def test_11_13_the_edge_that_was_asked_for_has_the_size(photo, stride, size):
    h, w = photo
    for edge, chosen in (("short", min(h, w)), ("long", max(h, w)), ("square", max(h, w))):
        (warp,) = photo_views(photo, size, stride, PredictOptions(edge=edge))
        if edge != "short" or max(h, w) <= 4 * min(h, w):
            assert warp.scale * chosen == pytest.approx(size)
        assert all(side % stride == 0 for side in warp.size)
        assert warp.size[0] >= h * warp.scale - 1e-6
        assert warp.size[1] >= w * warp.scale - 1e-6
        if edge == "square":
            assert warp.size == (size, size)


def test_11_13_scales_count_from_the_long_edge():
    warps = photo_views((300, 400), 512, 32, PredictOptions(edge="long", scales=(0.5, 1.0, 2.0)))
    assert [w.scale * 400 for w in warps] == pytest.approx([256, 512, 1024])


@pytest.mark.parametrize("edge", ["long", "square"])
def test_11_13_people_lie_at_the_same_place(edge):
    joints = np.array([[40.0, 60.0], [110.0, 70.0], [75.0, 25.0]])
    found = Model(Dots()).predict(photo_of((100, 150), joints), edge=edge, size=160)
    assert np.abs(found.keypoints[0] - joints).max() < 1


def test_11_13_published_sizes_have_their_own_rule():
    with pytest.raises(ValueError, match="edge must be"):
        PredictOptions(edge="long", published=True)
