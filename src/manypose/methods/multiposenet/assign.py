"""Poses from keypoint candidates and boxes of any detector, by the PRN (MultiPoseNet, Section 3.4)."""

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
    """The pose of each box: of each joint one candidate or none. All boxes of all images go through the network in one call.

    Args:
        prn: a `PRN`, `AttentionPRN`, `PublishedPRN` or `UCR`, in eval mode.
        candidates: of any detector; ``Candidates(xy, scores, joint, image)``, flat.
        boxes: xyxy pixels, of any detector, without near-duplicates.
        box_image: which image of the batch each box lies in; left out, all lie in image 0.
        how: ``linear``: each candidate goes to at most one box, by the assignment of each joint type with the highest sum of
            log-probabilities; ``each``: every box takes its best candidate, so boxes may share one; ``shared``: as ``linear``, then boxes
            without a candidate take their best. (COCO's AP ignores joints of a person for whom they are not annotated.)

    Returns:
        keypoints: the chosen candidates' own places (not cells); 0 where there is none.
        keypoint_scores: probability from the PRN, among the candidates of this joint in the box, times the candidate's score; 0 where none.
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
    """Each pair of a box and a candidate seen in it, and the log-probability that the candidate is the box's person's joint."""
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
    """Of each box and joint the row of the chosen pair, or -1.

    Args:
        pairs: boxes and the candidates seen in them.
        scores: of the pairs, logarithmic.
        joint: of the candidates.
        shape: n boxes, k joints.
        how: see `assign`.
        least: pairs with a lower score are never chosen; ``linear`` leaves out a joint where that costs less than `least`.
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
            order = rows[np.lexsort((-rows, value[rows]))]  # ascending: the best is written last
            chosen[box[order], j] = order
        if how != "each":
            people, points = _best_sum(box[rows], candidate[rows], value[rows])
            chosen[people, j] = rows[points]
    return torch.from_numpy(chosen).to(scores.device)


def _best_sum(
    box: Int[np.ndarray, " p"], candidate: Int[np.ndarray, " p"], value: Float[np.ndarray, " p"]
) -> tuple[np.ndarray, np.ndarray]:
    """The boxes that get a candidate and the rows of their pairs: the sum of values is highest, and no candidate goes twice."""
    boxes, a = np.unique(box, return_inverse=True)
    points, b = np.unique(candidate, return_inverse=True)
    gain, place = np.zeros((len(boxes), len(points))), np.full((len(boxes), len(points)), -1)
    gain[a, b], place[a, b] = value, np.arange(len(value))
    a, b = linear_sum_assignment(gain, maximize=True)
    found = place[a, b] >= 0
    return boxes[a[found]], place[a, b][found]
