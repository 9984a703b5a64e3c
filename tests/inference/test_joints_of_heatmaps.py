"""NumPy's decoding of heat maps equals PyTorch's, finds Gaussians of any phase, and follows a mirrored view."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from manypose.inference.joints_of_heatmaps import joints_of_heatmaps, merge_mirrored
from manypose.methods.mspn import decode as room
from manypose.nn.heatmaps import gaussians
from manypose.poses.skeleton import COCO

SIZE = (256, 192)


def maps(seed: int, noise: float = 0.05) -> torch.Tensor:
    """Two people's maps with a joint anywhere, also beyond the map's edge, and noise."""
    generator = torch.Generator().manual_seed(seed)
    cells = torch.rand(2, 1, 17, 2, generator=generator) * torch.tensor([50.0, 66.0]) - 1
    clean = gaussians(cells, torch.ones(2, 1, 17, dtype=torch.bool), (64, 48), 2.0)
    return clean + noise * torch.rand(2, 17, 64, 48, generator=generator)


@pytest.mark.parametrize("deviation", [0.0, 1.0, 1.5])
@given(seed=st.integers(0, 10_000))
def test_equal_to_pytorch(deviation: float, seed: int):
    heat = maps(seed)
    xy, heights = room.decode(heat, SIZE, "gaussian", deviation)
    ours = joints_of_heatmaps(heat.numpy(), SIZE, deviation)
    assert np.abs(ours[..., :2] - xy.numpy()).max() < 0.01
    assert np.abs(ours[..., 2] - heights.numpy()).max() < 1e-6


@given(x=st.floats(3, 44), y=st.floats(3, 60))
def test_a_clean_gaussian_is_found_to_a_hundredth_of_a_pixel(x: float, y: float):
    heat = gaussians(torch.tensor([x, y]).expand(1, 1, 17, 2), torch.ones(1, 1, 17, dtype=torch.bool), (64, 48), 2.0)
    found = joints_of_heatmaps(heat.numpy(), SIZE)
    assert np.abs(found[0, :, :2] - (x * 4 + 1.5, y * 4 + 1.5)).max() < 0.01


def test_a_mirrored_view_gives_the_same_joints():
    heat = maps(1, noise=0.0).numpy()
    mirrored = heat[:, list(COCO.mirror), :, ::-1]
    assert np.array_equal(merge_mirrored(heat, mirrored, COCO.mirror), heat)
    late = np.roll(mirrored, 1, 3)  # what a network gives whose cells lie at i · stride
    assert np.abs(merge_mirrored(heat, late, COCO.mirror, shift=1) - heat)[..., 2:-2].max() < 1e-6


@pytest.mark.parametrize("deviation", [0.5, 1.0, 2.3])
def test_a_map_does_not_depend_on_its_neighbours(deviation: float):
    heat = np.random.default_rng(0).random((2, 17, 8, 6), np.float32)
    heat[0, ::2, -1] = heat[1, 1::2, 0] = 9.0  # what would leak over an edge
    alone = [[joints_of_heatmaps(one[None, None], (32, 24), deviation)[0, 0] for one in person] for person in heat]
    assert np.array_equal(joints_of_heatmaps(heat, (32, 24), deviation), alone)


def test_no_people():
    assert joints_of_heatmaps(np.zeros((0, 17, 64, 48), np.float32), SIZE).shape == (0, 17, 3)
