"""The Identity Mapping Hourglass Network (Section "Network Structure", Figures 3 and 4), with the published names of all parameters."""

from collections import OrderedDict
from itertools import pairwise
from typing import Literal

from jaxtyping import Float
from torch import Tensor, cat, nn
from torch.nn.functional import interpolate, max_pool2d

__all__ = ["IMHN", "SCALES", "Wiring"]

SCALES = 5
"""Number of scales of heat maps, strides 4 … 64: the output of a fourth-order hourglass and its four inner maps."""

Wiring = Literal["released", "paper", "paper_wide", "hourglass"]
"""``released``: residual blocks, dilated stem, attention after the feature convolutions; the published checkpoint, probably
that of the paper's numbers. ``paper``: as in Figure 3 (the authors' other 4-stage network). ``paper_wide``: the same with features as wide
as the hourglass (their 3-stage network). ``hourglass``: the base network of experiment 6 (Table 1)."""


class IMHN(nn.Module):
    """Stacked hourglasses that pass features and heat maps to the next stage at every scale.

    Args:
        maps: number of maps.
        stages: number of hourglasses.
        c: channels at stride 4.
        n: additional channels per halving of the resolution.
        wiring: see `Wiring`.
        spatial_attention: heat maps at five scales; False: only at stride 4 (Table 1, experiment 9).
        channel_attention: squeeze and excitation; False: none (experiment 10).

    Raises:
        ValueError: `c` is not a multiple of 16, or a number is not positive.
    """

    def __init__(
        self,
        maps: int = 50,
        stages: int = 4,
        c: int = 256,
        n: int = 128,
        wiring: Wiring = "released",
        spatial_attention: bool = True,
        channel_attention: bool = True,
    ) -> None:
        super().__init__()
        if c < 16 or c % 16 or n < 0 or n % 16 or stages < 1:
            raise ValueError(
                f"IMHN needs c and n in multiples of 16 (squeeze and excitation, halved stems) and a stage, got {(c, n, stages)}"
            )
        plain, paper = wiring == "hourglass", wiring in ("paper", "paper_wide")
        widths = [c + d * n for d in range(SCALES)]
        self.wiring = wiring
        self.scales = SCALES if spatial_attention and not plain else 1
        read = widths[: self.scales]
        wide = read if wiring == "paper_wide" else [c] * self.scales
        attention = channel_attention and not plain
        self.pre = Stem(c, dilated=wiring == "released")
        self.hourglass = nn.ModuleList(Hourglass(widths, wiring) for _ in range(stages))
        self.features = nn.ModuleList(_Features(read, wide, wiring, attention and not paper) for _ in range(stages))
        self.outs = nn.ModuleList(nn.ModuleList(_conv(w, maps, 1, bn=False, act=False) for w in wide) for _ in range(stages))
        if paper and attention:
            self.channel_attention = nn.ModuleList(nn.ModuleList(SqueezeExcite(w) for w in read) for _ in range(stages))
        else:
            self.channel_attention = None
        norm = wiring in ("released", "paper")
        self.merge_features = nn.ModuleList(_merges(wide, read, norm) for _ in range(stages - 1))
        self.merge_preds = nn.ModuleList(_merges([maps] * self.scales, read, norm) for _ in range(stages - 1))
        self.apply(_initialize)
        for head in self.outs.modules():
            if isinstance(head, nn.Conv2d):
                nn.init.normal_(head.weight, std=0.001)

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> list[list[Float[Tensor, "b c _h _w"]]]:
        """Heat maps of every stage at every scale, finest first.

        Raises:
            ValueError: input sides are not multiples of 64.
        """
        if images.shape[2] % 64 or images.shape[3] % 64:
            raise ValueError(f"IMHN halves its input six times: sides must be multiples of 64, got {tuple(images.shape[2:])}")
        x = self.pre(images)
        carried: list[Tensor] | None = None
        outputs = []
        for t, hourglass in enumerate(self.hourglass):
            seen = hourglass(x)[: self.scales]
            if self.channel_attention is not None:
                seen = _each(self.channel_attention[t], seen)
            if carried is not None and self.wiring != "hourglass":
                seen = [s + c for s, c in zip(seen, carried, strict=True)]
            features = self.features[t](seen)
            outputs.append(_each(self.outs[t], features))
            if t < len(self.merge_preds):
                of_heat, of_features = _each(self.merge_preds[t], outputs[-1]), _each(self.merge_features[t], features)
                carried = [a + b for a, b in zip(of_heat, of_features, strict=True)]
                x = x + carried[0]
        return outputs


class Stem(nn.Module):
    """The stem to stride 4; with `dilated`, half of the channels have dilated convolutions."""

    def __init__(self, c: int, dilated: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, c // 4, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(c // 4)
        self.relu = _act()
        self.res1 = Residual(c // 4, c // 2)
        self.res2 = Residual(c // 2, c // 2)
        self.dilation = nn.Sequential(*(_conv(c // 2, c // 2, dilation=d) for d in (3, 3, 4, 4, 5, 5))) if dilated else None
        self.res3 = None if dilated else Residual(c // 2, c)

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        x = self.res1(self.relu(self.bn1(self.conv1(images))))
        x = self.res2(max_pool2d(x, 2))
        if self.dilation is not None:
            return cat([x, self.dilation(x)], 1)
        return x if self.res3 is None else self.res3(x)


class Residual(nn.Module):
    """Bottleneck block."""

    def __init__(self, i: int, o: int) -> None:
        super().__init__()
        h = o // 2
        layers = [*_conv(i, h, 1), *_conv(h, h, 3), *_conv(h, o, 1, act=False)]
        self.convBlock = nn.Sequential(*layers)
        self.skipConv = nn.Sequential(*_conv(i, o, 1, act=False)) if i != o else nn.Identity()
        self.relu = _act()

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h w"]:
        return self.relu(self.convBlock(x) + self.skipConv(x))


class Hourglass(nn.Module):
    """Fourth-order hourglass (Figure 4); returns its output and the maps of its four inner orders."""

    def __init__(self, widths: list[int], wiring: Wiring) -> None:
        super().__init__()
        levels = []
        for a, b in pairwise(widths):
            if wiring == "released":
                parts = [Residual(a, a), Residual(a, b), Residual(b, a), _conv(a, a)]
            elif wiring == "hourglass":
                parts = [_conv(a, a), _conv(a, b), _conv(b, a)]
            else:
                parts = [_conv(a, a, act=False), _conv(a, b), _conv(b, a), _conv(a, a), _conv(a, a, act=False), _act()]
            levels.append(nn.ModuleList(parts))
        deepest = Residual(widths[-1], widths[-1]) if wiring == "released" else _conv(widths[-1], widths[-1])
        levels[-1].append(deepest)
        self.wiring = wiring
        self.hg = nn.ModuleList(levels)

    def forward(self, x: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b _c _h _w"]]:
        maps: list[Tensor] = []
        self._level(0, x, maps)
        return maps[::-1]

    def _level(self, d: int, x: Tensor, maps: list[Tensor]) -> Tensor:
        """One order; appends the outputs of inner orders, deepest first, and its own to `maps`."""
        parts = list(self.hg[d])  # type: ignore[arg-type]
        skip = parts[0](x)
        low = parts[1](max_pool2d(x, 2))
        if d + 1 < len(self.hg):
            low = self._level(d + 1, low, maps)
        else:
            low = parts[-1](low)
            maps.append(low)
        low = interpolate(parts[2](low), scale_factor=2.0, mode="nearest")
        if self.wiring == "released":
            out = skip + parts[3](low)
        elif self.wiring == "hourglass":
            out = skip + low
        else:
            out = parts[5](skip + parts[4](parts[3](low)))
        maps.append(out)
        return out


class SqueezeExcite(nn.Module):
    """Channel attention (Hu et al. 2018)."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(c, c // 16), _act(), nn.Linear(c // 16, c), nn.Sigmoid())

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return x * self.fc(x.mean((2, 3)))[:, :, None, None]


class _Features(nn.Module):
    """The input features of one stage's heads."""

    def __init__(self, read: list[int], wide: list[int], wiring: Wiring, attention: bool) -> None:
        super().__init__()
        kernels = {"paper": (1, 3, 3)}.get(wiring, (3, 3))
        self.before_regress = nn.ModuleList()
        for i, o in zip(read, wide, strict=True):
            layers: list[nn.Module] = [_conv(i if j == 0 else o, o, k) for j, k in enumerate(kernels)]
            self.before_regress.append(nn.Sequential(*layers, *([SqueezeExcite(o)] if attention else [])))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return _each(self.before_regress, maps)


def _each(layers: nn.Module, maps: list[Tensor]) -> list[Tensor]:
    return [layer(m) for layer, m in zip(layers.children(), maps, strict=True)]


def _merges(inputs: list[int], outputs: list[int], norm: bool) -> nn.ModuleList:
    one = (_conv(i, o, 1, bn=norm, act=False) for i, o in zip(inputs, outputs, strict=True))
    return nn.ModuleList(nn.Sequential(OrderedDict(conv=conv)) for conv in one)


def _conv(i: int, o: int, k: int = 3, bn: bool = True, act: bool = True, dilation: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(i, o, k, padding=dilation * (k // 2), dilation=dilation, bias=not bn)
    return nn.Sequential(OrderedDict(conv=conv, **({"bn": nn.BatchNorm2d(o)} if bn else {}), **({"relu": _act()} if act else {})))


def _act() -> nn.Module:
    return nn.LeakyReLU(0.01, inplace=True)


def _initialize(module: nn.Module) -> None:
    # The authors initialize all convolutions with N(0, 0.001), because their sums "explode" otherwise. All but the heads are followed by a
    # normalization, so Kaiming is used, which keeps narrow networks above its eps; heads and linear layers are as published.
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, a=0.01, nonlinearity="leaky_relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
    if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
        nn.init.zeros_(module.bias)
