"""Decoding of one person's heat maps in NumPy, for runtimes without PyTorch; equal to `manypose.methods.mspn.decode.decode`."""

import cv2
import numpy as np
from jaxtyping import Float, Int

__all__ = ["joints_of_heatmaps", "merge_mirrored"]


def joints_of_heatmaps(heat: Float[np.ndarray, "b k h w"], size: tuple[int, int], deviation: float = 1.0) -> Float[np.ndarray, "b k 3"]:
    """The x, y (pixels of the network's input) and height (0 to 1) of each map's highest peak.

    A post-Gaussian filter chooses the peak (MSPN, Section 4.2, "Testing"); a Gaussian is fitted to the unfiltered cells around it.

    Args:
        heat: heat maps whose peaks are about 1.
        size: height and width of the network's input.
        deviation: standard deviation of the post-Gaussian filter in cells; raising it suppresses larger isolated peaks.
    """
    b, k, h, w = heat.shape
    planes = np.ascontiguousarray(heat, np.float32).reshape(b * k, h, w)
    at = _filtered(planes, deviation).reshape(b * k, h * w).argmax(1)
    cells = _climbed(planes, np.stack([at % w, at // w], 1))
    inner = ((cells >= 2) & (cells <= (w - 3, h - 3))).all(1, keepdims=True)
    xy = np.where(inner, _fitted(planes, cells, 2), _fitted(planes, cells, 1))
    stride = np.array([size[1] / w, size[0] / h])
    heights = planes[np.arange(len(planes)), cells[:, 1], cells[:, 0]].clip(0, 1)
    joints = np.concatenate([xy * stride + (stride - 1) / 2, heights[:, None]], 1)
    return joints.reshape(b, k, 3).astype(np.float32)


def merge_mirrored(
    heat: Float[np.ndarray, "b k h w"], mirrored: Float[np.ndarray, "b k h w"], order: tuple[int, ...], shift: int = 0
) -> Float[np.ndarray, "b k h w"]:
    """The mean of the maps of a view and of its mirrored view.

    Args:
        heat: maps of the view.
        mirrored: maps of the mirrored view, as the network predicts them.
        order: the mirror partner of each joint.
        shift: cells by which the mirrored maps are shifted to the right (`manypose.methods.method.Field`).
    """
    back = mirrored[:, list(order), :, ::-1]
    if shift:
        back = np.concatenate([back[..., :shift], back[..., :-shift]], 3)
    return (heat + back) / 2


def _filtered(planes: Float[np.ndarray, "n h w"], deviation: float) -> Float[np.ndarray, "n h w"]:
    """Planes after a Gaussian filter of three deviations; beyond their edges they are 0."""
    if deviation <= 0 or not len(planes):
        return planes
    radius = int(3 * deviation + 0.5)
    row = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * deviation**2))
    row /= row.sum()
    # One call for all planes, one below the other with rows of zeros between them.
    n, h, w = planes.shape
    column = np.zeros((n, h + radius, w), np.float32)
    column[:, :h] = planes
    column = cv2.sepFilter2D(column.reshape(-1, w), -1, row, row, borderType=cv2.BORDER_CONSTANT)
    return np.ascontiguousarray(column.reshape(n, h + radius, w)[:, :h])


def _climbed(planes: Float[np.ndarray, "n h w"], cells: Int[np.ndarray, "n 2"]) -> Int[np.ndarray, "n 2"]:
    """The highest of the 3 × 3 cells around each cell, since the filter may move the maximum by one cell."""
    steps = np.array([[x, y] for y in (-1, 0, 1) for x in (-1, 0, 1)])
    near = (cells[:, None] + steps).clip(0, (planes.shape[2] - 1, planes.shape[1] - 1))
    values = planes[np.arange(len(planes))[:, None], near[..., 1], near[..., 0]]
    return near[np.arange(len(planes)), values.argmax(1)]


def _fitted(planes: Float[np.ndarray, "n h w"], cells: Int[np.ndarray, "n 2"], radius: int) -> Float[np.ndarray, "n 2"]:
    """The centre of a Gaussian fitted to the square of `radius` around each cell: a parabola through the logarithm of its sums."""
    n, h, w = planes.shape
    radius = min(radius, (min(h, w) - 1) // 2)
    if radius < 1:
        return cells.astype(np.float32)
    middle = cells.clip(radius, (w - 1 - radius, h - 1 - radius))
    step = np.arange(-radius, radius + 1)
    rows, columns = middle[:, 1:, None] + step[None, :, None], middle[:, :1, None] + step[None, None, :]
    values = planes[np.arange(n)[:, None, None], rows, columns]
    # Only positive values are informative; smaller ones count as a thousandth of the peak.
    values = np.maximum(values, values.max((1, 2), keepdims=True) * 1e-3).clip(np.finfo(np.float32).tiny)
    sums = np.log(np.stack([values.sum(1), values.sum(2)], 1))
    bend = step**2 - (step**2).mean()
    slope, curvature = (sums * (step / (step**2).sum())).sum(2), (sums * (bend / (bend**2).sum())).sum(2)
    safe = np.where(curvature < 0, curvature, 1)
    vertex = np.where(curvature < 0, -slope / (2 * safe), cells - middle)
    return (middle + vertex).clip(cells - 1.0, cells + 1.0)
