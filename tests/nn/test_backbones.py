import pytest
import timm
import torch

from manypose.nn.backbones import hrnet_branches, hrnet_parts, hrnet_width, resnet

WIDTHS = {"hrnet_w18_small": 16, "hrnet_w18_small_v2": 18, "hrnet_w18": 18, "hrnet_w32": 32, "hrnet_w48": 48}


def held(parts) -> torch.nn.Module:
    net = torch.nn.Module()
    for name, part in parts.items():
        net.add_module(name, part)
    return net


@pytest.mark.slow
@pytest.mark.parametrize(("name", "width"), WIDTHS.items())
def test_branches_have_their_strides_and_channels(name, width):
    with torch.device("meta"):
        parts = hrnet_parts(name)
        outputs = hrnet_branches(held(parts), torch.empty(2, 3, 96, 160))
    assert hrnet_width(parts) == width
    assert [tuple(o.shape) for o in outputs] == [(2, width * 2**i, 96 // (4 << i), 160 // (4 << i)) for i in range(4)]


def test_branches_are_timms():
    torch.manual_seed(0)
    reference = timm.create_model("hrnet_w18_small", features_only=True, feature_location="").eval()
    net = held(hrnet_parts("hrnet_w18_small")).eval()
    net.load_state_dict(reference.state_dict())
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        for ours, theirs in zip(hrnet_branches(net, images), reference(images)[1:], strict=True):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize("branches", [1, 2, 3])
def test_no_parameter_is_without_use(branches):
    net = held(hrnet_parts("hrnet_w18_small", branches))
    outputs = hrnet_branches(net, torch.randn(1, 3, 64, 64))
    assert len(outputs) == branches
    torch.stack([o.sum() for o in outputs]).sum().backward()
    assert [n for n, p in net.named_parameters() if p.grad is None] == []


def test_unknown_names_and_sizes_are_told():
    with pytest.raises(ValueError, match="no HRNet 'hrnet_w33'; there are hrnet_w18"):
        hrnet_parts("hrnet_w33")
    with pytest.raises(ValueError, match="multiples of 32"):
        hrnet_branches(held(hrnet_parts("hrnet_w18_small")), torch.zeros(1, 3, 64, 72))


@pytest.mark.parametrize(("name", "channels"), [("resnet18", (64, 128, 256, 512)), ("resnet50", (256, 512, 1024, 2048))])
def test_resnet_pyramid(name, channels):
    with torch.device("meta"):
        net = resnet(name)
        outputs = net(torch.empty(1, 3, 64, 96))
    assert [tuple(o.shape) for o in outputs] == [(1, c, 16 >> i, 24 >> i) for i, c in enumerate(channels)]
    assert {n.split(".")[0] for n, _ in net.named_parameters()} == {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"}
