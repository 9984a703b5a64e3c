"""MSPN: Li et al., *Rethinking on Multi-Stage Networks for Human Pose Estimation*, 2019; and the single-person HRNet, in one top-down room.

Idea: one person at a time, in a box. A stage is a whole pose network (ResNet down, four scales up); several follow one another, each
scale of a stage passes its features on (CSFA, Section 3.2, Figure 3), each is trained on Gaussians that grow sharper with the scales and
in the last stage (CTF, Section 3.3), and at the finest scale the hardest joints alone count (OHKM). Files: `crops` (boxes to views),
`samples` (training views), `trunks`, `network`, `hourglass`, `hrnet`, `targets`, `loss`, `decode`, `published` (checkpoints).

We deviate: Gaussians stand at the joints' sub-pixel places instead of whole cells (``labels="published"``); a joint is the top of a
fitted Gaussian, which is exact, instead of a quarter offset, which is off by a pixel (``decoding="published"``); a person's score is the
mean over the joints that were found, not over all, and people are one from an OKS of 0.7 on; boxes are enlarged by 1.7 instead of 1.09 ×
1.135, since joints of every tenth annotated person lie outside that. As in the authors' program, only the last stage's Gaussians are
sharper, and stages before it are alike.

Published: AP 74.5, 75.2, 75.9 on COCO minival for 2, 3, 4 stages, 256 × 192 (Table 2); 76.1 on test-dev, 4 stages, 384 × 288 (Table 7).
Ours: see the table of models in the README.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from manypose.data.sample import Batch
from manypose.methods.method import Field, Maps
from manypose.methods.mspn.hrnet import HRNetwork
from manypose.methods.mspn.loss import hrnet_loss, mspn_loss
from manypose.methods.mspn.network import MSPNet
from manypose.methods.mspn.targets import PEAK, deviation, ladders, targets
from manypose.poses.crops import crops
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO, Skeleton, named
from manypose.poses.warp import Warp

__all__ = ["MSPN", "HRNet"]

Decoding = Literal["gaussian", "dark", "published"]

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, RGB

PERSON_NMS_OKS = {True: 0.9, False: 0.7}
"""OKS above which two results are one person: as published, and ours (docs/default-model.md measures both)."""


class MSPN(nn.Module):
    """The multi-stage pose network.

    Args:
        stages: how many.
        input_size: height and width of a person's crop; the paper has 256 × 192, 384 × 288, and 256 × 256 for MPII.
        skeleton: a skeleton, its name, or the path of its YAML.
        trunk: down-sampling unit: ``resnet18``, ``resnet50``, …, ``xception-small`` (Table 3), ``tiny``, or ``hourglass`` (Table 2).
        width: channels on the way up, and everywhere in an Hourglass.
        depths: blocks of the trunk's four layers, in place of its own: for stages of other cost.
        peak: height of the targets' peaks. The published 255 takes long: the last normalisations grow to it by a learning rate a step.
        aggregation: cross-stage feature aggregation (CSFA, Table 4).
        coarse_to_fine: sharper Gaussians in the last stage (CTF, Table 4).
        multi_scale: supervise all four scales of a stage, not the finest alone.
        kernels: Gaussian kernel of each stage's finest scale (Table 5; default 7, in the last stage 5).
        hardest: joints that count at the finest scale (OHKM); None: all.
        hidden: learn hidden joints at the coarse scales too.
        labels: where Gaussians stand: at the joints' places (ours), or in whole cells (published).
        extend: factors by which a box's width and height grow before it is cut out; default 1.7, published 1.09 and 1.135 (MPII 1.25).
        decoding: see `decode`; ``published`` also places and enlarges crops as the authors do, and is set for published weights.
        post_filter: deviation of the post-Gaussian filter in cells; with ``published`` the size of its kernel (5; MPII 9).
        pretrained: start the stem and the first stage from ImageNet weights (``resnet18`` … ``resnet152``).
    """

    stride = 32
    training_only: tuple[str, ...] = ()
    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        stages: int = 2,
        input_size: Sequence[int] = (256, 192),
        skeleton: Skeleton | str = COCO,
        trunk: str = "resnet50",
        width: int = 256,
        aggregation: bool = True,
        coarse_to_fine: bool = True,
        multi_scale: bool = True,
        kernels: Sequence[int] | None = None,
        hardest: int | None = 8,
        hidden: bool = False,
        labels: Literal["ours", "published"] = "ours",
        extend: Sequence[float] | None = None,
        decoding: Decoding = "gaussian",
        post_filter: float | None = None,
        pretrained: bool = False,
        depths: Sequence[int] | None = None,
        peak: float = PEAK,
    ) -> None:
        super().__init__()
        self.skeleton = named(skeleton) if isinstance(skeleton, str) else skeleton
        self.input_size = _checked_size(input_size)
        self.size = min(self.input_size)
        self.fields = {"heat": Field(self.skeleton.mirror)}
        self.ladders = ladders(stages, None if kernels is None else tuple(kernels), coarse_to_fine)
        self.labels: Literal["ours", "published"] = labels
        published = (1.09, 1.135) if len(self.skeleton) == 17 else (1.25, 1.25)
        self.extend = _checked_extend(extend or (published if decoding == "published" else (1.7, 1.7)))
        self.decoding: Decoding = _checked_decoding(decoding)
        self.person_nms_oks = PERSON_NMS_OKS[decoding == "published"]
        self.post_filter = post_filter
        self.peak = _checked_peak(peak)
        self._loss = {"hardest": hardest, "hidden": hidden}
        self.net = MSPNet(stages, len(self.skeleton), trunk, width, aggregation, multi_scale, depths)
        if pretrained:
            from manypose.methods.mspn.published import imagenet

            imagenet(self.net, trunk)
        # BGR, as the published networks take it.
        self.register_buffer("mean", torch.tensor(MEAN[::-1]).view(3, 1, 1) * 255, persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION[::-1]).view(3, 1, 1) * 255, persistent=False)

    def people(self, photo: UInt8[np.ndarray, "H W 3"], boxes: Float[np.ndarray, "n 4"]) -> list[Warp]:
        """One view a box (xyxy in photo pixels).

        Raises:
            ValueError: boxes that cannot be used; the message says which.
        """
        return crops(boxes, (photo.shape[0], photo.shape[1]), self.input_size, self.extend, self.decoding == "published")

    def prepare(self, images: UInt8[Tensor, "b H W 3"]) -> Float[Tensor, "b 3 H W"]:
        """RGB to BGR less ImageNet's mean, over its deviation."""
        return (images.flip(3).permute(0, 3, 1, 2).float() - self.mean) / self.deviation

    def network(self, images: Float[Tensor, "b 3 H W"]) -> Maps:
        """``heat<stage>_<scale>`` (b, k, h, w) at 1/4, peaks `peak` high; in evaluation without gradients the last one alone."""
        stages = self.net(images, self.training or torch.is_grad_enabled())
        first = len(self.ladders) - len(stages)
        return {f"heat{first + i}_{4 - len(s) + j}": heat for i, s in enumerate(stages) for j, heat in enumerate(s)}

    forward = network

    def targets(self, people: Batch, size: tuple[int, int]) -> Maps:
        """``label<kernel>``, ``visible``, ``known``: see `manypose.methods.mspn.targets.targets`."""
        kernels = sorted({k for ladder in self.ladders for k in ladder})
        sigmas = {f"label{k}": float(k) if self.labels == "published" else deviation(k) for k in kernels}
        return targets(people, size, sigmas, self.peak, self.labels)

    def loss(self, outputs: Maps, targets: Maps) -> dict[str, Tensor]:
        """``stage<i>``: the sum over scales, mean over the batch."""
        stages = [[outputs[name] for j in range(4) if (name := f"heat{i}_{j}") in outputs] for i in range(len(self.ladders))]
        parts = mspn_loss(stages, targets, self.ladders, **self._loss)
        return {f"stage{i}": torch.stack([p.mean() for p in row]).sum() for i, row in enumerate(parts)}

    def readout(self, outputs: Maps) -> Maps:
        """``heat``: the last stage's finest maps, peaks 1 high."""
        return {"heat": outputs[f"heat{len(self.ladders) - 1}_3"] / self.peak}

    def decode(self, outputs: Maps, size: tuple[int, int]) -> list[Poses]:
        """One person a picture, from ``heat`` (b, k, h, w)."""
        from manypose.methods.mspn import decode as d

        heat = outputs["heat"]
        if self.decoding == "published":
            return d.to_poses(self.skeleton, *d.published_mspn(heat, size, int(self.post_filter or 5)))
        sigma = 1.0 if self.post_filter is None else self.post_filter
        return d.to_poses(self.skeleton, *d.decode(heat, size, self.decoding, sigma), least=d.COUNTS)


class HRNet(nn.Module):
    """HRNet for one person: Sun et al., *Deep High-Resolution Representation Learning for Human Pose Estimation*, CVPR 2019.

    Args:
        trunk: any HRNet of timm.
        input_size: height and width of a person's crop; published are 256 × 192 and 384 × 288.
        skeleton: a skeleton, its name, or the path of its YAML.
        sigma: of the Gaussians in cells; default 2 for crops 192 pixels wide, in proportion for others.
        extend: factors by which a box's width and height grow before it is cut out; default 1.25, as published.
        decoding: ``gaussian``, ``dark``, or ``published``, which also places crops as the authors do and shifts mirrored maps by a cell.
        post_filter: deviation of the post-Gaussian filter in cells (not with ``published``).
        pretrained: start the trunk from ImageNet weights.
    """

    stride = 32
    training_only: tuple[str, ...] = ()
    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        trunk: str = "hrnet_w32",
        input_size: Sequence[int] = (256, 192),
        skeleton: Skeleton | str = COCO,
        sigma: float | None = None,
        extend: Sequence[float] | None = None,
        decoding: Decoding = "gaussian",
        post_filter: float = 1.0,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        self.skeleton = named(skeleton) if isinstance(skeleton, str) else skeleton
        self.input_size = _checked_size(input_size)
        self.size = min(self.input_size)
        self.fields = {"heat": Field(self.skeleton.mirror, shift=int(decoding == "published"))}
        self.sigma = sigma or self.input_size[1] / 96
        self.extend = _checked_extend(extend or (1.25, 1.25))
        self.decoding: Decoding = _checked_decoding(decoding)
        self.person_nms_oks = PERSON_NMS_OKS[decoding == "published"]
        self.post_filter = post_filter
        self.net = HRNetwork(trunk, len(self.skeleton), pretrained)
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1) * 255, persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(3, 1, 1) * 255, persistent=False)

    def people(self, photo: UInt8[np.ndarray, "H W 3"], boxes: Float[np.ndarray, "n 4"]) -> list[Warp]:
        """One view a box (xyxy in photo pixels).

        Raises:
            ValueError: boxes that cannot be used; the message says which.
        """
        return crops(boxes, (photo.shape[0], photo.shape[1]), self.input_size, self.extend, self.decoding == "published")

    def prepare(self, images: UInt8[Tensor, "b H W 3"]) -> Float[Tensor, "b 3 H W"]:
        """RGB less ImageNet's mean, over its deviation."""
        return (images.permute(0, 3, 1, 2).float() - self.mean) / self.deviation

    def network(self, images: Float[Tensor, "b 3 H W"]) -> Maps:
        """``heat`` (b, k, h, w) at 1/4, peaks 1 high."""
        return {"heat": self.net(images)}

    forward = network

    def targets(self, people: Batch, size: tuple[int, int]) -> Maps:
        """``heat``, ``visible``, ``known``: see `manypose.methods.mspn.targets.targets`."""
        return targets(people, size, {"heat": self.sigma}, 1.0)

    def loss(self, outputs: Maps, targets: Maps) -> dict[str, Tensor]:
        """``heat``: see `manypose.methods.mspn.loss.hrnet_loss`."""
        return {"heat": hrnet_loss(outputs["heat"], targets)}

    def readout(self, outputs: Maps) -> Maps:
        """``heat``, as it is."""
        return {"heat": outputs["heat"]}

    def decode(self, outputs: Maps, size: tuple[int, int]) -> list[Poses]:
        """One person a picture, from ``heat`` (b, k, h, w)."""
        from manypose.methods.mspn import decode as d

        if self.decoding == "published":
            return d.to_poses(self.skeleton, *d.published_hrnet(outputs["heat"], size), least=0.2)
        return d.to_poses(self.skeleton, *d.decode(outputs["heat"], size, self.decoding, self.post_filter), least=d.COUNTS)


def _checked_size(size: Sequence[int]) -> tuple[int, int]:
    if len(size) != 2 or min(size) < 64 or any(side % 32 for side in size):
        raise ValueError(f"input_size is a height and a width, multiples of 32 from 64 on, got {tuple(size)}")
    return int(size[0]), int(size[1])


def _checked_extend(extend: Sequence[float]) -> tuple[float, float]:
    if len(extend) != 2 or not all(0.1 <= e <= 10 for e in extend):
        raise ValueError(f"extend is a factor for a box's width and one for its height, from 0.1 to 10, got {tuple(extend)}")
    return float(extend[0]), float(extend[1])


def _checked_peak(peak: float) -> float:
    if not 0 < peak < 1e6:
        raise ValueError(f"peak is the height of a target, above 0, got {peak}")
    return float(peak)


def _checked_decoding(decoding: Decoding) -> Decoding:
    if decoding not in ("gaussian", "dark", "published"):
        raise ValueError(f"decoding is gaussian, dark or published, got {decoding!r}")
    return decoding
