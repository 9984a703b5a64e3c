"""A light network for Simple Pose on a light trunk, with body parts predicted from features of all strides.

It has one stage and scale instead of stacked hourglasses (Figure 3), since the pretrained trunk has a large receptive field.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from manypose.methods.simple_pose.body import Body
from manypose.nn.movenet_photo import JointsInContext, Mix
from manypose.nn.rates import faster

__all__ = ["MobileMaps"]


class MobileMaps(nn.Module):
    """Maps of parts and joints (0 … 1) at stride 4, as of `network.IMHN` with one stage and scale.

    Args:
        body: joints and parts.
        extra: number of further channels after the joints.
        channels: of the features.
        frozen, pretrained, trunk: see `manypose.nn.movenet_photo.photo_trunk`.
    """

    def __init__(
        self, body: Body, extra: int = 0, channels: int = 64, frozen: int = 0, pretrained: bool | str | None = None, trunk: str = "movenet"
    ) -> None:
        super().__init__()
        joints = len(body.skeleton)
        self.base = JointsInContext(joints, channels, frozen, pretrained, trunk)
        new = len(body.parts) + len(body.made) + extra
        self.out = nn.Sequential(Mix(channels, channels), Mix(channels, channels), nn.Conv2d(channels, new, 1))
        last: nn.Conv2d = self.out[2]  # type: ignore[assignment]
        nn.init.constant_(last.bias, -3.0)  # type: ignore[arg-type]
        faster(self.out.parameters())
        # The mapped joints among (the skeleton's, midpoints).
        made = iter(range(joints, joints + len(body.made)))
        self.order = [next(made) if isinstance(s, tuple) else s for s in body.sources]
        self.sizes = [len(body.parts), len(body.made), extra]

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> list[list[Float[Tensor, "b c h w"]]]:
        """The maps of parts, joints, and the further channels."""
        joints, x = self.base(images)
        parts, made, extra = self.out(x).float().split(self.sizes, 1)
        maps = torch.cat([parts, torch.cat([joints, made], 1)[:, self.order], extra], 1)
        return [[maps.sigmoid()]]
