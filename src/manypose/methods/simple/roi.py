"""RoIAlign of pose maps, exact about where a cell lies (Section 5.3, Equation 11; He et al., *Mask R-CNN*, Section 3).

A box is the rectangle from its left edge x0 to its right edge x1 in network pixels, as `Warp.crop` takes it. Cell i of an RoI that is w
cells wide lies at ``x0 + (i + 1/2) (x1 - x0) / w``: just where cell i of a top-down network's map lies whose crop shows the same box.
Bilinear reading is a product of a row's and a column's weights, so RoIAlign is two matrix products: no compiled operator, the same on any
device, and its gradient does not depend on the order of additions.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["enlarged", "roi_align", "to_roi"]


def roi_align(
    maps: Float[Tensor, "b k H W"],
    boxes: Float[Tensor, "r 4"],
    image: Int[Tensor, " r"],
    size: tuple[int, int],
    stride: float = 4.0,
    samples: int = 2,
) -> Float[Tensor, "r k h w"]:
    """What the maps show in each box, on a grid of `size`; beyond the map's edge it is 0.

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
    rows, columns = (_weights(boxes[:, i], boxes[:, i + 2], size[1 - i], maps.shape[3 - i], stride, samples) for i in (1, 0))
    rows, columns = rows.to(maps.dtype), columns.to(maps.dtype)
    # Of a large map each box reads a small part only.
    spans = torch.cat([_span(rows), _span(columns)], 1).tolist()
    out = [
        _products(maps[i, :, y0:y1, x0:x1], row[:, y0:y1], column[:, x0:x1])
        for i, row, column, (y0, y1, x0, x1) in zip(image.tolist(), rows, columns, spans, strict=True)
    ]
    return torch.stack(out) if out else maps.new_zeros((0, maps.shape[1], *size))


def _products(part: Float[Tensor, "k H W"], row: Float[Tensor, "h H"], column: Float[Tensor, "w W"]) -> Float[Tensor, "k h w"]:
    """row · part · columnᵀ as two plain products."""
    return ((part @ column.T).transpose(1, 2).contiguous() @ row.T).transpose(1, 2)


def _span(weights: Float[Tensor, "r cells length"]) -> Int[Tensor, "r 2"]:
    """From where to where a row of cells reads the map at all."""
    read = (weights > 0).any(1)
    count = torch.arange(read.shape[1], device=read.device)
    return torch.stack([count.where(read, read.shape[1]).amin(1), (count + 1).where(read, 0).amax(1)], 1)


def _weights(
    low: Float[Tensor, " r"], high: Float[Tensor, " r"], cells: int, length: int, stride: float, samples: int
) -> Float[Tensor, "r cells length"]:
    """How much each of the map's rows counts in each of the RoI's rows: the mean of `samples` bilinear readings."""
    at = (torch.arange(cells * samples, device=low.device) + 0.5) / (cells * samples)
    pixel = low[:, None] + at * (high - low)[:, None]
    cell = (pixel - (stride - 1) / 2) / stride
    there = (cell >= -1) & (cell <= length)
    cell = cell.clamp(0, length - 1)
    weight = (1 - (cell[..., None] - torch.arange(length, device=low.device)).abs()).clamp(min=0) * there[..., None]
    return weight.unflatten(1, (cells, samples)).mean(2)


def to_roi(xy: Float[Tensor, "r *n 2"], boxes: Float[Tensor, "r 4"], size: tuple[int, int]) -> Float[Tensor, "r *n 2"]:
    """Network pixels to cells of each box's RoI."""
    shape = (len(boxes), *(1,) * (xy.ndim - 2), 2)
    low, side = boxes[:, :2].reshape(shape), (boxes[:, 2:] - boxes[:, :2]).reshape(shape)
    return (xy - low) / side * xy.new_tensor([size[1], size[0]]) - 0.5


def enlarged(boxes: Float[Tensor, "r 4"], factor: float, least: float = 8.0) -> Float[Tensor, "r 4"]:
    """Boxes about their middles: sides × `factor`, of boxes that are at least `least` pixels wide and high."""
    middle, side = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).clamp(min=least)
    return torch.cat([middle - side * (factor / 2), middle + side * (factor / 2)], 1)
