"""MultiPoseNet: Kocabas, Karagoz, Akbas, *MultiPoseNet: Fast Multi-Person Pose Estimation using Pose Residual Network*, ECCV 2018.

A ResNet with two feature pyramids predicts the heat maps and the person mask (Section 3.2: L2 loss, Eq. 4, masked at people without
annotations, for the last maps and K2 … K5) and the person boxes (Section 3.3: RetinaNet, `manypose.nn.retinanet`). The Pose Residual
Network selects each box's joints: ``y = φ(x) + x`` on the joint maps cropped to the box (Section 3.4, Eq. 1). Training has three steps
(Section 3.5): keypoint subnet; person subnet on the frozen backbone; PRN. Files: `network`, `targets`, `loss`, `decode`; of the
PRN `prn` (at candidates), `dense_prn` (on maps), `attention`, `baselines`, `published_prn`, `roi`, `assign`.

Deviations: choices that the paper leaves open are stated at the arguments; D features have ReLUs; flips are horizontal (the text says
"vertical"); batch normalization (`norm=True`) and narrow layers are for light models trained from random weights.

Published: AP 62.3 with ResNet-50 and 63.9 with ResNet-101 on COCO val2017 (Table 2). Ours: see the README and the models' cards.
"""

from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from manypose.data.sample import Batch
from manypose.methods.method import Field, Maps
from manypose.methods.multiposenet.loss import keypoint_losses
from manypose.methods.multiposenet.network import KeypointSubnet
from manypose.methods.multiposenet.prn_networks import prn_network
from manypose.methods.multiposenet.targets import keypoint_targets
from manypose.nn.backbones import resnet
from manypose.nn.movenet_photo import LIGHT, JointsInContext, movenet_pixels
from manypose.nn.preprocess import ImageNetInput
from manypose.nn.rates import faster
from manypose.nn.retinanet import PersonSubnet, anchors, likeliest, person_losses, person_targets
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO, Skeleton, named

__all__ = ["MultiPoseNet"]

STEPS = ("all", "keypoints", "persons")


class MultiPoseNet(nn.Module):
    """The multi-task network for keypoints, person mask and person boxes, with the Pose Residual Network.

    Args:
        trunk: any ResNet of timm; or ``movenet``, ``efficientnet_lite0`` … ``2``: a light one, whose heat maps are added to
            the last maps before a sigmoid.
        size: default short side of the input, in pixels.
        skeleton: a skeleton, its name, or the path of its YAML.
        pretrained: ImageNet weights for the trunk: True, a tag of timm, or a file (see `manypose.nn.backbones.resnet`);
            for a light trunk see `manypose.nn.movenet_photo.JointsInContext`.
        output_stride: of C5: 32, or less for dilated convolutions ("dil" of Table 2; the paper does not say whether in C5 alone, 16, or in
            C4 and C5, 8).
        channels: of the trunk's layers; default as published.
        width: of both pyramids (256), and of the person subnet's heads.
        features: of each D (128).
        smooth: of the convolution over the concatenated D.
        concat: "no concat" of Table 2 where False.
        intermediate: "no int" of Table 2 where False.
        norm: batch normalization in pyramids and keypoint subnet.
        anchor_scale: side of the smallest square anchor of each level, in multiples of its stride (RetinaNet's 4).
        step: the trained part: the ``keypoints`` subnet and the backbone; then, with these frozen, the ``persons`` subnet; or ``all``.
        sigma: of the heat maps, in cells of the 1/4 map.
        mask_weight: weight of the person mask's loss relative to that of a joint.
        heat_weight: weight of the keypoint subnet's losses relative to the person subnet's, for ``step="all"``.
        prn: arguments of the Pose Residual Network, and its ``kind``: PRN (default), DensePRN (the paper's, on maps), AttentionPRN or UCR
            (Eq. 2); None: each box takes the highest candidate of each joint ("Max").
        grouping: arguments of `decode.decode`.
        frozen: number of MoveNet's first residuals that are not trained, with the stem.

    Raises:
        ValueError: an unknown choice.
    """

    stride = 32
    training_only: tuple[str, ...] = ("frozen",)

    def __init__(
        self,
        trunk: str = "resnet50",
        size: int = 480,
        skeleton: Skeleton | str = COCO,
        pretrained: bool | str = False,
        output_stride: Literal[8, 16, 32] = 32,
        channels: list[int] | None = None,
        width: int = 256,
        features: int = 128,
        smooth: int = 256,
        concat: bool = True,
        intermediate: bool = True,
        norm: bool = False,
        anchor_scale: float = 4.0,
        step: Literal["all", "keypoints", "persons"] = "all",
        sigma: float = 1.75,
        mask_weight: float = 1.0,
        heat_weight: float = 1.0,
        prn: dict[str, Any] | None = None,
        grouping: dict[str, Any] | None = None,
        frozen: int = 0,
    ) -> None:
        super().__init__()
        if step not in STEPS:
            raise ValueError(f"step is one of {', '.join(STEPS)}; got {step!r}")
        self.skeleton = named(skeleton) if isinstance(skeleton, str) else skeleton
        self.size, self.step, self.grouping = size, step, grouping or {}
        self.fields = {"heat": Field((*self.skeleton.mirror, len(self.skeleton))), "boxes": Field(None, "boxes")}
        self._sigma, self._mask_weight, self._heat_weight = sigma, mask_weight, heat_weight
        self._output_stride, self._anchor_scale = output_stride, anchor_scale
        self.backbone: Any
        self.pixels: Any
        self._light = trunk in LIGHT
        if self._light:
            self.backbone = JointsInContext(len(self.skeleton), width, frozen, pretrained, trunk)
            c, self.pixels = [width, *self.backbone.photo.channels[1:]], movenet_pixels
        else:
            self.backbone = resnet(trunk, pretrained, output_stride, None if channels is None else tuple(channels))  # type: ignore[arg-type]
            c, self.pixels = self.backbone.feature_info.channels(), ImageNetInput()
        self.keypoints = KeypointSubnet(c, len(self.skeleton) + 1, width, features, smooth, concat, intermediate, norm)
        self.persons = PersonSubnet(c[1:], width, norm)
        self.prn = None if prn is None else prn_network(self.skeleton, **prn)
        for part in self._frozen():
            part.requires_grad_(False)
        if self._light:
            for part in (self.keypoints, self.persons):
                faster(part.parameters())

    def _frozen(self) -> list[nn.Module]:
        own: list[nn.Module] = [] if self.prn is None else [self.prn]  # trained on annotations, without photos
        return own + {"all": [], "keypoints": [self.persons], "persons": [self.backbone, self.keypoints]}[self.step]

    def train(self, mode: bool = True) -> "MultiPoseNet":
        """As `nn.Module.train`; frozen parts also keep their running statistics."""
        super().train(mode)
        for part in self._frozen():
            part.eval()
        return self

    def prepare(self, images: UInt8[Tensor, "b H W 3"]) -> Float[Tensor, "b 3 H W"]:
        """See `ImageNetInput`; for light trunks RGB scaled to -1 … 1."""
        return self.pixels(images)

    def network(self, images: Float[Tensor, "b 3 H W"]) -> Maps:
        """``heat`` (b, k + 1, h, w) at stride 4, in training also ``heat2`` … ``heat5`` of K2 … K5; ``person`` (b, a), ``shift`` (b, a, 4).

        In training, only the outputs of the trained step are computed.
        """
        if self._light:
            known, context, trunk = self.backbone.with_features(images)
            trunk = [context, *trunk[1:]]
        else:
            known, trunk = None, self.backbone(images)
        out = {} if self.training and self.step == "persons" else self.keypoints(trunk)
        if known is not None and "heat" in out:
            joints, person = out["heat"].float().tensor_split([-1], 1)
            out["heat"] = torch.cat([(known + joints).sigmoid(), person], 1)
        return out if self.training and self.step == "keypoints" else {**out, **self.persons(trunk[1:])}

    forward = network

    def anchors(self, size: tuple[int, int], device: torch.device | str = "cpu") -> Float[Tensor, "a 4"]:
        """The person subnet's anchors for an input of `size`, xyxy."""
        return anchors(size, self._output_stride, self._anchor_scale, device)

    def targets(self, people: Batch, size: tuple[int, int]) -> Maps:
        """See `manypose.methods.multiposenet.targets`."""
        heat = {} if self.step == "persons" else keypoint_targets(people, size, self._sigma)
        if self.step == "keypoints":
            return heat
        return heat | person_targets(*people.detection_boxes(), people.mask, self.anchors(size, people.boxes.device))

    def loss(self, outputs: Maps, targets: Maps) -> dict[str, Tensor]:
        """The losses of `manypose.methods.multiposenet.loss` of the trained step."""
        losses = {} if self.step == "persons" else keypoint_losses(outputs, targets, self._mask_weight)
        if self.step == "all":
            losses = {name: self._heat_weight * loss for name, loss in losses.items()}
        if self.step != "keypoints":
            losses |= person_losses(outputs["person"], outputs["shift"], targets["label"], targets["shift"])
        return losses

    def readout(self, outputs: Maps) -> Maps:
        """``heat`` (b, k + 1, h, w) at stride 4; ``boxes`` (b, 1000, 5): the best boxes, xyxy in input pixels and score."""
        heat = outputs["heat"].float()
        size = (4 * heat.shape[2], 4 * heat.shape[3])
        return {"heat": heat, "boxes": likeliest(outputs["person"], outputs["shift"], self.anchors(size, heat.device), size, CANDIDATES)}

    def decode(self, outputs: Maps, size: tuple[int, int]) -> list[Poses]:
        """People from ``heat`` (b, k + 1, h, w) and ``boxes`` (b, n, 5)."""
        from manypose.methods.multiposenet.decode import decode

        return decode(outputs["heat"], outputs["boxes"], self.skeleton, size, self.prn, **self.grouping)

    def detect(self, outputs: Maps, size: tuple[int, int]) -> list[Float[np.ndarray, "n 5"]]:
        """The boxes of people from ``boxes`` (b, n, 5), xyxy and score, by falling score."""
        from manypose.methods.multiposenet.detections import people_boxes

        # More, lower-scoring and closer boxes than in `decode`, since the top-down method rescores them.
        boxes, scores, image = (t.cpu().numpy() for t in people_boxes(outputs["boxes"], 0.01, 0.5, 100))
        rows = np.column_stack([boxes, scores])
        return [rows[image == i] for i in range(len(outputs["boxes"]))]


CANDIDATES = 1000
"""Number of boxes of each view."""
