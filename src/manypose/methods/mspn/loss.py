"""Losses: mean squared errors of all scales of all stages, the hardest joints alone at the finest (MSPN, Section 3.3); HRNet's."""

from jaxtyping import Float
from torch import Tensor

from manypose.methods.method import Maps

__all__ = ["hrnet_loss", "mspn_loss"]


def mspn_loss(
    outputs: list[list[Float[Tensor, "b k h w"]]],
    targets: Maps,
    kernels: tuple[tuple[int, ...], ...],
    hardest: int | None = 8,
    hidden: bool = False,
) -> list[list[Float[Tensor, " b"]]]:
    """Each picture's loss of each scale of each stage. Losses have the size of the published program's: peaks are 255 high.

    Args:
        outputs: heat maps by stage and scale, the finest last; one or four scales a stage.
        targets: ``label<kernel>``: (b, k, h, w); ``visible`` and ``known``: (b, k).
        kernels: by stage and scale.
        hardest: so many joints count at the finest scale (OHKM); None: all, by the rule of the coarse scales, as published.
        hidden: hidden joints (visibility 1) are learnt at the coarse scales too; published is that they are trained to be absent there.

    Raises:
        ValueError: outputs lack a scale, as they do in evaluation mode.
    """
    visible, known, parts = targets["visible"], targets["known"], []
    for stage, stage_kernels in zip(outputs, kernels, strict=True):
        if len(stage) not in (1, len(stage_kernels)):
            raise ValueError("the loss needs all scales of all stages: call the network in training mode, or with gradients enabled")
        row = []
        for i, (heat, kernel) in enumerate(zip(stage, stage_kernels[-len(stage) :], strict=True)):
            label, finest = targets[f"label{kernel}"], i == len(stage) - 1
            if finest and hardest is not None:
                row.append(_hardest(heat, label, visible, hardest))
                continue
            there = visible > (0 if hidden else 1)
            error = ((heat - label * there[..., None, None]) ** 2).mean((2, 3)) * known
            row.append(error.mean(1) / (1 if finest else len(stage_kernels)))
        parts.append(row)
    return parts


def _hardest(heat: Tensor, label: Tensor, visible: Tensor, hardest: int) -> Tensor:
    """The mean of the hardest joints' errors. A joint that is not labelled has none; it counts where fewer are labelled."""
    error = ((heat - label) ** 2).mean((2, 3)) * (visible > 0)
    return error.topk(min(hardest, error.shape[1]), 1).values.mean(1)


def hrnet_loss(heat: Float[Tensor, "b k h w"], targets: Maps) -> Float[Tensor, ""]:
    """Half the mean squared error of the labelled joints, averaged over all of them (HRNet, Section 3: heat map regression)."""
    error = ((heat - targets["heat"]) ** 2).mean((2, 3))
    return (0.5 * error * (targets["visible"] > 0)).mean()
