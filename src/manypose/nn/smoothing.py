"""Gaussian smoothing of maps."""

from typing import Literal

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d, pad

__all__ = ["convolve", "smooth"]


def smooth(
    maps: Float[Tensor, "b c h w"], sigma: float, radius: int | None = None, edge: Literal["zero", "repeat"] = "zero"
) -> Float[Tensor, "b c h w"]:
    """Maps convolved with a normalized Gaussian.

    Args:
        maps: any maps.
        sigma: in cells; 0 does nothing.
        radius: radius of the kernel, in cells; default 3 sigma.
        edge: padding with zeros, or with the edge cell.
    """
    if sigma <= 0:
        return maps
    radius = int(3 * sigma + 0.5) if radius is None else radius
    row = torch.exp(-(torch.arange(-radius, radius + 1, device=maps.device) ** 2) / (2 * sigma**2)).to(maps.dtype)
    return convolve(maps, row / row.sum(), edge)


def convolve(
    maps: Float[Tensor, "b c h w"], row: Float[Tensor, " s"], edge: Literal["zero", "repeat"] = "zero"
) -> Float[Tensor, "b c h w"]:
    """Maps convolved with a symmetric kernel `row` along columns and rows."""
    planes = maps.detach().flatten(0, 1)
    if maps.device.type == "cpu":  # OpenCV, plane by plane: 20 times faster than torch's convolution
        taps, out = row.double().numpy(), np.empty(planes.shape, planes.numpy().dtype)
        border = cv2.BORDER_CONSTANT if edge == "zero" else cv2.BORDER_REPLICATE
        for plane, to in zip(planes.contiguous().numpy(), out, strict=True):
            cv2.sepFilter2D(plane, -1, taps, taps, dst=to, borderType=border)
        return torch.from_numpy(out).view(maps.shape)
    return _on_any_device(planes[:, None], row, edge)[:, 0].unflatten(0, maps.shape[:2])


def _on_any_device(planes: Float[Tensor, "p 1 h w"], row: Float[Tensor, " s"], edge: str) -> Float[Tensor, "p 1 h w"]:
    r = len(row) // 2
    planes = pad(planes, (r, r, r, r), mode="constant" if edge == "zero" else "replicate")
    return conv2d(conv2d(planes, row.view(1, 1, -1, 1)), row.view(1, 1, 1, -1))
