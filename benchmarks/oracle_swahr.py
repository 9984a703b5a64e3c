"""SWAHR's maps as a perfect or a spoiled network would give them, rendered from annotations: for ``oracle.py``.

The frame and the targets are the published ones: the short side becomes 512, the long one a multiple of 64 with the photo in the middle;
points go to 1/4 and 1/2 of that without half-pixel terms and are cut to whole cells; a Gaussian of deviation 2 in a square of 15 cells.
Tags lie on the 1/4 map: person p has 2 (p + 1) in a square of 7 cells around each joint, the background 0; the nearest centre wins.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import interpolate

from manypose.methods.swahr.targets import shift
from manypose.nn.associative_embedding.decode import decode as grouping
from manypose.nn.associative_embedding.decode import published_grouping
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO
from manypose.poses.warp import Warp

SHORT, MULTIPLE = 512, 64
SIGMA, TAG_REACH = 2, 3
PROTOCOL = "short side 512; heat maps of 1/4 and 1/2 averaged at 1/2; where a joint is left out of degraded maps, its tags stay"


def view(photo: tuple[int, int]) -> Warp:
    """Photo of height and width `photo` to the network's input."""
    h, w = photo
    scale = SHORT / min(h, w)
    size = (SHORT if h <= w else _multiple(h * scale), SHORT if w < h or h == w else _multiple(w * scale))
    middle = np.array([int(w / 2 + 0.5), int(h / 2 + 0.5)])
    offset = np.array([size[1] / 2, size[0] / 2]) - middle * scale
    return Warp(np.array([[scale, 0, offset[0]], [0, scale, offset[1]]]), size)


def maps(
    keypoints: Float[np.ndarray, "n 17 3"], photo: tuple[int, int], image_id: int, degraded: bool = False
) -> tuple[dict[str, Tensor], Warp]:
    """``heat`` and ``tag`` (1, 17, H/2, W/2) as the method's readout gives them, and the way from the photo to the network's input.

    Args:
        keypoints: x, y, visibility of the photo's people.
        photo: its height and width.
        image_id: seeds the degradation, so that it is the same for all methods.
        degraded: bumps of 0.3 … 1 of their height, a tenth of the joints left out (their tags stay), and noise in every cell.
    """
    warp = view(photo)
    (h, w), labelled = warp.size, keypoints[..., 2] > 0
    draw = np.random.Generator(np.random.PCG64(image_id))
    gain, kept = np.ones(labelled.shape), np.ones(labelled.shape, bool)
    if degraded:
        gain, kept = draw.uniform(0.3, 1.0, labelled.shape), draw.uniform(size=labelled.shape) >= 0.1
    xy = warp.points(keypoints[..., :2].astype(np.float64))
    cells = {stride: np.trunc(xy / stride).astype(np.int64) for stride in (4, 2)}
    heat = [_bumps(cells[s], labelled & kept, gain, (h // s, w // s)) for s in (4, 2)]
    tag = _tags(cells[4], labelled, (h // 4, w // 4))
    if degraded:
        heat = [np.clip(m + draw.normal(0, 0.03, m.shape), 0, 1) for m in heat]
        tag = tag + draw.normal(0, 0.15, tag.shape)
    quarter, half, tags = (torch.from_numpy(m.astype(np.float32))[None] for m in (*heat, tag))
    return {"heat": (_enlarge(quarter, (h // 2, w // 2)) + half) / 2, "tag": _enlarge(tags, (h // 2, w // 2))}, warp


def decode(maps: dict[str, Tensor], warp: Warp, published: bool = False) -> Poses:
    """People in photo pixels. Joints were cut to whole cells when they were drawn, so they lie half a network pixel further on."""
    if published:
        return warp.back(published_grouping(maps["heat"], maps["tag"], COCO, warp.size)[0])
    return warp.back(grouping(maps["heat"], maps["tag"], COCO, warp.size, shift=shift(published=True))[0])


def _multiple(side: float) -> int:
    return int(np.ceil(round(side, 6) / MULTIPLE)) * MULTIPLE


def _enlarge(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return interpolate(maps, size=size, mode="bilinear", align_corners=False)


def _squares(cells: Int[np.ndarray, "n k 2"], drawn: Bool[np.ndarray, "n k"], size: tuple[int, int], reach: int):
    """Person, joint, and the part of the map and of a square that each drawn joint covers; joints off the map are skipped."""
    h, w = size
    for p, j in zip(*np.nonzero(drawn), strict=True):
        x, y = cells[p, j]
        if 0 <= x < w and 0 <= y < h:
            top, left = max(y - reach, 0), max(x - reach, 0)
            on_map = (j, slice(top, min(y + reach + 1, h)), slice(left, min(x + reach + 1, w)))
            yield p, j, on_map, tuple(slice(s.start - c + reach, s.stop - c + reach) for s, c in zip(on_map[1:], (y, x), strict=True))


def _bumps(
    cells: Int[np.ndarray, "n k 2"], drawn: Bool[np.ndarray, "n k"], gain: Float[np.ndarray, "n k"], size: tuple[int, int]
) -> Float[np.ndarray, "k h w"]:
    reach = 3 * SIGMA + 1
    step = np.arange(-reach, reach + 1)
    bell = np.exp(-(step[:, None] ** 2 + step**2) / (2 * SIGMA**2))
    out = np.zeros((cells.shape[1], *size))
    for p, j, on_map, part in _squares(cells, drawn, size, reach):
        out[on_map] = np.maximum(out[on_map], bell[part] * gain[p, j])
    return out


def _tags(cells: Int[np.ndarray, "n k 2"], drawn: Bool[np.ndarray, "n k"], size: tuple[int, int]) -> Float[np.ndarray, "k h w"]:
    step = np.arange(-TAG_REACH, TAG_REACH + 1)
    far = step[:, None] ** 2 + step**2
    out, nearest = np.zeros((cells.shape[1], *size)), np.full((cells.shape[1], *size), np.inf)
    for p, _, on_map, part in _squares(cells, drawn, size, TAG_REACH):
        nearer = far[part] < nearest[on_map]
        out[on_map] = np.where(nearer, 2 * (p + 1), out[on_map])
        nearest[on_map] = np.where(nearer, far[part], nearest[on_map])
    return out
