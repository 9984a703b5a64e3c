"""ImageNet weights come from files of torchvision and timm, or are fetched by a tag; without a network that fails at once."""

import time

import pytest
import timm
import torch
import torchvision
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import save_file

from manypose.nn import imagenet_weights
from manypose.nn.backbones import hrnet_parts, resnet


def test_torchvisions_file_gives_torchvisions_features(tmp_path):
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18().eval()
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    ours, images = resnet("resnet18", tmp_path / "resnet18.pth").eval(), torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(images))))
        for layer, feature in zip((theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4), ours(images), strict=True):
            x = layer(x)
            torch.testing.assert_close(feature, x, atol=1e-5, rtol=1e-4)


def test_timms_file(tmp_path):
    torch.manual_seed(0)
    theirs = timm.create_model("hrnet_w18_small", pretrained=False)
    save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    parts = hrnet_parts("hrnet_w18_small", 1, str(tmp_path / "model.safetensors"))
    for name, tensor in parts["stage4"].state_dict().items():
        assert torch.equal(tensor, theirs.state_dict()[f"stage4.{name}"])


def test_other_files_and_tags_are_one_clear_error(tmp_path):
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "resnet18.pth")
    with pytest.raises(ValueError, match=r"resnet18\.pth: not the ImageNet weights of resnet50: "):
        resnet("resnet50", tmp_path / "resnet18.pth")
    with pytest.raises(FileNotFoundError, match=r"none\.pth: no such"):
        resnet("resnet18", tmp_path / "none.pth")
    (tmp_path / "cut.safetensors").write_bytes(b"12345678")
    with pytest.raises(ValueError, match=r"cut\.safetensors: not a complete weights file"):
        resnet("resnet18", tmp_path / "cut.safetensors")
    with pytest.raises(ValueError, match=r"no ImageNet weights 'resnet18\.best'; timm has resnet18\.a1_in1k"):
        resnet("resnet18", "best")


@pytest.mark.parametrize(("given", "wanted"), [(True, "timm/resnet18.tv_in1k"), ("a1_in1k", "timm/resnet18.a1_in1k")])
def test_without_a_network_it_fails_at_once_and_says_the_cure(monkeypatch, given, wanted):
    asked = []

    def download(source, name, local_files_only=False):
        asked.append((source, local_files_only))
        raise LocalEntryNotFoundError("not in the cache")

    def reach(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(imagenet_weights, "hf_hub_download", download)
    monkeypatch.setattr(imagenet_weights.urllib.request, "urlopen", reach)
    start = time.monotonic()
    with pytest.raises(ValueError, match=r"cannot be downloaded.*download timm/resnet18.*give pretrained=FILE"):
        resnet("resnet18", given)
    assert time.monotonic() - start < 5
    assert asked == [(wanted, True)]  # the cache alone: no repeated requests
