"""SIMPLE's losses: pose maps (Equation 8) and CenterNet's for points: focal, offsets and optionally tags (Equation 10)."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from manypose.methods.method import Maps
from manypose.methods.simple.corner_pooling import POINTS
from manypose.methods.simple.grouping import GroupingCNN, grouping_loss
from manypose.methods.simple.peak_owners import owned_peaks
from manypose.nn.associative_embedding import associative_embedding
from manypose.nn.retinanet import person_losses

__all__ = ["at_cells", "corner_tags", "focal", "offsets", "point_losses", "pose_loss", "simple_loss"]


def pose_loss(pred: Float[Tensor, "b k h w"], target: Float[Tensor, "b k h w"], mask: Float[Tensor, "b m h w"]) -> Float[Tensor, " b"]:
    """The squared error of a joint's map, summed over cells with mask 1, mean over joints (Equation 8)."""
    return ((pred - target) ** 2 * mask).sum((2, 3)).mean(1)


def focal(
    logits: Float[Tensor, "b 1 h w"], target: Float[Tensor, "b 1 h w"], mask: Float[Tensor, "b 1 h w"] | None = None
) -> Float[Tensor, ""]:
    """CornerNet's focal loss (its Equation 1, alpha 2, beta 4), divided by the number of points in the batch (at least 1).

    Args:
        logits: before the sigmoid, which is clamped to 1e-4 … 1 - 1e-4.
        target: exactly 1 at points.
        mask: 0 for ignored cells (points always count).
    """
    pred = logits.sigmoid().clamp(1e-4, 1 - 1e-4)
    point = (target == 1).to(pred.dtype)
    free = (1 - point) if mask is None else (1 - point) * mask
    good = torch.log(pred) * (1 - pred) ** 2 * point
    bad = torch.log(1 - pred) * pred**2 * (1 - target) ** 4 * free
    return -(good.sum() + bad.sum()) / point.sum().clamp(min=1)


def at_cells(maps: Float[Tensor, "b c h w"], cells: Int[Tensor, "b n"]) -> Float[Tensor, "b n c"]:
    """The maps' values at flat cells ``y · w + x``."""
    return maps.flatten(2).gather(2, cells[:, None].expand(-1, maps.shape[1], -1)).transpose(1, 2)


def offsets(pred: Float[Tensor, "b n 2"], target: Float[Tensor, "b n 2"], there: Bool[Tensor, "b n"]) -> Float[Tensor, ""]:
    """Smooth L1 loss, sum over x and y, mean over the existing points."""
    away = smooth_l1_loss(pred, target, reduction="none").sum(2)
    return (away * there).sum() / (there.sum() + 1e-4)


def corner_tags(
    first: Float[Tensor, "b n"], second: Float[Tensor, "b n"], there: Bool[Tensor, "b n"], margin: float = 1.0
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """CornerNet's pull of a box's two corner tags together and push of different boxes' tags apart (its Equations 4 and 5)."""
    count = there.sum(1, keepdim=True).to(first.dtype)
    mean = (first + second) / 2
    pull = (((first - mean) ** 2 + (second - mean) ** 2) * there / (count + 1e-4)).sum()
    pairs = there[:, :, None] & there[:, None]
    close = (margin - (mean[:, :, None] - mean[:, None]).abs()).clamp(min=0)
    # Subtract the margin, the term of a tag with itself.
    count = count[..., None]
    push = (((close - margin / (count + 1e-4)) / ((count - 1) * count + 1e-4)) * pairs).sum()
    return pull, push


def simple_loss(
    outputs: Maps,
    targets: Maps,
    grouping: GroupingCNN | None = None,
    supervision: dict[str, Any] | None = None,
    alpha: float = 1.0,
    group: float = 1.0,
    push: float = 1e-3,
    pull: float = 1e-3,
) -> dict[str, Tensor]:
    """All losses with their factors; their sum is Equation 10.

    Args:
        outputs: of the network.
        targets: of `targets.targets`.
        grouping: the CNN to train, or None.
        supervision: arguments of `owned_peaks`.
        alpha: factor of the detection loss.
        group: factor of the grouping CNN's loss.
        push, pull: factors for the joints' tags.

    Returns:
        ``pose``; for points ``points``, ``offsets`` and ``corner_tags``; for regression ``person`` and ``box``; for joint tags ``push`` and
        ``pull``; for the grouping CNN ``own`` and ``choice``.
    """
    parts = {"pose": pose_loss(outputs["pose"], targets["pose"], targets["mask"]).mean()}
    if "centre" in outputs:
        parts |= {name: alpha * part for name, part in point_losses(outputs, targets).items()}
    if "person" in outputs:
        found = person_losses(outputs["person"], outputs["shift"], targets["label"], targets["shift"])
        parts |= {name: alpha * part for name, part in found.items()}
    if "tag" in outputs:
        apart, together = associative_embedding(outputs["tag"], targets["cell"], targets["tagged"])
        parts |= {"push": push * apart.mean(), "pull": pull * together.mean()}
    if grouping is not None and group > 0:
        seen = owned_peaks(outputs["pose"], targets, grouping, **(supervision or {}))
        chosen = grouping_loss(grouping.logits(seen.rois), seen.roi, seen.joint, seen.cells, seen.own)
        parts |= {name: group * part for name, part in chosen.items()}
    return parts


def point_losses(outputs: Maps, targets: Maps, tag_weight: float = 0.1) -> dict[str, Tensor]:
    """CenterNet's L_det: ``points``, ``offsets`` and, for corner tags, ``corner_tags`` with the program's weight."""
    mask, there = targets["mask"].amax(1, keepdim=True), targets["boxed"]
    off = [offsets(at_cells(outputs[f"{p}_offset"], targets[f"{p}_cell"]), targets[f"{p}_offset"], there) for p in POINTS]
    parts = {"points": torch.stack([focal(outputs[p], targets[p], mask) for p in POINTS]).sum(), "offsets": torch.stack(off).sum()}
    if "top_left_tag" in outputs:
        a, b = (at_cells(outputs[f"{p}_tag"], targets[f"{p}_cell"])[..., 0] for p in POINTS[1:])
        parts["corner_tags"] = tag_weight * torch.stack(corner_tags(a, b, there)).sum()
    return parts
