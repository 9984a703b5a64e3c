"""The baseline's network (Cao et al. 2017, "CMU-Net" in Table 1): VGG-19's first ten layers, then stages of large convolutions."""

from jaxtyping import Float
from torch import Tensor, cat, nn

__all__ = ["Cascade"]


class Cascade(nn.Module):
    """Stages with a branch for parts and one for joints; inputs are the backbone's features and the previous stage's maps.

    Args:
        parts: channels of the first branch.
        joints: channels of the second.
        stages: 6 in the baseline, 3 in the paper's experiments 4 and 5.
    """

    def __init__(self, parts: int, joints: int, stages: int = 3) -> None:
        super().__init__()
        self.trunk = _trunk()
        self.stages = nn.ModuleList(
            nn.ModuleList(_first(128, o) if t == 0 else _later(128 + parts + joints, o) for o in (parts, joints)) for t in range(stages)
        )

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> list[list[Float[Tensor, "b c h w"]]]:
        """Heat maps of every stage at stride 8, as lists of one scale."""
        features = self.trunk(images)
        x, outputs = features, []
        for stage in self.stages:
            maps = cat([branch(x) for branch in stage], 1)  # type: ignore[union-attr]
            outputs.append([maps])
            x = cat([features, maps], 1)
        return outputs


def _trunk() -> nn.Sequential:
    layers: list[nn.Module] = []
    i = 3
    for o in (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 256, 128):
        if o:
            layers += [_conv(i, o, 3), nn.ReLU(inplace=True)]
            i = o
        else:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def _first(i: int, o: int) -> nn.Sequential:
    return _branch([(i, 128, 3), (128, 128, 3), (128, 128, 3), (128, 512, 1), (512, o, 1)])


def _later(i: int, o: int) -> nn.Sequential:
    return _branch([(i, 128, 7), *[(128, 128, 7)] * 4, (128, 128, 1), (128, o, 1)])


def _branch(sizes: list[tuple[int, int, int]]) -> nn.Sequential:
    layers = [layer for i, o, k in sizes for layer in (_conv(i, o, k), nn.ReLU(inplace=True))]
    return nn.Sequential(*layers[:-1])


def _conv(i: int, o: int, k: int) -> nn.Conv2d:
    conv = nn.Conv2d(i, o, k, padding=k // 2)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv
