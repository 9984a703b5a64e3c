"""The assignment of the PRN's authors' program, to compare with its numbers."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from manypose.methods.multiposenet.published_prn import PublishedPRN
from manypose.methods.multiposenet.region_maps import SIZE, render, window_sums
from manypose.methods.multiposenet.roi import MARGIN


def authors_cells(
    xy: Float[Tensor, "p 2"], box: Float[Tensor, "4"], size: tuple[int, int] = SIZE, whole: bool = True
) -> Int[Tensor, "p 2"]:
    """Their cells of points: cut towards 0, put on the border where outside. They let some points wrap around to the far side; we do not.

    Args:
        xy: pixels.
        box: xywh.
        size: of the region.
        whole: count from the box's corner cut to whole pixels, as in training; else from the corner itself, as in their evaluation.
    """
    corner = box[:2].trunc() if whole else box[:2]
    limit = torch.tensor([size[1], size[0]])
    return ((xy - corner) * limit / box[2:].ceil()).long().clamp(min=0).minimum(limit - 1)


def authors_assign(
    prn: PublishedPRN, xy: Float[Tensor, "c 2"], joint: Int[Tensor, " c"], boxes: Float[Tensor, "n 4"]
) -> tuple[Float[Tensor, "n k 2"], Float[Tensor, "n k"]]:
    """Their way, for one image: each box in turn takes its best candidate that no box wants more. A candidate may go to two boxes.

    Args:
        prn: in eval mode.
        xy: candidates, pixels.
        joint: what each is.
        boxes: xywh.

    Returns:
        keypoints: where a box has no candidate and some joint has none in any box, the highest cell; (0, 0) where all are taken.
        keypoint_scores: 1 for a candidate that was taken, else 0.
    """
    n, k, (h, w) = len(boxes), len(prn.skeleton), prn.size
    cells, rows = [], []
    for box in boxes:
        place = (xy - box[:2]) / box[2:]
        rows.append(((place > -MARGIN) & (place < 1 + MARGIN)).all(1).nonzero()[:, 0])
        cells.append(authors_cells(xy[rows[-1]], box, prn.size, whole=False))
    box_of = torch.repeat_interleave(torch.arange(n), torch.tensor([len(r) for r in rows]))
    row, cell = torch.cat(rows), torch.cat(cells)
    with torch.no_grad():
        maps = prn.maps(render(box_of, joint[row], cell, (n, k, h, w)))
    value = window_sums(maps)[box_of, joint[row], cell[:, 1], cell[:, 0]]
    score = torch.full((n, len(xy)), -1.0)
    score[box_of, row] = value
    _one_a_cell(score, box_of, row, joint, cell)
    keypoints, scores = torch.zeros(n, k, 2), torch.zeros(n, k)
    for j in range(k):
        of = (joint == j).nonzero()[:, 0]
        _take(score[:, of], xy[of], keypoints[:, j], scores[:, j])
    has = torch.zeros(n, k, dtype=torch.bool)
    has[box_of, joint[row]] = True
    if not has.any(0).all():
        top = maps.flatten(2).argmax(2)
        highest = torch.stack([top % w, top // w], 2) * (boxes[:, None, 2:].ceil() / torch.tensor([w, h])) + boxes[:, None, :2]
        keypoints = torch.where(has[..., None], keypoints, highest)
    return keypoints, scores


def _one_a_cell(score: Tensor, box: Tensor, row: Tensor, joint: Tensor, cell: Tensor) -> None:
    """Of several candidates of one joint in one cell of a box the last is the only one."""
    key = torch.stack([box, joint[row], cell[:, 0], cell[:, 1]], 1).tolist()
    last = {tuple(c): r for c, r in zip(key, row.tolist(), strict=True)}
    for c, r in zip(key, row.tolist(), strict=True):
        if last[tuple(c)] != r:
            score[c[0], r] = -1


def _take(score: Float[Tensor, "n c"], xy: Float[Tensor, "c 2"], keypoints: Float[Tensor, "n 2"], scores: Float[Tensor, " n"]) -> None:
    """One joint: boxes in order, each walks its candidates from the best on."""
    seen = score[:, (score >= 0).any(0)].clamp(min=0)  # a box that does not see a candidate has a 0 there, and takes part with it
    xy = xy[(score >= 0).any(0)]
    score = score[:, (score >= 0).any(0)]
    for b in range(len(score)):
        for c in score[b].argsort(descending=True, stable=True).tolist():
            owner = int(seen[:, c].argmax())
            if score[b, c] >= 0 and (owner == b or int(seen[owner].argsort(stable=True)[0]) == c):
                keypoints[b], scores[b] = xy[c], 1.0
                break
