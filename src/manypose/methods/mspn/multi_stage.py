"""MSPN as a `Method`."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from manypose.data.sample import Batch
from manypose.methods.method import Field, Maps
from manypose.methods.mspn.decode import COUNTS, decode, published_mspn, to_poses
from manypose.methods.mspn.imagenet import imagenet
from manypose.methods.mspn.loss import mspn_loss
from manypose.methods.mspn.network import MSPNet
from manypose.methods.mspn.targets import FIRST_CELL, PEAK, Labels, deviation, ladders, targets
from manypose.methods.mspn.views import Decoding, PersonViews
from manypose.nn.preprocess import ImageNetInput
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO, Skeleton, named
from manypose.poses.warp import Warp

__all__ = ["MSPN"]


class MSPN(nn.Module):
    """The multi-stage pose network.

    Args:
        stages: number of stages.
        input_size: height and width of a crop; default 256 × 192, for MPII's skeleton 256 × 256; the paper also has 384 × 288.
        skeleton: a skeleton, its name, or the path of its YAML.
        trunk: down-sampling unit: ``resnet18``, ``resnet50``, …, ``xception-small`` (Table 3), ``tiny``, ``hourglass`` or
            ``hourglass-growing`` (Table 2).
        width: channels of the up-sampling units, or of an Hourglass.
        depths: numbers of blocks of the four layers; default: those of `trunk`.
        peak: height of the targets' peaks. With the published 255 the start is slow, since the last normalizations must grow to it.
        aggregation: cross-stage feature aggregation (CSFA, Table 4).
        coarse_to_fine: sharper Gaussians in the last stage (CTF, Table 4).
        multi_scale: supervise all four scales of a stage, not only the finest.
        kernels: Gaussian kernel of each stage's finest scale (Table 5; default 7, in the last stage 5).
        hardest: joints that count at the finest scale (OHKM); None: all.
        hidden: learn hidden joints at the coarse scales too.
        labels: Gaussians at sub-pixel positions (ours), or at cells (published); default: as `decoding`.
        extend: factors by which a box's width and height are enlarged; default 1.7, published 1.09 and 1.135 (MPII 1.25).
        decoding: see `decode`; ``published`` also uses the authors' crops and no NMS by OKS; it is set for published weights.
        post_filter: deviation of the post-Gaussian filter in cells; with ``published`` the size of its kernel (default 5, for MPII 9).
        pretrained: ImageNet weights for the stem and the first stage's down-sampling unit (``resnet18`` … ``resnet152``): True, a tag of
            timm, or a file (see `manypose.nn.backbones.resnet`).
    """

    stride = 32
    training_only: tuple[str, ...] = ()

    def __init__(
        self,
        stages: int = 2,
        input_size: Sequence[int] | None = None,
        skeleton: Skeleton | str = COCO,
        trunk: str = "resnet50",
        width: int = 256,
        aggregation: bool = True,
        coarse_to_fine: bool = True,
        multi_scale: bool = True,
        kernels: Sequence[int] | None = None,
        hardest: int | None = 8,
        hidden: bool = False,
        labels: Labels | None = None,
        extend: Sequence[float] | None = None,
        decoding: Decoding = "gaussian",
        post_filter: float | None = None,
        pretrained: bool | str = False,
        depths: Sequence[int] | None = None,
        peak: float = PEAK,
    ) -> None:
        super().__init__()
        self.skeleton = named(skeleton) if isinstance(skeleton, str) else skeleton
        mpii, published = self.skeleton.name == "mpii", decoding == "published"
        if extend is None:
            extend = (1.7, 1.7) if not published else (1.25, 1.25) if mpii else (1.09, 1.135)
        self.views = PersonViews.of(input_size or ((256, 256) if mpii else (256, 192)), extend, decoding)
        self.input_size, self.size = self.views.size, min(self.views.size)
        self.ladders = ladders(stages, None if kernels is None else tuple(kernels), coarse_to_fine)
        self.labels: Labels = labels or ("published" if published else "ours")
        self.first_cell = FIRST_CELL["mspn" if self.labels == "published" else "ours"]
        # Mirroring changes the rounding of a joint to its cell; the authors do not shift the mirrored maps.
        self.fields = {"heat": Field(self.skeleton.mirror, shift=0.0 if published else (1.5 - self.first_cell) / 2)}
        self.decoding: Decoding = decoding
        self.person_nms_oks = 1.0 if published else 0.7
        self.post_filter = (9 if mpii else 5) if published and post_filter is None else post_filter
        if not 0 < peak < 1e6:
            raise ValueError(f"peak is the height of a target, above 0, got {peak}")
        self.peak = float(peak)
        self._loss = {"hardest": hardest, "hidden": hidden}
        self.net = MSPNet(stages, len(self.skeleton), trunk, width, aggregation, multi_scale, depths)
        if pretrained:
            imagenet(self.net, trunk, pretrained)
        self.pixels = ImageNetInput(bgr=True)  # as in the published networks

    def people(self, photo: UInt8[np.ndarray, "H W 3"], boxes: Float[np.ndarray, "n 4"]) -> list[Warp]:
        """See `PersonViews.cut`."""
        return self.views.cut(photo, boxes)

    def prepare(self, images: UInt8[Tensor, "b H W 3"]) -> Float[Tensor, "b 3 H W"]:
        """See `ImageNetInput`."""
        return self.pixels(images)

    def network(self, images: Float[Tensor, "b 3 H W"]) -> Maps:
        """``heat<stage>_<scale>`` (b, k, h, w) at stride 4 with peaks of `peak`; in evaluation without gradients only the last one."""
        stages = self.net(images, self.training or torch.is_grad_enabled())
        first = len(self.ladders) - len(stages)
        return {f"heat{first + i}_{4 - len(s) + j}": heat for i, s in enumerate(stages) for j, heat in enumerate(s)}

    forward = network

    def targets(self, people: Batch, size: tuple[int, int]) -> Maps:
        """``label<kernel>``, ``visible``, ``known``: see `manypose.methods.mspn.targets.targets`."""
        kernels = sorted({k for ladder in self.ladders for k in ladder})
        sigmas = {f"label{k}": float(k) if self.labels == "published" else deviation(k) for k in kernels}
        return targets(people, size, sigmas, self.peak, self.first_cell, kernels=self.labels == "published")

    def loss(self, outputs: Maps, targets: Maps) -> dict[str, Tensor]:
        """``stage<i>``: sum over scales, mean over the batch."""
        stages = [[outputs[name] for j in range(4) if (name := f"heat{i}_{j}") in outputs] for i in range(len(self.ladders))]
        parts = mspn_loss(stages, targets, self.ladders, **self._loss)
        return {f"stage{i}": torch.stack([p.mean() for p in row]).sum() for i, row in enumerate(parts)}

    def readout(self, outputs: Maps) -> Maps:
        """``heat``: the last stage's finest maps, with peaks of 1."""
        return {"heat": outputs[f"heat{len(self.ladders) - 1}_3"] / self.peak}

    def decode(self, outputs: Maps, size: tuple[int, int]) -> list[Poses]:
        """One person per crop, from ``heat`` (b, k, h, w) with peaks of 1."""
        heat = outputs["heat"]
        if self.decoding == "published":
            return to_poses(self.skeleton, *published_mspn(heat, size, int(self.post_filter or 5), first=self.first_cell))
        sigma = 1.0 if self.post_filter is None else self.post_filter
        return to_poses(self.skeleton, *decode(heat, size, self.decoding, sigma, self.first_cell), min_height=COUNTS)
