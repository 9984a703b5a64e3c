"""SIMPLE's student: HRNet with concatenated branches, pose maps, and points of person boxes (Sections 3 and 4, Equation 9)."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate

from manypose.methods.method import Maps
from manypose.methods.simple.corner_pooling import POINTS, Point, PointPool
from manypose.nn.backbones import hrnet_branches, hrnet_parts, hrnet_width
from manypose.nn.retinanet import PersonSubnet

__all__ = ["Fuse", "PointBranch", "Student", "concatenated"]

RARE = -2.19  # a point map starts at sigmoid(-2.19) = 0.1 everywhere, as CenterNet's


def concatenated(branches: list[Float[Tensor, "b _c _h _w"]]) -> Float[Tensor, "b d h w"]:
    """F_shared: all branches at the first one's resolution (bilinear), concatenated: 15 C channels (Section 3)."""
    size = branches[0].shape[2:]
    return torch.cat([b if b.shape[2:] == size else _enlarged(b, (size[0], size[1])) for b in branches], 1)


def _enlarged(x: Tensor, size: tuple[int, int]) -> Tensor:
    return interpolate(x, size=size, mode="bilinear", align_corners=False)


class Fuse(nn.Module):
    """A 1 × 1 convolution of F_shared, batch normalization, ReLU.

    Each branch is convolved before it is enlarged, which is equivalent and cheaper, since the small branches have most of the channels.

    Args:
        widths: channels of the branches.
        channels: of the output.
    """

    def __init__(self, widths: list[int], channels: int) -> None:
        super().__init__()
        self.widths = widths
        self.conv = nn.Conv2d(sum(widths), channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, branches: list[Float[Tensor, "b _c _h _w"]]) -> Float[Tensor, "b d h w"]:
        """The fused features of the branches (finest first) at the finest resolution."""
        size = (branches[0].shape[2], branches[0].shape[3])
        parts = [conv2d(b, w) for b, w in zip(branches, self.conv.weight.split(self.widths, 1), strict=True)]
        total = parts[0]
        for part in parts[1:]:
            total = total + _enlarged(part, size)
        return self.bn(total).relu_()


class Student(nn.Module):
    """The network: pose maps and person boxes.

    Args:
        trunk: any HRNet of timm.
        joints: number of joints.
        detector: ``points`` (the paper); ``regression``: RetinaNet's, on the branches of strides 8, 16 and 32, as in MultiPoseNet
            (Table 2 b); ``none``.
        channels: of F_shared after its reduction before each point branch, or width of RetinaNet's; None: all 15 C (256).
        inner: channels of the pooled branches.
        tags: whether to predict joint tags (associative embedding, Table 2 a).
        corner_tags: whether to predict CenterNet's corner tags.
        features: whether to return ``features``, the input of the pose maps' layers (Table 3 c).
        pretrained: initialize the trunk from ImageNet weights.
    """

    def __init__(
        self,
        trunk: str = "hrnet_w32",
        joints: int = 17,
        detector: Literal["points", "regression", "none"] = "points",
        channels: int | None = 256,
        inner: int = 128,
        tags: bool = False,
        corner_tags: bool = False,
        features: bool = False,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        parts = hrnet_parts(trunk, branches=4, pretrained=pretrained)
        for name, part in parts.items():
            self.add_module(name, part)
        widths = [hrnet_width(parts) * 2**i for i in range(4)]
        self.features = features
        self.pose_fuse = Fuse(widths, sum(widths))
        self.pose = nn.Conv2d(sum(widths), joints, 1)
        self.tag = nn.Conv2d(sum(widths), joints, 1) if tags else None
        c = channels or sum(widths)
        points = detector == "points"
        self.persons = PersonSubnet(widths[1:], channels or 256, norm=True) if detector == "regression" else None
        self.fuse = Fuse(widths, c) if points and channels is not None else None
        self.points = nn.ModuleDict({p: PointBranch(c, p, inner, corner_tags and p != "centre") for p in POINTS} if points else {})

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> Maps:
        """At stride 4: ``pose`` (b, k, h, w); for a point p ``p`` (b, 1, h, w) before the sigmoid, ``p_offset`` (b, 2, h, w) in cells and
        optionally ``p_tag`` (b, 1, h, w); optionally ``tag`` (b, k, h, w) and ``features`` (b, 15 C, h, w). With regression instead of
        points ``person`` (b, a) and ``shift`` (b, a, 4) of all anchors.
        """
        branches = hrnet_branches(self, images)
        x = self.pose_fuse(branches)
        out: Maps = {"pose": self.pose(x)}
        if self.features:
            out["features"] = x
        if self.tag is not None:
            out["tag"] = self.tag(x)
        if self.persons is not None:
            out |= self.persons(branches[1:])
        if self.points:
            shared = concatenated(branches) if self.fuse is None else self.fuse(branches)
            for point, branch in self.points.items():
                out |= {point + end: maps for end, maps in branch(shared).items()}
        return out


class PointBranch(nn.Module):
    """Pooling and CenterNet's heads of two convolutions for the map, the offsets and optionally tags."""

    def __init__(self, channels: int, point: Point, inner: int, tag: bool) -> None:
        super().__init__()
        self.pool = PointPool(channels, point, inner)
        self.heat, self.offset = _head(channels, 1, RARE), _head(channels, 2)
        self.tag = _head(channels, 1) if tag else None

    def forward(self, x: Float[Tensor, "b c h w"]) -> Maps:
        """With an empty name the map (b, 1, h, w) before the sigmoid; ``_offset`` (b, 2, h, w); optionally ``_tag`` (b, 1, h, w)."""
        x = self.pool(x)
        out = {"": self.heat(x), "_offset": self.offset(x)}
        return out if self.tag is None else {**out, "_tag": self.tag(x)}


def _head(channels: int, out: int, start: float = 0.0) -> nn.Sequential:
    last = nn.Conv2d(channels, out, 1, bias=True)
    nn.init.constant_(last.bias, start)  # pyright: ignore[reportArgumentType]
    return nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(inplace=True), last)
