"""CenterNet's pooling along rows and columns (Duan et al. 2019), by running maxima.

A corner of a person's box lies where no part of the person is; what tells of it stands to its right and below. A box's centre may show
anything too; what tells of it stands anywhere in its row and column. Parameters have the names of CenterNet's published program.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["POINTS", "Point", "PointPool", "running_max"]

Way = Literal["up", "down", "left", "right"]
Point = Literal["centre", "top_left", "bottom_right"]
POINTS: tuple[Point, ...] = ("centre", "top_left", "bottom_right")

# Along which way each corner looks down (or up) the box's side, and along which its top (or bottom).
_WAYS: dict[Point, tuple[Way, Way]] = {"top_left": ("up", "left"), "bottom_right": ("down", "right")}


def running_max(x: Float[Tensor, "b c h w"], way: Way) -> Float[Tensor, "b c h w"]:
    """The largest value met so far on the way through a row or column.

    ``up`` runs from the bottom row upwards (a cell then knows all that is below it; CenterNet's top pool), ``down`` from the top, ``left``
    from the right column leftwards, ``right`` from the left. Among equal values the gradient goes to one.
    """
    dim, forward = (2 if way in ("up", "down") else 3), way in ("down", "right")
    if x.requires_grad:
        return x.cummax(dim)[0] if forward else x.flip(dim).cummax(dim)[0].flip(dim)
    # Without a gradient, log2(side) whole-map maxima: faster where columns are long, and exporters know every step of it.
    side, step = x.shape[dim], 1
    while step < side:
        highest = torch.maximum(x.narrow(dim, step, side - step), x.narrow(dim, 0, side - step))
        edge = x.narrow(dim, 0 if forward else side - step, step)  # these have seen all that lies on their way
        x = torch.cat([edge, highest] if forward else [highest, edge], dim)
        step *= 2
    return x


class _Convolution(nn.Module):
    """3 × 3, batch normalisation, ReLU."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(c_out)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        return self.bn(self.conv(x)).relu_()


class PointPool(nn.Module):
    """Center pooling or cascade corner pooling, with the convolutions around it (SIMPLE, Section 4.1; CenterNet, Sections 3.2, 3.3).

    Center pooling adds the maximum of a cell's column to that of its row. Cascade corner pooling lets a corner look along the two sides
    of the box that meet in it, each cell of which has looked into the box before.

    Args:
        channels: in and out.
        point: what is looked for.
        inner: channels of the pooled branches.
    """

    def __init__(self, channels: int, point: Point, inner: int = 128) -> None:
        super().__init__()
        self.point: Point = point
        self.p1_conv1 = _Convolution(channels, inner)
        self.p2_conv1 = _Convolution(channels, inner)
        self.p_conv1 = nn.Conv2d(inner, channels, 3, padding=1, bias=False)
        self.p_bn1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _Convolution(channels, channels)
        if point != "centre":
            self.look_conv1 = _Convolution(channels, inner)
            self.look_conv2 = _Convolution(channels, inner)
            self.P1_look_conv = nn.Conv2d(inner, inner, 3, padding=1, bias=False)
            self.P2_look_conv = nn.Conv2d(inner, inner, 3, padding=1, bias=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Features in, features out, of one size."""
        first, second = self.p1_conv1(x), self.p2_conv1(x)
        if self.point == "centre":
            pooled = first.amax(2, keepdim=True) + second.amax(3, keepdim=True)
        else:
            vertical, horizontal = _WAYS[self.point]
            first = running_max(self.P1_look_conv(first + running_max(self.look_conv1(x), horizontal)), vertical)
            second = running_max(self.P2_look_conv(second + running_max(self.look_conv2(x), vertical)), horizontal)
            pooled = first + second
        return self.conv2((self.p_bn1(self.p_conv1(pooled)) + self.bn1(self.conv1(x))).relu_())
