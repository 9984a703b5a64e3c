"""Losses of MSPN (all scales of all stages, with OHKM at the finest; Section 3.3) and of HRNet."""

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
    """The loss of each image, scale and stage, on the published program's scale, with peaks of 255.

    Args:
        outputs: heat maps by stage and scale, the finest last; one or four scales per stage.
        targets: ``label<kernel>``: (b, k, h, w); ``visible`` and ``known``: (b, k).
        kernels: by stage and scale.
        hardest: number of joints that count at the finest scale (OHKM); None: all, as at the coarse scales.
        hidden: whether hidden joints (visibility 1) are learned at the coarse scales too, instead of as absent (published).

    Raises:
        ValueError: outputs lack a scale, as in evaluation mode.
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
    """The mean error of the hardest joints; unlabelled joints have error 0."""
    error = ((heat - label) ** 2).mean((2, 3)) * (visible > 0)
    return error.topk(min(hardest, error.shape[1]), 1).values.mean(1)


def hrnet_loss(heat: Float[Tensor, "b k h w"], targets: Maps) -> Float[Tensor, ""]:
    """Half the mean squared error of the labelled joints, averaged over all of them (HRNet, Section 3: heat map regression)."""
    error = ((heat - targets["heat"]) ** 2).mean((2, 3))
    return (0.5 * error * (targets["visible"] > 0)).mean()
