"""Test-time augmentation for all methods: a photo at several scales and mirrored, with outputs merged as its `Field`s specify.

A *view* is the network's input for the photo at one scale. Its `Warp` maps output cells to the photo, so that outputs of different scales
are aligned cell by cell although their padding differs.
"""

from collections.abc import Sequence
from math import ceil, floor
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate, pad

from manypose.methods.method import Field, Maps, Method

__all__ = ["align", "outputs"]

Grid = Literal["base", "largest", "input"]
"""The grid of merged maps: that of the base view, that of the largest view, or one cell for each pixel of the base view."""


def outputs(
    method: Method,
    images: Sequence[UInt8[Tensor, "b _h _w 3"]],
    zooms: Sequence[float],
    base: int,
    *,
    flip: bool = False,
    grid: Grid = "base",
    mixed: bool = False,
) -> Maps:
    """The method's merged outputs of a batch, ready for `Method.decode` with the size of ``images[base]``.

    Args:
        method: a method on the images' device.
        images: each view of the batch.
        zooms: scale of each view relative to the base view.
        base: index of the base view, the only source of fields that are not merged over scales.
        flip: also use the mirrored views.
        grid: grid of the result.
        mixed: half precision where PyTorch considers it safe; for GPUs.
    """
    if len(images) == 1 and not flip and grid != "input":  # nothing to merge
        maps = _read(method, images[0], mixed)
        return {name: m[..., None] if method.fields[name].merge == "stack" else m for name, m in maps.items()}
    first = (
        max(range(len(images)), key=lambda i: zooms[i]) if grid == "largest" else base
    )  # the view whose grid the others are resampled to
    order = [first, *(i for i in range(len(images)) if i != first)]
    span = _hw(images[base], 1)
    cells = span if grid == "input" else None
    parts: dict[str, dict[int, Tensor]] = {name: {} for name in method.fields}
    for i in order:
        # Views without any used output are not computed.
        wanted = {n: f for n, f in method.fields.items() if f.scales == "all" or i == base}
        if not wanted:
            continue
        maps = _read(method, images[i], mixed)
        plane = next((n for n, f in wanted.items() if f.merge != "boxes"), None)  # a detector may output only boxes
        cells = cells or (span if plane is None else _hw(maps[plane], 2))
        view = _hw(images[i], 1)
        pair = [maps, _mirrored(_read(method, images[i].flip(2), mixed), method.fields, view[1])] if flip else [maps]
        for name, field in wanted.items():
            if field.merge == "boxes":
                aligned = [_zoomed(m[name], 1 / zooms[i]) for m in pair]
            else:
                # Published views begin half a pixel apart, which has the same effect.
                move = 0.0 if grid == "input" else field.offset * (1 / zooms[i] - 1)
                aligned = [align(m[name], view, zooms[i], cells, span, (sign * move, move)) for m, sign in zip(pair, (1, -1), strict=False)]
            parts[name][i] = _join(aligned, field)
    return {name: _join([part[i] for i in sorted(part)], method.fields[name], again=True) for name, part in parts.items()}


def _hw(tensor: Tensor, at: int) -> tuple[int, int]:
    return int(tensor.shape[at]), int(tensor.shape[at + 1])


def _read(method: Method, images: UInt8[Tensor, "b _h _w 3"], mixed: bool) -> Maps:
    with torch.autocast(images.device.type, enabled=mixed):
        prepared = method.prepare(images).contiguous(memory_format=torch.channels_last)
        maps = method.readout(method.network(prepared))
    return {name: maps[name].float() for name in method.fields}


def _mirrored(maps: Maps, fields: dict[str, Field], width: int) -> Maps:
    """The outputs of a mirrored view, mirrored back: cells, channels if the field requires it, and boxes within `width`."""
    back = {
        name: _mirrored_boxes(m, width) if fields[name].merge == "boxes" else _shifted(m.flip(3), fields[name].shift)
        for name, m in maps.items()
    }
    return {n: m if fields[n].mirror is None else m[:, list(fields[n].mirror or ())] for n, m in back.items()}


def _mirrored_boxes(boxes: Float[Tensor, "b n 5"], width: int) -> Float[Tensor, "b n 5"]:
    x0, y0, x1, y1, score = boxes.unbind(2)
    return torch.stack([width - 1 - x1, y0, width - 1 - x0, y1, score], 2)


def _zoomed(boxes: Float[Tensor, "b n 5"], factor: float) -> Float[Tensor, "b n 5"]:
    """Boxes of a view in the base view's pixels; both views begin at the same corner of the photo."""
    if factor == 1:
        return boxes
    return torch.cat([boxes[..., :4] * factor + (factor - 1) / 2, boxes[..., 4:]], 2)


def _shifted(maps: Tensor, cells: float) -> Tensor:
    """Maps shifted to the right, with linear interpolation for fractions of a cell; edge columns are repeated."""
    if cells == 0:
        return maps
    low = floor(cells)
    at = torch.arange(maps.shape[-1], device=maps.device) - low
    moved, further = (maps[..., (at - i).clamp(0, maps.shape[-1] - 1)] for i in (0, 1))
    return moved if cells == low else torch.lerp(moved, further, cells - low)


def _join(parts: list[Tensor], field: Field, again: bool = False) -> Tensor:
    """The mean of several maps, or their stack in a new last dimension (`again`: in the existing one); boxes are concatenated."""
    if field.merge == "boxes":
        return torch.cat(parts, 1)
    if len(parts) == 1:  # nothing is copied
        return parts[0] if again or field.merge == "mean" else parts[0][..., None]
    if field.merge == "mean":
        return torch.stack(parts).mean(0)
    return torch.cat(parts, -1) if again else torch.stack(parts, -1)


def align(
    maps: Float[Tensor, "b c h w"],
    view: tuple[int, int],
    zoom: float,
    cells: tuple[int, int],
    span: tuple[int, int],
    move: tuple[float, float] = (0.0, 0.0),
) -> Float[Tensor, "b c h2 w2"]:
    """A view's maps, resampled bilinearly at the cells of another grid; edge cells are repeated.

    Args:
        maps: maps of a view.
        view: size of the view in pixels, which the maps cover completely.
        zoom: scale of the view relative to the base view.
        cells: size of the result in cells.
        span: size of the base view in pixels, which the result covers completely.
        move: x and y shift of the result to the right and down, in pixels of the base view.
    """
    h, w = maps.shape[2:]
    # Cells of `maps` per cell of the result; both grids start at the same corner of the photo, so cell i is at (i + 1/2) step - 1/2.
    step = [zoom * big / cell * small / side for big, cell, small, side in zip(span, cells, (h, w), view, strict=True)]
    if any(move):
        return _read_moved(maps, step, cells, [m * cell / big for m, cell, big in zip(reversed(move), cells, span, strict=True)])
    if all(abs(s * c - n) < 1e-6 for s, c, n in zip(step, cells, (h, w), strict=True)):
        return maps if (h, w) == cells else interpolate(maps, size=cells, mode="bilinear", align_corners=False)
    need = [ceil(s * c) + 2 for s, c in zip(step, cells, strict=True)]
    part = maps[:, :, : need[0], : need[1]]
    short = [n - p for n, p in zip(need, part.shape[2:], strict=True)]
    part = pad(part, (0, short[1], 0, short[0]), mode="replicate") if any(short) else part
    factors = [1 / s for s in step]
    return interpolate(part, scale_factor=factors, mode="bilinear", align_corners=False, recompute_scale_factor=False)[
        :, :, : cells[0], : cells[1]
    ]


def _read_moved(maps: Float[Tensor, "b c h w"], step: list[float], cells: tuple[int, int], move: list[float]) -> Float[Tensor, "b c h2 w2"]:
    """The maps at every `step`-th cell (y, x), shifted by cells of the result."""
    axes = zip(cells, move, step, maps.shape[2:], strict=True)
    at = [(torch.arange(n, device=maps.device) - m + 0.5) * s / size * 2 - 1 for n, m, s, size in axes]
    grid = torch.stack(torch.meshgrid(at[1], at[0], indexing="xy"), -1).to(maps.dtype)
    return grid_sample(maps, grid.expand(len(maps), -1, -1, -1), mode="bilinear", padding_mode="border", align_corners=False)
