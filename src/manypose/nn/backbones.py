"""Backbones of timm as feature pyramids, with the parameter names of published checkpoints.

`hrnet_parts` returns HRNet's modules, which a network holds at its top level as in published state dicts; `hrnet_branches` runs them.
timm is imported when a backbone is built, since importing it with torchvision takes as long as importing PyTorch.
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
        branches: number of stage 4's four resolutions to return, finest first. The last exchange unit computes only these, since
            parameters that reach no output stop distributed training.
        pretrained: ImageNet weights: True, a tag of timm, or a file; see `manypose.nn.imagenet_weights.fill_from_imagenet`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such HRNet, or the weights do not fit or cannot be downloaded.
    """
    import timm

    if not name.startswith("hrnet_") or name not in timm.list_models("hrnet_*"):
        raise ValueError(f"no HRNet {name!r}; there are {', '.join(timm.list_models('hrnet_*'))}")
    # feature_location="" gives the raw branches; timm's default adds the classification head.
    net = _create(name, pretrained, feature_location="")
    last = net.get_submodule("stage4")[-1]  # pyright: ignore[reportIndexIssue]
    last.fuse_layers = last.fuse_layers[:branches]
    return {part: net.get_submodule(part) for part in HRNET_PARTS}


def hrnet_width(parts: dict[str, nn.Module]) -> int:
    """Channels of the finest branch; branch i has ``width · 2^i``."""
    return next(p for n, p in parts["stage4"].named_parameters() if n == "0.branches.0.0.conv1.weight").shape[1]


def hrnet_branches(net: nn.Module, images: Float[Tensor, "b 3 H W"]) -> list[Float[Tensor, "b c h w"]]:
    """Stage 4's branches (strides 4, 8, 16, 32) of a network with HRNet's parts; sides of the images are multiples of 32."""
    if images.shape[-2] % 32 or images.shape[-1] % 32:
        raise ValueError(f"HRNet takes images whose sides are multiples of 32, got {tuple(images.shape[-2:])}; pad them")
    part = dict(net.named_children())
    x = part["bn1"](part["conv1"](images)).relu_()
    x = part["bn2"](part["conv2"](x)).relu_()
    branches = [part["layer1"](x)]
    for stage in (2, 3, 4):
        # A transition adds the next lower resolution, from the lowest (stage 2: both from layer1).
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
    """A ResNet with the outputs C2, C3, C4, C5 (strides 4, 8, 16, 32) and torchvision's names (``conv1 bn1 layer1 … layer4``).

    Args:
        name: any ResNet of timm, such as ``resnet18``, ``resnet50``, ``resnet101``.
        pretrained: ImageNet weights: True, a tag of timm, or a file; see `manypose.nn.imagenet_weights.fill_from_imagenet`.
        output_stride: 16 or 8: C5, or C4 and C5, use dilated convolutions at that stride.
        channels: of the four layers' inner convolutions, for a smaller network without ImageNet weights; default 64, 128, 256, 512.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such ResNet, the weights cannot be downloaded, or they do not fit these channels.
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
