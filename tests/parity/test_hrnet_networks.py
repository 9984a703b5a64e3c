"""The single-person HRNet gives the authors' numbers when it holds the same parameters."""

import json

import numpy as np
import pytest
import torch
from shared import parity, parity_files, parity_module
from torch.utils.flop_counter import FlopCounterMode

from manypose.methods.mspn.hrnet import HRNetwork

FAMILY = "hrnet_mspn"


def build(keys: dict, device: str = "cpu") -> HRNetwork:
    with torch.device(device):
        return HRNetwork(f"hrnet_w{keys['stage4.0.branches.0.0.conv1.weight'][0][0]}", keys["final_layer.weight"][0][0])


@pytest.mark.parametrize("path", parity_files(FAMILY, "hrnet_*.keys.json"))
def test_state_dict_and_cost_are_the_published(path):
    meta = json.loads(path.read_text())
    net = build(meta["keys"], "meta")
    assert {name: list(t.shape) for name, t in net.state_dict().items()} == {name: shape for name, (shape, _) in meta["keys"].items()}
    assert sum(p.numel() for p in net.parameters()) == meta["params"]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.eval()(torch.empty(1, 3, *meta["flops"][0]["input_hw"], device="meta"))
    assert counter.get_total_flops() / 2e9 == pytest.approx(meta["flops"][0]["GMACs_hook_conv_deconv"], abs=1e-9)


@pytest.mark.parametrize("path", [p for p in parity_files(FAMILY, "hrnet_w*.npz") if not p.id.endswith(".fp64.npz")])
def test_outputs_are_the_authors(path):
    name = path.name.removesuffix(".npz")
    fill = parity_module(FAMILY, "fill")
    meta = json.loads(parity(FAMILY, f"{name}.keys.json").read_text())
    state = fill.fill_state_dict({n: (shape, kind) for n, (shape, kind) in meta["keys"].items()})
    net = build(meta["keys"]).eval()
    net.load_state_dict(state)
    single, double = np.load(path), np.load(parity(FAMILY, f"{name}.fp64.npz"))
    for run in meta["runs"]:
        image = fill.make_image(*run["image"])
        with torch.no_grad():
            ours, ours64 = net.float()(image), net.double()(image.double())
        assert (ours - torch.from_numpy(single[f"{run['tag']}_0"])).abs().max() < 2e-4
        reference = torch.from_numpy(double[f"{run['tag']}_0"]).double()
        assert (ours64 - reference).abs().max() < 1e-6 * reference.abs().max()
        assert ((ours64 - reference).abs() <= 6e-8 * reference.abs() + 1e-9 * reference.abs().max()).all()
