"""Checkpoints of Simple Pose as its authors publish them: parameters under ``weights``, each name beginning with ``posenet.``.

Those names are ours too, so loading is unwrapping, checking, and saying clearly what does not fit.
"""

from pathlib import Path

from torch import Tensor

from manypose.methods.simple_pose import SimplePose
from manypose.nn.checkpoint_files import fill, read_checkpoint

__all__ = ["PREFIX", "describe", "fit", "fit_trunk", "load_published"]

PREFIX = "posenet."
WRAPPERS = ("weights", "state_dict", "model")


def load_published(path: str | Path) -> dict[str, Tensor]:
    """A published file's parameters, without their prefix: a bare state dict, or one under ``weights`` or ``state_dict``.

    Nothing in the file is run.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a checkpoint, cut short, or it holds code.
    """
    return {name.removeprefix(PREFIX): tensor for name, tensor in read_checkpoint(path, WRAPPERS).items()}


def fit(method: SimplePose, state: dict[str, Tensor], source: str = "the checkpoint") -> None:
    """Put a published state dict into a method, all or nothing.

    Args:
        method: of the wiring and the stages that the checkpoint was trained with.
        state: what `load_published` gives.
        source: the file's name, for errors.

    Raises:
        ValueError: names or shapes differ; the error says how, and which model would fit.
    """
    fill(method.net, state, describe, source)


def fit_trunk(method: SimplePose, state: dict[str, Tensor], source: str = "the checkpoint") -> None:
    """Put all but the layers that heat maps go through (heads, and their way to the next stage) into a method, for other joints.

    Raises:
        ValueError: the rest is not all there, or is of another size.
    """
    fill(method.net, state, describe, source, part=lambda name: not name.startswith(("outs.", "merge_preds.")))


def describe(state: dict[str, Tensor]) -> str:
    """What a state dict looks like, in terms of our model names, such as ``imhn-4, wiring 'released', 50 maps``."""
    stages = len({name.split(".")[1] for name in state if name.startswith("outs.")})
    if not stages or "outs.0.0.conv.weight" not in state:
        return "no model of this family"
    if "pre.dilation.0.conv.weight" in state:
        wiring = "released"
    elif not any(name.startswith("hourglass.0.hg.0.4.") for name in state):
        wiring = "hourglass"
    else:  # the first convolution before the heads is 1×1 in one
        first = state.get("features.0.before_regress.0.0.conv.weight")
        wiring = "paper" if first is not None and first.shape[-1] == 1 else "paper_wide"
    return f"imhn-{stages}, wiring {wiring!r}, {state['outs.0.0.conv.weight'].shape[0]} maps"
