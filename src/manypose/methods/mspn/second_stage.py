"""The second stage of the light network, which corrects the first stage's heat maps.

As in MSPN, it takes the first stage's heat maps (Section 3.1) and features of all its scales (Section 3.2); with separable convolutions
and without normalization, as in MoveNet's backbone.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, relu

from manypose.nn.rates import faster

__all__ = ["SecondStage"]


class Separable(nn.Module):
    """A depthwise and a 1 × 1 convolution with ReLU, added to the input if the channels agree."""

    def __init__(self, inner: int, outer: int, kernel: int = 3) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inner, inner, kernel, padding=kernel // 2, groups=inner, bias=False)
        self.point = nn.Conv2d(inner, outer, 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h w"]:
        y = relu(self.point(self.depthwise(x)))
        return x + y if x.shape[1] == y.shape[1] else y


class SecondStage(nn.Module):
    """Corrections of the heat maps' logits, from the backbone's features of strides 4, 8, 16, 32 and the first stage's heat maps.

    Args:
        joints: number of heat maps.
        channels: of the backbone's features, the finest first.
        widths: channels of this stage at those strides.
    """

    def __init__(self, joints: int, channels: Sequence[int], widths: Sequence[int] = (64, 96, 128, 128)) -> None:
        super().__init__()
        extra = (joints, joints, 0, 0)
        self.lateral = nn.ModuleList(nn.Conv2d(c + e, w, 1) for c, e, w in zip(channels, extra, widths, strict=True))
        self.down = nn.ModuleList(nn.Conv2d(widths[i + 1], widths[i], 1) for i in range(3))
        self.mix = nn.ModuleList(nn.Sequential(Separable(w, w, 5), *([Separable(w, w)] if i else [])) for i, w in enumerate(widths))
        self.out = nn.Conv2d(widths[0], joints, 1)
        faster(self.parameters())

    def forward(self, features: Sequence[Tensor], heat: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k h w"]:
        """Corrections for `heat` (0 … 1, at stride 4)."""
        coarse = avg_pool2d(heat, 2)
        seen = [torch.cat([features[0], heat], 1), torch.cat([features[1], coarse], 1), *features[2:]]
        x = self.mix[3](relu(self.lateral[3](seen[3])))
        for i in (2, 1, 0):
            above = interpolate(self.down[i](x), scale_factor=2.0, mode="bilinear", align_corners=False)
            x = self.mix[i](relu(above + self.lateral[i](seen[i])))
        return self.out(x)
