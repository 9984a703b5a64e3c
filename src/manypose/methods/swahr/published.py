"""Checkpoints of HigherHRNet and SWAHR as their authors publish them, and HRNet trunks trained on ImageNet.

The parameters' names are ours too, so loading is unwrapping, checking, and saying clearly what does not fit.
"""

from pathlib import Path

from torch import Tensor

from manypose.methods.swahr import SWAHR
from manypose.nn.backbones import HRNET_PARTS
from manypose.nn.checkpoint_files import fill, read_checkpoint

__all__ = ["ARGUMENTS", "describe", "fit", "fit_trunk", "load_published"]

ARGUMENTS = {"published_targets": True}
"""What a model is built with to hold a published file: it was trained on joints cut to whole cells."""

# best_state_dict comes first: where a training checkpoint has both, that is the model which was published.
WRAPPERS = ("best_state_dict", "state_dict", "model")


def load_published(path: str | Path) -> dict[str, Tensor]:
    """A published file's parameters: a bare state dict, or one in ``best_state_dict`` or ``state_dict``, perhaps with ``module.`` prefixes.

    Nothing in the file is run.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a checkpoint, cut short, or it holds code.
    """
    return read_checkpoint(path, WRAPPERS)


def fit(method: SWAHR, state: dict[str, Tensor], source: str = "the checkpoint") -> None:
    """Put a published state dict into a method, all or nothing.

    Args:
        method: of the architecture the checkpoint was trained with.
        state: what `load_published` gives.
        source: the file's name, for errors.

    Raises:
        ValueError: names or shapes differ; the error says how, and which model would fit.
    """
    fill(method.net, state, describe, source)


def fit_trunk(method: SWAHR, state: dict[str, Tensor], source: str = "the checkpoint") -> None:
    """Put only the HRNet trunk of a state dict (ImageNet's, a top-down HRNet's or another number of joints') into a method.

    Raises:
        ValueError: the trunk is not all there, or is of another width.
    """
    fill(method.net, state, describe, source, part=lambda name: name.split(".")[0] in HRNET_PARTS)


def describe(state: dict[str, Tensor]) -> str:
    """What a state dict looks like, in terms of our model names, such as ``higherhrnet-w48, 14 joints``."""

    def channels(name: str) -> int:
        return state[name].shape[0] if name in state else 0

    width, joints = channels("stage4.0.branches.0.0.conv1.weight"), channels("final_layers.1.weight")
    if joints and width:
        small = "-small" if width == 16 else ""  # timm calls the trunk with 16 channels w18_small
        return f"{'swahr' if 'conv_scale_layers.0.0.weight' in state else 'higherhrnet'}-w{18 if small else width}{small}, {joints} joints"
    if width:
        top_down = channels("final_layer.weight")
        return f"a top-down hrnet-w{width}, {top_down} joints" if top_down else f"an HRNet-w{width} trunk without pose layers"
    return "mspn" if "top.conv.conv.weight" in state else "no model of this family"
