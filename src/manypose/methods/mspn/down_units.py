"""Down-sampling units of a stage: four layers at 1/4, 1/8, 1/16 and 1/32 (MSPN, Section 3.1; Tables 1 to 3)."""

from collections.abc import Callable
from functools import partial

from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["TRUNKS", "Unit", "layers"]


class Unit(nn.Module):
    """Convolution (with bias, as published), batch normalization and, with `relu`, ReLU."""

    def __init__(self, c_in: int, c_out: int, kernel: int = 1, stride: int = 1, relu: bool = True, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups)
        self.bn = nn.BatchNorm2d(c_out)
        self.relu = relu

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        """(b, c_in, h, w) to (b, c_out, h / stride, w / stride)."""
        x = self.bn(self.conv(x))
        return x.relu_() if self.relu else x


class Bottleneck(nn.Module):
    """ResNet's bottleneck with the stride in its 3×3 convolution; the shortcut is projected if size or width changes."""

    def __init__(self, c_in: int, width: int, stride: int = 1) -> None:
        super().__init__()
        c_out = 4 * width
        self.conv_bn_relu1 = Unit(c_in, width)
        self.conv_bn_relu2 = Unit(width, width, 3, stride)
        self.conv_bn_relu3 = Unit(width, c_out, relu=False)
        self.downsample = Unit(c_in, c_out, 1, stride, relu=False) if stride > 1 or c_in != c_out else nn.Identity()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        """(b, c_in, h, w) to (b, 4 · width, h / stride, w / stride)."""
        y = self.conv_bn_relu3(self.conv_bn_relu2(self.conv_bn_relu1(x)))
        return (y + self.downsample(x)).relu_()


class Basic(nn.Module):
    """ResNet's block of two 3×3 convolutions."""

    def __init__(self, c_in: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv_bn_relu1 = Unit(c_in, width, 3, stride)
        self.conv_bn_relu2 = Unit(width, width, 3, relu=False)
        self.downsample = Unit(c_in, width, 1, stride, relu=False) if stride > 1 or c_in != width else nn.Identity()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        """(b, c_in, h, w) to (b, width, h / stride, w / stride)."""
        y = self.conv_bn_relu2(self.conv_bn_relu1(x))
        return (y + self.downsample(x)).relu_()


class Separable(nn.Module):
    """Xception's block: three depthwise separable 3×3 convolutions with a shortcut."""

    def __init__(self, c_in: int, width: int, stride: int = 1) -> None:
        super().__init__()
        units = []
        for i, c in enumerate((c_in, width, width)):
            units += [Unit(c, c, 3, stride if i == 0 else 1, relu=False, groups=c), Unit(c, width, relu=i < 2)]
        self.separable = nn.Sequential(*units)
        self.downsample = Unit(c_in, width, 1, stride, relu=False) if stride > 1 or c_in != width else nn.Identity()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        """(b, c_in, h, w) to (b, width, h / stride, w / stride)."""
        y = self.separable(x)
        return (y + self.downsample(x)).relu_()


Make = Callable[..., tuple[list[nn.Sequential], list[int]]]


def layers(
    c_in: int, block: type[nn.Module], widths: tuple[int, ...], depths: tuple[int, ...], growth: int = 1
) -> tuple[list[nn.Sequential], list[int]]:
    """Four layers of blocks, each after the first at half the resolution of the previous one, and their channels.

    Args:
        c_in: channels of the input, at 1/4 of the image size.
        block: block(channels, width, stride).
        widths: of the blocks of each layer.
        depths: blocks of each layer.
        growth: a block's output channels over its width.
    """
    made, channels = [], []
    for i, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        blocks = []
        for j in range(depth):
            blocks.append(block(c_in, width, 2 if i > 0 and j == 0 else 1))
            c_in = width * growth
        made.append(nn.Sequential(*blocks))
        channels.append(c_in)
    return made, channels


def _resnet(depths: tuple[int, ...]) -> Make:
    return partial(layers, block=Bottleneck, widths=(64, 128, 256, 512), depths=depths, growth=4)


TRUNKS: dict[str, Make] = {
    "resnet18": partial(layers, block=Basic, widths=(64, 128, 256, 512), depths=(2, 2, 2, 2)),
    "resnet50": _resnet((3, 4, 6, 3)),
    "resnet101": _resnet((3, 4, 23, 3)),
    "resnet152": _resnet((3, 8, 36, 3)),
    # The paper gives only the cost of these two (Table 3); depths and widths are ours.
    "xception-small": partial(layers, block=Separable, widths=(80, 160, 320, 640), depths=(2, 3, 4, 2)),
    "xception-large": partial(layers, block=Separable, widths=(160, 320, 640, 1280), depths=(3, 4, 9, 4)),
    # For bundled models: ResNet-18 with half of its widest layers, and at a third of its width.
    "light": partial(layers, block=Basic, widths=(64, 128, 192, 256), depths=(2, 2, 2, 2)),
    "tiny": partial(layers, block=Basic, widths=(24, 48, 96, 128), depths=(1, 1, 1, 1)),
}
"""Functions by name: from input channels to four layers and their channels."""
