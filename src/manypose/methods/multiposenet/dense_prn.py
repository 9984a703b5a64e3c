"""The Pose Residual Network on dense maps, as in the paper's text (MultiPoseNet, Sections 3.4 and 3.5).

`PRN` evaluates the network only at the candidates and adds ``gain · height``, a constant for candidates of height 1. Here x and y are
maps, so that Eq. 1 and Eq. 3 differ: the residual adds the peaks of x to y.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from manypose.methods.multiposenet.prn_data import Points
from manypose.methods.multiposenet.region_maps import SIZE, cells_of, render
from manypose.methods.multiposenet.roi import Regions
from manypose.poses.skeleton import COCO, Skeleton, named

__all__ = ["DensePRN", "dense_loss"]


class DensePRN(nn.Module):
    """``y_k = φ_k(X) + x_k`` (Eq. 1) on maps of a region, φ a perceptron, then a softmax over each joint's map.

    Args:
        skeleton, size, nodes, layers, dropout: see `PRN`.
        residual: Eq. 1; otherwise Eq. 3, ``y_k = φ_k(X)``.
        margin: fraction of the box's sides up to which candidates outside it are included; 0 in the paper.
        sigma: of the Gaussians in x and in the targets, in cells (not in the paper).
    """

    def __init__(
        self,
        skeleton: str | Skeleton = COCO,
        size: tuple[int, int] | list[int] = SIZE,
        nodes: int = 1024,
        layers: int = 1,
        dropout: float = 0.5,
        residual: bool = True,
        margin: float = 0.0,
        sigma: float = 1.0,
    ) -> None:
        super().__init__()
        if nodes < 1 or layers < 1 or not 0 <= dropout < 1 or sigma <= 0:
            raise ValueError(
                "a dense PRN needs nodes and layers of at least 1, a dropout in [0, 1) and a positive sigma; "
                f"got {nodes}, {layers}, {dropout}, {sigma}"
            )
        self.skeleton = named(skeleton) if isinstance(skeleton, str) else skeleton
        self.size, self.residual, self.margin, self.sigma = (int(size[0]), int(size[1])), residual, margin, sigma
        self.arguments = {
            "size": list(self.size), "nodes": nodes, "layers": layers, "dropout": dropout, "residual": residual, "margin": margin,
            "sigma": sigma,
        }  # fmt: skip
        cells = len(self.skeleton) * self.size[0] * self.size[1]
        hidden = [nn.Sequential(nn.Linear(c, nodes), nn.ReLU(), nn.Dropout(dropout)) for c in [cells, *[nodes] * (layers - 1)]]
        self.phi = nn.Sequential(*hidden, nn.Linear(nodes, cells))

    def inputs(self, seen: Regions) -> Float[Tensor, "n k h w"]:
        """X: a Gaussian for each candidate, with the candidate's height."""
        shape = (seen.n, len(self.skeleton), *self.size)
        maps = render(seen.row, seen.joint, cells_of(seen.place, self.size), shape, self.sigma, seen.heights)
        return maps * (2 * math.pi * self.sigma**2)  # `render`'s Gaussians have sum 1

    def logits(self, x: Float[Tensor, "n k h w"]) -> Float[Tensor, "n k h w"]:
        """``y`` before the softmax."""
        y = self.phi(x.flatten(1)).view(x.shape)
        return y + x if self.residual else y

    def log_maps(self, seen: Regions) -> Float[Tensor, "n k h w"]:
        """The logarithm of ``y`` after the softmax over each joint's map."""
        y = self.logits(self.inputs(seen))
        return y.flatten(2).log_softmax(2).view(y.shape)

    def forward(self, seen: Regions) -> Float[Tensor, " p"]:
        """The log-probability of each candidate's cell."""
        x, y = cells_of(seen.place, self.size).unbind(1)
        return self.log_maps(seen)[seen.row, seen.joint, y, x]

    def selected(self, seen: Regions) -> tuple[Float[Tensor, "n k 2"], Float[Tensor, "n k"]]:
        """The highest cell of each joint's map, as in the paper's inference: its xy in the box, and its probability."""
        h, w = self.size
        best, at = self.log_maps(seen).flatten(2).max(2)
        return torch.stack([(at % w + 0.5) / w, (at // w + 0.5) / h], 2), best.exp()


def dense_loss(prn: DensePRN, p: Points, n: int) -> Float[Tensor, ""]:
    """Binary cross-entropy (Section 3.4) of y with a Gaussian of sum 1 at each own joint: summed over cells, mean over regions."""
    s = p.seen
    probability = prn.log_maps(Regions(n, p.row[s], p.joint[s], p.place[s], torch.ones(int(s.sum())))).exp()
    own = p.own & s
    cells: Int[Tensor, "m 2"] = cells_of(p.place[own], prn.size)
    target = render(p.row[own], p.joint[own], cells, probability.shape, prn.sigma, nearest=False)  # type: ignore[arg-type]
    return functional.binary_cross_entropy(probability, target.clamp(max=1), reduction="sum") / n
