"""Checkpoints of HigherHRNet and SWAHR as their authors publish them, and HRNet trunks trained on ImageNet."""

from torch import Tensor

from manypose.nn.backbones import HRNET_PARTS
from manypose.nn.checkpoint_files import Published

__all__ = ["PUBLISHED"]


def _describe(state: dict[str, Tensor]) -> str:
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


PUBLISHED = Published(
    # Of a training checkpoint that has both, best_state_dict is the published model.
    wrappers=("best_state_dict", "state_dict", "model"),
    describe=_describe,
    trunk=lambda name: name.split(".")[0] in HRNET_PARTS,
    arguments={"published_targets": True},  # trained on joints cut to whole cells
)
"""The trunk is HRNet's: of ImageNet, of a top-down HRNet, or of another number of joints."""
