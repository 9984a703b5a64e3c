"""MSPN gives the authors' numbers, all scales of all stages, when it holds the same parameters."""

import json
import re

import numpy as np
import pytest
import torch
from shared import parity, parity_files, parity_module

from manypose.methods.mspn.network import MSPNet

FAMILY = "hrnet_mspn"


def build(name: str, joints: int, device: str = "cpu") -> MSPNet:
    found = re.match(r"mspn_(\d)stg_", name)
    assert found
    with torch.device(device):
        return MSPNet(int(found[1]), joints)


def joints_of(keys: dict) -> int:
    return keys["stage0.upsample.up4.res_conv2.conv.weight"][0][0]


@pytest.mark.parametrize("path", parity_files(FAMILY, "mspn_*stg_*.keys.json"))
def test_state_dict_and_cost_are_the_published(path):
    meta = json.loads(path.read_text())
    net = build(path.name, joints_of(meta["keys"]), "meta")
    assert {name: list(t.shape) for name, t in net.state_dict().items()} == {name: shape for name, (shape, _) in meta["keys"].items()}
    assert sum(p.numel() for p in net.parameters()) == meta["params"]
    from torch.utils.flop_counter import FlopCounterMode

    for every, counted in ((True, meta["flops"][0]["GMACs_hook_conv_deconv"]), (False, meta["fvcore_native_conv_G"])):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net.eval()(torch.empty(1, 3, *meta["flops"][0]["input_hw"], device="meta"), every)
        assert counter.get_total_flops() / 2e9 == pytest.approx(counted, abs=1e-9)


def networks():
    """Networks whose outputs are stored; ``.fp64`` ones belong to them."""
    return [p for p in parity_files(FAMILY, "mspn_*stg_*.npz") if not p.id.endswith(".fp64.npz")]


@pytest.mark.parametrize("path", networks())
def test_outputs_are_the_authors(path):
    name = path.name.removesuffix(".npz")
    fill = parity_module(FAMILY, "fill")
    meta = json.loads(parity(FAMILY, f"{name}.keys.json").read_text())
    state = fill.fill_state_dict({n: (shape, kind) for n, (shape, kind) in meta["keys"].items()})
    assert fill.state_dict_digest(state) == meta["fill_digest_sha256"]
    net = build(name, joints_of(meta["keys"])).eval()
    net.load_state_dict(state)
    single, double = np.load(path), np.load(parity(FAMILY, f"{name}.fp64.npz"))
    for run in meta["runs"]:
        seed, h, w = run["image"]
        image, every = fill.make_image(seed, h, w), run["tag"] == "levels"
        assert fill.array_digest(image.numpy()) == run["image_digest"]
        with torch.no_grad():
            ours = [level for stage in net.float()(image, every) for level in stage]
            ours64 = [level for stage in net.double()(image.double(), every) for level in stage]
        assert len(ours) == len(run["outputs"])
        for i, (a, b) in enumerate(zip(ours, ours64, strict=True)):
            assert (a - torch.from_numpy(single[f"{run['tag']}_{i}"])).abs().max() < 5e-4
            reference = torch.from_numpy(double[f"{run['tag']}_{i}"]).double()
            assert (b - reference).abs().max() < 1e-6 * reference.abs().max()
            # The reference ran in float64 and was then rounded to float32: a relative 6e-8 of each value.
            assert ((b - reference).abs() <= 6e-8 * reference.abs() + 1e-9 * reference.abs().max()).all()
