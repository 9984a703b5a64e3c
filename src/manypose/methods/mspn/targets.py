"""Targets: one Gaussian per joint, wider in early stages and coarse scales (MSPN, Section 3.3), for a batch on its device."""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from manypose.data.sample import Batch
from manypose.methods.method import Maps
from manypose.nn.heatmaps import gaussians

__all__ = ["FIRST_CELL", "KERNELS", "Labels", "deviation", "ladders", "one_person", "published_labels", "targets"]

Labels = Literal["ours", "published"]

FIRST_CELL = {"ours": 1.5, "mspn": 2.0, "hrnet": 0.0}
"""The pixel of the crop at a map's first cell, for targets and decoding. Ours is the cell's centre; MSPN's authors round joints down to a
cell and decode ``4 x + 2``, HRNet's round to the nearest and decode ``4 x``."""

KERNELS = (15, 11, 9, 7, 5)
"""Sizes of the Gaussian kernels, the widest first."""

PEAK = 255.0
"""Height of a target's peak in the published program of MSPN."""

# OpenCV uses tables for these kernels; that for 9 came after 4.1.2, with which the published models were trained.
TABLES = {
    5: (1, 4, 6, 4, 1),
    7: (1, 3.5, 7, 9, 7, 3.5, 1),
    9: (4, 13, 30, 51, 60, 51, 30, 13, 4),
}


def deviation(kernel: int) -> float:
    """The standard deviation in cells of a kernel size (OpenCV's rule)."""
    return 0.3 * ((kernel - 1) / 2 - 1) + 0.8


def ladders(stages: int, finest: tuple[int, ...] | None = None, coarse_to_fine: bool = True) -> tuple[tuple[int, ...], ...]:
    """The kernels of each stage's four scales, the coarsest scale first.

    Args:
        stages: number of stages.
        finest: the kernel of each stage's finest scale (Table 5: setting 1 is (7, 7), 2 is (5, 5), 3 is (7, 5)); default 7, last stage 5.
        coarse_to_fine: otherwise all stages have the kernels of the first, as published.

    Raises:
        ValueError: an unknown kernel, or not one per stage.
    """
    finest = (7,) * (stages - 1) + (5,) if finest is None else tuple(finest)
    if len(finest) != stages or any(k not in KERNELS[3:] for k in finest):
        raise ValueError(f"kernels are one of {KERNELS[3:]} for each of the {stages} stages, got {list(finest)}")
    if not coarse_to_fine:
        finest = finest[:1] * stages
    return tuple(KERNELS[KERNELS.index(k) - 3 : KERNELS.index(k) + 1] for k in finest)


def one_person(people: Batch) -> tuple[Float[Tensor, "b k 3"], Float[Tensor, "b k"]]:
    """The joints of each image's first person (unlabelled if it has none), and a mask of the joint types that its data set annotates.

    Joint types that a data set does not annotate have no loss.
    """
    joints = people.keypoints[:, 0] * people.there[:, 0, None, None]
    known = (people.mask.flatten(2).amax(2) > 0).float()
    return joints, known.expand(-1, joints.shape[1])


def targets(
    people: Batch,
    size: tuple[int, int],
    sigmas: dict[str, float],
    peak: float = PEAK,
    first: float = FIRST_CELL["ours"],
    kernels: bool = False,
) -> Maps:
    """Targets for a network input of `size`.

    Args:
        people: one person per crop, joints in network pixels.
        size: height and width of the input.
        sigmas: for each name the deviation in cells, or with `kernels` the size of its kernel.
        peak: height of a target's peak.
        first: see `FIRST_CELL`; for other values than ours, joints are rounded to cells, as published.
        kernels: render with OpenCV's blur, as MSPN's authors do; see `published_labels`.

    Returns:
        for each name (b, k, h, w) at stride 4; ``visible``: (b, k), 0 not labelled, 1 hidden, 2 visible; ``known``: (b, k), 1 if the data
        set annotates the joint type.
    """
    joints, known = one_person(people)
    h, w = size[0] // 4, size[1] // 4
    xy = joints[..., :2]
    inside = _inside(xy, size)
    visible = joints[..., 2] * inside
    cells = (xy - first) / 4
    if first != FIRST_CELL["ours"]:
        cells = (cells + 0.5).floor().clamp(min=0).minimum(cells.new_tensor([w - 1, h - 1]))
    out: Maps = {"visible": visible, "known": known}
    for name, sigma in sigmas.items():
        if kernels:
            out[name] = published_labels(cells.long(), visible > 0, (h, w), int(sigma)).to(xy.dtype) * (peak / PEAK)
        else:
            out[name] = gaussians(cells[:, None], (visible > 0)[:, None], (h, w), sigma) * peak
    return out


def _inside(xy: Float[Tensor, "b k 2"], size: tuple[int, int]) -> Bool[Tensor, "b k"]:
    return ((xy >= -0.5) & (xy <= xy.new_tensor([size[1] - 0.5, size[0] - 0.5]))).all(-1)


def published_labels(
    cells: Int[Tensor, "b k 2"], drawn: Bool[Tensor, "b k"], size: tuple[int, int], kernel: int, table: bool = True
) -> Float[Tensor, "b k h w"]:
    """The authors' targets: a blurred one in a cell, scaled to a peak of 255; double precision.

    The blur reflects at the edge, so that a joint a few cells from it has its peak on the edge.

    Args:
        cells: xy; any value if not drawn.
        drawn: mask of the joints to draw.
        size: height and width of the map.
        kernel: size of the blur.
        table: OpenCV's table for a kernel of 9, which versions up to 4.1.2 do not have.
    """
    h, w = size
    cells = cells.clamp(min=0).minimum(cells.new_tensor([w - 1, h - 1]))
    rows, columns = (torch.from_numpy(_blurred(n, kernel, table)).to(cells.device) for n in (h, w))
    return rows[cells[..., 1]][..., :, None] * columns[cells[..., 0]][..., None, :] * (drawn * PEAK)[..., None, None]


def _blurred(n: int, kernel: int, table: bool) -> Float[np.ndarray, "n n"]:
    """For each of n cells a row with a one in that cell, blurred and scaled to a peak of 1."""
    if kernel in TABLES and (table or kernel != 9):
        row = np.array(TABLES[kernel]) / np.sum(TABLES[kernel])
    else:
        steps = np.arange(kernel) - kernel // 2
        row = np.exp(-(steps**2) / (2 * deviation(kernel) ** 2))
        row /= row.sum()
    ones = np.eye(n)
    padded = np.pad(ones, ((0, 0), (kernel // 2,) * 2), mode="reflect")
    out = np.stack([np.convolve(line, row, "valid") for line in padded])
    return out / out.max(1, keepdims=True)
