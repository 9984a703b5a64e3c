"""The authors' published PRN, for their weights and for comparison.

It differs from the paper's text: two hidden layers; a correction that is never negative; one softmax over all joints together.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from manypose.methods.multiposenet.region_maps import SIZE, render, window_sums
from manypose.methods.multiposenet.roi import MARGIN, Regions
from manypose.nn.checkpoint_files import mismatch, read_checkpoint
from manypose.poses.skeleton import COCO, Skeleton

__all__ = ["PublishedPRN", "load_published_prn"]


class PublishedPRN(nn.Module):
    """The published network, a `Chooser`, with the published names of all parameters."""

    def __init__(self, skeleton: Skeleton = COCO, nodes: int = 1024, size: tuple[int, int] = SIZE) -> None:
        super().__init__()
        self.skeleton, self.size, self.margin = skeleton, size, MARGIN
        cells = len(skeleton) * size[0] * size[1]
        self.dens1, self.bneck, self.dens2 = nn.Linear(cells, nodes), nn.Linear(nodes, nodes), nn.Linear(nodes, cells)

    def logits(self, regions: Float[Tensor, "n k h w"]) -> Float[Tensor, "n k h w"]:
        """``y`` before the softmax. The published vectors have the joint as their last dimension."""
        x = regions.permute(0, 2, 3, 1)
        h = functional.dropout(functional.relu(self.dens1(x.flatten(1))), 0.5, self.training)
        h = functional.dropout(functional.relu(self.bneck(h)), 0.5, self.training)
        return (functional.relu(self.dens2(h)).view(x.shape) + x).permute(0, 3, 1, 2)

    def maps(self, regions: Float[Tensor, "n k h w"]) -> Float[Tensor, "n k h w"]:
        """The published output: probabilities with sum 1 over all joints and cells."""
        return self.logits(regions).flatten(1).softmax(1).view(regions.shape)

    def forward(self, seen: Regions) -> Float[Tensor, " p"]:
        """The logarithm of the published output's sum in the 15 × 15 cells around each candidate."""
        h, w = self.size
        at = seen.place * seen.place.new_tensor([w, h])
        cells = at.long().clamp(min=0).minimum(torch.tensor([w - 1, h - 1]))
        maps = self.maps(render(seen.row, seen.joint, cells, (seen.n, len(self.skeleton), h, w)))
        return window_sums(maps)[seen.row, seen.joint, cells[:, 1], cells[:, 0]].clamp(min=1e-12).log()


def load_published_prn(path: str | Path, skeleton: Skeleton = COCO) -> PublishedPRN:
    """The network of a published checkpoint, in eval mode.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a published checkpoint; the message says what differs.
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
