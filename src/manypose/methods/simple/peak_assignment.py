"""Assignment of peaks to people: the log-odds of the grouping CNN in each box's RoI, and an optimal assignment (Section 4.2).

A joint's position is that of its peak on the whole map; the CNN only assigns it. The paper leaves conflicts open: here the peaks of each
joint type are assigned one to one with the largest sum of log-odds. A person without a peak, or with a much worse one, may then share
another's, since overlapping joints of two people give one response.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from manypose.methods.simple.grouping import GroupingCNN, at_points

__all__ = ["hand_out", "odds_of_peaks"]


def odds_of_peaks(
    heat: Float[Tensor, "b k H W"],
    xy: Float[Tensor, "b k n 2"],
    heights: Float[Tensor, "b k n"],
    boxes: Float[Tensor, "r 4"],
    image: Int[Tensor, " r"],
    cnn: GroupingCNN,
    logits: Float[Tensor, "r k h w"] | None = None,
) -> Float[Tensor, "r k n"]:
    """For each box the log-odds that a peak belongs to its person; -inf for peaks outside its RoI and for missing peaks.

    `logits` are the CNN's, if already computed.
    """
    logits = cnn.logits(cnn.rois(heat, boxes, image)).float() if logits is None else logits
    at = cnn.points(xy[image], boxes)
    inside = ((at >= -0.5) & (at <= at.new_tensor([cnn.size[1] - 0.5, cnn.size[0] - 0.5]))).all(-1) & (heights[image] > 0)
    roi, joint, _ = inside.nonzero(as_tuple=True)
    odds = logits.new_full(inside.shape, -torch.inf)
    odds[inside] = at_points(logits, roi, joint, at[inside])
    return odds


def hand_out(odds: Float[np.ndarray, "r k n"], least: float, share: float) -> Int[np.ndarray, "r k"]:
    """The peak of each person and joint type, -1 for none.

    Args:
        odds: log-odds of one image's people and peaks.
        least: smallest log-odds of an assigned peak.
        share: smallest difference between the log-odds of another person's peak and those of the person's own for it to be shared.
    """
    r, k, _ = odds.shape
    out = np.full((r, k), -1, np.int64)
    gain = np.where(odds >= least, odds - least, 0.0)
    for j in range(k):
        if not gain[:, j].any():
            continue
        rows, columns = linear_sum_assignment(gain[:, j], maximize=True)
        got = gain[rows, j, columns] > 0
        out[rows[got], j] = columns[got]
        own = np.where(out[:, j] >= 0, np.take_along_axis(gain[:, j], out[:, j : j + 1].clip(0), 1)[:, 0], 0.0)
        best = gain[:, j].argmax(1)
        shared = gain[np.arange(r), j, best] > own + share
        out[shared, j] = best[shared]
    return out
