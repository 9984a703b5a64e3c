"""Pools and pooling modules against CenterNet's published program."""

import numpy as np
import pytest
import torch
from shared import parity, parity_module

from manypose.methods.simple.corner_pooling import PointPool, running_max

FOLDER = "simple_pose_prn"
WAYS = {"top_pool": "up", "bottom_pool": "down", "left_pool": "left", "right_pool": "right"}
MODULES = {"tl_pool": "top_left", "br_pool": "bottom_right", "center_pool": "centre"}


@pytest.fixture(scope="module")
def stored():
    return np.load(parity(FOLDER, "centernet_pools.npz"))


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("learning", [False, True])
def test_pools(stored, name, learning):
    x = torch.from_numpy(stored["x"]).requires_grad_(learning)
    assert np.array_equal(running_max(x, WAYS[name]).detach().numpy(), stored[name])


@pytest.mark.parametrize("name", MODULES)
def test_pooling_modules(stored, name):
    fill, module = parity_module(FOLDER, "fill"), PointPool(64, MODULES[name])
    state = fill.fill_state_dict({f"{name}.{k}": (tuple(v.shape), v.dtype) for k, v in module.state_dict().items()})
    module.load_state_dict({k.removeprefix(f"{name}."): v for k, v in state.items()})
    with torch.no_grad():
        ours = module.eval()(torch.from_numpy(stored["x"]))
    assert np.abs(ours.numpy() - stored[name]).max() < 1e-5
