"""Joints that a person lacks, looked for once its tag is known (SWAHR follows HigherHRNet's refinement step here).

Both rules run on the maps' device, joint after joint for all people who lack it.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from manypose.maps import quarter_offset, subpixel

__all__ = ["refill_evidence", "refill_highest"]

FLOORS = (0.1, 0.02)  # heights down to which the published rule looks before it looks everywhere


def refill_highest(
    heat: Float[Tensor, "h w"], tag: Float[Tensor, "h w t"], means: Float[Tensor, "m t"]
) -> tuple[Float[Tensor, "m 2"], Float[Tensor, " m"]]:
    """As published: the cell where ``heat - round(tag distance)`` is highest, if the heat there is positive; a quarter offset.

    A cell's value is never above its heat. So looking at the hot cells alone is enough for whoever finds a value above the rest's heat.

    Returns:
        xy on the map and the heat there; height 0 where nothing was found.
    """
    flat, tags = heat.flatten(), tag.flatten(0, 1)
    best = flat.new_zeros(len(means), dtype=torch.long)
    open_ = torch.arange(len(means), device=heat.device)
    for floor in (*FLOORS, None):
        cells = torch.arange(len(flat), device=heat.device) if floor is None else (flat > floor).nonzero()[:, 0]
        if len(open_) and len(cells):
            distance = sum((tags[cells, i] - means[open_, i, None]) ** 2 for i in range(tags.shape[1]))
            value, at = (flat[cells] - torch.as_tensor(distance).sqrt().round()).max(1)
            best[open_] = cells[at]
            if floor is not None:
                open_ = open_[value <= floor]
    cells = torch.stack([best % heat.shape[1], best // heat.shape[1]], -1)
    return quarter_offset(heat[None, None], cells[None, None])[0, 0], flat[best].clamp(min=0)


def refill_evidence(
    heat: Float[Tensor, "h w"],
    tag: Float[Tensor, "h w t"],
    means: Float[Tensor, "m t"],
    stride: float,
    threshold: float = 0.1,
    tag_radius: float = 0.5,
    side: float = 22.0,
) -> tuple[Float[Tensor, "m 2"], Float[Tensor, " m"]]:
    """Ours: the square in which most heat speaks for the person, and in it the highest cell or, if none is high, the centre of that heat.

    A cell speaks for a person with its heat times ``1 - (d / tag_radius)²``, d the distance of its tag to the person's. Single cells of
    noise or cells on the seam between two people's tags do not win over a region, as they do where only the best cell counts.

    Args:
        heat: one joint's map.
        tag: its tags.
        means: the tags of the people who lack the joint.
        stride: network pixels a cell.
        threshold: what is high.
        tag_radius: cells whose tags are further off do not count.
        side: of the square, in network pixels.

    Returns:
        xy on the map and the heat there; height 0 where nothing was found.
    """
    step = max(1, round(4 / stride))  # tags are predicted at stride 4: a finer search finds nothing more
    first = step // 2
    rough, h, w = heat[first::step, first::step].clamp(min=0), *heat.shape
    sums = _window_sums(_evidence(rough, tag[first::step, first::step], means, tag_radius), max(1, round(side / stride / step / 2)))
    most, at = sums.flatten(1).max(1)
    middle = torch.stack([at % rough.shape[1], at // rough.shape[1]], -1) * step + first
    reach = torch.arange(-round(side / stride / 2), round(side / stride / 2) + 1, device=heat.device)
    x = (middle[:, 0, None] + reach).clamp(0, w - 1)
    y = (middle[:, 1, None] + reach).clamp(0, h - 1)
    index = (y[:, :, None] * w + x[:, None, :]).flatten(1)
    near = _near(tag.flatten(0, 1)[index], means[:, None], tag_radius)
    inside = ((middle[:, 0, None] + reach == x)[:, None, :] & (middle[:, 1, None] + reach == y)[:, :, None]).flatten(1)
    weight = heat.flatten()[index].clamp(min=0) * near * inside
    total = weight.sum(1).clamp(min=torch.finfo(heat.dtype).tiny)
    centre = torch.stack([(weight * (index % w)).sum(1), (weight * (index // w)).sum(1)], -1) / total[:, None]
    high = index.gather(1, (heat.flatten()[index] * (near > 0) * inside).argmax(1, keepdim=True))[:, 0]
    top = torch.stack([high % w, high // w], -1)
    seen = heat.flatten()[high] > threshold
    xy = torch.where(seen[:, None], subpixel(heat[None, None], top[None, None])[0, 0], centre)
    height = torch.where(seen, heat.flatten()[high], weight.amax(1))
    return xy, height * (most > 0)


def _near(tags: Tensor, mean: Tensor, radius: float) -> Tensor:
    """1 - (d / radius)², not below 0."""
    d2 = (tags[..., 0] - mean[..., 0]) ** 2
    for i in range(1, tags.shape[-1]):
        d2 = d2 + (tags[..., i] - mean[..., i]) ** 2
    return (1 - d2 / radius**2).clamp(min=0)


def _evidence(heat: Tensor, tag: Tensor, means: Tensor, radius: float) -> Tensor:
    return heat * _near(tag, means[:, None, None], radius)


def _window_sums(values: Float[Tensor, "m h w"], radius: int) -> Float[Tensor, "m h w"]:
    """Sums over squares of side 2 radius + 1, by shifted additions (on a CPU 10 times faster than pooling)."""
    h, w = values.shape[1:]
    padded = pad(values, (radius,) * 4)
    rows = padded[:, :h].clone()
    for i in range(1, 2 * radius + 1):
        rows += padded[:, i : h + i]
    out = rows[..., :w].clone()
    for i in range(1, 2 * radius + 1):
        out += rows[..., i : w + i]
    return out
