"""The grouping CNN (Section 4.2), which keeps a person's responses in its box and suppresses those of others ("reserve, not refine").

For an RoI (k, h, w) of the pose maps around a box it predicts for each cell the probability that a response there belongs to the person;
the kept maps are the maps times these probabilities, so that a response is kept or suppressed but not moved.

Choices that the paper leaves open: the RoI is the box enlarged by 2 (at 1.2 one person in 8 has a joint outside, at 1.6 one in 25, at 2 one
in 250), resized to 64 × 48 cells, so that the box's edges have fixed positions; an encoder-decoder whose coarsest scale is 1/16 of the RoI,
to cover the whole body; the loss of `grouping_loss`.
"""

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from manypose.methods.simple.roi import enlarged, roi_align, to_roi

__all__ = ["GroupingCNN", "at_points", "grouping_loss"]


class GroupingCNN(nn.Module):
    """The CNN that keeps one person's responses in an RoI of the pose maps.

    Args:
        joints: number k of joints.
        size: height and width of an RoI, multiples of 16.
        extend: factor by which a box is enlarged to its RoI.
        widths: channels at 1/2, 1/4, 1/8 and 1/16 of the RoI.
    """

    def __init__(
        self,
        joints: int = 17,
        size: Sequence[int] = (64, 48),
        extend: float = 2.0,
        widths: Sequence[int] = (48, 96, 160, 256),
    ) -> None:
        super().__init__()
        if min(size) < 16 or any(side % 16 for side in size):
            raise ValueError(f"the grouping CNN's RoI has sides that are multiples of 16, got {tuple(size)}")
        self.joints, self.size, self.extend = int(joints), (int(size[0]), int(size[1])), float(extend)
        self.arguments = {"joints": self.joints, "size": list(self.size), "extend": self.extend, "widths": list(widths)}
        self.stem = _conv(joints, widths[0], 4, 2)
        self.down = nn.ModuleList(_conv(a, b, 3, 2) for a, b in pairwise(widths))
        self.encode = nn.ModuleList(_Residual(w, 2 if w == widths[-1] else 1) for w in widths)
        self.up = nn.ModuleList(_conv(b, a, 1, 1) for a, b in pairwise(widths))
        self.decode = nn.ModuleList(_Residual(w, 1) for w in widths[:-1])
        self.head = nn.Conv2d(widths[0], joints * 4, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def rois(self, heat: Float[Tensor, "b k H W"], boxes: Float[Tensor, "r 4"], image: Int[Tensor, " r"]) -> Float[Tensor, "r k h w"]:
        """The network's input: RoIs of stride-4 maps around boxes in network pixels."""
        return roi_align(heat, enlarged(boxes, self.extend), image, self.size)

    def points(self, xy: Float[Tensor, "r *n 2"], boxes: Float[Tensor, "r 4"]) -> Float[Tensor, "r *n 2"]:
        """Network pixels in cells of the boxes' RoIs."""
        return to_roi(xy, enlarged(boxes, self.extend), self.size)

    def logits(self, rois: Float[Tensor, "r k h w"]) -> Float[Tensor, "r k h w"]:
        """For each cell the log-odds that a response there belongs to the person."""
        x, skips = self.encode[0](self.stem(rois)), []
        for down, encode in zip(self.down, list(self.encode)[1:], strict=True):
            skips.append(x)
            x = encode(down(x))
        for up, decode, skip in zip(reversed(self.up), reversed(self.decode), reversed(skips), strict=True):
            x = decode(functional.interpolate(up(x), scale_factor=2.0, mode="nearest") + skip)
        return functional.pixel_shuffle(self.head(x), 2)

    def forward(self, rois: Float[Tensor, "r k h w"]) -> Float[Tensor, "r k h w"]:
        """The RoIs with other people's responses suppressed."""
        return rois * self.logits(rois).float().sigmoid().to(rois.dtype)


class _Residual(nn.Module):
    """A residual block."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*(_conv(width, width, 3, 1) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def _conv(before: int, after: int, kernel: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(before, after, kernel, stride, (kernel - 1) // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU(inplace=True))


def at_points(
    maps: Float[Tensor, "r k h w"], roi: Int[Tensor, " m"], joint: Int[Tensor, " m"], cells: Float[Tensor, "m 2"]
) -> Float[Tensor, " m"]:
    """The maps' values at m points, bilinear, with the edge values repeated outside."""
    h, w = maps.shape[2:]
    x, y = cells[:, 0].clamp(0, w - 1), cells[:, 1].clamp(0, h - 1)
    x0, y0 = x.floor().clamp(max=w - 2), y.floor().clamp(max=h - 2)
    fx, fy = x - x0, y - y0
    left, top = x0.long(), y0.long()
    above = maps[roi, joint, top, left] * (1 - fx) + maps[roi, joint, top, left + 1] * fx
    below = maps[roi, joint, top + 1, left] * (1 - fx) + maps[roi, joint, top + 1, left + 1] * fx
    return above * (1 - fy) + below * fy


def grouping_loss(
    logits: Float[Tensor, "r k h w"], roi: Int[Tensor, " m"], joint: Int[Tensor, " m"], cells: Float[Tensor, "m 2"], own: Bool[Tensor, " m"]
) -> dict[str, Tensor]:
    """The losses for peaks with known owners; training uses predicted keypoints, not annotated ones (Section 4.2).

    Args:
        logits: of `GroupingCNN.logits`.
        roi, joint: the RoI and the joint type of each peak in it.
        cells: positions of the peaks in their RoIs.
        own: whether a peak belongs to the RoI's person.

    Returns:
        ``own``: binary cross-entropy of belonging to the person, mean over peaks; ``choice``: cross-entropy of the person's peak among all
        of that type in the RoI, mean over the person's peaks. Both are 0 without peaks.
    """
    r, k = logits.shape[:2]
    odds = at_points(logits, roi, joint, cells).float()
    binary = functional.binary_cross_entropy_with_logits(odds, own.float(), reduction="sum") / max(len(odds), 1)
    group = roi * k + joint
    highest = odds.detach().new_full((r * k,), -1e4).scatter_reduce(0, group, odds.detach(), "amax")
    total = odds.new_zeros(r * k).scatter_add(0, group, (odds - highest[group]).exp())
    choice = (highest + total.clamp(min=1e-30).log())[group] - odds
    return {"own": binary, "choice": (choice * own).sum() / own.sum().clamp(min=1)}
