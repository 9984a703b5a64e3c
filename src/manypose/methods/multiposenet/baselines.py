"""The PRN's baselines (MultiPoseNet, Section 3.4): the highest candidate (Max), and a prior of each joint's position (UCR, Eq. 2)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from manypose.methods.multiposenet.prn_data import People
from manypose.methods.multiposenet.region_maps import SIZE, cells_of, render
from manypose.methods.multiposenet.roi import Regions
from manypose.poses.skeleton import COCO, Skeleton, named

__all__ = ["UCR", "prior"]


class UCR(nn.Module):
    """``y_k = x_k · P_k`` (Eq. 2) at the candidates, or with a prior of ones ``y_k = x_k`` (Max); x has a Gaussian per candidate.

    A `Chooser` whose scores are the logarithm of y. The prior is stored in weights files.

    Args:
        skeleton: the joints k.
        prior: ``P``, the frequency of each joint in each cell of its person's region; None: ones.
        size: height and width of a region.
        margin: see `PRN`; default 0, as in the paper.
    """

    prior: Tensor

    def __init__(
        self,
        skeleton: str | Skeleton = COCO,
        prior: Float[Tensor, "k h w"] | None = None,
        size: tuple[int, int] | list[int] = SIZE,
        margin: float = 0.0,
    ) -> None:
        super().__init__()
        self.skeleton = named(skeleton) if isinstance(skeleton, str) else skeleton
        self.size, self.margin = (int(size[0]), int(size[1])), margin
        self.arguments = {"size": list(self.size), "margin": margin}
        self.register_buffer("prior", torch.ones(len(self.skeleton), *self.size) if prior is None else prior)

    def forward(self, seen: Regions) -> Float[Tensor, " p"]:
        """The logarithm of ``y`` (Eq. 2) at each candidate."""
        cells = cells_of(seen.place, self.size)
        maps = render(seen.row, seen.joint, cells, (seen.n, len(self.skeleton), *self.size), heights=seen.heights) * self.prior
        return maps[seen.row, seen.joint, cells[:, 1], cells[:, 0]].clamp(min=1e-9).log()


def prior(people: People, size: tuple[int, int] = SIZE, sigma: float = 1.0) -> Float[Tensor, "k h w"]:
    """The frequency of each joint in each cell of its person's box, over all persons; each map sums to 1."""
    k, (h, w) = people.keypoints.shape[1], size
    low, high = people.boxes[:, None, :2], people.boxes[:, None, 2:]
    cells = cells_of((people.keypoints[..., :2] - low) / (high - low).clamp(min=1e-6), size)
    flat = (torch.arange(k) * (h * w)) + cells[..., 1] * w + cells[..., 0]
    count = torch.bincount(flat[people.keypoints[..., 2] > 0], minlength=k * h * w).float()
    plane, cell = torch.arange(k).repeat_interleave(h * w), torch.arange(h * w).repeat(k)
    xy = torch.stack([cell % w, cell // w], 1)
    parts = torch.arange(k * h * w).split(h * w)
    maps = torch.stack([render(plane[p], plane[p], xy[p], (k, k, h, w), sigma, count[p], nearest=False)[i, i] for i, p in enumerate(parts)])
    return maps / maps.sum((1, 2), keepdim=True).clamp(min=1e-9)
