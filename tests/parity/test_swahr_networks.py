"""HigherHRNet and SWAHR give the authors' numbers when they hold the same parameters."""

import json
import time

import numpy as np
import pytest
import torch
from shared import parity, parity_files, parity_module

from manypose.methods.swahr.network import HigherHRNet
from manypose.methods.swahr.published import PUBLISHED

FAMILY = "hrnet_mspn"


def build(keys: dict, device: str = "cpu") -> HigherHRNet:
    width = keys["stage4.0.branches.0.0.conv1.weight"][0][0]
    with torch.device(device):
        return HigherHRNet(f"hrnet_w{width}", keys["final_layers.1.weight"][0][0], "conv_scale_layers.0.0.weight" in keys)


def stacked(maps: dict) -> list[torch.Tensor]:
    """In the authors' order: [scale | heat | tag] at 1/4, [scale | heat] at 1/2."""
    return [torch.cat([maps[n] for n in names if n in maps], 1) for names in (("scale4", "heat4", "tag4"), ("scale2", "heat2"))]


@pytest.mark.parametrize("path", parity_files(FAMILY, "swahr_*.keys.json", "higherhrnet_*.keys.json"))
def test_state_dict_is_the_published_one(path):
    meta = json.loads(path.read_text())
    net = build(meta["keys"], "meta")
    assert {name: list(t.shape) for name, t in net.state_dict().items()} == {name: shape for name, (shape, _) in meta["keys"].items()}
    assert sum(p.numel() for p in net.parameters()) == meta["params"]
    assert PUBLISHED.describe(net.state_dict()).startswith(
        "swahr-w" if "scale4" in net(torch.empty(1, 3, 64, 64, device="meta")) else "higherhrnet-w"
    )


def networks():
    """Networks whose outputs are stored; ``.fp64`` ones belong to them."""
    paths = parity_files(FAMILY, "swahr_w*.npz", "higherhrnet_w*.npz")
    return [p for p in paths if not p.id.endswith(".fp64.npz")]


@pytest.mark.parametrize("path", networks())
def test_outputs_are_the_authors(path):
    name = path.name.removesuffix(".npz")
    fill = parity_module(FAMILY, "fill")
    meta = json.loads(parity(FAMILY, f"{name}.keys.json").read_text())
    state = fill.fill_state_dict({n: (shape, kind) for n, (shape, kind) in meta["keys"].items()})
    assert fill.state_dict_digest(state) == meta["fill_digest_sha256"]
    net = build(meta["keys"]).eval()
    net.load_state_dict(state)
    single, double = np.load(path), np.load(parity(FAMILY, f"{name}.fp64.npz"))
    for run in meta["runs"]:
        seed, h, w = run["image"]
        image = fill.make_image(seed, h, w)
        assert fill.array_digest(image.numpy()) == run["image_digest"]
        start = time.perf_counter()
        with torch.no_grad():
            ours = stacked(net.float()(image))
            ours64 = stacked(net.double()(image.double()))
        print(f"{name}: {h} x {w}, float32 and float64 in {time.perf_counter() - start:.1f} s")
        for i, (a, b) in enumerate(zip(ours, ours64, strict=True)):
            assert (a - torch.from_numpy(single[f"{run['tag']}_{i}"])).abs().max() < 2e-4
            # The reference ran in float64 and was then rounded to float32 (relative 6e-8 of each value), which 1e-6 of the map's largest
            # value more than covers; values themselves are compared within their own rounding plus 1e-9 of that largest value.
            reference = torch.from_numpy(double[f"{run['tag']}_{i}"]).double()
            assert (b - reference).abs().max() < 1e-6 * reference.abs().max()
            assert ((b - reference).abs() <= 6e-8 * reference.abs() + 1e-9 * reference.abs().max()).all()
