"""CenterNet's pooling along rows and columns (Duan et al. 2019), by running maxima.

Corners of a person's box usually lie outside the person, and the evidence for them along the box's sides; the evidence for a centre lies
anywhere in its row and column. Parameters have the names of CenterNet's published program.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["POINTS", "Point", "PointPool", "running_max"]

Way = Literal["up", "down", "left", "right"]
Point = Literal["centre", "top_left", "bottom_right"]
POINTS: tuple[Point, ...] = ("centre", "top_left", "bottom_right")

# For each corner the direction of pooling along the box's vertical and horizontal side.
_WAYS: dict[Point, tuple[Way, Way]] = {"top_left": ("up", "left"), "bottom_right": ("down", "right")}


def running_max(x: Float[Tensor, "b c h w"], way: Way) -> Float[Tensor, "b c h w"]:
    """The running maximum along rows or columns.

    ``up`` runs from the bottom row upwards (the maximum of all cells below; CenterNet's top pool), ``down`` from the top, ``left`` from the
    right column, ``right`` from the left. On ties the gradient goes to one cell.
    """
    dim, forward = (2 if way in ("up", "down") else 3), way in ("down", "right")
    if x.requires_grad:
        return x.cummax(dim)[0] if forward else x.flip(dim).cummax(dim)[0].flip(dim)
    # Without a gradient, log2(side) maxima of shifted maps: faster for long columns, and exportable.
    side, step = x.shape[dim], 1
    while step < side:
        highest = torch.maximum(x.narrow(dim, step, side - step), x.narrow(dim, 0, side - step))
        edge = x.narrow(dim, 0 if forward else side - step, step)  # complete
        x = torch.cat([edge, highest] if forward else [highest, edge], dim)
        step *= 2
    return x


class _Convolution(nn.Module):
    """3 × 3 convolution, batch normalization, ReLU."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(c_out)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        return self.bn(self.conv(x)).relu_()


class PointPool(nn.Module):
    """Center pooling or cascade corner pooling, with the convolutions around it (SIMPLE, Section 4.1; CenterNet, Sections 3.2, 3.3).

    Center pooling adds the maxima of a cell's column and row. Cascade corner pooling takes maxima along the two sides of the box at a
    corner, after maxima from these sides into the box.

    Args:
        channels: of input and output.
        point: the type of point.
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
        """Pooled features of the same size."""
        first, second = self.p1_conv1(x), self.p2_conv1(x)
        if self.point == "centre":
            pooled = first.amax(2, keepdim=True) + second.amax(3, keepdim=True)
        else:
            vertical, horizontal = _WAYS[self.point]
            first = running_max(self.P1_look_conv(first + running_max(self.look_conv1(x), horizontal)), vertical)
            second = running_max(self.P2_look_conv(second + running_max(self.look_conv2(x), vertical)), horizontal)
            pooled = first + second
        return self.conv2((self.p_bn1(self.p_conv1(pooled)) + self.bn1(self.conv1(x))).relu_())
