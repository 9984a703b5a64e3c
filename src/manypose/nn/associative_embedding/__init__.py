"""Associative embedding (Newell et al. 2017): the tag loss, and the grouping of joints into people by tags."""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["associative_embedding"]


def associative_embedding(
    tags: Float[Tensor, "b k h w"], cell: Int[Tensor, "b n k"], tagged: Bool[Tensor, "b n k"], kind: Literal["exp", "max"] = "exp"
) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """The push and pull losses of associative embedding (Newell et al. 2017).

    Pull: mean over people of the mean squared distance of their joints' tags to the person's mean. Push: over ordered pairs of
    people, half the mean of ``exp(-d²)`` (or ``max(0, 1 - |d|)``) of the distance of their means. People without labelled joints do not
    count.
    """
    at = tags.flatten(2).gather(2, cell.transpose(1, 2)).transpose(1, 2)  # b n k
    joints = tagged.sum(2)
    there = joints > 0
    mean = (at * tagged).sum(2) / joints.clamp(min=1)
    spread = ((at - mean[..., None]) ** 2 * tagged).sum(2) / joints.clamp(min=1)
    people = there.sum(1)
    pull = spread.sum(1) / people.clamp(min=1)
    distance = mean[:, :, None] - mean[:, None]
    close = torch.exp(-(distance**2)) if kind == "exp" else (1 - distance.abs()).clamp(min=0)
    pairs = there[:, :, None] & there[:, None] & ~torch.eye(there.shape[1], dtype=torch.bool, device=there.device)
    push = 0.5 * (close * pairs).sum((1, 2)) / (people * (people - 1)).clamp(min=1)
    return push, pull
