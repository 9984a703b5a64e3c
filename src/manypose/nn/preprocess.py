"""Input normalization for networks with ImageNet weights."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

__all__ = ["ImageNetInput"]

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # RGB, of values from 0 to 1


class ImageNetInput(nn.Module):
    """Normalization of RGB pixels by ImageNet's mean and deviation, to (b, 3, H, W).

    Args:
        bgr: whether the network's channels are blue, green, red, as in OpenCV.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, bgr: bool = False) -> None:
        super().__init__()
        self.bgr = bgr
        for name, rgb in (("mean", MEAN), ("deviation", DEVIATION)):
            self.register_buffer(name, torch.tensor(rgb[::-1] if bgr else rgb).view(3, 1, 1) * 255, persistent=False)

    def forward(self, images: UInt8[Tensor, "b H W 3"]) -> Float[Tensor, "b 3 H W"]:
        """The normalized input."""
        images = images.flip(3) if self.bgr else images
        return (images.permute(0, 3, 1, 2).float() - self.mean) / self.deviation
