"""Reader of Simple Pose's published checkpoints: parameters under ``weights`` with the prefix ``posenet.``."""

from torch import Tensor

from manypose.nn.checkpoint_files import Published

__all__ = ["PUBLISHED"]


def _describe(state: dict[str, Tensor]) -> str:
    """The model name for a state dict, such as ``imhn-4, wiring 'released', 50 maps``."""
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


PUBLISHED = Published(
    wrappers=("weights", "state_dict", "model"),
    describe=_describe,
    trunk=lambda name: not name.startswith(("outs.", "merge_preds.")),
    prefix="posenet.",
)
"""The backbone is all but the heads and the layers that pass heat maps to the next stage."""
