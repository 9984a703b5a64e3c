"""NanoDet's network: a CSP trunk (Wang et al., 2020), a PAN neck (Liu et al., 2018) and one head per grid."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, max_pool2d

__all__ = ["BINS", "STRIDES", "NanoDetNet"]

BINS = 11
"""Number of distances of a side's distribution: 0 to 10 strides."""

STRIDES = (8, 16, 32)


class Conv(nn.Module):
    """A 'same' convolution and a leaky ReLU."""

    def __init__(self, inner: int, outer: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inner, outer, 3, stride, 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        return leaky_relu(self.conv(x), 0.1, inplace=True)


class Pair(nn.Module):
    """Two convolutions with concatenated outputs, the second first."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.first, self.second = Conv(channels, width), Conv(width, width)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h w"]:
        x = self.first(x)
        return torch.cat([self.second(x), x], 1)


class Stage(nn.Module):
    """A CSP stage: blocks and a parallel path."""

    def __init__(self, channels: int, width: int, blocks: int, stride: int) -> None:
        super().__init__()
        self.start = Conv(channels, channels, stride)
        self.blocks = nn.Sequential(*(Pair(channels if i == 0 else 2 * width, width) for i in range(blocks)))
        self.end = Conv(2 * width, channels)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        x = self.start(x)
        return torch.cat([self.end(self.blocks(x)), x], 1)


class NanoDetNet(nn.Module):
    """The network: three grids (strides 8, 16, 32) with a person logit and 4 × 11 logits of the distances to the box's sides."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Conv(3, 32, 2)
        self.stages = nn.ModuleList([Stage(32, 16, 1, 1), Stage(64, 32, 2, 2), Stage(128, 64, 2, 2), Stage(256, 128, 3, 2)])
        self.lateral = nn.ModuleList(nn.Conv2d(c, 128, 1) for c in (128, 256, 512))
        self.heads = nn.ModuleList(nn.Sequential(Conv(128, 128), nn.Conv2d(128, 1 + 4 * BINS, 1)) for _ in STRIDES)

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> list[Float[Tensor, "b 45 _h _w"]]:
        """The grids of images whose sides are multiples of 32."""
        x = max_pool2d(self.stem(images), 3, 2, 1)
        features: list[Tensor] = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        low, middle, high = (lateral(f) for lateral, f in zip(self.lateral, features[1:], strict=True))
        # down from the coarsest grid, and up again
        middle = middle + _resized(high, 2.0)
        low = low + _resized(middle, 2.0)
        middle = middle + _resized(low, 0.5)
        high = high + _resized(middle, 0.5)
        return [head(f) for head, f in zip(self.heads, (low, middle, high), strict=True)]


def _resized(x: Tensor, factor: float) -> Tensor:
    return interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
