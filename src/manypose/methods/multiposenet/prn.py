"""The Pose Residual Network: which of the keypoint candidates in a person's box are that person's (MultiPoseNet, Section 3.4)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from manypose.methods.multiposenet.roi import SIZE
from manypose.skeleton import COCO, Skeleton, named

__all__ = ["PRN"]


class PRN(nn.Module):
    """``y_k = φ_k(X) + x_k`` (Eq. 1) with φ a perceptron over all joints' maps at once; softmax over each joint's region.

    Args:
        skeleton: the joints k.
        size: height and width of a region (Section 3.5).
        nodes: of a hidden layer; Table 3's best is 1024.
        layers: hidden layers; Table 3's best is 1.
        dropout: after each hidden layer (Section 4.2).
        residual: Eq. 1; else Eq. 3, ``y_k = φ_k(X)``.
        gain: what the residual path is multiplied by at the start; it is learnt, one number a joint. The paper's is 1, but a map that
            rises to 1 is next to nothing before a softmax over 2,016 cells.
        published: as the authors' program: no gain, the correction is never negative, one softmax over all joints together.
    """

    def __init__(
        self,
        skeleton: str | Skeleton = COCO,
        size: tuple[int, int] = SIZE,
        nodes: int = 1024,
        layers: int = 1,
        dropout: float = 0.5,
        residual: bool = True,
        gain: float = 8.0,
        published: bool = False,
    ) -> None:
        super().__init__()
        if nodes < 1 or layers < 1 or not 0 <= dropout < 1:
            raise ValueError(f"a PRN needs nodes and layers of at least 1 and a dropout in [0, 1), got {nodes}, {layers}, {dropout}")
        self.skeleton = named(skeleton) if isinstance(skeleton, str) else skeleton
        self.size, self.dropout, self.residual, self.published = (int(size[0]), int(size[1])), dropout, residual, published
        cells = len(self.skeleton) * self.size[0] * self.size[1]
        self.hidden = nn.ModuleList(nn.Linear(nodes if i else cells, nodes) for i in range(layers))
        self.correction = nn.Linear(nodes, cells)
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)
        if residual and not published:
            self.gain = nn.Parameter(torch.full((len(self.skeleton), 1, 1), float(gain)))

    def forward(self, regions: Float[Tensor, "n k h w"]) -> Float[Tensor, "n k h w"]:
        """Log-probabilities: of each joint the place in the region (``published``: of all joints together)."""
        h = regions.flatten(1)
        for layer in self.hidden:
            h = functional.dropout(functional.relu(layer(h)), self.dropout, self.training)
        y = self.correction(h).view(regions.shape)
        y = functional.relu(y) if self.published else y
        if self.residual:
            y = y + (regions if self.published else regions * self.gain)
        return y.flatten(1 if self.published else 2).float().log_softmax(-1).view(regions.shape)
