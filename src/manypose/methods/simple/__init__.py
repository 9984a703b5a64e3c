"""SIMPLE: Zhang et al., *SIMPLE: Single-network with Mimicking and Point Learning for Bottom-up Human Pose Estimation*, AAAI 2021."""

from typing import Any, Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from manypose.data.sample import Batch
from manypose.methods import Field, Maps
from manypose.methods.simple.grouping import GroupingCNN
from manypose.methods.simple.loss import simple_loss
from manypose.methods.simple.network import Student
from manypose.methods.simple.pools import POINTS
from manypose.methods.simple.targets import targets
from manypose.poses import Poses
from manypose.skeleton import COCO, Skeleton, named

__all__ = ["SIMPLE"]

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, RGB


class SIMPLE(nn.Module):
    """The student."""

    stride = 32
    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        trunk: str = "hrnet_w32",
        size: int = 512,
        skeleton: Skeleton | str = COCO,
        pretrained: bool = False,
        detector: Literal["points", "none"] = "points",
        grouping: Literal["cnn", "max"] = "cnn",
        channels: int | None = 256,
        inner: int = 128,
        corner_tags: bool = False,
        sigma: float = 2.0,
        alpha: float = 1.0,
        features: bool = False,
        cnn: dict[str, Any] | None = None,
        boxes: dict[str, Any] | None = None,
        people: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.skeleton = named(skeleton) if isinstance(skeleton, str) else skeleton
        self.size = size
        self.fields = {"pose": Field(self.skeleton.mirror), "points": Field(None, "stack", "base")}
        self.sigma, self.alpha = sigma, alpha
        self.finding, self.choosing = boxes or {}, people or {}
        k = len(self.skeleton)
        self.net = Student(trunk, k, detector, channels, inner, corner_tags=corner_tags, features=features, pretrained=pretrained)
        self.grouping = GroupingCNN(k, **(cnn or {})) if grouping == "cnn" else None
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1) * 255, persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(3, 1, 1) * 255, persistent=False)

    def prepare(self, images: UInt8[Tensor, "b H W 3"]) -> Float[Tensor, "b 3 H W"]:
        """RGB less ImageNet's mean, over its deviation."""
        return (images.permute(0, 3, 1, 2).float() - self.mean) / self.deviation

    def network(self, images: Float[Tensor, "b 3 H W"]) -> Maps:
        """See `Student.forward`."""
        return self.net(images)

    forward = network

    def targets(self, people: Batch, size: tuple[int, int]) -> Maps:
        """See `manypose.methods.simple.targets.targets`."""
        return targets(people, size, self.sigma)

    def loss(self, outputs: Maps, targets: Maps) -> dict[str, Tensor]:
        """See `simple_loss`."""
        return simple_loss(outputs, targets, self.alpha)

    def readout(self, outputs: Maps) -> Maps:
        """``pose``; ``points`` (b, 9 or 11, h, w): the three points' maps after the sigmoid, their offsets, perhaps the corners' tags."""
        points = [outputs[p].sigmoid() for p in POINTS] + [outputs[f"{p}_offset"] for p in POINTS]
        points += [outputs[f"{p}_tag"] for p in POINTS if f"{p}_tag" in outputs]
        return {"pose": outputs["pose"], "points": torch.cat(points, 1)}

    def detect(self, outputs: Maps, size: tuple[int, int]) -> tuple[Float[Tensor, "b n 4"], Float[Tensor, "b n"]]:
        """People's boxes, xyxy in network pixels, and their scores (0: none), from `readout`'s outputs."""
        from manypose.methods.simple.points import boxes_of_points

        return boxes_of_points(outputs["points"], size, **self.finding)

    def decode(self, outputs: Maps, size: tuple[int, int]) -> list[Poses]:
        """People from ``pose`` (b, k, h, w) and ``points`` (b, c, h, w), or (b, c, h, w, t) where the mirrored view is stacked."""
        from manypose.methods.simple.decode import decode

        boxes, scores = self.detect(outputs, size)
        return decode(outputs["pose"], boxes, scores, self.grouping, self.skeleton, size, **self.choosing)
