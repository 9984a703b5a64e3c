"""SWAHR's losses: scale-adaptive (SAHR, Section 3.2) and weight-adaptive heat maps (WAHR, Section 3.4), associative embedding.

Each function returns one value per image, (b,).
"""

from math import isinf
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from manypose.methods.method import Maps
from manypose.nn.associative_embedding import associative_embedding

__all__ = ["adaptive_weight", "heat_loss", "regularizer", "scaled_target", "swahr_loss"]


def scaled_target(heat: Float[Tensor, "*m"], alpha: Float[Tensor, "*m"], exact: bool = False) -> Float[Tensor, "*m"]:
    """Heat maps with their deviation scaled by s, where ``alpha = 1/s - 1``; 0 stays 0.

    The default is the second-order Taylor form (Equation 8), ``exact`` the power itself, ``heat^(1/s)`` (Equation 6). This gives a
    deviation of ``σ₀ √s``; Equation 5's ``σ₀ s`` would need ``1/s²``, but the rest of the paper and the program use 1/s. Where 1/s < 0 the
    power diverges, so alpha is limited to -1.
    """
    covered = heat > 0
    log = torch.log(heat.where(covered, torch.ones_like(heat)))
    if exact:
        return heat * torch.exp(alpha.clamp(min=-1) * log)
    power = alpha * log
    return heat * (1 + power + power**2 / 2)


def adaptive_weight(pred: Float[Tensor, "*m"], heat: Float[Tensor, "*m"], gamma: float = 0.01, detach: bool = False) -> Float[Tensor, "*m"]:
    """``|1 - P| · H^γ + |P| · (1 - H^γ)`` (Equation 13), with the unscaled target, as in the authors' program.

    With `detach`, unlike there, no gradients flow through the weight.
    """
    pred = pred.detach() if detach else pred
    soft = heat**gamma
    return (1 - pred).abs() * soft + pred.abs() * (1 - soft)


def heat_loss(
    pred: Float[Tensor, "b k h w"],
    target: Float[Tensor, "b k h w"],
    mask: Float[Tensor, "b m h w"],
    weight: Float[Tensor, "b k h w"] | None = None,
) -> Float[Tensor, " b"]:
    """Mean over all joints and cells of the weighted and masked squared difference (Equation 3)."""
    squared = (pred - target) ** 2 * mask
    return (squared if weight is None else squared * weight).mean((1, 2, 3))


def regularizer(alpha: Float[Tensor, "b k h w"], heat: Float[Tensor, "b k h w"], mask: Float[Tensor, "b m h w"]) -> Float[Tensor, " b"]:
    """Mean over all joints and cells of alpha², masked and within Gaussians (Equation 7)."""
    return (alpha**2 * (heat > 0) * mask).mean((1, 2, 3))


def swahr_loss(
    outputs: Maps,
    targets: Maps,
    scale_adaptive: bool = True,
    weight_adaptive: bool = True,
    lambda_: float = 1.0,
    gamma: float = 0.01,
    exact: bool = False,
    detach: bool = False,
    push: float = 1e-3,
    pull: float = 1e-3,
    kind: Literal["exp", "max"] = "exp",
) -> Maps:
    """All losses, each (b,), with their factors: ``heat4 heat2 scale4 scale2 push pull``. Training minimizes their sum (Equation 9).

    Computed in float32 (or float64) independent of the network's precision.
    """
    parts: Maps = {}
    for level in ("4", "2"):
        pred, heat, mask = _precise(outputs["heat" + level]), targets["heat" + level], targets["mask" + level]
        target = heat
        if "s" + level in targets:  # SHR: the scale factor is known
            s = targets["s" + level]
            target = scaled_target(heat, 1 / s.where(heat > 0, torch.ones_like(s)) - 1, exact=True)
        if scale_adaptive:
            alpha = _precise(outputs["scale" + level])
            if isinf(lambda_):  # constant deviations (Table 5): no gradient to the branch
                parts["scale" + level] = 0 * alpha.mean((1, 2, 3))
            else:
                target = scaled_target(heat, alpha, exact)
                parts["scale" + level] = lambda_ * regularizer(alpha, heat, mask)
        weight = adaptive_weight(pred, heat, gamma, detach) if weight_adaptive else None
        parts["heat" + level] = heat_loss(pred, target, mask, weight)
    apart, together = associative_embedding(_precise(outputs["tag4"]), targets["cell"], targets["tagged"], kind)
    return {**parts, "push": push * apart, "pull": pull * together}


def _precise(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
