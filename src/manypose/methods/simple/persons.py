"""From pose maps and boxes to people: peaks, RoIs, the grouping CNN, and each peak to the person it belongs to (Section 4.2).

A joint's place is that of its peak on the whole map, sub-pixel: the RoI and the CNN only say whose it is. The paper leaves open what
happens when two people claim one peak. Here each joint type's peaks are handed out so that the sum of the log-odds is highest, one peak
to one person; who goes away empty-handed or with much worse may share a peak, as where two people's joints lie upon one another and make
one response.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from manypose.geometry import cell_to_pixel
from manypose.maps import peaks, subpixel
from manypose.methods.simple.grouping import GroupingCNN, at_points

__all__ = ["hand_out", "odds_of_peaks", "persons"]


@torch.no_grad()
def persons(
    heat: Float[Tensor, "b k H W"],
    boxes: Float[Tensor, "r 4"],
    image: Int[Tensor, " r"],
    cnn: GroupingCNN,
    *,
    stride: float = 4.0,
    threshold: float = 0.1,
    top: int = 30,
    least: float = 0.05,
    share: float = 3.0,
) -> tuple[Float[np.ndarray, "r k 2"], Float[np.ndarray, "r k"]]:
    """Each box's person: joints in network pixels, and their scores (0: not found).

    A score is the peak's height × the probability that it is the person's.

    Args:
        heat: pose maps of `stride`, peaks 1 high.
        boxes: xyxy in network pixels.
        image: which of the b images each box is in.
        cnn: trained, in eval mode.
        stride: of the maps.
        threshold: a peak is higher (the paper's phi_pose).
        top: peaks a joint type and image.
        least: a joint whose probability is below this is not the person's.
        share: a peak that was handed to somebody else is shared where it beats what is left for a person by this much, in log-odds.
    """
    r, k = len(boxes), heat.shape[1]
    if r == 0:
        return np.zeros((0, k, 2), np.float32), np.zeros((0, k), np.float32)
    heights, cells = peaks(heat, 5, threshold, top)
    xy = cell_to_pixel(subpixel(heat, cells), stride)
    odds = odds_of_peaks(heat, xy, heights, boxes, image, cnn)
    low = float(np.log(least / (1 - least)))
    which = np.concatenate([hand_out(odds[image == i].double().cpu().numpy(), low, share) for i in range(len(heat))])
    back = torch.cat([(image == i).nonzero()[:, 0] for i in range(len(heat))]).cpu().numpy()
    chosen = np.empty_like(which)
    chosen[back] = which
    index = torch.from_numpy(chosen).to(heat.device)
    pick = index.clamp(min=0)[..., None]
    at = xy[image].gather(2, pick[..., None].expand(-1, -1, -1, 2))[:, :, 0]
    score = (heights[image].gather(2, pick) * odds.gather(2, pick).sigmoid())[..., 0] * (index >= 0)
    return (at * (index >= 0)[..., None]).float().cpu().numpy(), score.float().cpu().numpy()


def odds_of_peaks(
    heat: Float[Tensor, "b k H W"],
    xy: Float[Tensor, "b k n 2"],
    heights: Float[Tensor, "b k n"],
    boxes: Float[Tensor, "r 4"],
    image: Int[Tensor, " r"],
    cnn: GroupingCNN,
    logits: Float[Tensor, "r k h w"] | None = None,
) -> Float[Tensor, "r k n"]:
    """For each box the log-odds that a peak is its person's; -inf for peaks outside its RoI and where there is no peak.

    `logits` are the CNN's, where they are known already.
    """
    logits = cnn.logits(cnn.rois(heat, boxes, image)).float() if logits is None else logits
    r, k, n = len(boxes), xy.shape[1], xy.shape[2]
    at = cnn.points(xy[image], boxes)
    inside = ((at >= -0.5) & (at <= at.new_tensor([cnn.size[1] - 0.5, cnn.size[0] - 0.5]))).all(-1) & (heights[image] > 0)
    roi = torch.arange(r, device=heat.device).repeat_interleave(k * n)
    joint = torch.arange(k, device=heat.device).repeat_interleave(n).repeat(r)
    odds = at_points(logits, roi, joint, at.reshape(-1, 2)).view(r, k, n)
    return odds.where(inside, torch.full_like(odds, -torch.inf))


def hand_out(odds: Float[np.ndarray, "r k n"], least: float, share: float) -> Int[np.ndarray, "r k"]:
    """Which peak each person gets of each joint type, -1 for none.

    Args:
        odds: log-odds of one image's people and peaks.
        least: a peak with lower odds is nobody's.
        share: by how much another's peak must beat one's own to be shared.
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
