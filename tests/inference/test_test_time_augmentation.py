"""Scales and flips: views, and the merging of their maps."""

import numpy as np
import pytest
import torch
from dots import Dots
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from manypose.inference.test_time_augmentation import align, outputs
from manypose.inference.views import base_scale, views
from manypose.methods.method import Field, Maps
from manypose.poses.warp import cell_to_pixel

sizes = st.tuples(st.integers(20, 2000), st.integers(20, 2000))


@given(sizes, st.sampled_from([64, 100, 512]), st.sampled_from([1, 4, 32, 64]))
def test_views_are_multiples_of_the_stride_and_show_the_whole_photo(photo, size, stride):
    for warp in views(photo, size, stride, (0.5, 1.0, 1.5)):
        assert warp.size[0] % stride == 0
        assert warp.size[1] % stride == 0
        corners = warp.points(np.array([[-0.5, -0.5], [photo[1] - 0.5, photo[0] - 0.5]]))
        assert np.allclose(corners[0], -0.5)
        assert (corners[1] <= np.array(warp.size[::-1]) - 0.5 + 1e-3).all()


@given(sizes, sizes, st.lists(st.floats(0.25, 3), min_size=1, max_size=4))
def test_the_factor_between_views_is_the_same_for_every_photo(one, other, scales):
    base = base_scale(scales)
    ratios = [[w.scale / v[base].scale for w in v] for v in (views(p, 128, 32, scales) for p in (one, other))]
    assert np.allclose(*ratios)


def test_the_base_is_the_scale_nearest_to_one():
    assert base_scale((0.5, 1.0, 2.0)) == 1
    assert base_scale((2.0, 0.6)) == 1
    assert base_scale((1.4, 0.5)) == 0
    assert base_scale((3.0,)) == 0


@given(sizes, st.sampled_from([0.5, 0.75, 1.37, 2.0]), st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 4]))
def test_maps_of_different_scales_meet_cell_by_cell(photo, scale, stride, base_stride):
    """A linear function of the photo's coordinates, sampled on each view's cells, is the same on the base's cells after alignment."""
    warp, base = views(photo, 96, 32, (scale, 1.0))

    def sampled(w, s):
        y, x = np.mgrid[: w.size[0] // s, : w.size[1] // s]
        pixels = cell_to_pixel(np.stack([x, y], -1).astype(np.float64), s)
        seen = pixels @ w.inverse[:, :2].T + w.inverse[:, 2]
        return torch.from_numpy(seen.transpose(2, 0, 1)[None]).float(), seen

    maps, _ = sampled(warp, stride)
    expected, places = sampled(base, base_stride)
    got = align(maps, warp.size, warp.scale / base.scale, tuple(expected.shape[2:]), base.size)
    assert got.shape == expected.shape
    # Half a cell of the coarser map at the rim is repeated, not extrapolated.
    rim = max(stride / warp.scale, base_stride / base.scale)
    inside = ((places > rim) & (places < np.array(photo[::-1]) - 1 - rim)).all(-1)
    error = (got - expected).abs().amax(1)[0].numpy()
    assert error[inside].max(initial=0) < 1e-3 * max(photo)


def test_aligning_with_itself_changes_nothing():
    maps = torch.rand(2, 3, 8, 12)
    assert align(maps, (32, 48), 1.0, (8, 12), (32, 48)) is maps


class Edges(Dots):
    """Left sees rising edges, right falling ones: in a mirrored picture they change places, as left and right joints do."""

    def __init__(self) -> None:
        super().__init__()
        self.fields = {"heat": Field((1, 0)), "tag": Field((1, 0), "stack", "base")}

    def network(self, images: Tensor) -> Maps:
        step = torch.nn.functional.pad(images[:, :1], (1, 1, 0, 0), mode="replicate").diff(dim=3)
        step = (step[..., 1:] + step[..., :-1]) / 2
        heat = torch.cat([step.clamp(min=0), (-step).clamp(min=0)], 1)
        return {"heat": heat, "tag": heat * 2}


def noise(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


def test_a_symmetric_method_gains_nothing_from_the_mirror():
    images = [noise(0, 2, 32, 64, 3)]
    plain, flipped = (outputs(Edges(), images, [1.0], 0, flip=f) for f in (False, True))
    assert torch.allclose(plain["heat"], flipped["heat"], atol=1e-6)
    assert plain["tag"].shape == (2, 2, 32, 64, 1)
    assert flipped["tag"].shape == (2, 2, 32, 64, 2)
    assert torch.allclose(flipped["tag"][..., 0], flipped["tag"][..., 1], atol=1e-6)


class Lopsided(Edges):
    """No symmetry whatever."""

    def network(self, images: Tensor) -> Maps:
        ramp = torch.linspace(0, 1, images.shape[3])
        return {name: m + ramp * images[:, :1] for name, m in super().network(images).items()}


@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.0, 1.5)])
def test_flip_equivariance(scales):
    """With the mirror, any method's merged maps of a mirrored picture are the mirrored maps; tags change places."""
    method = Lopsided()
    warps = views((64, 128), 64, 32, scales)  # of such a photo no view is padded
    base = base_scale(scales)
    images = [noise(i, 2, *w.size, 3) for i, w in enumerate(warps)]
    zooms = [w.scale / warps[base].scale for w in warps]
    merged = outputs(method, images, zooms, base, flip=True)
    mirrored = outputs(method, [i.flip(2) for i in images], zooms, base, flip=True)
    assert torch.allclose(mirrored["heat"], merged["heat"].flip(3)[:, [1, 0]], atol=1e-5)
    assert torch.allclose(mirrored["tag"], merged["tag"].flip(3)[:, [1, 0]].flip(-1), atol=1e-5)


def test_which_views_take_part():
    method = Dots()
    warps = views((64, 96), 64, 32, (2.0, 1.0, 0.5))
    images = [noise(i, 1, *w.size, 3) for i, w in enumerate(warps)]
    zooms = [w.scale / warps[1].scale for w in warps]
    merged = outputs(method, images, zooms, 1)
    alone = [outputs(method, [i], [1.0], 0) for i in images]
    assert torch.equal(merged["tag"], alone[1]["tag"])
    mean = sum(align(a["heat"], w.size, z, (16, 24), warps[1].size) for a, w, z in zip(alone, warps, zooms, strict=True)) / 3
    assert torch.allclose(merged["heat"], mean, atol=1e-6)
    method.fields = {"tag": method.fields["tag"]}
    method.seen.clear()
    outputs(method, images, zooms, 1)
    assert len(method.seen) == 1  # nothing wants the other views


def test_grids():
    warps = views((64, 96), 64, 32, (1.0, 2.0))
    images = [noise(i, 1, *w.size, 3) for i, w in enumerate(warps)]
    zooms = [1.0, warps[1].scale / warps[0].scale]
    shapes = {g: tuple(outputs(Dots(), images, zooms, 0, grid=g)["heat"].shape[2:]) for g in ("base", "largest", "input")}
    assert shapes == {"base": (16, 24), "largest": (32, 48), "input": (64, 96)}
