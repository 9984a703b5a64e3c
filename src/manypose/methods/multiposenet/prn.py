"""The Pose Residual Network: which of the keypoint candidates in a person's box are that person's (MultiPoseNet, Section 3.4).

A region of 56 × 36 cells holds some 17 candidates on 34,272 cells. So the network is never given maps: its first layer adds up the rows of
the candidates' cells, and its last layer is evaluated at these cells alone. What it computes is Eq. 1.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from manypose.methods.multiposenet.region_maps import SIZE, stamps
from manypose.methods.multiposenet.roi import MARGIN, Regions
from manypose.poses.skeleton import COCO, Skeleton, named

__all__ = ["PRN", "log_share"]


class PRN(nn.Module):
    """``y_k = φ_k(X) + x_k`` (Eq. 1) with φ a perceptron over all joints' maps at once; softmax over each joint's region.

    Args:
        skeleton: the joints k.
        size: height and width of a region (Section 3.5).
        nodes: of a hidden layer; Table 3's best is 1024.
        layers: hidden layers; Table 3's best is 1.
        dropout: after each hidden layer (Section 4.2).
        residual: Eq. 1; else Eq. 3, ``y_k = φ_k(X)``.
        gain: what x is multiplied by at the start; it is learnt, one number a joint. The paper's is 1, but a map that rises to 1 is next to
            nothing before a softmax over 2,016 cells.
        margin: candidates up to this part of the box's width and height outside it are seen.
        extend: the region covers the box and this part of its width and height on each side; what is farther out lies on its border.
        sharp: a candidate lies in one cell; else the four nearest cells share it, and nothing is rounded.
    """

    def __init__(
        self,
        skeleton: str | Skeleton = COCO,
        size: tuple[int, int] | list[int] = SIZE,
        nodes: int = 1024,
        layers: int = 1,
        dropout: float = 0.5,
        residual: bool = True,
        gain: float = 4.0,
        margin: float = MARGIN,
        extend: float = 0.0,
        sharp: bool = False,
    ) -> None:
        super().__init__()
        if nodes < 1 or layers < 1 or not 0 <= dropout < 1:
            raise ValueError(f"a PRN needs nodes and layers of at least 1 and a dropout in [0, 1), got {nodes}, {layers}, {dropout}")
        self.skeleton = named(skeleton) if isinstance(skeleton, str) else skeleton
        self.size, self.dropout, self.residual, self.sharp = (int(size[0]), int(size[1])), dropout, residual, sharp
        self.margin, self.extend = margin, extend
        self.arguments = {
            "size": list(self.size), "nodes": nodes, "layers": layers, "dropout": dropout, "residual": residual, "margin": margin,
            "extend": extend, "sharp": sharp,
        }  # fmt: skip
        cells = len(self.skeleton) * self.size[0] * self.size[1]
        self.first = nn.Parameter(torch.randn(cells, nodes) * 0.1)  # one row a cell, joint by joint
        self.first_bias = nn.Parameter(torch.zeros(nodes))
        self.hidden = nn.ModuleList(nn.Linear(nodes, nodes) for _ in range(layers - 1))
        self.last = nn.Parameter(torch.zeros(cells, nodes))
        self.last_bias = nn.Parameter(torch.zeros(cells, 1))
        if residual:
            self.gain = nn.Parameter(torch.full((len(self.skeleton),), float(gain)))

    def forward(self, seen: Regions) -> Float[Tensor, " p"]:
        """``y`` of Eq. 1 before the softmax, at each candidate; every region is evaluated by itself."""
        cells, shares = self._cells(seen)
        flat, r = cells.flatten(), cells.shape[1]
        h = self.activations(seen)
        each, shares = torch.arange(len(seen.row), device=seen.row.device) * r, shares.flatten().to(self.last.dtype)
        rows = functional.embedding_bag(flat, self.last, each, mode="sum", per_sample_weights=shares)
        bias = functional.embedding_bag(flat, self.last_bias, each, mode="sum", per_sample_weights=shares)
        y = torch.linalg.vecdot(rows, h[seen.row]) + bias[:, 0]
        return y + self.gain[seen.joint] * seen.heights if self.residual else y

    def activations(self, seen: Regions) -> Float[Tensor, "n nodes"]:
        """The last hidden layer of each region."""
        cells, shares = self._cells(seen)
        start = torch.searchsorted(seen.row, torch.arange(seen.n, device=seen.row.device)) * cells.shape[1]
        given = (shares * seen.heights[:, None]).flatten().to(self.first.dtype)
        h = functional.embedding_bag(cells.flatten(), self.first, start, mode="sum", per_sample_weights=given) + self.first_bias
        h = functional.dropout(functional.relu(h), self.dropout, self.training)
        for layer in self.hidden:
            h = functional.dropout(functional.relu(layer(h)), self.dropout, self.training)
        return h

    def _cells(self, seen: Regions) -> tuple[Tensor, Tensor]:
        """The rows of `first` and `last` of each candidate's cells, and its weight in each cell."""
        cells, shares = stamps((seen.place + self.extend) / (1 + 2 * self.extend), self.size, self.sharp)
        return cells + (seen.joint * (self.size[0] * self.size[1]))[:, None], shares


def log_share(
    y: Float[Tensor, " p"], row: Int[Tensor, " p"], joint: Int[Tensor, " p"], shape: tuple[int, int]
) -> tuple[Float[Tensor, " p"], Float[Tensor, "n k"]]:
    """The softmax of each joint over its region: log-probabilities of the candidates, and of all cells without a candidate together.

    Those cells have ``y = 0``, all 2,016 of them have the weight of one: there a joint goes that is not among the candidates.

    Args:
        y: of the candidates.
        row: their regions.
        joint: their joints.
        shape: n regions, k joints.
    """
    n, k = shape
    slot = row * k + joint
    top = y.new_zeros(n * k).scatter_reduce(0, slot, y.detach(), "amax")
    total = torch.exp(-top).index_add(0, slot, torch.exp(y - top[slot])).log() + top
    return y - total[slot], -total.view(n, k)
