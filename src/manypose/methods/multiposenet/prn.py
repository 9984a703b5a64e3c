"""The Pose Residual Network, which selects a person's joints among the keypoint candidates in its box (MultiPoseNet, Section 3.4).

Since a region has about 17 candidates on 34,272 cells, the first layer sums only the rows of the candidates' cells, and the last layer is
evaluated only at these cells. The result is that of Eq. 1.
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
        nodes: nodes of a hidden layer; Table 3's best is 1024.
        layers: number of hidden layers; Table 3's best is 1.
        dropout: after each hidden layer (Section 4.2).
        residual: Eq. 1; else Eq. 3, ``y_k = φ_k(X)``.
        gain: initial factor of x, learned per joint. It is 1 in the paper, which has little effect before a softmax over 2,016 cells.
        margin: fraction of the box's sides up to which candidates outside it are included.
        extend: fraction of the box's sides by which the region is larger on each side; candidates farther out lie on its border.
        sharp: assign a candidate to one cell, instead of bilinearly to the four nearest cells.
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
        self.first = nn.Parameter(torch.randn(cells, nodes) * 0.1)  # one row per cell, joint by joint
        self.first_bias = nn.Parameter(torch.zeros(nodes))
        self.hidden = nn.ModuleList(nn.Linear(nodes, nodes) for _ in range(layers - 1))
        self.last = nn.Parameter(torch.zeros(cells, nodes))
        self.last_bias = nn.Parameter(torch.zeros(cells, 1))
        if residual:
            self.gain = nn.Parameter(torch.full((len(self.skeleton),), float(gain)))

    def forward(self, seen: Regions) -> Float[Tensor, " p"]:
        """``y`` of Eq. 1 before the softmax, for each candidate; regions are independent."""
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
    """The softmax of each joint over its region: log-probabilities of the candidates, and of all other cells together.

    The other cells have ``y = 0`` and together the weight of one cell; they stand for a joint without a candidate.

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
