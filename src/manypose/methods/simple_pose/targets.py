"""Target maps (Section "Definition of Heatmaps", Equation 1) of a batch, on its device.

The cells of the bounding boxes of all joints and parts are concatenated, evaluated and scattered into the maps, so that the cost depends on
the drawn area and not on the size of the maps.
"""

from math import log

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, interpolate, max_pool2d

from manypose.data.sample import Batch
from manypose.methods.method import Maps
from manypose.methods.simple_pose.body import Body
from manypose.poses.warp import cell_to_pixel, pixel_to_cell

__all__ = ["heat_maps", "paint_fields", "part_maps", "pyramid", "targets"]


def targets(
    people: Batch,
    size: tuple[int, int],
    body: Body,
    *,
    sigma_k: float = 9.0,
    sigma_p: float = 7.0,
    thre: float = 0.01,
    thre_p: float | None = None,
    published: bool = False,
    auxiliary: bool = True,
    fields: bool = False,
    stride: int = 4,
    scales: int = 5,
) -> Maps:
    """Targets for a network input of `size`.

    Args:
        people: joints in network pixels; every joint with visibility > 0 counts.
        size: height and width of the input.
        body: the joints and parts.
        sigma_k: deviation of a joint's Gaussian, in pixels of the input.
        sigma_p: deviation across a part.
        thre: value at which Gaussians are truncated.
        thre_p: the same for parts; default `thre`.
        published: as in the authors' program (see `heat_maps`, `part_maps`) instead of the paper.
        auxiliary: two more channels, as in the published networks: the person mask, and the maximum of all joints' maps.
        fields: part affinity fields (Cao et al. 2017) in place of parts, for the baseline (Table 1, experiment 1).
        stride: of the finest maps.
        scales: number of scales.

    Returns:
        ``scale0`` … ``scale4``: (b, c, h, w), channels parts, joints and optionally the auxiliary two, each half the previous size.
        ``mask0`` … ``mask4``: (b, c or 1, h, w), the weight of a cell: 0 in regions without annotations.
    """
    joints = body.joints(people.keypoints)
    drawn = (joints[..., 2] > 0) & people.there[..., None]
    xy = joints[..., :2].where(drawn[..., None], joints.new_zeros(()))
    grid = (size[0] // stride, size[1] // stride)
    heat = heat_maps(xy, drawn, grid, sigma_k, thre, published, stride)
    if fields:
        parts = paint_fields(xy, drawn, body, grid, sigma_p, stride)
    else:
        parts = part_maps(xy, drawn, body, grid, sigma_p, thre if thre_p is None else thre_p, published, stride)
    maps, mask = [parts, heat], _mask(people, body, stride, fields)
    if auxiliary:
        person, known = _person_mask(people, stride)
        maps += [person, heat.amax(1, keepdim=True)]
        whole = mask.amin(1, keepdim=True)
        mask = torch.cat([mask.expand(-1, parts.shape[1] + heat.shape[1], -1, -1), whole * known, whole], 1)
    return pyramid(torch.cat(maps, 1), mask, scales)


def pyramid(maps: Float[Tensor, "b c h w"], mask: Float[Tensor, "b m h w"], scales: int = 5) -> Maps:
    """``scale0`` … by adaptive average pooling, ``mask0`` … bilinearly, with values below 1/2 set to 0, as published."""
    out: Maps = {}
    for i in range(scales):
        grid = (maps.shape[2] >> i, maps.shape[3] >> i)
        out[f"scale{i}"] = adaptive_avg_pool2d(maps, grid) if i else maps
        small = interpolate(mask, size=grid, mode="bilinear", align_corners=False) if i else mask
        out[f"mask{i}"] = small * (small >= 0.5)
    return out


def heat_maps(
    xy: Float[Tensor, "b n j 2"],
    drawn: Bool[Tensor, "b n j"],
    grid: tuple[int, int],
    sigma: float = 9.0,
    thre: float = 0.01,
    published: bool = False,
    stride: int = 4,
    gain: Float[Tensor, "b n j"] | None = None,
) -> Float[Tensor, "b j h w"]:
    """Joints' heat maps, the maximum of all people's Gaussians; `xy` and `sigma` in pixels, `grid` in cells.

    Gaussians are truncated where they fall to `thre` (paper), or with `published` to a square of cells around ``round(x / stride)``, which
    differs slightly from the Gaussian's centre. `gain` scales each.
    """
    b, n, j = drawn.shape
    reach = sigma * _cut(thre)
    if published:
        radius = -int(-reach // stride)
        middle = (xy / stride).round()
    else:
        radius = int(reach / stride + 1)
        middle = pixel_to_cell(xy, stride).round()
    planes = (torch.arange(b, device=xy.device)[:, None, None] * j + torch.arange(j, device=xy.device)).expand(b, n, j)
    which, x, y = _cells((middle - radius)[drawn], (middle + radius)[drawn], grid)
    at = xy[drawn][which]
    d2 = (cell_to_pixel(x, stride) - at[:, 0]) ** 2 + (cell_to_pixel(y, stride) - at[:, 1]) ** 2
    values = torch.exp(-d2 / (2 * sigma**2))
    if not published:
        values = values * (values > thre)
    if gain is not None:
        values = values * gain[drawn][which]
    index = (planes[drawn][which] * grid[0] + y.long()) * grid[1] + x.long()
    out = xy.new_zeros(b * j * grid[0] * grid[1])
    return out.scatter_reduce_(0, index, values, "amax").view(b, j, *grid)


def part_maps(
    xy: Float[Tensor, "b n j 2"],
    drawn: Bool[Tensor, "b n j"],
    body: Body,
    grid: tuple[int, int],
    sigma: float = 7.0,
    thre: float = 0.01,
    published: bool = False,
    stride: int = 4,
    keep: Bool[Tensor, "b n l"] | None = None,
) -> Float[Tensor, "b l h w"]:
    """Maps of body parts; `keep` selects some.

    For the paper's "elliptical Gaussians" we use ``exp(-r² / 2σ²)`` with r the semi-minor axis of the ellipse through the cell whose foci
    are the part's joints: 1 between the joints, a Gaussian across, truncated where it falls to `thre`; the maximum of all people's. With
    `published`, r is the distance to the line through both joints, drawn in their bounding box enlarged by 4 pixels, where values up to
    `thre` become 0.01, and several people are averaged.
    """
    a, b_, planes, total = _ends(xy, drawn, body, keep)
    out = xy.new_zeros(total * grid[0] * grid[1])
    middle, half = (a + b_) / 2, (b_ - a) / 2
    if published:
        low, high = torch.minimum(a, b_), torch.maximum(a, b_)
        which, x, y = _cells(((low - 4) / stride).round(), ((high + 4) / stride).round(), grid)
        middle, half = middle.double(), half.double()  # as in NumPy, for equal comparisons with the threshold
    else:
        reach = (half**2 + (sigma * _cut(thre)) ** 2).sqrt()  # of the ellipse's bounding box
        which, x, y = _cells(pixel_to_cell(middle - reach, stride).ceil(), pixel_to_cell(middle + reach, stride).floor(), grid)
    length = half.norm(dim=1, keepdim=True)
    rows = torch.cat([middle, half / length, length, planes[:, None].to(half.dtype)], 1).index_select(0, which)
    mx, my, ux, uy, focus, plane = rows.unbind(1)
    dx, dy = cell_to_pixel(x, stride) - mx, cell_to_pixel(y, stride) - my
    across2 = (dx * uy - dy * ux) ** 2
    index = (plane.long() * grid[0] + y.long()) * grid[1] + x.long()
    if published:
        values = torch.exp(-across2 / (2 * sigma**2))
        values = values.where(values > thre, values.new_tensor(0.01)).to(xy.dtype)
        count = torch.zeros_like(out).index_add_(0, index, torch.ones_like(values))
        out = out.index_add_(0, index, values) / count.clamp(min=1)
    else:
        # Elliptic coordinates, without numerical cancellation.
        far = dx**2 + dy**2 - focus**2
        root = torch.sqrt(far**2 + 4 * focus**2 * across2)
        r2 = torch.where(far > 0, (root + far) / 2, 2 * focus**2 * across2 / (root - far).clamp(min=1e-6))
        values = torch.exp(-r2 / (2 * sigma**2))
        out.scatter_reduce_(0, index, values * (values > thre), "amax")
    return out.view(xy.shape[0], len(body.parts), *grid)


def paint_fields(
    xy: Float[Tensor, "b n j 2"], drawn: Bool[Tensor, "b n j"], body: Body, grid: tuple[int, int], width: float = 7.0, stride: int = 4
) -> Float[Tensor, "b l2 h w"]:
    """Part affinity fields (Cao et al. 2017, Section 2.3): the unit vector along a part within `width` pixels of it, averaged over people.

    Channels: x of all parts, then y of all parts.
    """
    a, b_, planes, total = _ends(xy, drawn, body, None)
    low, high = torch.minimum(a, b_) - width, torch.maximum(a, b_) + width
    which, x, y = _cells(pixel_to_cell(low, stride).floor(), pixel_to_cell(high, stride).ceil(), grid)
    a, along = a[which], (b_ - a)[which]
    length = along.norm(dim=1)
    unit = along / length.clamp(min=1e-6)[:, None]
    to = torch.stack([cell_to_pixel(x, stride), cell_to_pixel(y, stride)], 1) - a
    ahead = (to * unit).sum(1)
    across = to[:, 0] * unit[:, 1] - to[:, 1] * unit[:, 0]
    inside = ((ahead >= 0) & (ahead <= length) & (across.abs() <= width)).to(xy.dtype)
    index = (planes[which] * grid[0] + y.long()) * grid[1] + x.long()
    empty = xy.new_zeros(total * grid[0] * grid[1])
    count = empty.index_add(0, index, inside).clamp(min=1)
    both = [(empty.index_add(0, index, unit[:, i] * inside) / count).view(xy.shape[0], len(body.parts), *grid) for i in (0, 1)]
    return torch.cat(both, 1)


def _ends(
    xy: Float[Tensor, "b n j 2"], drawn: Bool[Tensor, "b n j"], body: Body, keep: Bool[Tensor, "b n l"] | None
) -> tuple[Float[Tensor, "m 2"], Float[Tensor, "m 2"], Int[Tensor, " m"], int]:
    """Both ends and the plane of all drawable parts, and the number of planes."""
    first, second = (torch.tensor([p[i] for p in body.parts], device=xy.device) for i in (0, 1))
    a, b_ = xy[:, :, first], xy[:, :, second]
    there = drawn[:, :, first] & drawn[:, :, second] & (a != b_).any(-1)
    there = there if keep is None else there & keep
    b, n, count = there.shape
    planes = (torch.arange(b, device=xy.device)[:, None, None] * count + torch.arange(count, device=xy.device)).expand(b, n, count)
    return a[there], b_[there], planes[there], b * count


def _cut(thre: float) -> float:
    """The distance, in deviations, at which a Gaussian falls to `thre`."""
    return (-2 * log(thre)) ** 0.5


def _cells(
    low: Float[Tensor, "m 2"], high: Float[Tensor, "m 2"], grid: tuple[int, int]
) -> tuple[Int[Tensor, " q"], Float[Tensor, " q"], Float[Tensor, " q"]]:
    """All cells of m boxes (corners included, clipped to the grid): the index of the box, x and y."""
    low = low.clamp(min=0)
    sides = (high.minimum(high.new_tensor([grid[1] - 1, grid[0] - 1])) - low + 1).clamp(min=0)
    counts = sides.prod(1).long()
    which = torch.repeat_interleave(counts)
    # Small integers are exact as floats, which divide much faster.
    first = torch.stack([low[:, 0], low[:, 1], sides[:, 0]], 1).index_select(0, which)
    place = (torch.arange(which.numel(), device=low.device) - (counts.cumsum(0) - counts).index_select(0, which)).to(low.dtype)
    row = ((place + 0.5) / first[:, 2]).floor()
    return which, first[:, 0] + place - row * first[:, 2], first[:, 1] + row


def _mask(people: Batch, body: Body, stride: int, fields: bool) -> Float[Tensor, "b c h w"]:
    """The loss mask: one plane, or one per channel if joints' masks differ (a part needs those of both ends)."""
    mask = (avg_pool2d(people.mask.float(), stride) > 0.5).float()
    if mask.shape[1] == 1:
        return mask
    ends = [s if isinstance(s, tuple) else (s, s) for s in body.sources]
    joints = torch.minimum(mask[:, [e[0] for e in ends]], mask[:, [e[1] for e in ends]])
    parts = torch.minimum(joints[:, [p[0] for p in body.parts]], joints[:, [p[1] for p in body.parts]])
    return torch.cat([parts, parts, joints] if fields else [parts, joints], 1)


def _person_mask(people: Batch, stride: int) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 h w"]]:
    """The person's share of each cell after a 3×3 erosion (as published), and a mask of where it is known."""
    seen = people.segmentation[:, None]
    person = avg_pool2d((seen == 1).float(), stride)
    known = (avg_pool2d((seen == 255).float(), stride) == 0).float()
    return -max_pool2d(-person, 3, 1, 1), known
