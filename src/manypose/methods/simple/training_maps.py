"""Training data of the grouping CNN without photos: pose maps rendered from annotated people, clean or degraded.

Maps are those of `manypose.nn.heatmaps.gaussians` at the size of inference (short side 512 pixels, stride 4), sampled by RoIAlign.
Degraded maps have peaks of 0.3 … 1, a tenth of the joints missing, and noise. Two peaks of one type nearer than `MERGED` cells are one
response, which is not counted against either person.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from manypose.data.datasets.coco import AnnotatedImage
from manypose.methods.simple.grouping import GroupingCNN
from manypose.nn.heatmaps import gaussians

__all__ = ["Examples", "Rendering", "crowded", "render"]

MERGED = 2.0
"""Distance in cells of the pose map."""


@dataclass(frozen=True)
class Rendering:
    """Settings of rendered pose maps.

    Args:
        short: pixels of the photo's short side.
        zoom: range of a further scale factor, for half of the photos.
        sigma: range of the Gaussians' deviation in cells.
        flip: probability of mirroring.
        jitter: largest random shift of a box's edges as a fraction of its sides, for half of the boxes.
        spoiled: probability that a photo's maps are degraded.
        gain: smallest height of a degraded peak.
        drop: probability that a joint is missing, in the same fraction of photos (drawn independently); its position is still a target.
        noise: standard deviation of the noise in degraded maps.
        false: number of random background points per RoI in degraded maps.
        alone: share of the people used among those without another person's joints in their RoI.
    """

    short: int = 512
    zoom: tuple[float, float] = (0.6, 1.5)
    sigma: tuple[float, float] = (1.8, 2.2)
    flip: float = 0.5
    jitter: float = 0.1
    spoiled: float = 0.5
    gain: float = 0.3
    drop: float = 0.1
    noise: float = 0.03
    false: int = 24
    alone: float = 0.1

    def __post_init__(self) -> None:
        if self.short < 32 or min(*self.zoom, *self.sigma) <= 0:
            raise ValueError(
                f"rendering needs short >= 32, zoom and sigma > 0; got short {self.short}, zoom {self.zoom}, sigma {self.sigma}"
            )


@dataclass(frozen=True)
class Examples:
    """RoIs and the peaks in them, the input of `grouping_loss`."""

    rois: Float[Tensor, "r k h w"]
    roi: Int[Tensor, " m"]
    joint: Int[Tensor, " m"]
    cells: Float[Tensor, "m 2"]
    own: Bool[Tensor, " m"]

    def to(self, device: torch.device) -> "Examples":
        """The examples on another device."""
        return Examples(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    @classmethod
    def joined(cls, parts: Sequence["Examples"]) -> "Examples":
        """The concatenated examples of several photos."""
        start = np.cumsum([0, *(len(p.rois) for p in parts)])
        roi = torch.cat([p.roi + int(s) for p, s in zip(parts, start[:-1], strict=True)])
        rest = {name: torch.cat([getattr(p, name) for p in parts]) for name in ("rois", "joint", "cells", "own")}
        return cls(roi=roi, **rest)


def crowded(image: AnnotatedImage, extend: float) -> Bool[np.ndarray, " n"]:
    """A mask of the people with another person's labelled joint in their enlarged box."""
    x0, y0, x1, y1 = image.boxes.T[:, :, None, None]
    grow = (extend - 1) / 2
    x, y, labelled = image.keypoints[None, ..., 0], image.keypoints[None, ..., 1], image.keypoints[None, ..., 2] > 0
    inside = (x > x0 - grow * (x1 - x0)) & (x < x1 + grow * (x1 - x0)) & (y > y0 - grow * (y1 - y0)) & (y < y1 + grow * (y1 - y0))
    inside = (inside & labelled).any(2)
    np.fill_diagonal(inside, False)
    return inside.any(1)


def render(
    image: AnnotatedImage,
    people: Bool[np.ndarray, " n"],
    network: GroupingCNN,
    rule: Rendering,
    mirror: tuple[int, ...],
    rng: np.random.Generator,
    pool: Float[Tensor, "k H W"] | None = None,
) -> Examples | None:
    """The RoIs of some of a photo's people; None if no person can be used.

    Args:
        image: annotated people.
        people: rows of the people to use.
        network: the CNN, for its `rois` and `points`.
        rule: the settings.
        mirror: the skeleton's mirror permutation.
        rng: random generator.
        pool: standard normal noise from which crops are taken, with wrap-around.
    """
    keypoints, boxes, size = _view(image, rule, mirror, rng)
    labelled = keypoints[..., 2] > 0
    n, k = labelled.shape
    spoiled, holes = rng.random(2) < rule.spoiled
    gain = rng.uniform(rule.gain, 1.0, (n, k)) if spoiled else np.ones((n, k))
    drawn = labelled & (rng.random((n, k)) >= rule.drop) if holes else labelled
    cells = (keypoints[..., :2] - 1.5) / 4
    heat = _maps(cells, drawn, gain, (size[0] // 4, size[1] // 4), float(rng.uniform(*rule.sigma)))
    if spoiled and rule.noise > 0 and pool is not None:
        heat = (heat + rule.noise * _cut(pool, heat.shape[1:], rng)).clamp_(0, 1)
    chosen = np.flatnonzero(people & drawn.any(1))
    if not len(chosen):
        return None
    seen = torch.from_numpy(boxes[chosen].astype(np.float32))
    rois = network.rois(heat[None], seen, torch.zeros(len(chosen), dtype=torch.long))
    roi, joint, xy, own = _peaks(keypoints, drawn, labelled, chosen, rule.false if spoiled else 0, rng, boxes, network.extend)
    at = network.points(torch.from_numpy(xy.astype(np.float32))[:, None], seen[roi])[:, 0]
    inside = ((at >= -0.5) & (at <= at.new_tensor([network.size[1] - 0.5, network.size[0] - 0.5]))).all(1)
    return Examples(rois, torch.from_numpy(roi)[inside], torch.from_numpy(joint)[inside], at[inside], torch.from_numpy(own)[inside])


def _view(
    image: AnnotatedImage, rule: Rendering, mirror: tuple[int, ...], rng: np.random.Generator
) -> tuple[Float[np.ndarray, "n k 3"], Float[np.ndarray, "n 4"], tuple[int, int]]:
    """Joints and boxes in network pixels, and the padded size of the network's input."""
    h, w = image.size
    scale = rule.short / min(h, w)
    if rng.random() < 0.5:
        scale *= float(np.exp(rng.uniform(*np.log(rule.zoom))))
    keypoints, boxes = image.keypoints.astype(np.float64), image.boxes.astype(np.float64)
    if rng.random() < rule.flip:
        keypoints = keypoints[:, list(mirror)]
        keypoints[..., 0] = w - 1 - keypoints[..., 0]
        boxes = np.stack([w - 1 - boxes[:, 2], boxes[:, 1], w - 1 - boxes[:, 0], boxes[:, 3]], 1)
    if rule.jitter > 0:
        side = np.concatenate([boxes[:, 2:] - boxes[:, :2]] * 2, 1)
        moved = boxes + side * rng.uniform(-rule.jitter, rule.jitter, boxes.shape)
        boxes = np.where(rng.random((len(boxes), 1)) < 0.5, moved, boxes)
    keypoints[..., :2] = (keypoints[..., :2] + 0.5) * scale - 0.5
    padded = tuple(int(np.ceil(side * scale / 64)) * 64 for side in (h, w))
    return keypoints, (boxes + 0.5) * scale - 0.5, (padded[0], padded[1])


def _maps(
    cells: Float[np.ndarray, "n k 2"], drawn: Bool[np.ndarray, "n k"], gain: Float[np.ndarray, "n k"], size: tuple[int, int], sigma: float
) -> Float[Tensor, "k h w"]:
    """Heat maps with a given height of each peak."""
    if (gain == 1).all():
        return gaussians(torch.from_numpy(cells.astype(np.float32))[None], torch.from_numpy(drawn)[None], size, sigma)[0]
    out = torch.zeros((drawn.shape[1], *size))
    for one, there, height in zip(cells, drawn, gain, strict=True):
        bumps = gaussians(torch.from_numpy(one.astype(np.float32))[None, None], torch.from_numpy(there)[None, None], size, sigma)[0]
        torch.maximum(out, bumps * torch.from_numpy(height.astype(np.float32))[:, None, None], out=out)
    return out


def _cut(pool: Float[Tensor, "k H W"], size: Sequence[int], rng: np.random.Generator) -> Float[Tensor, "k h w"]:
    """A crop of the pool at a random position, with wrap-around."""
    rows = (torch.arange(size[0]) + int(rng.integers(pool.shape[1]))) % pool.shape[1]
    columns = (torch.arange(size[1]) + int(rng.integers(pool.shape[2]))) % pool.shape[2]
    return pool.index_select(1, rows).index_select(2, columns)


def _peaks(
    keypoints: Float[np.ndarray, "n k 3"],
    drawn: Bool[np.ndarray, "n k"],
    labelled: Bool[np.ndarray, "n k"],
    chosen: Int[np.ndarray, " r"],
    false: int,
    rng: np.random.Generator,
    boxes: Float[np.ndarray, "n 4"],
    extend: float,
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"], Float[np.ndarray, "m 2"], Bool[np.ndarray, " m"]]:
    """For each RoI the person's joints, drawn or not, and the drawn ones of others (RoI, joint type, position, own), without those that
    merge with an own one.
    """
    person, joint = np.nonzero(labelled)
    xy = keypoints[person, joint, :2]
    r, m = len(chosen), len(person)
    roi, which = np.repeat(np.arange(r), m), np.tile(np.arange(m), r)
    own = person[which] == chosen[roi]
    there = own | drawn[person, joint][which]
    roi, which, own = roi[there], which[there], own[there]
    j, at = joint[which], xy[which]
    if false:
        middle, side = (boxes[chosen, :2] + boxes[chosen, 2:]) / 2, (boxes[chosen, 2:] - boxes[chosen, :2]) * extend
        more = middle[:, None] + side[:, None] * rng.uniform(-0.5, 0.5, (r, false, 2))
        roi, own = np.concatenate([roi, np.repeat(np.arange(r), false)]), np.concatenate([own, np.zeros(r * false, bool)])
        j, at = np.concatenate([j, rng.integers(keypoints.shape[1], size=r * false)]), np.concatenate([at, more.reshape(-1, 2)])
    mine = chosen[roi]
    near = labelled[mine, j] & (((keypoints[mine, j, :2] - at) ** 2).sum(1) < (4 * MERGED) ** 2)
    keep = own | ~near
    return roi[keep], j[keep], at[keep], own[keep]
