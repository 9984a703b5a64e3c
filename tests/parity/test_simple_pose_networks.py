"""The Identity Mapping Hourglass Network gives the authors' numbers when it holds the same parameters."""

import json

import numpy as np
import pytest
import torch
from shared import parity, parity_files, parity_module

from manypose.methods.simple_pose.network import IMHN
from manypose.methods.simple_pose.published import PUBLISHED

FAMILY = "simple_pose_prn"
# A file's name says the wiring; the number of stages is in its parameters.
WIRINGS = {"imhn4_released": "released", "imhn3_released_arch": "released", "imhn4_paper": "paper", "imhn3_paper": "paper_wide"}


def build(name: str, keys: dict, device: str = "cpu") -> IMHN:
    maps, stages = (
        keys[f"{PUBLISHED.prefix}outs.0.0.conv.weight"][0][0],
        sum(k.endswith("hg.0.0.bn.weight") or k.endswith("hg.0.0.convBlock.0.weight") for k in keys),
    )
    with torch.device(device):
        return IMHN(maps, stages, wiring=WIRINGS[name])


@pytest.mark.parametrize("path", [p for p in parity_files(FAMILY, "imhn*.keys.json") if p.id.partition(".")[0] in {*WIRINGS, "absent"}])
def test_state_dict_is_the_published_one(path):
    meta = json.loads(path.read_text())
    net = build(path.name.partition(".")[0], meta["keys"], "meta")
    own = {PUBLISHED.prefix + name: list(t.shape) for name, t in net.state_dict().items()}
    assert own == {name: shape for name, (shape, _) in meta["keys"].items()}
    assert sum(p.numel() for p in net.parameters()) == meta["_info"]["params"]
    assert PUBLISHED.describe(net.state_dict()).startswith(f"imhn-{meta['_info']['nstack']}")


@pytest.mark.parametrize("path", [p for p in parity_files(FAMILY, "imhn*.out_*.npz") if p.id.partition(".")[0] in {*WIRINGS, "absent"}])
def test_outputs_are_the_authors(path):
    name = path.name.partition(".")[0]
    fill = parity_module(FAMILY, "fill")
    keys = json.loads(parity(FAMILY, f"{name}.keys.json").read_text())["keys"]
    filled = fill.fill_state_dict({n: (shape, kind) for n, (shape, kind) in keys.items()})
    stored = np.load(path)
    net = build(name, keys).eval()
    net.load_state_dict({n.removeprefix(PUBLISHED.prefix): t for n, t in filled.items()})
    image = torch.from_numpy(stored["image_u8_bgr"]).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        ours = net(image)
    worst = {}
    for t, stage in enumerate(ours):
        for i, maps in enumerate(stage):
            worst[t, i] = float((maps[0] - torch.from_numpy(stored[f"stage{t}_scale{i}"])).abs().max())
    assert len(worst) == len([n for n in stored.files if n.startswith("stage")])
    print(f"{name}: largest difference {max(worst.values()):.1e}")
    assert max(worst.values()) < 1e-5  # the reference itself differs by up to 2.4e-6 between runs and from float64
