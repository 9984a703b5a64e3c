"""Reader of the published checkpoints of HigherHRNet and SWAHR, and of HRNet backbones trained on ImageNet."""

from torch import Tensor

from manypose.nn.backbones import HRNET_PARTS
from manypose.nn.checkpoint_files import Published

__all__ = ["PUBLISHED"]


def _describe(state: dict[str, Tensor]) -> str:
    """The model name for a state dict, such as ``higherhrnet-w48, 14 joints``."""

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


PUBLISHED = Published(
    # In a training checkpoint with both, best_state_dict is the published model.
    wrappers=("best_state_dict", "state_dict", "model"),
    describe=_describe,
    trunk=lambda name: name.split(".")[0] in HRNET_PARTS,
    arguments={"published_targets": True},  # trained on joints rounded down to cells
)
"""The backbone is HRNet's: from ImageNet, a top-down HRNet, or another number of joints."""
