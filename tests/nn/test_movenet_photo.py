"""The light models' common trunk: where it starts, what it takes over from another light model, and that it sees a whole photo."""

import pytest
import torch
from safetensors.torch import save_file
from shared import shared

from manypose.methods.catalog import build
from manypose.nn.movenet import MoveNetHeads, MoveNetTrunk
from manypose.nn.movenet_photo import CHANNELS, Context, JointsInContext, PhotoMoveNet
from manypose.nn.rates import faster
from manypose.training.optimizers import RelativeAdam
from manypose.weights.files import save

LIGHT = ("simple-pose-mobile", "swahr-mobile", "simple-mobile", "multiposenet-mobile")


@pytest.mark.parity
def test_it_starts_as_the_published_network():
    file = shared("pretrained") / "movenet_thunder.safetensors"
    net = PhotoMoveNet(17, pretrained=file).eval()
    trunk, heads = MoveNetTrunk().eval(), MoveNetHeads({"heat": 17}).eval()
    trunk.load_state_dict(net.trunk.state_dict())
    heads.load_state_dict(net.heads.state_dict())
    picture = torch.rand(1, 3, 64, 96) * 2 - 1
    with torch.inference_mode():
        logits, branches = net(picture)
        torch.testing.assert_close(logits, heads(trunk(picture))["heat"])
    assert [tuple(b.shape[1:]) for b in branches] == [(c, 16 // 2**i, 24 // 2**i) for i, c in enumerate(CHANNELS)]
    assert logits.abs().max() > 1  # no random head has such logits: they are MoveNet's


def test_other_joints_start_from_the_trunk_alone():
    file = shared("pretrained") / "movenet_thunder.safetensors"
    seventeen, fourteen = PhotoMoveNet(17, pretrained=file), PhotoMoveNet(14, pretrained=file)
    assert torch.equal(seventeen.trunk.last.weight, fourteen.trunk.last.weight)
    assert fourteen.heads.heads["heat"][-1].weight.shape[0] == 14


@pytest.mark.parametrize("name", LIGHT)
def test_a_light_model_takes_over_anothers_trunk_and_context(name, tmp_path):
    torch.manual_seed(0)
    file = save(build("simple-pose-mobile"), tmp_path / "first.safetensors", name="simple-pose-mobile")
    first = build("simple-pose-mobile").state_dict()
    from safetensors.torch import load_file

    stored = load_file(file)
    assert set(stored) == set(first)
    taken = build(name, pretrained=str(file)).state_dict()
    suffixes = {k[k.index("trunk.") :]: v for k, v in stored.items() if "trunk." in k}
    own = {k[k.index("trunk.") :]: v for k, v in taken.items() if "trunk." in k}
    assert set(own) == set(suffixes)
    assert all(torch.equal(own[k], suffixes[k]) for k in own)
    context = [k for k in stored if "context." in k]
    same = [k for k in taken if "context." in k]
    assert len(same) == len(context)
    assert all(torch.equal(taken[k], stored["net.base." + k[k.index("context.") :]]) for k in same)


def test_what_is_no_start_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors: no such file"):
        PhotoMoveNet(17, pretrained=tmp_path / "none.safetensors")
    save_file({"x": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="to start from"):
        PhotoMoveNet(17, pretrained=tmp_path / "other.safetensors")


def test_a_joints_map_knows_of_what_is_far_away():
    """A change at one end of a photo of 256 pixels reaches the context at the other."""
    torch.manual_seed(0)
    net = JointsInContext(17, 16).eval()
    picture = torch.rand(1, 3, 64, 256)
    other = picture.clone()
    other[..., 200:] = 0
    with torch.inference_mode():
        assert (net(picture)[1] - net(other)[1])[..., :8].abs().max() > 0


def test_new_layers_step_further_than_the_trunk():
    torch.manual_seed(0)
    context, trunk = Context(16, (8, 8, 8, 8)), torch.nn.Conv2d(8, 8, 1)
    faster(context.parameters(), 4.0)
    optimizer = RelativeAdam([*context.parameters(), *trunk.parameters()], lr=1e-3, floor_of_new=0.02)
    layer = context.lateral[0]
    with torch.no_grad():
        layer.bias.zero_()
    before = [layer.weight.clone(), trunk.weight.clone()]
    for p in (*context.parameters(), *trunk.parameters()):
        p.grad = torch.ones_like(p)
    optimizer.step()
    moved = [(a - b).abs().mean() / b.square().mean().sqrt() for a, b in zip([layer.weight, trunk.weight], before, strict=True)]
    torch.testing.assert_close(moved[0] / moved[1], torch.tensor(4.0), rtol=1e-3, atol=0)
    torch.testing.assert_close(layer.bias.abs().max(), torch.tensor(4 * 1e-3 * 0.02), rtol=1e-3, atol=0)  # zeros move by the floor


@pytest.mark.parametrize("name", LIGHT)
def test_frozen_residuals_and_the_stem_do_not_learn(name):
    learns = {n for n, p in build(name, frozen=10).named_parameters() if p.requires_grad}
    trunk = {n.split("trunk.")[1].split(".")[1] for n in learns if "trunk.blocks." in n}
    assert trunk == {str(i) for i in range(10, 17)}
    assert not any("trunk.stem" in n for n in learns)
