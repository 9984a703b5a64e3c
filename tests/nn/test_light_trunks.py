"""Each of the five systems on EfficientNet-Lite: it sees, every weight learns, and it starts from ImageNet or from another light model."""

import pytest
import torch

from manypose.data.sample import Batch
from manypose.methods.catalog import build
from manypose.nn.efficientnet_lite import efficientnet_lite
from manypose.nn.movenet_photo import LIGHT, photo_trunk
from manypose.weights.files import load, save

TRUNK = "efficientnet_lite0"
SYSTEMS = {
    "simple-pose-mobile": {"wiring": TRUNK},
    "swahr-mobile": {"trunk": TRUNK},
    "simple-mobile": {"trunk": TRUNK},
    "multiposenet-mobile": {"trunk": TRUNK, "prn": None},
    "mspn-mobile": {"trunk": TRUNK},
}


def _people() -> Batch:
    torch.manual_seed(0)
    keypoints = torch.cat([torch.rand(2, 1, 17, 2) * 50 + 6, torch.full((2, 1, 17, 1), 2.0)], 3)
    return Batch(
        images=torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8),
        keypoints=keypoints,
        boxes=torch.tensor([4.0, 4, 60, 60]).repeat(2, 1, 1),
        areas=torch.full((2, 1), 1500.0),
        there=torch.ones(2, 1, dtype=torch.bool),
        mask=torch.ones(2, 1, 64, 64, dtype=torch.uint8),
        segmentation=torch.ones(2, 64, 64, dtype=torch.uint8),
    )


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_weight_of_a_system_on_it_learns(name):
    people = _people()
    method = build(name, **SYSTEMS[name]).train()
    outputs = method(method.prepare(people.images))
    sum(method.loss(outputs, method.targets(people, (64, 64))).values()).backward()
    idle = [n for n, p in method.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.isfinite().all())]
    assert not idle
    assert any("trunk.blocks" in n and p.grad.abs().max() > 0 for n, p in method.named_parameters())


@pytest.mark.parametrize("name", SYSTEMS)
def test_what_is_saved_finds_the_same(name, tmp_path):
    torch.manual_seed(0)
    method = build(name, **SYSTEMS[name]).eval()
    again = load(save(method, tmp_path / "w.safetensors", name=name, kwargs=SYSTEMS[name]), device="cpu")
    picture = method.prepare(torch.randint(0, 256, (1, 64, 96, 3), dtype=torch.uint8))
    with torch.inference_mode():
        own, read = method(picture), again.eval()(picture)
    assert all(torch.equal(own[k], read[k]) for k in own)


def test_it_starts_from_imagenet_and_from_another_light_model(tmp_path):
    torch.manual_seed(1)
    imagenet = efficientnet_lite(TRUNK)
    torch.save(imagenet.state_dict(), tmp_path / "imagenet.pth")
    from safetensors.torch import save_file

    save_file(imagenet.state_dict(), tmp_path / "imagenet.safetensors")
    first = build("swahr-mobile", trunk=TRUNK, pretrained=str(tmp_path / "imagenet.safetensors"))
    wanted = imagenet.state_dict()
    assert all(torch.equal(v, wanted[k]) for k, v in first.net.base.photo.trunk.state_dict().items())
    file = save(first, tmp_path / "first.safetensors", name="swahr-mobile", kwargs={"trunk": TRUNK})
    second = build("simple-mobile", trunk=TRUNK, pretrained=str(file)).state_dict()
    stored = first.state_dict()
    shared = [k for k in stored if "base." in k]
    assert all(torch.equal(stored[k], second[k]) for k in shared)


def test_frozen_stages_keep_their_statistics():
    net = photo_trunk(TRUNK, 17, frozen=3).train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    net(torch.rand(2, 3, 64, 64) * 2 - 1)
    moved = {k.split(".")[2] if "blocks" in k else k.split(".")[1] for k, v in net.state_dict().items() if not torch.equal(v, before[k])}
    assert moved == {"3", "4", "5", "6"}


def test_a_start_that_cannot_be_is_said(tmp_path):
    with pytest.raises(ValueError, match=rf"no light trunk 'mobilenet'; there are {', '.join(LIGHT)}"):
        photo_trunk("mobilenet", 17)
    with pytest.raises(ValueError, match="give the file"):
        photo_trunk("movenet", 17, pretrained=True)
    with pytest.raises(ValueError, match="give the file"):
        build("mspn-mobile", pretrained=True)
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors: no such file"):
        photo_trunk(TRUNK, 17, pretrained=tmp_path / "none.safetensors")
