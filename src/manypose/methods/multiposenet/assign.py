"""Assignment of keypoint candidates to boxes by the PRN (MultiPoseNet, Section 3.4)."""

from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from manypose.methods.multiposenet.prn import log_share
from manypose.methods.multiposenet.roi import Candidates, Chooser, Inside, Regions, inside

__all__ = ["Candidates", "How", "assign", "match", "pair_scores"]

How = Literal["linear", "each", "shared"]


def assign(
    prn: Chooser,
    candidates: Candidates,
    boxes: Float[Tensor, "n 4"],
    box_image: Int[Tensor, " n"] | None = None,
    how: How = "linear",
) -> tuple[Float[Tensor, "n k 2"], Float[Tensor, "n k"]]:
    """The pose of each box: one candidate or none for each joint. All boxes are processed in one call.

    Args:
        prn: a `PRN`, `AttentionPRN`, `PublishedPRN` or `UCR`, in eval mode.
        candidates: keypoint candidates of any detector.
        boxes: xyxy pixels, of any detector, without near-duplicates.
        box_image: index of each box's image in the batch; default 0.
        how: ``linear``: each candidate goes to at most one box, by the assignment of each joint type with the highest sum of
            log-probabilities; ``each``: every box takes its best candidate, so boxes may share one; ``shared``: as ``linear``, then boxes
            without a candidate take their best. (COCO's AP ignores joints that are not annotated.)

    Returns:
        keypoints: positions of the chosen candidates; 0 without one.
        keypoint_scores: the PRN's probability among the box's candidates of the joint, times the candidate's score; 0 without one.
    """
    if box_image is None:
        box_image = torch.zeros(len(boxes), dtype=torch.long, device=boxes.device)
    pairs, scores = pair_scores(prn, candidates, boxes, box_image)
    chosen = match(pairs, scores, candidates.joint, (len(boxes), len(prn.skeleton)), how)
    found = chosen >= 0
    keypoints = boxes.new_zeros(len(boxes), len(prn.skeleton), 2)
    keypoint_scores = boxes.new_zeros(len(boxes), len(prn.skeleton))
    rows = chosen[found]
    keypoints[found] = candidates.xy[pairs.candidate[rows]].to(boxes)
    keypoint_scores[found] = (scores[rows].exp() * candidates.scores[pairs.candidate[rows]]).to(boxes).clamp(min=1e-6)
    return keypoints, keypoint_scores


def pair_scores(
    prn: Chooser, candidates: Candidates, boxes: Float[Tensor, "n 4"], box_image: Int[Tensor, " n"]
) -> tuple[Inside, Float[Tensor, " p"]]:
    """The pairs of a box and a candidate in it, and the log-probability that the candidate belongs to the box's person."""
    pairs = inside(candidates.xy, candidates.image, boxes.to(candidates.xy), box_image, prn.margin)
    joint, heights = candidates.joint[pairs.candidate], candidates.scores[pairs.candidate]
    with torch.no_grad():
        y = prn(Regions(len(boxes), pairs.box, joint, pairs.place, heights, pairs.candidate))
    return pairs, log_share(y.float(), pairs.box, joint, (len(boxes), len(prn.skeleton)))[0]


def match(
    pairs: Inside,
    scores: Float[Tensor, " p"],
    joint: Int[Tensor, " c"],
    shape: tuple[int, int],
    how: How = "linear",
    least: float = -30.0,
) -> Int[Tensor, "n k"]:
    """For each box and joint the row of the chosen pair, or -1.

    Args:
        pairs: boxes and the candidates in them.
        scores: log-probabilities of the pairs.
        joint: of the candidates.
        shape: n boxes, k joints.
        how: see `assign`.
        least: smallest score of a chosen pair; ``linear`` leaves out a joint if that costs less than `least`.
    """
    if how not in get_args(How):
        raise ValueError(f"how must be one of {', '.join(get_args(How))}, got {how!r}")
    n, k = shape
    chosen = np.full((n, k), -1, np.int64)
    box, candidate = pairs.box.cpu().numpy(), pairs.candidate.cpu().numpy()
    kind, value = joint.cpu().numpy()[candidate], scores.double().cpu().numpy() - least
    for j in range(k):
        rows = np.flatnonzero((kind == j) & (value > 0))
        if not len(rows):
            continue
        if how != "linear":
            order = rows[np.lexsort((-rows, value[rows]))]  # ascending, so that the best is written last
            chosen[box[order], j] = order
        if how != "each":
            people, points = _best_sum(box[rows], candidate[rows], value[rows])
            chosen[people, j] = rows[points]
    return torch.from_numpy(chosen).to(scores.device)


def _best_sum(
    box: Int[np.ndarray, " p"], candidate: Int[np.ndarray, " p"], value: Float[np.ndarray, " p"]
) -> tuple[np.ndarray, np.ndarray]:
    """The boxes with a candidate and the rows of their pairs, in the one-to-one assignment with the largest sum of values."""
    boxes, a = np.unique(box, return_inverse=True)
    points, b = np.unique(candidate, return_inverse=True)
    gain, place = np.zeros((len(boxes), len(points))), np.full((len(boxes), len(points)), -1)
    gain[a, b], place[a, b] = value, np.arange(len(value))
    a, b = linear_sum_assignment(gain, maximize=True)
    found = place[a, b] >= 0
    return boxes[a[found]], place[a, b][found]
