"""Pixels as ImageNet's networks expect them."""

import torch

from manypose.nn.preprocess import ImageNetInput


def test_channels_mean_and_deviation():
    pixel = torch.tensor([255, 0, 51], dtype=torch.uint8).view(1, 1, 1, 3)
    wanted = [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0.2 - 0.406) / 0.225]
    assert torch.allclose(ImageNetInput()(pixel).flatten(), torch.tensor(wanted), atol=1e-6)
    assert torch.allclose(ImageNetInput(bgr=True)(pixel).flatten(), torch.tensor(wanted[::-1]), atol=1e-6)
    assert not ImageNetInput().state_dict()  # weights files hold no constants
