"""MSPN's ImageNet start: the first stage sees a photo as the ResNet does, though its channels are BGR."""

import pytest
import torch
import torchvision
from shared import REPOSITORY

from manypose.io.photos import read
from manypose.methods.mspn import MSPN
from manypose.nn.backbones import resnet
from manypose.nn.preprocess import ImageNetInput


@pytest.mark.slow
@pytest.mark.parametrize("trunk", ["resnet18", "resnet50"])
def test_03_the_first_stage_has_the_features_of_the_trunk_on_a_photo(trunk, tmp_path):
    torch.manual_seed(0)
    file = tmp_path / f"{trunk}.pth"
    torch.save(getattr(torchvision.models, trunk)().state_dict(), file)
    method = MSPN(stages=1, trunk=trunk, width=16, pretrained=str(file)).eval()
    photo = torch.from_numpy(read(REPOSITORY / "docs" / "example.jpg")[:128, :96].copy())[None]
    with torch.no_grad():
        wanted = resnet(trunk, file).eval()(ImageNetInput()(photo))
        x = torch.nn.functional.max_pool2d(method.net.top["conv"](method.prepare(photo)), 3, 2, 1)
        for layer, feature in zip(method.net.stage0.downsample.values(), wanted, strict=True):  # pyright: ignore
            x = layer(x)
            torch.testing.assert_close(x, feature, atol=1e-4, rtol=1e-3)


def test_03_a_filter_for_red_answers_to_red(tmp_path):
    state = torchvision.models.resnet18().state_dict()
    state["conv1.weight"].zero_()
    state["conv1.weight"][0, 0] = 1.0  # the first filter sees red alone
    torch.save(state, tmp_path / "red.pth")
    method = MSPN(stages=1, trunk="resnet18", width=16, pretrained=str(tmp_path / "red.pth")).eval()
    images = torch.zeros(3, 64, 64, 3, dtype=torch.uint8)
    for channel in range(3):
        images[channel, ..., channel] = 255
    with torch.no_grad():
        answer = method.net.top["conv"].conv(method.prepare(images))[:, 0].mean((1, 2))
    assert answer.argmax() == 0
    assert answer[0] > 50
    assert max(answer[1:]) < 0
