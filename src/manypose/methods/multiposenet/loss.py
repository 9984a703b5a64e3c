"""MultiPoseNet's losses: Equation 4 with intermediate supervision."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from manypose.methods.method import Maps

__all__ = ["keypoint_losses", "masked_l2"]


def masked_l2(
    maps: Float[Tensor, "b c _h _w"], heat: Float[Tensor, "b c h w"], mask: Float[Tensor, "b c h w"], mask_weight: float = 1.0
) -> Float[Tensor, ""]:
    """``W · ||H_t - H_p||²`` (Equation 4), summed over the maps, averaged over cells and images.

    Args:
        maps: predictions; coarser ones are enlarged bilinearly.
        heat: target; its last channel is the person mask.
        mask: W.
        mask_weight: weight of the person mask relative to a joint's map.
    """
    if maps.shape[-2:] != heat.shape[-2:]:
        maps = interpolate(maps, size=heat.shape[-2:], mode="bilinear", align_corners=False)
    each = ((maps - heat).square() * mask).mean((0, 2, 3))
    return each[:-1].sum() + mask_weight * each[-1]


def keypoint_losses(outputs: Maps, targets: Maps, mask_weight: float = 1.0) -> dict[str, Tensor]:
    """`masked_l2` of the last maps and of those of K2 … K5 in `outputs`, by name."""
    names = [n for n in outputs if n.startswith("heat")]
    return {n: masked_l2(outputs[n], targets["heat"], targets["mask"], mask_weight) for n in names}
