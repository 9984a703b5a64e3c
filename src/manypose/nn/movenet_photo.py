"""Light backbones for photos with many people, used by the light models of the four bottom-up methods.

MoveNet Thunder was trained on crops of one person, but its heat maps show the joints of several. The light models therefore start from
its heat map logits plus a learned residual; limbs, tags and boxes are predicted from MobileNetV2's features of all strides.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from manypose.nn.movenet import FEATURES, HEADS, WIDTH, MoveNetHeads, MoveNetTrunk, load_heads, load_trunk, to_input
from manypose.nn.rates import faster

__all__ = ["CHANNELS", "LIGHT", "Context", "JointsInContext", "Mix", "PhotoMoveNet", "movenet_file", "movenet_pixels", "photo_trunk"]

LIGHT = ("movenet", "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
"""Names of the light backbones; their input is RGB in -1 … 1."""


CHANNELS = (FEATURES[0] + WIDTH, *FEATURES[1:])
"""Channels of the features of strides 4 (MobileNetV2's and the pyramid's), 8, 16 and 32."""


def movenet_pixels(images: UInt8[Tensor, "b H W 3"]) -> Float[Tensor, "b 3 H W"]:
    """RGB images scaled to -1 … 1."""
    return to_input(images.permute(0, 3, 1, 2).float())


def movenet_file(pretrained: bool | str | Path | None) -> str | Path | None:
    """The file of MoveNet's initial weights; None: random weights.

    Raises:
        ValueError: `pretrained` is True, which names no file.
    """
    if pretrained is True:
        raise ValueError("MoveNet's weights are not in a package: give the file, pretrained=FILE (see docs/default-model.md)")
    return pretrained or None


class Mix(nn.Module):
    """A 3 × 3 convolution with ReLU, added to its input if the channels agree.

    Not depthwise, whose gradient is slower on CPUs for so few channels.
    """

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inner, outer, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h w"]:
        """Features of c2 channels."""
        y = relu(self.conv(x))
        return x + y if x.shape[1] == y.shape[1] else y


class PhotoMoveNet(nn.Module):
    """MoveNet's backbone with heat maps.

    Args:
        joints: number of heat maps; 17 start from MoveNet's own.
        frozen: number of first residuals that are not trained, with the stem.
        pretrained: a file of MoveNet's published weights, or a weights file of another light model, of which matching parts are loaded;
            None: random weights.
    """

    channels = CHANNELS

    def __init__(self, joints: int, frozen: int = 0, pretrained: str | Path | None = None) -> None:
        super().__init__()
        self.trunk = MoveNetTrunk(frozen)
        self.heads = MoveNetHeads({"heat": joints})
        if pretrained is None:
            return
        if _published(pretrained):
            load_trunk(self.trunk, pretrained)
            if joints == HEADS["heat"]:
                load_heads(self.heads, pretrained)
        else:
            take_over(self, pretrained, ("trunk.", "heads."))

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> tuple[Float[Tensor, "b k h w"], list[Tensor]]:
        """Heat map logits, and features of strides 4, 8, 16, 32 (`CHANNELS`); input RGB in -1 … 1, sides multiples of 32."""
        fine, own = self.trunk.pyramid(images)
        heat = self.heads.upside_down(fine)["heat"].float()
        return heat, [f.flip(2, 3) for f in (torch.cat([own[0], fine.to(own[0].dtype)], 1), *own[1:])]


def photo_trunk(name: str, joints: int, frozen: int = 0, pretrained: bool | str | Path | None = None) -> nn.Module:
    """A light backbone with heat maps; its attribute ``channels`` gives the channels at strides 4, 8, 16, 32.

    Args:
        name: one of `LIGHT`.
        joints: number of heat maps.
        frozen: number of first residuals (MoveNet) or stages (EfficientNet-Lite) that are not trained, with the stem.
        pretrained: for MoveNet see `PhotoMoveNet`; for EfficientNet-Lite ImageNet weights (see `efficientnet_lite`), or a weights file
            of another light model with the same backbone.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such backbone, or the weights cannot be used.
    """
    if name == "movenet":
        return PhotoMoveNet(joints, frozen, movenet_file(pretrained))
    if name not in LIGHT:
        raise ValueError(f"no light trunk {name!r}; there are {', '.join(LIGHT)}")
    from manypose.nn.efficientnet_lite import PhotoEfficientNet  # slow to import

    if not _of_light_model(pretrained):
        return PhotoEfficientNet(joints, name, frozen, pretrained or False)
    assert isinstance(pretrained, str | Path)
    net = PhotoEfficientNet(joints, name, frozen)
    take_over(net, pretrained, ("trunk.", "heads."))
    return net


class Context(nn.Module):
    """Fusion of the features of all strides, from coarse to fine, into features of stride 4 with a large receptive field.

    Args:
        channels: output channels (more at larger strides).
        inputs: channels of the features of strides 4, 8, 16, 32.
    """

    def __init__(self, channels: int = 64, inputs: Sequence[int] = CHANNELS) -> None:
        super().__init__()
        widths = [channels, channels + channels // 2, 2 * channels, 2 * channels]
        self.lateral = nn.ModuleList(nn.Conv2d(i, w, 1) for i, w in zip(inputs, widths, strict=True))
        self.down = nn.ModuleList(nn.Conv2d(widths[i + 1], widths[i], 1) for i in range(3))
        self.mix = nn.ModuleList(Mix(w, w) for w in widths)
        faster(self.parameters())

    def forward(self, features: Sequence[Tensor]) -> Float[Tensor, "b c h w"]:
        """Features of stride 4 from those of strides 4, 8, 16, 32."""
        x = self.mix[3](relu(self.lateral[3](features[3])))
        for i in (2, 1, 0):
            above = interpolate(self.down[i](x), scale_factor=2.0, mode="bilinear", align_corners=False)
            x = self.mix[i](relu(above + self.lateral[i](features[i])))
        return x


class JointsInContext(nn.Module):
    """A light backbone with refined heat maps of all people, and features for further heads.

    Args:
        joints: number of heat maps.
        channels: of the features.
        frozen, pretrained, trunk: see `photo_trunk`; from another light model the context is loaded too.
    """

    def __init__(
        self, joints: int, channels: int = 64, frozen: int = 0, pretrained: bool | str | Path | None = None, trunk: str = "movenet"
    ) -> None:
        super().__init__()
        self.photo = photo_trunk(trunk, joints, frozen, pretrained)
        self.context = Context(channels, self.photo.channels)  # type: ignore[arg-type]
        self.change = nn.Conv2d(channels, joints, 1)
        nn.init.normal_(self.change.weight, std=0.01)
        faster(self.change.parameters())
        if _of_light_model(pretrained):
            take_over(self, pretrained, ("context.", "change."))  # type: ignore[arg-type]

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> tuple[Float[Tensor, "b k h w"], Float[Tensor, "b c h w"]]:
        """Heat map logits and features, both at stride 4."""
        logits, x, _ = self.with_features(images)
        return logits, x

    def with_features(self, images: Float[Tensor, "b 3 H W"]) -> tuple[Float[Tensor, "b k h w"], Float[Tensor, "b c h w"], list[Tensor]]:
        """As `forward`, and the backbone's features of strides 4, 8, 16, 32."""
        logits, branches = self.photo(images)
        x = self.context(branches)
        return logits + self.change(x).float(), x, branches


def _published(path: str | Path) -> bool:
    return any(name.startswith("StatefulPartitionedCall") for name in _names(path))


def _of_light_model(path: bool | str | Path | None) -> bool:
    if not isinstance(path, str | Path) or Path(path).suffix != ".safetensors":
        return False
    return any("trunk." in name for name in _names(path))


def _names(path: str | Path) -> list[str]:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file of weights to start from")
    with safe_open(str(path), "pt") as file:
        return list(file.keys())


def take_over(module: nn.Module, path: str | Path, parts: Sequence[str]) -> None:
    """Load those tensors of a module whose names begin with one of `parts` from a file that has them under any prefix.

    Raises:
        ValueError: the file has none of these tensors.
    """
    own, taken = module.state_dict(), {}
    with safe_open(str(path), "pt") as file:
        for name in file.keys():  # noqa: SIM118
            for part in parts:
                short = name[name.find(part) :] if part in name else ""
                if short in own and tuple(file.get_slice(name).get_shape()) == tuple(own[short].shape):
                    taken[short] = file.get_tensor(name).to(own[short].dtype)
    if not taken:
        raise ValueError(f"{path}: has no {' or '.join(p.rstrip('.') for p in parts)} of a light model on MoveNet's trunk to start from")
    module.load_state_dict(taken, strict=False)
