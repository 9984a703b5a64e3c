"""RoIAlign of pose maps in network pixels (Section 5.3, Equation 11; He et al., *Mask R-CNN*, Section 3).

Cell i of an RoI of w cells lies at ``x0 + (i + 1/2) (x1 - x0) / w`` for a box from x0 to x1 in network pixels, as in the map of a top-down
network for the crop of the same box (`Warp.crop`).
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
    """The maps' values in each box, on a grid of `size`; 0 outside the map.

    Args:
        maps: of `stride` network pixels per cell.
        boxes: xyxy in network pixels.
        image: index of each box's maps in the batch.
        size: height and width of the result.
        stride: of the maps.
        samples: averaged points per cell and direction (Mask R-CNN: 2).

    Raises:
        ValueError: a box has no area or is not finite.
    """
    if not bool((boxes[:, 2:] > boxes[:, :2]).all() & boxes.isfinite().all()):
        raise ValueError(f"RoIs need finite boxes with x1 > x0 and y1 > y0, got {boxes.tolist()[:4]}")
    # torchvision's coordinates have pixel edges at integers, ours pixel centres.
    rois = torch.cat([image[:, None].to(boxes.dtype), boxes + 0.5], 1).to(maps.dtype)
    return torchvision_roi_align(maps, rois, size, 1 / stride, samples, aligned=True)


def to_roi(xy: Float[Tensor, "r *n 2"], boxes: Float[Tensor, "r 4"], size: tuple[int, int]) -> Float[Tensor, "r *n 2"]:
    """Network pixels in cells of each box's RoI."""
    shape = (len(boxes), *(1,) * (xy.ndim - 2), 2)
    low, side = boxes[:, :2].reshape(shape), (boxes[:, 2:] - boxes[:, :2]).reshape(shape)
    return (xy - low) / side * xy.new_tensor([size[1], size[0]]) - 0.5


def enlarged(boxes: Float[Tensor, "r 4"], factor: float, least: float = 8.0) -> Float[Tensor, "r 4"]:
    """Boxes of at least `least` pixels in width and height, enlarged about their centres by `factor`."""
    middle, side = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).clamp(min=least)
    return torch.cat([middle - side * (factor / 2), middle + side * (factor / 2)], 1)
