"""MultiPoseNet's losses: Equation 4 with intermediate supervision, and RetinaNet's two."""

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import interpolate, smooth_l1_loss
from torchvision.ops import sigmoid_focal_loss

from manypose.methods import Maps

__all__ = ["keypoint_losses", "masked_l2", "person_losses"]


def masked_l2(
    maps: Float[Tensor, "b c _h _w"], heat: Float[Tensor, "b c h w"], mask: Float[Tensor, "b c h w"], mask_weight: float = 1.0
) -> Float[Tensor, ""]:
    """``W · ||H_t - H_p||²`` (Equation 4), summed over the maps, as a mean over cells and pictures.

    Args:
        maps: predicted; coarser ones are enlarged bilinearly.
        heat: target; its last channel is the person mask.
        mask: W.
        mask_weight: of the person mask beside one joint's map.
    """
    if maps.shape[-2:] != heat.shape[-2:]:
        maps = interpolate(maps, size=heat.shape[-2:], mode="bilinear", align_corners=False)
    each = ((maps - heat).square() * mask).mean((0, 2, 3))
    return each[:-1].sum() + mask_weight * each[-1]


def keypoint_losses(outputs: Maps, targets: Maps, mask_weight: float = 1.0) -> dict[str, Tensor]:
    """`masked_l2` of the last maps and of those of K2 … K5 that are there, each a name of `outputs`."""
    names = [n for n in outputs if n.startswith("heat")]
    return {n: masked_l2(outputs[n], targets["heat"], targets["mask"], mask_weight) for n in names}


def person_losses(
    logits: Float[Tensor, "b a"],
    shifts: Float[Tensor, "b a 4"],
    label: Int[Tensor, "b a"],
    target: Float[Tensor, "b a 4"],
    alpha: float = 0.25,
    gamma: float = 2.0,
    beta: float = 1 / 9,
) -> dict[str, Tensor]:
    """``person``: focal loss, ``box``: smooth L1 (Section 3.5); of each picture the sum over its number of person anchors, then the mean.

    Args:
        logits: of the anchors.
        shifts: predicted boxes, relative to the anchors.
        label: 1 person, 0 background, -1 left out.
        target: the people's boxes, relative to the anchors.
        alpha, gamma: of the focal loss.
        beta: where the smooth L1 turns from square to straight.
    """
    own = (label == 1).float()
    count = own.sum(1).clamp(min=1)
    focal = sigmoid_focal_loss(logits, own, alpha, gamma) * (label >= 0)
    box = smooth_l1_loss(shifts, target, beta=beta, reduction="none").sum(2) * own
    return {"person": (focal.sum(1) / count).mean(), "box": (box.sum(1) / count).mean()}
