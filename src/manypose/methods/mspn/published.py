"""Checkpoints of MSPN and of the single-person HRNet as their authors publish them.

Our parameters have the published names, so loading means unwrapping and checking.
"""

from pathlib import Path

from torch import Tensor

from manypose.methods.mspn import MSPN, HRNet
from manypose.nn.backbones import HRNET_PARTS
from manypose.nn.checkpoint_files import fill, read_checkpoint

__all__ = ["ARGUMENTS", "describe", "fit", "fit_trunk", "load_published"]

ARGUMENTS = {"decoding": "published"}
"""Arguments of a method for published weights: views, filter and scores as the authors have them; MPII's differ by the skeleton."""

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
