"""Search for missing joints by a person's tag: the refinement step of HigherHRNet, also used by SWAHR.

Both rules run on the maps' device, for all people and joints at once.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from manypose.nn.heatmaps import subpixel_at

__all__ = ["refill_evidence", "refill_highest"]

FLOORS = (0.1, 0.02)  # the published rule searches cells above the first height, then above the second, then all
SAME = 0.25  # squared tag distance up to which a distance rounds to 0


def refill_highest(
    heat: Float[Tensor, "c h w"], tag: Float[Tensor, "c h w t"], planes: Int[Tensor, " m"], means: Float[Tensor, "m t"]
) -> tuple[Int[Tensor, "m 2"], Float[Tensor, " m"]]:
    """The published rule: the cell with the highest ``heat - round(tag distance)``, if its heat is positive.

    Arguments as in `refill_evidence`.

    Returns:
        Cells and their heat; 0 if nothing was found.
    """
    best = torch.zeros_like(planes)
    for plane in planes.unique():
        rows = (planes == plane).nonzero()[:, 0]
        best[rows] = _highest(heat[plane].flatten(), tag[plane].flatten(0, 1), means[rows])
    height = heat.flatten(1)[planes, best].clamp(min=0)
    return torch.stack([best % heat.shape[2], best // heat.shape[2]], -1), height


def _highest(heat: Float[Tensor, " n"], tag: Float[Tensor, "n t"], means: Float[Tensor, "m t"]) -> Int[Tensor, " m"]:
    """The best cell for each tag. A value never exceeds the cell's heat, so the search ends when it exceeds the heat of all other cells."""
    best = heat.new_zeros(len(means), dtype=torch.long)
    rows = torch.arange(len(means), device=heat.device)
    for floor in (*FLOORS, -torch.inf):
        cells = (heat > floor).nonzero()[:, 0]
        if not len(rows) or not len(cells):
            continue
        d2 = sum((tag[cells, i] - means[rows, i, None]) ** 2 for i in range(tag.shape[1]))
        value, at = (heat[cells] - torch.as_tensor(d2).sqrt().round()).max(1)
        best[rows] = cells[at]
        rows = rows[value <= floor]
    return best


def refill_evidence(
    heat: Float[Tensor, "c h w"],
    tag: Float[Tensor, "c h w t"],
    planes: Int[Tensor, " m"],
    means: Float[Tensor, "m t"],
    stride: float,
    seen: float = 0.2,
    tag_radius: float = 0.7,
    side: float = 22.0,
) -> tuple[Float[Tensor, "m 2"], Float[Tensor, " m"]]:
    """Our rule: the highest cell with the person's tag; if it is low, the centre of the square with the most evidence for the person.

    The evidence of a cell at tag distance d is ``sqrt(heat) (1 - (d / tag_radius)²)``. Without a clear peak, summing it over a square
    suppresses noisy cells and cells at the border of two people, where tags take any value.

    Args:
        heat: heat maps.
        tag: tags.
        planes: for each of m missing joints, the index of its map.
        means: for each, the person's tag.
        stride: network pixels per cell.
        seen: height from which the highest cell is used.
        tag_radius: largest tag distance that counts.
        side: side of the square, in network pixels.

    Returns:
        xy on the map and the heat there; 0 if nothing was found.
    """
    # Tags are predicted at stride 4; a finer search gains nothing on large maps.
    step = max(1, min(round(4 / stride), min(heat.shape[1:]) // 128))
    high, most = _rough(heat, tag, planes, means, step, max(1, round(side / stride / step / 2)), tag_radius)
    found = torch.where((high[:, 2] > seen)[:, None], high, most)
    x, y, inside = _square(found[:, :2].long(), round(side / stride / 2), (heat.shape[1], heat.shape[2]))
    index = (planes[:, None] * heat.shape[1] + y) * heat.shape[2] + x
    heats = heat.flatten()[index].clamp(min=0) * inside
    d2 = ((tag.flatten(0, 2)[index] - means[:, None]) ** 2).sum(2)
    # The centre of evidence …
    weight = heats.sqrt() * (1 - d2 / tag_radius**2).clamp(min=0)
    total = weight.sum(1).clamp(min=torch.finfo(heat.dtype).tiny)
    centre = torch.stack([(weight * x).sum(1), (weight * y).sum(1)], -1) / total[:, None]
    # … or the highest cell with the person's tag.
    own = heats * (d2 <= SAME)
    top = own.argmax(1, keepdim=True)
    height = own.gather(1, top)[:, 0]
    peak = subpixel_at(heat, planes, torch.cat([x.gather(1, top), y.gather(1, top)], 1))
    xy = torch.where((height > seen)[:, None], peak, centre)
    return xy, torch.where(weight.amax(1) > 0, height.clamp(min=1e-6), 0)


def _rough(
    heat: Tensor, tag: Tensor, planes: Tensor, means: Tensor, step: int, radius: int, tag_radius: float
) -> tuple[Float[Tensor, "m 3"], Float[Tensor, "m 3"]]:
    """On every step-th cell: x, y, value of the highest with the person's tag, and of the centre of the square with the most evidence."""
    first, high, most = step // 2, means.new_empty(len(means), 3), means.new_empty(len(means), 3)
    for plane in planes.unique().tolist():  # map by map, for the cache
        rows = (planes == plane).nonzero()[:, 0]
        heats = heat[plane, first::step, first::step].clamp(min=0)
        tags = tag[plane, first::step, first::step].movedim(2, 0).contiguous()
        mean = means[rows, :, None, None]
        d2 = (tags[0] - mean[:, 0]).square_()
        for i in range(1, len(tags)):
            d2 += (tags[i] - mean[:, i]).square_()
        high[rows] = _highest_cells(heats * (d2 <= SAME))
        speaks = d2.mul_(-1 / tag_radius**2).add_(1).clamp_(min=0).mul_(heats.sqrt())
        most[rows] = _highest_cells(_window_sums(speaks, radius))
    scale = means.new_tensor([step, step, 1])
    offset = means.new_tensor([first, first, 0])
    return high * scale + offset, most * scale + offset


def _highest_cells(maps: Float[Tensor, "m h w"]) -> Float[Tensor, "m 3"]:
    """x, y and value of each map's highest cell; row maxima first, which is faster than an argmax."""
    value, y = maps.amax(2).max(1)
    x = maps[torch.arange(len(maps), device=maps.device), y].argmax(1)
    return torch.stack([x.to(value), y.to(value), value], 1)


def _square(cells: Int[Tensor, "m 2"], reach: int, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """x, y (clamped to the map) and whether on the map, of all cells of the squares around `cells`."""
    h, w = size
    step = torch.arange(-reach, reach + 1, device=cells.device)
    x, y = (cells[:, :1] + step)[:, None, :], (cells[:, 1:] + step)[:, :, None]
    inside = (x >= 0) & (x < w) & (y >= 0) & (y < h)
    x, y = torch.broadcast_tensors(x.clamp(0, w - 1), y.clamp(0, h - 1))
    return x.flatten(1), y.flatten(1), inside.flatten(1)


def _window_sums(values: Float[Tensor, "m h w"], radius: int) -> Float[Tensor, "m h w"]:
    """Sums over squares of side 2 radius + 1, by shifted additions (10 times faster than pooling on a CPU)."""
    padded = pad(values, (radius,) * 4)
    return _runs(_runs(padded, 2 * radius + 1, 1), 2 * radius + 1, 2)


def _runs(values: Tensor, length: int, dim: int) -> Tensor:
    """Sums of `length` neighbours along a dimension, from sums of 1, 2, 4, 8 …"""
    n = values.shape[dim] - length + 1
    out, start, power = None, 0, 1
    while power <= length:
        if length & power:
            part = values.narrow(dim, start, n)
            out, start = (part.clone() if out is None else out.add_(part)), start + power
        power *= 2
        if power <= length:
            half = values.shape[dim] - power // 2
            values = values.narrow(dim, 0, half) + values.narrow(dim, power // 2, half)
    assert out is not None
    return out
