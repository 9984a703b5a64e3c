"""The single-person HRNet's network (the teacher of SIMPLE), with the published names of all parameters."""

from jaxtyping import Float
from torch import Tensor, nn

from manypose.nn.backbones import hrnet_branches, hrnet_parts, hrnet_width

__all__ = ["HRNetwork"]


class HRNetwork(nn.Module):
    """HRNet's backbone and its ``final_layer`` on stage 4's finest branch.

    Args:
        trunk: any HRNet of timm.
        joints: number of heat maps.
        pretrained: see `hrnet_parts`.
    """

    def __init__(self, trunk: str, joints: int, pretrained: bool | str = False) -> None:
        super().__init__()
        parts = hrnet_parts(trunk, 1, pretrained)
        for name, part in parts.items():
            self.add_module(name, part)
        self.final_layer = nn.Conv2d(hrnet_width(parts), joints, 1)
        # N(0, 0.001), as published; larger weights would dominate the narrow targets at first.
        nn.init.normal_(self.final_layer.weight, std=0.001)
        nn.init.zeros_(self.final_layer.get_parameter("bias"))
        if not pretrained:
            for module in (m for part in parts.values() for m in part.modules()):
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b k h w"]:
        """Heat maps at stride 4."""
        return self.final_layer(hrnet_branches(self, images)[0])
