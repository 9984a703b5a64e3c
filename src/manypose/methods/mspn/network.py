"""The multi-stage pose network (MSPN, Figures 2 and 3), with the published names of all parameters."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d

from manypose.methods.mspn.down_units import TRUNKS, Unit
from manypose.methods.mspn.hourglass import GROWING, Hourglass

__all__ = ["MSPNet", "resized"]

Skips = list[Tensor]
"""Features passed to the four scales of the next stage, finest first."""


def resized(x: Float[Tensor, "b c h w"], size: tuple[int, int]) -> Float[Tensor, "b c h2 w2"]:
    """Bilinear interpolation with aligned corners, as published."""
    return interpolate(x, size=size, mode="bilinear", align_corners=True)


class MSPNet(nn.Module):
    """Stem and stages. A stage has a down-sampling and an up-sampling unit with four scales; each up-sampling scale predicts heat maps.

    Args:
        stages: number of stages.
        joints: number of heat maps.
        trunk: a name in `down_units.TRUNKS`, ``hourglass``, or ``hourglass-growing`` (Table 2, †), whose width is `GROWING`.
        width: channels of the up-sampling units, or of an Hourglass.
        aggregation: cross-stage feature aggregation (CSFA, Section 3.2).
        multi_scale: heat maps from all four scales of a stage (Section 3.3), not only the finest.
        depths: numbers of blocks of the four layers; default: those of `trunk`.

    Raises:
        ValueError: no such trunk, or a number out of range.
    """

    def __init__(
        self,
        stages: int,
        joints: int,
        trunk: str = "resnet50",
        width: int = 256,
        aggregation: bool = True,
        multi_scale: bool = True,
        depths: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        glasses = {"hourglass": (width,) * 4, "hourglass-growing": GROWING}
        if trunk not in glasses and trunk not in TRUNKS:
            raise ValueError(f"no trunk {trunk!r}; there are {', '.join([*TRUNKS, *glasses])}")
        if not 1 <= stages <= 32 or width < 1:
            raise ValueError(f"a network has 1 to 32 stages and a positive width, got {stages} stages, width {width}")
        if depths is not None and (trunk in glasses or len(depths) != 4 or min(depths) < 1):
            raise ValueError(f"depths are the blocks of a trunk's four layers (an Hourglass has none), got {list(depths)} for {trunk!r}")
        self.stages = stages
        self.top = nn.ModuleDict({"conv": Unit(3, 64, 7, 2)})
        for i in range(stages):
            last = i == stages - 1
            common: dict[str, Any] = {"last": last, "aggregation": aggregation, "multi_scale": multi_scale}
            glass = glasses.get(trunk)
            stage = Stage(trunk, joints, width, depths, **common) if glass is None else Hourglass(joints, glass, i == 0, **common)
            self.add_module(f"stage{i}", stage)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Float[Tensor, "b 3 H W"], every: bool = True) -> list[list[Float[Tensor, "b k h w"]]]:
        """Heat maps at stride 4, by stage and then by scale, the coarsest first.

        Args:
            images: of any size, best multiples of 32.
            every: all heat maps; otherwise only the last stage's finest, for decoding.
        """
        x = max_pool2d(self.top["conv"](images), 3, 2, 1)
        heats, skips = [], None
        for i in range(self.stages):
            wanted = range(4) if every else range(3, 4) if i == self.stages - 1 else range(0)
            levels, skips, x = self.get_submodule(f"stage{i}")(x, skips, wanted)
            heats.append(levels)
        return heats if every else heats[-1:]


class Stage(nn.Module):
    """A down-sampling unit and an up-sampling unit (GlobalNet of CPN)."""

    def __init__(
        self, trunk: str, joints: int, width: int, depths: Sequence[int] | None, last: bool, aggregation: bool, multi_scale: bool
    ) -> None:
        super().__init__()
        made, channels = TRUNKS[trunk](64) if depths is None else TRUNKS[trunk](64, depths=tuple(depths))
        self.downsample = nn.ModuleDict({f"layer{i}": layer for i, layer in enumerate(made, 1)})
        ups = {}
        for i, c in enumerate(reversed(channels), 1):
            head = multi_scale or i == 4
            ups[f"up{i}"] = Up(c, width, joints if head else 0, i > 1, aggregation and not last, i == 4 and not last)
        self.upsample = nn.ModuleDict(ups)

    def forward(self, x: Tensor, skips: Skips | None, wanted: range) -> tuple[list[Tensor], Skips | None, Tensor | None]:
        """Heat maps of the `wanted` scales (0 is the coarsest), the features for the next stage's scales, and its input."""
        down = []
        for i, layer in enumerate(self.downsample.values()):
            x = layer(x) if skips is None else layer(x) + skips[i]
            down.append(x)
        size, below, levels, given = down[0].shape[2:], None, [], []
        ups = [up for up in self.upsample.values() if isinstance(up, Up)]
        for i, up in enumerate(ups):
            side = down[3 - i]
            below = up.merged(side, below)
            if up.has_head and i in wanted:
                levels.append(resized(up.heat(below), size))
            if up.skip1 is not None and up.skip2 is not None:
                given.append(up.skip1(side) + up.skip2(below))
        last = ups[-1]
        return levels, given[::-1] or None, None if last.cross_conv is None else last.cross_conv(below)


class Up(nn.Module):
    """One scale of an up-sampling unit."""

    def __init__(self, c: int, width: int, joints: int, below: bool, aggregation: bool, cross: bool) -> None:
        super().__init__()
        self.u_skip = Unit(c, width, relu=False)
        if below:
            self.up_conv = Unit(width, width, relu=False)
        self.skip1, self.skip2 = (Unit(c, c), Unit(width, c)) if aggregation else (None, None)
        self.cross_conv = Unit(width, 64) if cross else None
        self.has_head = joints > 0
        if joints:
            self.res_conv1, self.res_conv2 = Unit(width, width), Unit(width, joints, 3, relu=False)

    def merged(self, side: Float[Tensor, "b c h w"], below: Float[Tensor, "b d _h _w"] | None) -> Float[Tensor, "b d h w"]:
        """The sum of this scale's down-sampled feature and the next coarser up-sampled one."""
        x = self.u_skip(side)
        return torch.relu(x if below is None else x + self.up_conv(resized(below, x.shape[2:])))

    def heat(self, x: Float[Tensor, "b d h w"]) -> Float[Tensor, "b k h w"]:
        """Heat maps of this scale, with a batch normalization as the last layer, as published."""
        return self.res_conv2(self.res_conv1(x))
