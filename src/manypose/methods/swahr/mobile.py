"""A light HigherHRNet on MoveNet's trunk: the same outputs, for a CPU.

A person's tag starts as the place of its joints: a ramp from left to right is added to the tag maps, one step each `TAG_UNIT` pixels. So
people side by side differ from the first step on, and what the network has to learn is how far a joint lies from its person's middle.
Without it the tags of a short training collapse: all people get the same.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, cat, nn
from torch.nn.functional import interpolate

from manypose.methods.method import Maps
from manypose.methods.swahr.network import enlarge, initialise, scale_head
from manypose.nn.movenet_photo import JointsInContext, Mix
from manypose.nn.rates import faster

__all__ = ["MobileHigher"]

TAG_UNIT = 32.0
"""Pixels of the input from left to right by which a tag grows by 1 before anything is learnt."""


class MobileHigher(nn.Module):
    """Heat maps and tags at 1/4, heat maps at 1/2, perhaps scale maps at both, as `network.HigherHRNet` gives them.

    Args:
        joints: how many.
        scale_branch: predict SAHR's ``1/s - 1``.
        dilation: of the four residual blocks at 1/2.
        channels: of the features at 1/4.
        width: of the features at 1/2.
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
                part.apply(initialise)
        for module in (self.scales or nn.Module()).modules():
            if isinstance(module, nn.Conv2d) and module.groups > 1:
                nn.init.zeros_(module.weight)  # the scale starts at s = 1 everywhere
        for part in (self.tag, self.enlarged, self.finer, self.scales):
            if part is not None:
                faster(part.parameters())

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> Maps:
        """``heat4``, ``tag4``, ``heat2`` and perhaps ``scale4``, ``scale2``: all (b, k, h, w), at 1/4 and 1/2; heat maps from 0 to 1."""
        logits, x = self.base(images)
        heat = logits.sigmoid()
        half = self.enlarged(cat([x, heat.to(x.dtype)], 1))
        above = interpolate(logits, scale_factor=2.0, mode="bilinear", align_corners=False)
        ramp = torch.arange(x.shape[3], device=x.device) * (4 / TAG_UNIT)
        out = {"heat4": heat, "tag4": self.tag(x).float() + ramp, "heat2": (above + self.finer(half).float()).sigmoid()}
        if self.scales is not None:
            out["scale4"], out["scale2"] = self.scales[0](x), self.scales[1](half)
        return out
