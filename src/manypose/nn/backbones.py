"""Backbones: timm's trunks as pyramids of feature maps, with the parameter names of published checkpoints.

`hrnet_parts` gives HRNet's parts, which a network holds at its top level as published state dicts do, and `hrnet_branches` runs them.
timm is imported where a trunk is built: it brings torchvision, and importing both takes as long as importing PyTorch itself.
"""

from pathlib import Path

from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["hrnet_branches", "hrnet_parts", "hrnet_width", "resnet"]

HRNET_PARTS = ("conv1", "bn1", "conv2", "bn2", "layer1", "transition1", "stage2", "transition2", "stage3", "transition3", "stage4")


def _create(name: str, pretrained: bool | str | Path, **kwargs) -> nn.Module:
    import timm

    net = timm.create_model(name, pretrained=False, features_only=True, **kwargs)
    if pretrained:
        from manypose.nn.imagenet_weights import fill_from_imagenet

        fill_from_imagenet(net, name, pretrained)
    return net


def hrnet_parts(name: str = "hrnet_w32", branches: int = 4, pretrained: bool | str | Path = False) -> dict[str, nn.Module]:
    """HRNet's modules under their published names, from stem to stage 4.

    Args:
        name: any HRNet of timm, such as ``hrnet_w18_small``, ``hrnet_w32``, ``hrnet_w48``.
        branches: how many of stage 4's four resolutions are wanted, finest first. The last exchange unit makes only these: a parameter
            that reaches no output would stop distributed training.
        pretrained: ImageNet weights: True, a tag of timm, or a file; see `manypose.nn.imagenet_weights.fill_from_imagenet`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such HRNet, or the weights cannot be used or fetched.
    """
    import timm

    if not name.startswith("hrnet_") or name not in timm.list_models("hrnet_*"):
        raise ValueError(f"no HRNet {name!r}; there are {', '.join(timm.list_models('hrnet_*'))}")
    # feature_location="" gives the raw branches; timm's default appends parts of the classification head.
    net = _create(name, pretrained, feature_location="")
    last = net.get_submodule("stage4")[-1]  # pyright: ignore[reportIndexIssue]
    last.fuse_layers = last.fuse_layers[:branches]
    return {part: net.get_submodule(part) for part in HRNET_PARTS}


def hrnet_width(parts: dict[str, nn.Module]) -> int:
    """Channels of the finest branch; branch i has ``width · 2^i``."""
    return next(p for n, p in parts["stage4"].named_parameters() if n == "0.branches.0.0.conv1.weight").shape[1]


def hrnet_branches(net: nn.Module, images: Float[Tensor, "b 3 H W"]) -> list[Float[Tensor, "b c h w"]]:
    """Stage 4's branches (strides 4, 8, 16, 32; as many as `hrnet_parts` kept) of a network that holds HRNet's parts.

    Both sides of the images must be multiples of 32.
    """
    if images.shape[-2] % 32 or images.shape[-1] % 32:
        raise ValueError(f"HRNet takes images whose sides are multiples of 32, got {tuple(images.shape[-2:])}; pad them")
    part = dict(net.named_children())
    x = part["bn1"](part["conv1"](images)).relu_()
    x = part["bn2"](part["conv2"](x)).relu_()
    branches = [part["layer1"](x)]
    for stage in (2, 3, 4):
        # A transition makes the next lower resolution from the lowest there is; the others stay (stage 2: both come from layer1).
        steps = list(part[f"transition{stage - 1}"].children())
        branches = [s(branches[i] if i < len(branches) else branches[-1]) for i, s in enumerate(steps)]
        branches = part[f"stage{stage}"](branches)
    return branches


def resnet(
    name: str = "resnet50",
    pretrained: bool | str | Path = False,
    output_stride: int = 32,
    channels: tuple[int, int, int, int] | None = None,
) -> nn.Module:
    """A ResNet whose output is the list C2, C3, C4, C5 (strides 4, 8, 16, 32), with torchvision's names (``conv1 bn1 layer1 … layer4``).

    Args:
        name: any ResNet of timm, such as ``resnet18``, ``resnet50``, ``resnet101``.
        pretrained: ImageNet weights: True, a tag of timm, or a file; see `manypose.nn.imagenet_weights.fill_from_imagenet`.
        output_stride: 16 or 8: C5, or C4 and C5, keep that stride and have dilated convolutions instead.
        channels: of the four layers' inner convolutions, for a lighter net (the published 64, 128, 256, 512); without ImageNet weights.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such ResNet, the weights cannot be used or fetched, or they are not for these channels.
    """
    import timm

    if not name.startswith("resnet") or name not in timm.list_models("resnet*"):
        raise ValueError(
            f"no ResNet {name!r}; timm has {', '.join(n for n in timm.list_models('resnet*') if n[6:].isdigit())} and variants"
        )
    if channels is not None and pretrained:
        raise ValueError("ImageNet weights are for the published channels: leave out channels, or set pretrained=False")
    more = {} if channels is None else {"channels": tuple(channels)}
    return _create(name, pretrained, out_indices=(1, 2, 3, 4), output_stride=output_stride, **more)
