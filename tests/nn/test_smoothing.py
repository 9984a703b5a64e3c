"""Gaussian smoothing: one result on every device, and the Gaussian it claims to be."""

import pytest
import torch
from scipy.ndimage import gaussian_filter

from manypose.nn.smoothing import _on_any_device, convolve, smooth


@pytest.mark.parametrize(("edge", "mode"), [("zero", "constant"), ("repeat", "nearest")])
@pytest.mark.parametrize(("sigma", "radius"), [(0.8, 2), (1.0, None), (2.3, 4)])
def test_smoothing_is_scipys(sigma, radius, edge, mode):
    maps = torch.rand(2, 3, 20, 30, generator=torch.Generator().manual_seed(0))
    reach = int(3 * sigma + 0.5) if radius is None else radius
    theirs = gaussian_filter(maps.numpy(), (0, 0, sigma, sigma), mode=mode, radius=(0, 0, reach, reach))
    assert torch.allclose(smooth(maps, sigma, radius, edge), torch.from_numpy(theirs), atol=1e-6)
    assert smooth(maps, 0.0) is maps


@pytest.mark.parametrize("edge", ["zero", "repeat"])
def test_smoothing_is_the_same_on_every_device(edge):
    """On a CPU by OpenCV, elsewhere by convolution."""
    maps, row = torch.rand(2, 3, 20, 30), torch.tensor([0.1, 0.2, 0.4, 0.2, 0.1])
    elsewhere = _on_any_device(maps.flatten(0, 1)[:, None], row, edge)[:, 0].unflatten(0, (2, 3))
    assert torch.allclose(convolve(maps, row, edge), elsewhere, atol=1e-6)
