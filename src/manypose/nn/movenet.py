"""MoveNet: MobileNetV2 of width 1.75 with a feature pyramid, and the four published heads.

Network: Sandler et al., *MobileNetV2*, 2018 (inverted residuals, ReLU6); Lin et al., *Feature Pyramid Networks*, 2017; Google's MoveNet
SinglePose Thunder (2021, Apache-2.0) combines them. Batch norms are folded into the convolutions, as published.

TensorFlow pads convolutions of stride 2 at the right and bottom, PyTorch at the left and top. Therefore kernels are stored rotated by
180 degrees, and images are rotated before the network.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu6

from manypose.nn.movenet_file import movenet_tensors

__all__ = ["FEATURES", "HEADS", "MoveNetHeads", "MoveNetTrunk", "load_heads", "load_trunk", "to_input"]

STEPS = ((32, 1), (40, 2), (40, 1), (56, 2), (56, 1), (56, 1), (112, 2), (112, 1), (112, 1), (112, 1), (168, 1), (168, 1), (168, 1),
         (280, 2), (280, 1), (280, 1), (560, 1))  # fmt: skip
"""Channels and stride of the inverted residuals; all but the first expand by a factor of six."""

TAPS = {2: 24, 5: 32, 9: 64}
"""Residuals whose output goes into the pyramid (strides 4, 8, 16), and their channels in the pyramid."""

OWN = (2, 5, 12)
"""Last residuals of strides 4, 8 and 16; at stride 32 the features are the last layer's."""

FEATURES = (40, 56, 168, 1280)

HEADS = {"heat": 17, "centre": 1, "regression": 34, "offset": 34}
"""Outputs of the published heads: heat maps, person centres, and (y, x) offsets in cells from a centre to each joint and within a cell."""

WIDTH = 24


def _conv(inner: int, outer: int, kernel: int = 1, stride: int = 1, groups: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inner, outer, kernel, stride, kernel // 2, groups=groups, bias=bias)


class Residual(nn.Module):
    """An inverted residual: expansion, depthwise convolution, projection; added to its input if the shapes agree."""

    def __init__(self, inner: int, outer: int, stride: int, widen: int = 6) -> None:
        super().__init__()
        wide = inner * widen
        self.expand = _conv(inner, wide) if widen > 1 else None
        self.depthwise = _conv(wide, wide, 3, stride, groups=wide)
        self.project = _conv(wide, outer)
        self.added = stride == 1 and inner == outer

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        y = x if self.expand is None else relu6(self.expand(x), inplace=True)
        y = self.project(relu6(self._spread(y), inplace=True))
        return x + y if self.added else y

    def _spread(self, x: Tensor) -> Tensor:
        """The depthwise convolution; single precision for stride 2, since oneDNN's bfloat16 gradient is ten times slower."""
        if self.depthwise.stride[0] == 1 or x.dtype != torch.bfloat16 or x.device.type != "cpu":
            return self.depthwise(x)
        with torch.autocast("cpu", enabled=False):
            return self.depthwise(x.float())


def _separable(inner: int, outer: int) -> nn.Sequential:
    return nn.Sequential(_conv(inner, inner, 3, groups=inner, bias=False), _conv(inner, outer), nn.ReLU())


class MoveNetTrunk(nn.Module):
    """MoveNet's backbone with 24 feature channels at stride 4; sides of images are multiples of 32.

    Args:
        frozen: number of first residuals that are not trained, with the stem.
    """

    channels = WIDTH

    def __init__(self, frozen: int = 0) -> None:
        super().__init__()
        self.frozen = frozen
        self.stem = _conv(3, 56, 3, 2)
        inner = [56, *(channels for channels, _ in STEPS)]
        self.blocks = nn.ModuleList(Residual(inner[i], c, s, 1 if i == 0 else 6) for i, (c, s) in enumerate(STEPS))
        self.last = _conv(560, 1280)
        self.lateral = nn.ModuleList([_conv(1280, 64), *(_conv(STEPS[i][0], c) for i, c in reversed(TAPS.items()))])
        self.merge = nn.ModuleList([_separable(64, 32), _separable(32, 24), _separable(24, WIDTH)])
        for part in (self.stem, *self.blocks[:frozen]) if frozen else ():
            part.requires_grad_(False)

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b 24 h w"]:
        """Features for RGB in -1 … 1."""
        return self.pyramid(images)[0].flip(2, 3)

    def pyramid(self, images: Float[Tensor, "b 3 H W"]) -> tuple[Tensor, list[Tensor]]:
        """As `forward`, and MobileNetV2's features of strides 4, 8, 16, 32 (`FEATURES` channels); all rotated by 180 degrees."""
        x = relu6(self.stem(images.flip(2, 3)), inplace=True)
        kept: list[Tensor] = []
        own: list[Tensor] = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in TAPS:
                kept.append(x)
            if i in OWN:
                own.append(x)
        own.append(relu6(self.last(x), inplace=True))
        x = self.lateral[0](own[-1])
        for lateral, merge, side in zip(list(self.lateral)[1:], self.merge, reversed(kept), strict=True):
            x = interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = merge(x + lateral(side))
        return x, own


class MoveNetHeads(nn.Module):
    """Heads: a separable convolution to 96 channels and a 1 × 1 convolution for each output.

    Args:
        outputs: channels by name.
    """

    def __init__(self, outputs: Mapping[str, int] = HEADS) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({name: nn.Sequential(*_separable(WIDTH, 96), _conv(96, n)) for name, n in outputs.items()})

    def forward(self, features: Float[Tensor, "b 24 h w"]) -> dict[str, Float[Tensor, "b _c h w"]]:
        """Outputs by name: logits of heat maps and centres, and offsets."""
        return self.upside_down(features.flip(2, 3))

    def upside_down(self, x: Float[Tensor, "b 24 h w"]) -> dict[str, Float[Tensor, "b _c h w"]]:
        """As `forward`, for features rotated by 180 degrees."""
        return {name: head(x).flip(2, 3) for name, head in self.heads.items()}


def load_trunk(trunk: MoveNetTrunk, path: str | Path) -> None:
    """Load a backbone from the published file."""
    trunk.load_state_dict(movenet_tensors(path))


def load_heads(heads: MoveNetHeads, path: str | Path) -> None:
    """Load the published heads from the published file."""
    own = heads.state_dict()
    heads.load_state_dict({k: v for k, v in movenet_tensors(path, "heads").items() if k in own}, strict=False)


def to_input(images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b 3 H W"]:
    """RGB in 0 … 255 scaled to -1 … 1."""
    return images / 127.5 - 1
