"""Synthetic network outputs for benchmarks of decoding."""

import torch
from torch import Tensor

from manypose.methods.mspn.targets import deviation
from manypose.nn.heatmaps import gaussians
from manypose.poses.skeleton import Skeleton

__all__ = ["examples"]


def examples(skeleton: Skeleton, people: int, size: int, seed: int) -> dict[str, Tensor]:
    """``heat`` (people, k, size / 4, 3 size / 16) as of a good network: one person per crop.

    Peaks of kernel 5 at random positions with heights 0.3 … 1; 10 % of the joints are missing; background noise with a deviation of 0.03.

    Args:
        skeleton: of the maps.
        people: number of crops.
        size: height of a crop in pixels; its width is three quarters of that.
        seed: random seed.
    """
    random = torch.Generator().manual_seed(1_000_003 * seed + 1009 * people + size)
    h, w = size // 4, 3 * size // 16
    xy = torch.rand((people, 1, len(skeleton), 2), generator=random) * torch.tensor([w - 1, h - 1])
    there = torch.rand((people, 1, len(skeleton)), generator=random) >= 0.1
    gain = 0.3 + 0.7 * torch.rand((people, len(skeleton), 1, 1), generator=random)
    noise = 0.03 * torch.randn((people, len(skeleton), h, w), generator=random)
    return {"heat": (gaussians(xy, there, (h, w), deviation(5)) * gain + noise).clamp(0, 1)}
