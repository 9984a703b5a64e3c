"""Hourglass stages, for comparison at equal cost (MSPN, Tables 2 and 4): constant or growing widths; one residual unit per scale."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d

from manypose.methods.mspn.down_units import Unit

__all__ = ["GROWING", "Hourglass"]

GROWING = (256, 386, 512, 768)
"""Channels by scale, down and up, of the variant in Section 3.1 and Table 2."""


class Residual(nn.Module):
    """A bottleneck with half the width inside."""

    def __init__(self, c_in: int, width: int) -> None:
        super().__init__()
        self.units = nn.Sequential(Unit(c_in, width // 2), Unit(width // 2, width // 2, 3), Unit(width // 2, width, relu=False))
        self.short = Unit(c_in, width, relu=False) if c_in != width else nn.Identity()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """(b, c_in, h, w) to (b, width, h, w)."""
        return torch.relu(self.units(x) + self.short(x))


class Hourglass(nn.Module):
    """An hourglass with max pooling and nearest-neighbour upsampling, and the interface of MSPN's stage.

    Args:
        joints: channels of a heat map.
        widths: channels of the four scales, the finest first.
        first: whether the input is the stem's 64 channels.
        last: whether no stage follows.
        aggregation: whether the stage gives features for the next one (CSFA).
        multi_scale: whether all scales give heat maps.
    """

    def __init__(self, joints: int, widths: Sequence[int], first: bool, last: bool, aggregation: bool, multi_scale: bool) -> None:
        super().__init__()
        finest, scales = widths[0], range(4)
        self.enter = Residual(64, finest) if first else nn.Identity()
        self.down = nn.ModuleList(Residual(widths[i], widths[i + 1]) for i in range(3))
        self.side = nn.ModuleList(Residual(widths[i], widths[i]) for i in scales)
        self.up = nn.ModuleList(Residual(widths[i], widths[i]) for i in scales)
        pairs = zip(widths[1:], widths[:-1], strict=True)
        self.narrow = nn.ModuleList(Unit(below, above) if below != above else nn.Identity() for below, above in pairs)
        self.heads = nn.ModuleDict({
            str(i): nn.Sequential(Unit(widths[3 - i], widths[3 - i]), Unit(widths[3 - i], joints, 3, relu=False))
            for i in range(0 if multi_scale else 3, 4)
        })  # fmt: skip
        self.skips = nn.ModuleList()
        if aggregation and not last:
            self.skips.extend(nn.ModuleList([Unit(widths[i], widths[i]), Unit(widths[i], widths[i])]) for i in scales)
        self.cross = None if last else Unit(finest, finest)

    def forward(self, x: Tensor, skips: list[Tensor] | None, wanted: range) -> tuple[list[Tensor], list[Tensor] | None, Tensor | None]:
        """As `network.Stage.forward`."""
        x, down = self.enter(x), []
        for i in range(4):
            x = self.down[i - 1](max_pool2d(x, 2, ceil_mode=True)) if i else x
            x = x if skips is None else x + skips[i]
            down.append(x)
        size, below, ups = down[0].shape[2:], None, []
        for i in (3, 2, 1, 0):
            x = self.side[i](down[i])
            below = self.up[i](x if below is None else x + interpolate(self.narrow[i](below), size=x.shape[2:], mode="nearest"))
            ups.append(below)
        heats = [self.heads[str(i)](ups[i]) for i in wanted if str(i) in self.heads]
        levels = [interpolate(heat, size=size, mode="bilinear", align_corners=True) for heat in heats]
        given = [pair[0](down[i]) + pair[1](ups[3 - i]) for i, pair in enumerate(self.skips)]  # pyright: ignore[reportIndexIssue]
        return levels, given or None, None if self.cross is None else self.cross(ups[3])
