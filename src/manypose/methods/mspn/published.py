"""Reader of the published checkpoints of MSPN and of the single-person HRNet."""

from torch import Tensor

from manypose.nn.checkpoint_files import Published

__all__ = ["PUBLISHED"]


def _describe(state: dict[str, Tensor]) -> str:
    """The model name for a state dict, such as ``mspn-2, 17 joints``."""
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


PUBLISHED = Published(
    wrappers=("best_state_dict", "state_dict", "model"),
    describe=_describe,
    trunk=lambda name: "res_conv2" not in name and not name.startswith("final_layer"),
    # The authors' crops, filter and scores; MPII's differ by the skeleton.
    arguments={"decoding": "published"},
)
"""A state dict, or one under ``state_dict`` (HRNet) or ``model`` (MSPN). The backbone is all but the prediction layers."""
