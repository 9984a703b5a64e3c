"""Heat maps of the light network: reduction by the regressed pose, and losses."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from manypose.methods.method import Maps

__all__ = ["lowered", "mobile_loss"]

SOFTENING = 1.8
"""Cells added to the distance by which heat is divided, as in MoveNet."""


def lowered(heat: Float[Tensor, "b k h w"], regression: Float[Tensor, "b k2 h w"]) -> Maps:
    """Logits of heat minus the logarithm of the distance to the joint regressed at the crop's centre, and these joints.

    Args:
        heat: logits.
        regression: for each cell, y and x offsets to each joint in cells.
    """
    h, w = heat.shape[2:]
    middle = heat.new_tensor([h // 2, w // 2])
    yx = regression[:, :, h // 2, w // 2].unflatten(1, (-1, 2)) + middle
    rows, columns = (torch.arange(n, device=heat.device, dtype=heat.dtype) for n in (h, w))
    far = (rows[:, None] - yx[..., 0, None, None]) ** 2 + (columns - yx[..., 1, None, None]) ** 2
    return {"heat": heat - torch.log1p((far + 1e-6).sqrt() / SOFTENING), "regression": yx.flip(2).flatten(1)}


def mobile_loss(outputs: Maps, targets: Maps, hidden: float, absent: float, coarse: float = 0.05) -> dict[str, Tensor]:
    """Three losses, each the mean over the labelled joints.

    ``heat``: binary cross-entropy of each cell with the Gaussian, divided by the Gaussian's sum; ``place``: cross-entropy of the map, as a
    distribution over cells, with the Gaussian; ``coarse``: distance of the regressed joint in cells.

    Args:
        outputs: of `MobileMSPN.network`.
        targets: of `MobileMSPN.targets`.
        hidden: weight of hidden joints.
        absent: weight of unlabelled joints in ``heat``.
        coarse: weight of ``coarse``.
    """
    logits, heat, visible, known = outputs["heat"], targets["heat"], targets["visible"], targets["known"]
    weight = known * torch.where(visible > 1, 1.0, hidden) * (visible > 0)
    every = weight + known * absent * (visible == 0)
    mass = heat.sum((2, 3))
    usual = mass[visible > 0].mean() if (visible > 0).any() else mass.new_ones(())
    cells = binary_cross_entropy_with_logits(logits, heat, reduction="none").sum((2, 3)) / torch.where(mass > 0.5, mass, usual)
    shares = (heat / mass.clamp(min=1e-3)[..., None, None]).flatten(2)
    places = -(shares * logits.flatten(2).log_softmax(2)).sum(2)
    far = (outputs["regression"].unflatten(1, (-1, 2)) - targets["xy"]).abs().sum(2)
    count = weight.sum().clamp(min=1)
    weighted = {"heat": cells * every, "place": places * weight, "coarse": coarse * far * weight}
    return {name: value.sum() / count for name, value in weighted.items()}
