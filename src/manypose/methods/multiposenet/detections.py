"""Keypoint candidates and person boxes from the subnets' outputs (MultiPoseNet, Sections 3.2, 3.3)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchvision.ops import batched_nms

from manypose.methods.multiposenet.roi import Candidates
from manypose.nn.heatmaps import peaks, subpixel_at

__all__ = ["candidates", "people_boxes"]


def candidates(
    heat: Float[Tensor, "b k h w"], stride: tuple[float, float], threshold: float = 0.1, window: int = 3, top: int = 30
) -> Candidates:
    """The peaks of all maps with sub-pixel positions, in network pixels.

    Args:
        heat: a map per joint.
        stride: network pixels per cell, in x and y.
        threshold, window, top: see `manypose.nn.heatmaps.peaks`.
    """
    heights, cells = peaks(heat, window, threshold, top)
    image, joint, place = (heights > 0).nonzero(as_tuple=True)
    at = cells[image, joint, place]
    xy = subpixel_at(heat.flatten(0, 1), image * heat.shape[1] + joint, at)
    step = xy.new_tensor(stride)
    return Candidates(xy * step + (step - 1) / 2, heights[image, joint, place].clamp(max=1), joint, image)


def people_boxes(
    boxes: Float[Tensor, "b m 5"], threshold: float = 0.05, overlap: float = 0.3, top: int = 30
) -> tuple[Float[Tensor, "n 4"], Float[Tensor, " n"], Int[Tensor, " n"]]:
    """Boxes after NMS over all views, by image and falling score; their scores; and the image index of each."""
    image, place = (boxes[..., 4] > threshold).nonzero(as_tuple=True)
    rows = boxes[image, place]
    kept = batched_nms(rows[:, :4], rows[:, 4], image, overlap)
    kept = kept[rows[kept, 4].argsort(stable=True, descending=True)]
    kept = kept[image[kept].argsort(stable=True)]
    first = torch.searchsorted(image[kept], image[kept])  # the first row of each row's image
    kept = kept[torch.arange(len(kept), device=kept.device) - first < top]
    return rows[kept, :4], rows[kept, 4], image[kept]
