"""Decoding of NanoDet's grids."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from manypose.methods.nanodet.network import BINS, STRIDES

__all__ = ["likeliest"]


def likeliest(grids: Sequence[Float[Tensor, "b c _h _w"]], most: int) -> Float[Tensor, "b n 5"]:
    """The best boxes of all grids, by falling score (Generalized Focal Loss, Equation 6: a distance is its distribution's mean).

    Args:
        grids: of strides 8, 16, 32.
        most: largest number n of boxes.
    """
    scores = torch.cat([g[:, 0].flatten(1) for g in grids], 1)
    top = scores.topk(torch.sym_min(most, scores.shape[1]), 1)
    index = top.indices
    rows = torch.cat([g[:, 1:].flatten(2) for g in grids], 2).gather(2, index[:, None].expand(-1, 4 * BINS, -1))
    places, strides = (t[index] for t in _cells(tuple((g.shape[2], g.shape[3]) for g in grids), scores.device))
    bins = torch.arange(BINS, device=scores.device, dtype=rows.dtype)
    far = (rows.unflatten(1, (4, BINS)).softmax(2) * bins[:, None]).sum(2) * strides[:, None]  # b 4 n: left, top, right, bottom
    # A cell's centre (column + 1/2) · stride is relative to the image edge, half a pixel from the first pixel's centre.
    centre = torch.cat([places, places], 2).transpose(1, 2) - 0.5
    boxes = centre + far * far.new_tensor([-1, -1, 1, 1])[:, None]
    return torch.cat([boxes, top.values.sigmoid()[:, None]], 1).transpose(1, 2)


def _cells(sizes: Sequence[tuple[int, int]], device: torch.device) -> tuple[Float[Tensor, "a 2"], Float[Tensor, " a"]]:
    """xy of the cells' centres, relative to the image edge, and their strides."""
    places, strides = [], []
    for (h, w), stride in zip(sizes, STRIDES, strict=True):
        y, x = torch.meshgrid(torch.arange(h, device=device), torch.arange(w, device=device), indexing="ij")
        places.append((torch.stack([x, y], 2).flatten(0, 1) + 0.5) * stride)
        strides.append(torch.full((h * w,), float(stride), device=device))
    return torch.cat(places), torch.cat(strides)
