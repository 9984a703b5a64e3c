"""The PRN as its authors published it: their network's layout, their maps, and their way of assigning. For their weights and to compare.

It differs from the paper's text: two hidden layers; a correction that is never negative; one softmax over all joints together.
"""

from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from manypose.methods.multiposenet.region_maps import SIZE, render, window_sums
from manypose.methods.multiposenet.roi import MARGIN, Regions
from manypose.nn.checkpoint_files import mismatch, read_checkpoint
from manypose.poses.skeleton import COCO, Skeleton

__all__ = ["PublishedPRN", "authors_assign", "authors_cells", "load_published_prn"]


class PublishedPRN(nn.Module):
    """Their network; it stands wherever a `PRN` does. Parameters have their names, so their files load as they are."""

    def __init__(self, skeleton: Skeleton = COCO, nodes: int = 1024, size: tuple[int, int] = SIZE) -> None:
        super().__init__()
        self.skeleton, self.size, self.margin = skeleton, size, MARGIN
        cells = len(skeleton) * size[0] * size[1]
        self.dens1, self.bneck, self.dens2 = nn.Linear(cells, nodes), nn.Linear(nodes, nodes), nn.Linear(nodes, cells)

    def logits(self, regions: Float[Tensor, "n k h w"]) -> Float[Tensor, "n k h w"]:
        """``y`` before the softmax. Their vectors have the joint as their last dimension."""
        x = regions.permute(0, 2, 3, 1)
        h = functional.dropout(functional.relu(self.dens1(x.flatten(1))), 0.5, self.training)
        h = functional.dropout(functional.relu(self.bneck(h)), 0.5, self.training)
        return (functional.relu(self.dens2(h)).view(x.shape) + x).permute(0, 3, 1, 2)

    def maps(self, regions: Float[Tensor, "n k h w"]) -> Float[Tensor, "n k h w"]:
        """Their output: probabilities whose sum over all joints and cells is 1."""
        return self.logits(regions).flatten(1).softmax(1).view(regions.shape)

    def forward(self, seen: Regions) -> Float[Tensor, " p"]:
        """The logarithm of their output's sum in the window of 15 × 15 cells around each candidate."""
        h, w = self.size
        at = seen.place * seen.place.new_tensor([w, h])
        cells = at.long().clamp(min=0).minimum(torch.tensor([w - 1, h - 1]))
        maps = self.maps(render(seen.row, seen.joint, cells, (seen.n, len(self.skeleton), h, w)))
        return window_sums(maps)[seen.row, seen.joint, cells[:, 1], cells[:, 0]].clamp(min=1e-12).log()


def load_published_prn(path: str | Path, skeleton: Skeleton = COCO) -> PublishedPRN:
    """Their checkpoint, ready to assign.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a checkpoint of theirs; the error says what differs.
    """
    state = read_checkpoint(path, ("state_dict",))
    if "dens1.bias" not in state:
        raise ValueError(f"{path}: holds no published PRN (no dens1)")
    prn = PublishedPRN(skeleton, len(state["dens1.bias"]))
    wrong = mismatch(prn.state_dict(), state)
    if wrong:
        raise ValueError(f"{path}: does not fit the published PRN of {len(skeleton)} joints: {wrong}")
    prn.load_state_dict(state)
    return prn.eval()


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
