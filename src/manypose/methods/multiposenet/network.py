"""MultiPoseNet's network: a ResNet, two feature pyramids, the keypoint subnet (Figure 3)."""

from collections import OrderedDict
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torchvision.ops import FeaturePyramidNetwork

__all__ = ["KeypointSubnet"]


class KeypointSubnet(nn.Module):
    """Section 3.2: pyramid K2 … K5, D2 … D5, their concatenation, and the last maps.

    Args:
        channels: of C2 … C5.
        maps: number of maps: joints and person mask.
        width: of the pyramid K (the paper's 256).
        features: of each D (the paper's 128; four of them are concatenated).
        smooth: of the convolution over the concatenation (not in the paper).
        concat: "no concat" of Table 2 where False: the maps of K2 are the last ones.
        intermediate: "no int" of Table 2 where False: no maps of K2 … K5.
        norm: batch normalization after each convolution, for training from random weights (the paper has none).

    Raises:
        ValueError: neither concat nor intermediate.
    """

    def __init__(
        self,
        channels: list[int],
        maps: int,
        width: int = 256,
        features: int = 128,
        smooth: int = 256,
        concat: bool = True,
        intermediate: bool = True,
        norm: bool = False,
    ) -> None:
        super().__init__()
        if not concat and not intermediate:
            raise ValueError("a keypoint subnet needs concat, intermediate, or both")
        self.pyramid = FeaturePyramidNetwork(channels, width, norm_layer=nn.BatchNorm2d if norm else None)
        self.heads = nn.ModuleList([nn.Conv2d(width, maps, 1) for _ in channels]) if intermediate else None
        self.features = self.last = None
        if concat:
            step = partial(_conv, norm=norm)
            self.features = nn.ModuleList([nn.Sequential(step(width, features), step(features, features)) for _ in channels])
            self.last = nn.Sequential(step(features * len(channels), smooth), nn.Conv2d(smooth, maps, 1))
        for module in (self.heads, self.last):
            for conv in [] if module is None else module.modules():
                if isinstance(conv, nn.Conv2d) and conv.kernel_size == (1, 1):
                    nn.init.normal_(conv.weight, std=0.001)
                    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]

    def forward(self, trunk: list[Tensor]) -> dict[str, Float[Tensor, "b _c _h _w"]]:
        """``heat``: the last maps at stride 4; ``heat2`` … ``heat5``, only in training: those of K2 … K5 at each level's stride."""
        levels = list(self.pyramid(OrderedDict((str(i), c) for i, c in enumerate(trunk))).values())
        wanted = range(len(levels)) if self.training else range(self.last is None)
        out = {} if self.heads is None else {f"heat{i + 2}": self.heads[i](levels[i]) for i in wanted}
        if self.features is None or self.last is None:
            return {"heat": out.pop("heat2"), **out}
        size = levels[0].shape[-2:]
        # Nearest neighbour; the following 3 × 3 convolution smooths.
        same = [interpolate(f(k), size=size, mode="nearest") for f, k in zip(self.features, levels, strict=True)]
        return {"heat": self.last(torch.cat(same, 1)), **out}


def _conv(c_in: int, c_out: int, norm: bool) -> nn.Sequential:
    after = [nn.BatchNorm2d(c_out)] if norm else []
    return nn.Sequential(nn.Conv2d(c_in, c_out, 3, padding=1, bias=not norm), *after, nn.ReLU(inplace=True))
