"""Candidate joints and candidate parts (Section "Keypoint Assignment Algorithm"), for a batch on the maps' device.

Only the candidates' positions and heights and the samples between them are transferred to the CPU.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from manypose.methods.simple_pose.body import Body
from manypose.nn.heatmaps import peaks, subpixel_at
from manypose.nn.smoothing import smooth

__all__ = ["Candidates", "Links", "at", "find_joints", "read", "score_parts"]

SAMPLES = 10
"""Number of samples of a part's map between two joints."""


@dataclass(frozen=True)
class Candidates:
    """n candidate joints of all images of a batch, sorted by image and joint.

    Args:
        image: index of the image.
        joint: index of the mapped joint.
        xy: in cells.
        score: height of the peak.
        first: offset of the candidates of each image and joint, and at the end n.
    """

    image: Int[np.ndarray, " n"]
    joint: Int[np.ndarray, " n"]
    xy: Float[np.ndarray, "n 2"]
    score: Float[np.ndarray, " n"]
    first: Int[np.ndarray, " bj1"]


@dataclass(frozen=True)
class Links:
    """m pairs of candidates connected by a part's map.

    Args:
        a: candidate at the part's first end.
        b: candidate at its second end.
        part: index of the part.
        score: mean of the part's map between them, 0 … 1.
    """

    a: Int[np.ndarray, " m"]
    b: Int[np.ndarray, " m"]
    part: Int[np.ndarray, " m"]
    score: Float[np.ndarray, " m"]


def find_joints(
    heat: Float[Tensor, "b j h w"], threshold: float = 0.1, smoothing: float = 0.8, apart: float = 1.5, top: int = 64
) -> Candidates:
    """Peaks of the heat maps with sub-pixel positions.

    Args:
        heat: a map per joint.
        threshold: smallest height of a peak of the smoothed map.
        smoothing: deviation in cells of the Gaussian filter against noise.
        apart: smallest distance in cells of two peaks of one joint.
        top: largest number of peaks per joint and image.
    """
    b, j = heat.shape[:2]
    smoothed = smooth(heat, smoothing, radius=2, edge="repeat")
    heights, cells = peaks(smoothed, 3, threshold, top)
    found = heights > 0
    plane = torch.arange(b * j, device=heat.device)[:, None].expand(b * j, top)[found.view(b * j, top)]
    xy = subpixel_at(heat.flatten(0, 1), plane, cells[found])
    joined = torch.cat([plane[:, None].to(xy.dtype), xy, heights[found][:, None]], 1).cpu().numpy()
    plane_, xy_, score = joined[:, 0].astype(np.int64), joined[:, 1:3].astype(np.float64), joined[:, 3]
    keep = _apart(plane_, xy_, apart)
    plane_, xy_, score = plane_[keep], xy_[keep], score[keep]
    return Candidates(plane_ // j, plane_ % j, xy_, score, np.searchsorted(plane_, np.arange(b * j + 1)))


def _apart(plane: Int[np.ndarray, " n"], xy: Float[np.ndarray, "n 2"], apart: float) -> Int[np.ndarray, " m"]:
    """Indices of the peaks without a higher one within `apart` on their map; peaks of a map are sorted by falling height."""
    if len(plane) < 2:
        return np.arange(len(plane))
    place = xy + np.stack([plane * 1e5, np.zeros(len(plane))], 1)  # separates the maps
    order = np.argsort(place[:, 0], kind="stable")
    drop = np.zeros(len(plane), bool)
    # Such peaks are near one another in the order of x.
    for step in range(1, len(plane)):
        one, other = order[:-step], order[step:]
        dx = place[other, 0] - place[one, 0]
        if not (dx < apart).any():
            break
        near = ((place[other] - place[one]) ** 2).sum(1) < apart**2
        drop[np.maximum(one, other)[near]] = True
    return np.flatnonzero(~drop)


def score_parts(
    part: Float[Tensor, "b c h w"], joints: Candidates, body: Body, threshold: float = 0.1, support: float = 0.8, reach: float = 0.5
) -> Links:
    """Pairs of candidates connected by a part's map.

    Args:
        part: a map per part, or for part affinity fields the planes of x, y and their negatives (see `read`).
        joints: the candidates.
        body: the parts.
        threshold: smallest value of a sample,
        support: for this fraction of the samples between two joints.
        reach: length, as a fraction of the map's height, beyond which parts are penalized, as published.
    """
    a, b, image, kind = _pairs(joints, body)
    xy = np.ascontiguousarray(joints.xy.T, np.float32)
    values = along = xy[:, :0]
    for t, need in ((np.array([0.5]), 1), (np.linspace(0, 1, SAMPLES), int(np.ceil(support * SAMPLES - 1e-9)))):
        # The midpoint first, since most pairs fail there.
        start = xy[:, a]
        along = xy[:, b] - start
        points = start[:, None] + along[:, None] * t[:, None].astype(np.float32)
        values = read(part, image, kind, points, along, len(body.parts))
        keep = np.flatnonzero((values > threshold).sum(0) >= need)
        a, b, kind, image, values, along = a[keep], b[keep], kind[keep], image[keep], values[:, keep], along[:, keep]
    length = np.maximum(np.hypot(*along), 1e-3)
    score = values.mean(0) + np.minimum(reach * part.shape[2] / length - 1, 0)
    keep = score > 0
    return Links(a[keep], b[keep], kind[keep], score[keep])


def _pairs(
    joints: Candidates, body: Body
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"], Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """All pairs of candidates of one image for each part: both ends, the image, the part."""
    ends = np.array(body.parts)
    first, count = joints.first[:-1].reshape(-1, len(body.sources)), np.diff(joints.first).reshape(-1, len(body.sources))
    na, nb, fa, fb = (of[:, ends[:, i]].ravel() for of in (count, first) for i in (0, 1))
    which = np.repeat(np.arange(len(na)), na)  # for each first end its image and part
    a, many = np.arange(len(which)) - np.repeat(np.cumsum(na) - na - fa, na), nb[which]
    b = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many - fb[which], many)
    return np.repeat(a, many), b, np.repeat(which // len(ends), many), np.repeat(which % len(ends), many)


def read(
    part: Float[Tensor, "b c h w"],
    image: Int[np.ndarray, " m"],
    kind: Int[np.ndarray, " m"],
    points: Float[np.ndarray, "2 s m"],
    along: Float[np.ndarray, "2 m"],
    parts: int,
) -> Float[np.ndarray, "s m"]:
    """Values of the parts' maps at the nearest cells; 0 outside the map. For fields: the component `along` the part."""
    c, h, w = part.shape[1:]
    x, y = (points + 1.5).astype(np.int32) - 1  # rounding
    inside = (x.view(np.uint32) < w) & (y.view(np.uint32) < h)  # below 0 it is very large
    index = ((image * c + kind) * (h * w) + (y * w + x)) * inside
    if c == parts:
        return at(part, index) * inside
    length = np.maximum(np.hypot(*along), 1e-6)
    fields = [at(part, index + i * parts * h * w) for i in (0, 1)]
    return (fields[0] * (along[0] / length) + fields[1] * (along[1] / length)) * inside


def at(part: Float[Tensor, "b c h w"], index: Int[np.ndarray, "s m"]) -> Float[np.ndarray, "s m"]:
    """The values at flat indices, read on the maps' device."""
    flat = part.reshape(-1)
    return flat.numpy().take(index) if flat.device.type == "cpu" else flat[torch.from_numpy(index).to(flat.device)].cpu().numpy()
