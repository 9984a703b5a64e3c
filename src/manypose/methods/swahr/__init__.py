"""SWAHR: Luo et al., *Rethinking the Heatmap Regression for Bottom-up Human Pose Estimation*, CVPR 2021; on HigherHRNet.

Heat maps usually have Gaussians of one deviation for people of all sizes. In SAHR the network scales the deviation of each cell by s: the
target ``H`` becomes ``H^(1/s)`` (Eq. 6), in training its Taylor form (Eq. 8), with a regularization loss ``(1/s - 1)²`` under the Gaussians
(Eq. 7, 9). WAHR weights cells by ``|1 - P| H^γ + |P| (1 - H^γ)``, which reduces the weight of easy background (Eq. 13). Grouping is by
associative embedding with a tag map per joint (`manypose.nn.associative_embedding`).

Deviations: joints are drawn at sub-pixel positions instead of cells (``published_targets=True`` is as published); input sides are multiples
of 32, which suffices, instead of 64; without ImageNet weights the backbone is initialized by Kaiming instead of N(0, 0.001). As in the
authors' program and unlike the text, the regularizer averages over all cells, alpha has no limits, the weight uses the unscaled H, and
gradients flow through it.

Published: AP 68.9 on COCO val2017, W32, 512 px, flip (Table 3); 70.2 and, on three scales, 72.0 on test-dev, W48, 640 px (Table 1).
Ours: see the README and the models' cards.
"""

from collections.abc import Sequence
from typing import Any, Literal

from jaxtyping import Float, UInt8
from torch import Tensor, nn

from manypose.data.sample import Batch
from manypose.methods.method import Field, Maps
from manypose.methods.swahr.loss import swahr_loss
from manypose.methods.swahr.mobile import MobileHigher
from manypose.methods.swahr.network import HigherHRNet, read
from manypose.methods.swahr.targets import shift as targets_shift
from manypose.methods.swahr.targets import targets
from manypose.nn.associative_embedding.decode import PUBLISHED, decode
from manypose.nn.movenet_photo import LIGHT, movenet_pixels
from manypose.nn.preprocess import ImageNetInput
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO, Skeleton, named

__all__ = ["SWAHR"]


class SWAHR(nn.Module):
    """HigherHRNet with scale- and weight-adaptive heat map regression; the plain HigherHRNet without a scale branch.

    Args:
        trunk: any HRNet of timm; or ``movenet``, ``efficientnet_lite0`` … ``2``: the light network of `mobile`.
        size: default short side of the input, in pixels.
        scale_branch: predict scale maps.
        skeleton: a skeleton, its name, or the path of its YAML.
        pretrained: initialize the trunk from ImageNet weights; for a light trunk see `manypose.nn.movenet_photo.photo_trunk`.
        scale_adaptive: SAHR; default: with a scale branch.
        weight_adaptive: WAHR; default: with a scale branch.
        lambda_: factor of the regularizer (Table 5); ``inf``: constant deviations, the baseline.
        gamma: position of WAHR's soft boundary (Table 6).
        exact_power: Equation 6 instead of its Taylor form, Equation 8.
        detach_weight: no gradient through WAHR's weight.
        naive_scale: SHR, the naive baseline (Table 4): scale factors are box width / this many pixels (the paper's 256).
        sigma: of the Gaussians, in cells of either map.
        published_targets: joints rounded down to cells, as in the authors' program; decoding compensates for it.
        window: side of a Gaussian's square: ``published``, 6σ + 3 cells, or ``paper``, 6σ + 1 (Equation 1).
        heat_maps: decode the mean of ``both`` (Section 3.5), or only that at ``half`` resolution (Tables 7 and 8).
        dilation: of the four residual blocks at stride 2 (Table 7).
        push: factor of the push loss of tags.
        pull: factor of the pull loss of tags.
        embedding: form of the push loss.
        grouping: arguments of `manypose.nn.associative_embedding.decode.decode`, or ``published``: the authors'.
        frozen: number of MoveNet's first residuals that are not trained, with the stem.

    Raises:
        ValueError: the loss and the network differ in their scale maps.
    """

    stride = 32  # of the coarsest branch
    training_only: tuple[str, ...] = ("frozen",)

    def __init__(
        self,
        trunk: str = "hrnet_w32",
        size: int = 512,
        scale_branch: bool = True,
        skeleton: Skeleton | str = COCO,
        pretrained: bool | str = False,
        scale_adaptive: bool | None = None,
        weight_adaptive: bool | None = None,
        lambda_: float | str = 1.0,
        gamma: float = 0.01,
        exact_power: bool = False,
        detach_weight: bool = False,
        naive_scale: float | None = None,
        sigma: float = 2.0,
        published_targets: bool = False,
        window: Literal["published", "paper"] = "published",
        heat_maps: Literal["both", "half"] = "both",
        dilation: Sequence[int] = (1, 1, 1, 1),
        push: float = 1e-3,
        pull: float = 1e-3,
        embedding: Literal["exp", "max"] = "exp",
        grouping: dict[str, Any] | Literal["published"] | None = None,
        frozen: int = 0,
    ) -> None:
        super().__init__()
        scale_adaptive = scale_branch if scale_adaptive is None else scale_adaptive
        weight_adaptive = scale_branch if weight_adaptive is None else weight_adaptive
        if scale_adaptive != scale_branch:
            raise ValueError("scale_adaptive needs scale_branch=True, and a scale branch learns nothing without it: set both or neither")
        if naive_scale is not None and (scale_branch or naive_scale <= 0):
            raise ValueError("naive_scale is a positive width that takes the scale branch's place: set scale_branch=False")
        self.skeleton = named(skeleton) if isinstance(skeleton, str) else skeleton
        self.size = size
        heat = Field(self.skeleton.mirror, offset=targets_shift(published_targets)[0])
        self.fields = {"heat": heat, "tag": Field(self.skeleton.mirror, "stack", "base")}
        if heat_maps not in ("both", "half") or window not in ("published", "paper"):
            raise ValueError(f"heat_maps is both or half, window is published or paper; got {heat_maps!r}, {window!r}")
        self.grouping = dict(PUBLISHED if grouping == "published" else grouping or {})
        self._heat_maps: Literal["both", "half"] = heat_maps
        self._targets: dict[str, Any] = {"sigma": sigma, "published": published_targets, "naive_scale": naive_scale, "window": window}
        self._loss: dict[str, Any] = {
            "scale_adaptive": scale_adaptive, "weight_adaptive": weight_adaptive, "lambda_": float(lambda_), "gamma": gamma,
            "exact": exact_power, "detach": detach_weight, "push": push, "pull": pull, "kind": embedding,
        }  # fmt: skip
        self.pixels: Any
        if trunk in LIGHT:
            self.net: nn.Module = MobileHigher(
                len(self.skeleton), scale_branch, dilation, frozen=frozen, pretrained=pretrained, trunk=trunk
            )
            self.pixels = movenet_pixels
        else:
            self.net = HigherHRNet(trunk, len(self.skeleton), scale_branch, bool(pretrained), dilation)
            self.pixels = ImageNetInput()

    def prepare(self, images: UInt8[Tensor, "b H W 3"]) -> Float[Tensor, "b 3 H W"]:
        """RGB normalized by ImageNet's mean and deviation; for light trunks scaled to -1 … 1."""
        return self.pixels(images)

    def network(self, images: Float[Tensor, "b 3 H W"]) -> Maps:
        """``heat4``, ``tag4``, ``heat2`` and optionally ``scale4``, ``scale2`` (1/s - 1): (b, k, h, w) at strides 4 and 2."""
        return self.net(images)

    forward = network

    def targets(self, people: Batch, size: tuple[int, int]) -> Maps:
        """See `manypose.methods.swahr.targets.targets`."""
        return targets(people, size, **self._targets)

    def loss(self, outputs: Maps, targets: Maps) -> dict[str, Tensor]:
        """Means over the batch of `manypose.methods.swahr.loss.swahr_loss`'s parts."""
        return {name: part.mean() for name, part in swahr_loss(outputs, targets, **self._loss).items()}

    def readout(self, outputs: Maps) -> Maps:
        """See `manypose.methods.swahr.network.read`."""
        return read(outputs, self._heat_maps)

    def decode(self, outputs: Maps, size: tuple[int, int]) -> list[Poses]:
        """People from ``heat`` (b, k, h, w) and ``tag`` (b, k, h, w), or (b, k, h, w, t) with stacked flips."""
        mirrored = outputs["tag"].dim() == 5 and outputs["tag"].shape[4] > 1  # tags of both views
        shift = self.grouping.get("shift", targets_shift(self._targets["published"], mirrored))
        return decode(outputs["heat"], outputs["tag"], self.skeleton, size, **self.grouping | {"shift": shift})
