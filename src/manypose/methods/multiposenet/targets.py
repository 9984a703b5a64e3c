"""Targets of MultiPoseNet: heat maps and the person mask at stride 4."""

import torch
from torch.nn.functional import avg_pool2d

from manypose.data.sample import Batch
from manypose.methods.method import Maps
from manypose.nn.heatmaps import gaussians
from manypose.poses.warp import pixel_to_cell

__all__ = ["keypoint_targets"]

STRIDE = 4


def keypoint_targets(people: Batch, size: tuple[int, int], sigma: float = 1.75) -> Maps:
    """The targets of Section 3.2, Equation 4.

    Args:
        people: joints in network pixels.
        size: height and width of the input.
        sigma: of the Gaussians, in cells (not in the paper; 1.75 cells are 7 pixels).

    Returns:
        ``heat`` (b, k + 1, h, w): the maximum of the people's Gaussians; last, the person's share of each cell.
        ``mask`` (b, k + 1, h, w): the paper's W: 1 in regions with a loss.
    """
    h, w = size[0] // STRIDE, size[1] // STRIDE
    cells = pixel_to_cell(people.keypoints[..., :2], STRIDE)
    x, y = cells.unbind(-1)
    near = (x > -4 * sigma) & (y > -4 * sigma) & (x < w + 4 * sigma) & (y < h + 4 * sigma)  # others draw nothing
    drawn = (people.keypoints[..., 2] > 0) & people.there[..., None] & near
    heat = gaussians(cells, drawn, (h, w), sigma)
    look = (avg_pool2d(people.mask.float(), STRIDE) > 0.5).float().expand_as(heat)
    known, person = (avg_pool2d(m[:, None].float(), STRIDE) for m in (people.segmentation != 255, people.segmentation == 1))
    share = person / known.clamp(min=1e-6)
    return {"heat": torch.cat([heat, share], 1), "mask": torch.cat([look, (known > 0.5).float()], 1)}
