"""RoIAlign of pose maps in network pixels (Section 5.3, Equation 11; He et al., *Mask R-CNN*, Section 3).

A box is the rectangle from its left edge x0 to its right edge x1 in network pixels, as `Warp.crop` takes it. Cell i of an RoI that is w
cells wide lies at ``x0 + (i + 1/2) (x1 - x0) / w``: just where cell i of a top-down network's map lies whose crop shows the same box.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchvision.ops import roi_align as torchvision_roi_align

__all__ = ["enlarged", "roi_align", "to_roi"]


def roi_align(
    maps: Float[Tensor, "b k H W"],
    boxes: Float[Tensor, "r 4"],
    image: Int[Tensor, " r"],
    size: tuple[int, int],
    stride: float = 4.0,
    samples: int = 2,
) -> Float[Tensor, "r k h w"]:
    """The maps' values in each box, on a grid of `size`; beyond the map's edge they are 0.

    Args:
        maps: of `stride` network pixels a cell.
        boxes: xyxy in network pixels.
        image: which of the b maps a box belongs to.
        size: height and width of the result.
        stride: of the maps.
        samples: points a cell and direction that are averaged (Mask R-CNN: 2).

    Raises:
        ValueError: a box has no area or is not finite.
    """
    if not bool((boxes[:, 2:] > boxes[:, :2]).all() & boxes.isfinite().all()):
        raise ValueError(f"RoIs need finite boxes with x1 > x0 and y1 > y0, got {boxes.tolist()[:4]}")
    # torchvision's pixels begin at 0, ours have their centres at whole numbers.
    rois = torch.cat([image[:, None].to(boxes.dtype), boxes + 0.5], 1).to(maps.dtype)
    return torchvision_roi_align(maps, rois, size, 1 / stride, samples, aligned=True)


def to_roi(xy: Float[Tensor, "r *n 2"], boxes: Float[Tensor, "r 4"], size: tuple[int, int]) -> Float[Tensor, "r *n 2"]:
    """Network pixels to cells of each box's RoI."""
    shape = (len(boxes), *(1,) * (xy.ndim - 2), 2)
    low, side = boxes[:, :2].reshape(shape), (boxes[:, 2:] - boxes[:, :2]).reshape(shape)
    return (xy - low) / side * xy.new_tensor([size[1], size[0]]) - 0.5


def enlarged(boxes: Float[Tensor, "r 4"], factor: float, least: float = 8.0) -> Float[Tensor, "r 4"]:
    """Boxes about their middles: sides × `factor`, of boxes that are at least `least` pixels wide and high."""
    middle, side = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).clamp(min=least)
    return torch.cat([middle - side * (factor / 2), middle + side * (factor / 2)], 1)
