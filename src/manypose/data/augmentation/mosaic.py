"""Mosaic augmentation: four photos in one image, with more people, scales and neighbours."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Shaped

from manypose.data.sample import Sample, warp
from manypose.poses.warp import Warp

__all__ = ["mosaic"]

Tile = tuple[int, int, int, int]
"""x0, y0, x1, y1 in the mosaic, ends excluded."""


def mosaic(samples: Sequence[Sample], rng: np.random.Generator, zoom: tuple[float, float] = (0.8, 1.3)) -> Sample:
    """Four samples as the tiles of a square image with a random inner corner.

    Joints outside their tile become unlabelled, and boxes are clipped to it.

    Args:
        samples: four of one skeleton.
        rng: draws the corner, and the scale and position of each photo.
        zoom: range of each photo's scale relative to one that fills its tile; below 1 there are borders, with mask 0.

    Raises:
        ValueError: not four, or of several skeletons.
    """
    if len(samples) != 4 or len({s.skeleton for s in samples}) != 1:
        raise ValueError(f"a mosaic needs four samples of one skeleton, got {len(samples)} of {sorted({s.skeleton.name for s in samples})}")
    # 1.5 short sides: photos keep about three quarters of their resolution.
    side = int(1.5 * np.mean([min(s.image.shape[:2]) for s in samples]))
    x, y = (int(v) for v in rng.uniform(0.35, 0.65, 2) * side)
    tiles = [(0, 0, x, y), (x, 0, side, y), (0, y, x, side), (x, y, side, side)]
    parts = [_tile(s, t, rng.uniform(*zoom), rng) for s, t in zip(samples, tiles, strict=True)]
    k, planes = len(samples[0].skeleton), max(len(p.mask) for p in parts)

    def joined(arrays: list[Shaped[np.ndarray, "..."]], shape: tuple[int, ...]) -> Shaped[np.ndarray, "..."]:
        out = np.empty(shape, np.uint8)
        for (x0, y0, x1, y1), a in zip(tiles, arrays, strict=True):
            out[..., y0:y1, x0:x1] = a
        return out

    known = any(p.segmentation is not None for p in parts)
    image = joined([p.image.transpose(2, 0, 1) for p in parts], (3, side, side)).transpose(1, 2, 0)
    return Sample(
        samples[0].skeleton,
        np.ascontiguousarray(image),
        np.concatenate([p.keypoints for p in parts]).reshape(-1, k, 3),
        np.concatenate([p.boxes for p in parts]).reshape(-1, 4),
        np.concatenate([p.areas for p in parts]),
        joined([p.mask for p in parts], (planes, side, side)),
        joined([np.array(255) if p.segmentation is None else p.segmentation for p in parts], (side, side)) if known else None,
        samples[0].image_id,
        unposed=np.concatenate([p.unposed for p in parts]),
    )


def _tile(sample: Sample, tile: Tile, zoom: float, rng: np.random.Generator) -> Sample:
    """A sample clipped to its tile, in the mosaic's coordinates, without people outside it."""
    x0, y0, x1, y1 = tile
    (h, w), th, tw = sample.image.shape[:2], y1 - y0, x1 - x0
    scale = zoom * max(th / h, tw / w)
    # A random centre for which the tile is filled, else the photo's centre.
    free = np.maximum(0, (np.array([w, h]) - np.array([tw, th]) / scale) / 2)
    cx, cy = np.array([(w - 1) / 2, (h - 1) / 2]) + rng.uniform(-1, 1, 2) * free
    seen = warp(sample, Warp.similarity((float(cx), float(cy)), tw / scale, (th, tw)))
    keep = (seen.keypoints[..., 2] > 0).any(1)
    keypoints, corner = seen.keypoints[keep], np.array([x0, y0], np.float32)
    keypoints[..., :2] += corner * (keypoints[..., 2:] > 0)

    def cut(boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
        return (np.clip(boxes, 0, np.array([tw, th, tw, th], np.float32)) + np.tile(corner, 2)).astype(np.float32)

    unposed = cut(np.concatenate([seen.unposed, seen.boxes[~keep]]))
    return replace(seen, keypoints=keypoints, boxes=cut(seen.boxes[keep]), areas=seen.areas[keep], unposed=unposed[_large(unposed)])


def _large(boxes: Float[np.ndarray, "n 4"]) -> Bool[np.ndarray, " n"]:
    """A mask of the boxes more than a pixel wide and high."""
    return np.asarray((boxes[:, 2:] - boxes[:, :2] > 1).all(1))
