"""Checkpoints of MSPN and of the single-person HRNet as their authors publish them, and ResNets trained on ImageNet.

The parameters' names are ours too, so loading is unwrapping, checking, and saying clearly what does not fit.
"""

from pathlib import Path

from torch import Tensor, nn

from manypose.methods.mspn import MSPN, HRNet
from manypose.methods.mspn.network import MSPNet
from manypose.nn.backbones import HRNET_PARTS, resnet
from manypose.nn.checkpoint_files import fill, mismatch, read_checkpoint

__all__ = ["ARGUMENTS", "describe", "fit", "fit_trunk", "imagenet", "load_published", "rename"]

ARGUMENTS = {"decoding": "published"}
"""Arguments of a method that is to hold published weights: they were trained on crops placed and enlarged as the authors do it."""

WRAPPERS = ("best_state_dict", "state_dict", "model")


def load_published(path: str | Path) -> dict[str, Tensor]:
    """A published file's parameters: a bare state dict, or one in ``state_dict`` (HRNet) or ``model`` (MSPN). Nothing in the file is run.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a checkpoint, cut short, or it holds code.
    """
    return read_checkpoint(path, WRAPPERS)


def fit(method: MSPN | HRNet, state: dict[str, Tensor], source: str = "the checkpoint") -> None:
    """Put a published state dict into a method, all or nothing.

    Raises:
        ValueError: names or shapes differ; the error says how, and which model would fit.
    """
    fill(method.net, state, describe, source)


def fit_trunk(method: MSPN | HRNet, state: dict[str, Tensor], source: str = "the checkpoint") -> None:
    """Put all but the prediction layers of a state dict into a method: HRNet's trunk or MSPN's stages, of any number of joints.

    Raises:
        ValueError: not all of them are there, or they are of another width.
    """

    def trunk(name: str) -> bool:
        return name.split(".")[0] in HRNET_PARTS if isinstance(method, HRNet) else "res_conv2" not in name

    fill(method.net, state, describe, source, part=trunk)


def describe(state: dict[str, Tensor]) -> str:
    """What a state dict looks like, in terms of our model names, such as ``mspn-2, 17 joints``."""
    if "top.conv.conv.weight" in state:
        stages = len({name.split(".")[0] for name in state if name.startswith("stage")})
        head = next((t.shape[0] for name, t in state.items() if name.endswith("up4.res_conv2.conv.weight")), 0)
        return f"mspn-{stages}, {head or 'unknown'} joints"
    if "stage4.0.branches.0.0.conv1.weight" not in state:
        return "no model of this family"
    width = state["stage4.0.branches.0.0.conv1.weight"].shape[0]
    if "final_layer.weight" in state:
        return f"hrnet-w{width}, {state['final_layer.weight'].shape[0]} joints"
    bottom_up = "a bottom-up HigherHRNet" if "final_layers.1.weight" in state else "an HRNet trunk"
    return f"{bottom_up} of width {width}"


def imagenet(net: MSPNet, trunk: str) -> None:
    """Start the stem and the first stage's way down from ImageNet weights; convolutions' biases, which ImageNet's ResNets lack, start at 0.

    Raises:
        ValueError: there are none for the trunk, or they cannot be fetched.
    """
    if not trunk.startswith("resnet"):
        raise ValueError(f"there are no ImageNet weights for the trunk {trunk!r}; use pretrained=False")
    rename(net, resnet(trunk, pretrained=True))


def rename(net: MSPNet, trained: nn.Module) -> None:
    """Copy a ResNet's parameters (``conv1 bn1 layer1 … layer4``) to the stem and the first stage."""
    state = trained.state_dict()
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
