"""The focal L2 loss (Section "Loss Functions", Equations 2–4)."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from manypose.methods.method import Maps

__all__ = ["focal_factor", "focal_l2", "simple_pose_loss"]

LAMBDAS = (1.0, 2.0, 4.0, 16.0, 64.0)
"""λ of the scales 1/4 … 1/64 (Equation 4)."""


def focal_factor(
    pred: Float[Tensor, "b c h w"],
    target: Float[Tensor, "b c h w"],
    alpha: float = 0.1,
    beta: float = 0.02,
    thre: float = 0.01,
    power: float = 2.0,
    inclusive: bool = False,
) -> Float[Tensor, "b c h w"]:
    """The focal factor ``|1 - Sd|^power``, small for easy cells (Equation 2); with gradients, as published.

    Args:
        pred: predicted heat maps.
        target: target heat maps.
        alpha: a foreground cell's factor is ``|1 + alpha - S|^power``: 0.01 at S = 1, 0 at S = 1.1.
        beta: a background cell's is ``|S + beta|^power``: 0.0004 at S = 0, 0 at S = -0.02.
        thre: target above which a cell is foreground.
        power: 2 in the paper, 1 in the authors' program.
        inclusive: whether cells equal to `thre` are foreground, as in the authors' program.
    """
    thre = float(torch.tensor(thre, dtype=torch.float32))  # targets of `thre` have this precision
    foreground = target >= thre if inclusive else target > thre
    easy = torch.where(foreground, 1 - (pred - alpha), pred + beta)  # 1 - Sd
    return easy**2 if power == 2 else easy.abs() ** power


def focal_l2(
    pred: Float[Tensor, "b c h w"],
    target: Float[Tensor, "b c h w"],
    mask: Float[Tensor, "b m h w"],
    weights: Float[Tensor, " c"],
    focal: Float[Tensor, " c"] | None = None,
    **factor: float | bool,
) -> Float[Tensor, " b"]:
    """Equation 3: the sum over channels and cells of ``weight · mask · (S - S*)² · |1 - Sd|²``, one value per image.

    Args:
        pred: predicted heat maps.
        target: target heat maps.
        mask: W, one plane or one per channel.
        weights: of the channels: η + 1 for joints, 1 for parts.
        focal: 1 for channels with the focal factor, 0 for plain L2; None: plain L2.
        factor: arguments of `focal_factor`.
    """
    squared = (pred - target) ** 2
    if focal is not None:
        easy = focal_factor(pred, target, **factor)  # type: ignore[arg-type]
        squared = squared * (easy if bool(focal.all()) else torch.where(focal[:, None, None] > 0, easy, torch.ones_like(easy)))
    return (squared * mask * weights[:, None, None]).sum((1, 2, 3))


def simple_pose_loss(
    outputs: Maps,
    targets: Maps,
    weights: Sequence[float],
    focal: Sequence[float] | None = None,
    lambdas: Sequence[float] = LAMBDAS,
    stages: Literal["sum", "mean"] = "sum",
    **factor: float | bool,
) -> Maps:
    """Equation 4: the sum over stages and scales, weighted by λ / Σλ; for each scale ``scale0`` … ``scale4`` one value per image.

    Args:
        outputs: ``stage{t}_scale{i}``, (b, c, h, w).
        targets: ``scale{i}`` and ``mask{i}``.
        weights: of the channels.
        focal: mask of the focal channels; None: none.
        lambdas: λ of each scale; scales without outputs (no spatial attention) are ignored.
        stages: ``sum`` as in the paper, ``mean`` as in the authors' program.
        factor: arguments of `focal_factor`.
    """
    names = {i: [n for n in outputs if n.endswith(f"_scale{i}")] for i in range(len(lambdas))}
    total = sum(lambdas[i] for i in names if names[i])
    parts: Maps = {}
    for i in (i for i in names if names[i]):
        target, mask = targets[f"scale{i}"], targets[f"mask{i}"]
        weight = target.new_tensor(list(weights))
        where = None if focal is None else target.new_tensor(list(focal))
        each = [focal_l2(_precise(outputs[n]), target, mask, weight, where, **factor) for n in names[i]]
        loss = torch.stack(each).sum(0)
        parts[f"scale{i}"] = loss * (lambdas[i] / total / (len(each) if stages == "mean" else 1))
    return parts


def _precise(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
