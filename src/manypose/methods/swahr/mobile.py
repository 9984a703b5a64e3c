"""A light HigherHRNet on MoveNet's trunk, for CPUs.

A horizontal ramp that grows by 1 every `TAG_UNIT` pixels is added to the tag maps, so that people side by side have different tags from the
start, and the network learns the offset of a joint from its person's centre. Without it, tags collapse in a short training.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, cat, nn
from torch.nn.functional import interpolate

from manypose.methods.method import Maps
from manypose.methods.swahr.network import enlarge, initialize, scale_head
from manypose.nn.movenet_photo import JointsInContext, Mix
from manypose.nn.rates import faster

__all__ = ["MobileHigher"]

TAG_UNIT = 32.0
"""Input pixels from left to right per unit of the initial tag."""


class MobileHigher(nn.Module):
    """A network with the outputs of `network.HigherHRNet`.

    Args:
        joints: number of joints.
        scale_branch: predict SAHR's ``1/s - 1``.
        dilation: of the four residual blocks at stride 2.
        channels: of the features at stride 4.
        width: of the features at stride 2.
        frozen, pretrained, trunk: see `manypose.nn.movenet_photo.photo_trunk`.
    """

    def __init__(
        self,
        joints: int = 17,
        scale_branch: bool = True,
        dilation: Sequence[int] = (1, 1),
        channels: int = 64,
        width: int = 24,
        frozen: int = 0,
        pretrained: bool | str | None = None,
        trunk: str = "movenet",
    ) -> None:
        super().__init__()
        self.base = JointsInContext(joints, channels, frozen, pretrained, trunk)
        self.tag = nn.Sequential(Mix(channels, channels), Mix(channels, channels), nn.Conv2d(channels, joints, 1))
        self.enlarged = enlarge(channels + joints, width, dilation)
        self.finer = nn.Conv2d(width, joints, 1)
        self.scales = nn.ModuleList([scale_head(channels, joints), scale_head(width, joints)]) if scale_branch else None
        for part in (self.enlarged, self.finer, self.scales):
            if part is not None:
                part.apply(initialize)
        for module in (self.scales or nn.Module()).modules():
            if isinstance(module, nn.Conv2d) and module.groups > 1:
                nn.init.zeros_(module.weight)  # initially s = 1
        for part in (self.tag, self.enlarged, self.finer, self.scales):
            if part is not None:
                faster(part.parameters())

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> Maps:
        """``heat4``, ``tag4``, ``heat2`` and optionally ``scale4``, ``scale2``: (b, k, h, w) at strides 4 and 2; heat maps in 0 … 1."""
        logits, x = self.base(images)
        heat = logits.sigmoid()
        half = self.enlarged(cat([x, heat.to(x.dtype)], 1))
        above = interpolate(logits, scale_factor=2.0, mode="bilinear", align_corners=False)
        ramp = torch.arange(x.shape[3], device=x.device) * (4 / TAG_UNIT)
        out = {"heat4": heat, "tag4": self.tag(x).float() + ramp, "heat2": (above + self.finer(half).float()).sigmoid()}
        if self.scales is not None:
            out["scale4"], out["scale2"] = self.scales[0](x), self.scales[1](half)
        return out
