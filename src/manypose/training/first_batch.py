"""An image of a training's first batch: network inputs with joints and target maps."""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from manypose.data.sample import Batch
from manypose.io import photos
from manypose.poses.drawing import draw
from manypose.poses.poses import Poses
from manypose.poses.skeleton import Skeleton

__all__ = ["draw_batch"]


def draw_batch(batch: Batch, method: nn.Module, skeleton: Skeleton, path: Path, most: int = 8) -> Path:
    """Write an image with a row for each of the first views: with joints, and with the maximum of all target maps overlaid.

    Args:
        batch: network pixels.
        method: the method, for its targets.
        skeleton: of the joints.
        path: the image file.
        most: number of views.
    """
    images = batch.images[:most].cpu().numpy()
    heat = _heat(batch, method)[:most]
    rows = []
    for i, image in enumerate(images):
        people = batch.keypoints[i][batch.there[i]].cpu().numpy()
        labelled = (people[..., 2] > 0).astype(np.float32)
        drawn = draw(image, Poses(skeleton, people[..., :2], labelled, np.ones(len(people), np.float32)))
        shade = heat[i][..., None]
        warm = (image * (1 - 0.7 * shade) + np.array([255, 60, 0]) * 0.7 * shade).astype(np.uint8)
        rows.append(np.concatenate([drawn, warm], 1))
    return photos.write(path, np.concatenate(rows, 0))


def _heat(batch: Batch, method: nn.Module) -> np.ndarray:
    """The maximum of all target maps at each pixel, 0 … 1; zeros for a method without target maps."""
    size = (batch.images.shape[1], batch.images.shape[2])
    with torch.no_grad():
        targets = method.targets(batch, size)  # type: ignore[operator]
    k = batch.keypoints.shape[2]
    maps = [t.float() for t in targets.values() if t.ndim == 4 and t.shape[1] >= k and min(t.shape[2:]) > 1]
    if not maps:
        return np.zeros((len(batch.images), *size), np.float32)
    finest = max(maps, key=lambda t: t.shape[2])[:, :k].clamp(0, 1).amax(1, keepdim=True)
    return functional.interpolate(finest, size, mode="bilinear")[:, 0].cpu().numpy()
