"""Settings, batches and loss of the PRN's training."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from manypose.methods.multiposenet.attention import AttentionPRN
from manypose.methods.multiposenet.dense_prn import DensePRN, dense_loss
from manypose.methods.multiposenet.prn import log_share
from manypose.methods.multiposenet.prn_data import People, Points, points
from manypose.methods.multiposenet.prn_networks import PrnNetwork
from manypose.methods.multiposenet.roi import Regions

__all__ = ["PersonBatch", "PrnTrainingConfig", "drawn", "loss_of", "sees_whole_images"]


@dataclass(frozen=True)
class PrnTrainingConfig:
    """Settings of a PRN's training.

    Args:
        epochs: passes over the people; may be a fraction.
        batch_size: people per step.
        lr: Adam's peak learning rate, after 50 steps of warm-up, followed by a cosine decay. In the paper 1e-4, for batches of 8.
        jitter: standard deviation of a box edge's random shift, as a fraction of the box's side.
        mirror: probability of mirroring an image.
        lost: probability that a candidate is missing, in every second image.
        curriculum: ``sorted``: easy people first in every epoch (Section 3.5); ``none``: shuffled.
        least: smallest number of a person's labelled joints (Section 3.5).
        skip: number of images held out for evaluation.
        seed: random seed.
    """

    epochs: float = 8.0
    batch_size: int = 512
    lr: float = 2e-3
    jitter: float = 0.03
    mirror: float = 0.5
    lost: float = 0.0
    curriculum: Literal["sorted", "none"] = "none"
    least: int = 2
    skip: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs <= 0 or self.batch_size < 1 or self.lr <= 0 or self.least < 1 or self.skip < 0:
            raise ValueError(f"epochs, batch_size, lr and least must be positive and skip not negative: {self}")
        if not 0 <= self.lost < 1 or self.jitter < 0:
            raise ValueError(f"lost must be in [0, 1) and jitter not negative, got {self.lost}, {self.jitter}")


def loss_of(prn: PrnNetwork, p: Points, n: int) -> Float[Tensor, ""]:
    """Cross-entropy of each joint's softmax over its region, mean over regions and joints.

    For a joint without a candidate (not labelled, or too far outside) the target is the cells without candidates. The paper's binary
    cross-entropy of all 2,016 cells differs only by terms of p².
    """
    if isinstance(prn, DensePRN):
        return dense_loss(prn, p, n)
    k = len(prn.skeleton)
    s = p.seen
    row, joint, own, candidate = p.row[s], p.joint[s], p.own[s], p.candidate[s]
    y = prn(Regions(n, row, joint, p.place[s], torch.ones_like(p.place[s][:, 0]), candidate))
    log, none = log_share(y, row, joint, (n, k))
    absent = torch.ones(n * k, dtype=torch.bool).index_fill(0, (row * k + joint)[own], False)
    total = log[own].sum() + none.flatten()[absent].sum()
    if isinstance(prn, AttentionPRN):  # compares the boxes of a candidate: a softmax over them too
        _, rival = candidate.unique(return_inverse=True)
        log, none = log_share(y, rival, torch.zeros_like(rival), (int(rival.max()) + 1, 1))
        nobody = torch.ones(len(none), dtype=torch.bool).index_fill(0, rival[own], False)
        total = total + log[own].sum() + none[nobody].sum()
    return -total / (n * k)


@dataclass(frozen=True)
class PersonBatch:
    """A batch of regions.

    Args:
        points: the labelled joints in them.
        regions: their number.
    """

    points: Points
    regions: int

    def __len__(self) -> int:
        return self.regions

    def to(self, _: torch.device) -> "PersonBatch":
        """The batch itself: a PRN is trained on the CPU."""
        return self


def sees_whole_images(prn: PrnNetwork) -> bool:
    """Whether a batch must have all people of its images, for attention between boxes."""
    return isinstance(prn, AttentionPRN)


def drawn(prn: PrnNetwork, people: People, chosen: Int[Tensor, " n"], course: PrnTrainingConfig, step: int) -> PersonBatch:
    """The augmented regions of the chosen people (box jitter, mirroring, missing candidates), determined by (seed, step)."""
    g = torch.Generator().manual_seed(course.seed * 1_000_003 + step)
    boxes = people.boxes[chosen]
    size = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    boxes = boxes + size * (torch.randn(boxes.shape, generator=g) * course.jitter).clamp(-2 * course.jitter, 2 * course.jitter)
    mirrored = torch.rand(len(people.image_ids), generator=g)[people.image[chosen]] < course.mirror
    p = points(people, chosen, boxes, mirrored, prn.skeleton.mirror, prn.margin)
    if course.lost:
        odd = (people.image[chosen] + step)[p.row] % 2 == 1
        p.seen[(torch.rand(people.keypoints.shape[:2].numel(), generator=g)[p.candidate] < course.lost) & odd] = False
        p.own[~p.seen] = False
    return PersonBatch(p, len(chosen))
