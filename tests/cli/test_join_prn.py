"""The parts of a MultiPoseNet, put together in one file."""

import pytest
import torch

from manypose.cli.join_prn import join
from manypose.io.safetensors import read_about
from manypose.methods.catalog import build
from manypose.methods.multiposenet.attention import AttentionPRN
from manypose.methods.multiposenet.prn_file import save_prn
from manypose.poses.skeleton import COCO, CROWDPOSE
from manypose.weights.files import load, save

LIGHT = {"trunk": "resnet18", "channels": [8, 8, 16, 16], "width": 16, "features": 8, "smooth": 16, "norm": True, "size": 64}


def prn(seed: int, skeleton=COCO) -> AttentionPRN:
    torch.manual_seed(seed)
    return AttentionPRN(skeleton, width=16, layers=1, heads=2)


@pytest.mark.parametrize("before", [None, {"kind": "AttentionPRN", "width": 16, "layers": 1, "heads": 2}])
def test_a_network_gets_a_prn_or_another_one(tmp_path, before):
    torch.manual_seed(0)
    kwargs = {**LIGHT, "prn": before, "step": "persons"}
    network = build("multiposenet-r50", **kwargs)
    file = save(network, tmp_path / "network.safetensors", name="multiposenet-r50", kwargs=kwargs, note="photos")
    chooser = prn(1)
    out = join(file, save_prn(chooser, tmp_path / "prn.safetensors"), tmp_path / "whole.safetensors", dtype="float32", measured="AP 1")
    whole = load(out, device="cpu")
    told = read_about(out)
    assert (told["note"], told["measured"], "step" in told["kwargs"]) == ("photos", "AP 1", False)
    assert whole.step == "all"  # pyright: ignore[reportAttributeAccessIssue]
    state = whole.state_dict()  # pyright: ignore[reportAttributeAccessIssue]
    for name, tensor in network.state_dict().items():  # pyright: ignore[reportAttributeAccessIssue]
        if not name.startswith("prn."):
            assert torch.equal(state[name], tensor)
    for name, tensor in chooser.state_dict().items():
        assert torch.equal(state[f"prn.{name}"], tensor)


def test_what_does_not_belong_together_is_said(tmp_path):
    network = save(
        build("multiposenet-r50", **LIGHT, prn=None), tmp_path / "a.safetensors", name="multiposenet-r50", kwargs={**LIGHT, "prn": None}
    )
    other = save_prn(prn(0, CROWDPOSE), tmp_path / "prn.safetensors")
    with pytest.raises(ValueError, match="is for the skeleton 'crowdpose'"):
        join(network, other, tmp_path / "out.safetensors")
    small = {"trunk": "hrnet_w18_small", "size": 64}
    swahr = save(build("swahr-w32", **small), tmp_path / "b.safetensors", name="swahr-w32", kwargs=small)
    with pytest.raises(ValueError, match="holds 'swahr-w32', not a MultiPoseNet"):
        join(swahr, other, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()
