"""NanoDet: a light person detector for top-down methods.

Source: RangiLyu's NanoDet-g (2021, Apache-2.0), after Li et al., *Generalized Focal Loss*, 2020: each cell of three grids
predicts a score per class, and for each side of the box a distribution over eleven distances. Of the published weights for COCO's 80
classes, the outputs for people are used. Files: `network`, `decode` (grids to boxes), `graph_file` (the published weights).

Deviation: the photo is processed at two sizes in one call (`NanoDet.zooms`), not padded to a square; the smaller one finds large people.
"""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import interpolate

from manypose.data.sample import Batch
from manypose.methods.catalog import NANODET_AS_IT_IS
from manypose.methods.method import Field, Maps
from manypose.methods.nanodet.decode import likeliest
from manypose.methods.nanodet.graph_file import nanodet_tensors
from manypose.methods.nanodet.network import STRIDES, NanoDetNet
from manypose.poses.boxes import box_nms
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO, Skeleton, named

__all__ = ["NanoDet"]

MEAN, DEVIATION = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)  # BGR
CANDIDATES = 300
"""Number of boxes of each view."""


class NanoDet(nn.Module):
    """NanoDet as a `PersonDetector`; `decode` gives the boxes as people with every joint at the box's centre.

    Args:
        size: short side of the input, in pixels. Raising it finds smaller people and takes more time.
        zooms: further input sizes as factors of `size`, whose boxes are merged. A smaller one finds large people.
        skeleton: of the people of `decode`, whose joints have no meaning.
        overlap: IoU above which the lower-scoring of two boxes is removed. Raising it keeps people close to one another.
        threshold: smallest score of a box.
        most: largest number of boxes per photo.
        pretrained: the published weights, as a safetensors file.
    """

    stride = 32
    training_only: tuple[str, ...] = ()
    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        size: int = 448,
        zooms: Sequence[float] = (4 / 7,),
        skeleton: Skeleton | str = COCO,
        overlap: float = 0.5,
        threshold: float = 0.02,
        most: int = 100,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        self.skeleton = named(skeleton) if isinstance(skeleton, str) else skeleton
        self.size, self.overlap, self.threshold, self.most = size, overlap, threshold, most
        self.zooms = (1.0, *zooms)
        self.fields = {"boxes": Field(None, "boxes")}
        self.net = NanoDetNet()
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(3, 1, 1), persistent=False)
        if pretrained:
            self.net.load_state_dict(nanodet_tensors(pretrained))

    def prepare(self, images: UInt8[Tensor, "b H W 3"]) -> Float[Tensor, "b 3 H W"]:
        """Normalized BGR from RGB."""
        return (images.flip(3).permute(0, 3, 1, 2).float() - self.mean) / self.deviation

    def network(self, images: Float[Tensor, "b 3 H W"]) -> Maps:
        """``grid8``, ``grid16``, ``grid32`` (b, 45, h, w); ``grid8_1`` … for the image resized to the second zoom."""
        outputs: Maps = {}
        for i, zoom in enumerate(self.zooms):
            sides = [_zoomed(side // self.stride, zoom) * self.stride for side in images.shape[2:]]
            seen = images if i == 0 else interpolate(images, size=sides, mode="bilinear", align_corners=False, antialias=True)
            outputs |= {_name(stride, i): grid for stride, grid in zip(STRIDES, self.net(seen), strict=True)}
        return outputs

    forward = network

    def targets(self, people: Batch, size: tuple[int, int]) -> Maps:
        """Not trained here."""
        raise ValueError(NANODET_AS_IT_IS)

    def loss(self, outputs: Maps, targets: Maps) -> dict[str, Tensor]:
        """Not trained here."""
        raise ValueError(NANODET_AS_IT_IS)

    def readout(self, outputs: Maps) -> Maps:
        """``boxes`` (b, n, 5): the best of each zoom, xyxy in input pixels and score."""
        views = []
        for i in range(len(self.zooms)):
            grids = [outputs[_name(stride, i)].float() for stride in STRIDES]
            boxes = likeliest(grids, CANDIDATES)
            if i:  # the images' corners are aligned
                factor = boxes.new_tensor(
                    [big / small for big, small in zip(outputs["grid8"].shape[:1:-1], grids[0].shape[:1:-1], strict=True)] * 2
                )
                boxes = torch.cat([(boxes[..., :4] + 0.5) * factor - 0.5, boxes[..., 4:]], 2)
            views.append(boxes)
        return {"boxes": torch.cat(views, 1)}

    def detect(self, outputs: Maps, size: tuple[int, int]) -> list[Float[np.ndarray, "n 5"]]:
        """The boxes of people from ``boxes`` (b, n, 5) of one view or several, xyxy and score, by falling score."""
        rows = (boxes[boxes[:, 4] >= self.threshold].cpu().numpy() for boxes in outputs["boxes"])
        return [r[box_nms(r, self.overlap)[: self.most]] for r in rows]  # not torchvision's, whose import takes two seconds

    def decode(self, outputs: Maps, size: tuple[int, int]) -> list[Poses]:
        """The boxes as people with every joint at the box's centre."""
        return [Poses.of_boxes(self.skeleton, found) for found in self.detect(outputs, size)]


def _zoomed(steps: int, zoom: float) -> int:
    """The nearest number of steps, at least 1; in integers, for export to a graph."""
    part = Fraction(zoom).limit_denominator(64)
    near = (2 * steps * part.numerator + part.denominator) // (2 * part.denominator)
    return near if 2 * part >= 1 else torch.sym_max(1, near)  # pyright: ignore[reportReturnType]


def _name(stride: int, zoom: int) -> str:
    return f"grid{stride}{f'_{zoom}' if zoom else ''}"
