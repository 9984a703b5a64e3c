"""Line 18: losses, kernels and decoders of MSPN and HRNet, with numbers worked out by hand."""

import cv2
import numpy as np
import pytest
import torch

from manypose.methods.mspn.decode import published_hrnet, refine_dark
from manypose.methods.mspn.loss import hrnet_loss, mspn_loss
from manypose.methods.mspn.targets import TABLES, deviation, ladders


def test_18_deviations_are_opencvs():
    assert [round(deviation(k), 2) for k in (5, 7, 9, 11, 15)] == [1.1, 1.4, 1.7, 2.0, 2.6]


def test_18_losses_by_hand():
    """Coarse scales: a quarter of the mean over joints and cells; the finest: the mean of the hardest joints, of those labelled."""
    label = torch.zeros(1, 3, 2, 2)
    label[0, :, 0, 0] = 4.0
    goal = {
        **{f"label{k}": label for k in (15, 11, 9, 7)},
        "visible": torch.tensor([[2.0, 1.0, 0.0]]),
        "known": torch.tensor([[1.0, 1, 0]]),
    }
    maps = [[torch.zeros(1, 3, 2, 2) for _ in range(4)]]
    for hidden, coarse in ((False, 4.0 / 3 / 4), (True, 8.0 / 3 / 4)):  # of joints 16 / 4 cells each; the third is unknown
        (row,) = mspn_loss(maps, goal, ladders(1, (7,)), hardest=1, hidden=hidden)
        assert [float(part) for part in row] == pytest.approx([coarse] * 3 + [4.0])
    assert float(mspn_loss(maps, goal, ladders(1, (7,)))[0][3]) == pytest.approx(8.0 / 3)
    assert float(mspn_loss(maps, goal, ladders(1, (7,)), hardest=None)[0][3]) == pytest.approx(4.0 / 3)
    assert float(hrnet_loss(maps[0][0], {"heat": label, **goal})) == pytest.approx(0.5 * 8 / 3)


def test_18_hrnets_quarter_is_taken_towards_the_higher_neighbour_and_not_at_the_edge():
    heat = torch.zeros(1, 4, 8, 6)
    heat[0, 0, 3, 2], heat[0, 0, 3, 3], heat[0, 0, 2, 2] = 1.0, 0.5, 0.5
    heat[0, 1, 3, 1], heat[0, 1, 3, 2] = 1.0, 0.5  # the second column: no step
    heat[0, 2, 6, 4], heat[0, 2, 5, 4] = 0.7, 0.5  # the last but one of either
    xy, heights = published_hrnet(heat, (32, 24))
    assert xy[0].tolist() == [[9.0, 11.0], [4.0, 12.0], [16.0, 23.0], [0.0, 0.0]]
    assert heights[0].tolist() == pytest.approx([1, 1, 0.7, 0])


def test_18_dark_is_a_newton_step_on_the_logarithm():
    """Exact on a Gaussian, also a turned one; none where the highest cell is no maximum or lies at the edge."""
    y, x = torch.meshgrid(torch.arange(9.0), torch.arange(8.0), indexing="ij")
    dx, dy = x - 3.3, y - 4.2
    heat = torch.exp(-(dx**2 / 4 + dy**2 / 3 + dx * dy / 5))[None, None]
    assert refine_dark(heat, torch.tensor([[[3, 4]]]))[0, 0].tolist() == pytest.approx([3.3, 4.2], abs=1e-4)
    assert refine_dark(heat, torch.tensor([[[0, 4]]]))[0, 0].tolist() == [0, 4]
    beside = torch.exp(-((x - 6.2) ** 2 + (y - 7.1) ** 2) / 4)[None, None]  # the last cells that are not at the edge
    assert refine_dark(beside, torch.tensor([[[6, 7]]]))[0, 0].tolist() == pytest.approx([6.2, 7.1], abs=1e-4)
    assert refine_dark(1 / heat, torch.tensor([[[3, 4]]]))[0, 0].tolist() == [3, 4]


def test_the_kernels_are_opencvs():
    for size, row in TABLES.items():
        np.testing.assert_allclose(np.array(row) / np.sum(row), cv2.getGaussianKernel(size, 0)[:, 0], atol=1e-6)
