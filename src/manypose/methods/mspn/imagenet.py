"""Initialization of MSPN from a ResNet trained on ImageNet (Section 4.2, "Training")."""

from torch import Tensor

from manypose.methods.mspn.network import MSPNet
from manypose.nn.backbones import resnet
from manypose.nn.checkpoint_files import mismatch

__all__ = ["imagenet", "rename"]


def imagenet(net: MSPNet, trunk: str, pretrained: bool | str = True) -> None:
    """Load ImageNet weights into the stem and the first stage's down-sampling unit.

    The stem's input channels are reordered from RGB to BGR. Biases of convolutions, which ResNets lack, are set to 0.

    Args:
        net: the network.
        trunk: name of its ResNet.
        pretrained: see `manypose.nn.backbones.resnet`.

    Raises:
        ValueError: there are no weights for the backbone, or they cannot be read or downloaded.
    """
    if not trunk.startswith("resnet"):
        raise ValueError(f"there are no ImageNet weights for the trunk {trunk!r}; use pretrained=False")
    rename(net, resnet(trunk, pretrained).state_dict())


def rename(net: MSPNet, state: dict[str, Tensor]) -> None:
    """Copy a ResNet's parameters (``conv1 bn1 layer1 … layer4``) to the stem and the first stage."""
    state = {**state, "conv1.weight": state["conv1.weight"].flip(1)}  # RGB to BGR
    found: dict[str, Tensor] = {}
    for name, tensor in net.state_dict().items():
        if name.startswith("top.conv."):
            source = name.removeprefix("top.conv.").replace("conv.", "conv1.").replace("bn.", "bn1.")
        elif name.startswith("stage0.downsample."):
            layer, block, unit, *rest = name.removeprefix("stage0.downsample.").split(".")
            kind = rest[0]
            number = unit.removeprefix("conv_bn_relu")
            part = f"downsample.{0 if kind == 'conv' else 1}" if unit == "downsample" else f"{kind}{number}"
            source = ".".join([layer, block, part, *rest[1:]])
        else:
            continue
        found[name] = state[source] if source in state else tensor.new_zeros(tensor.shape)
    wrong = mismatch({k: v for k, v in net.state_dict().items() if k in found}, found)
    if wrong:
        raise ValueError(f"the ResNet does not fit the first stage: {wrong}")
    net.load_state_dict(found, strict=False)
