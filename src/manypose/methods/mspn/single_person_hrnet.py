"""The single-person HRNet as a `Method`."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from manypose.data.sample import Batch
from manypose.methods.method import Field, Maps
from manypose.methods.mspn.decode import COUNTS, decode, published_hrnet, to_poses
from manypose.methods.mspn.hrnet import HRNetwork
from manypose.methods.mspn.loss import hrnet_loss
from manypose.methods.mspn.targets import FIRST_CELL, targets
from manypose.methods.mspn.views import Decoding, PersonViews
from manypose.nn.preprocess import ImageNetInput
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO, Skeleton, named
from manypose.poses.warp import Warp

__all__ = ["HRNet"]


class HRNet(nn.Module):
    """HRNet for one person: Sun et al., *Deep High-Resolution Representation Learning for Human Pose Estimation*, CVPR 2019.

    Args:
        trunk: any HRNet of timm.
        input_size: height and width of a crop; published are 256 × 192 and 384 × 288.
        skeleton: a skeleton, its name, or the path of its YAML.
        sigma: of the Gaussians in cells; default 2 for crops 192 pixels wide, proportional for others.
        extend: factors by which a box's width and height are enlarged; default 1.25, as published.
        decoding: ``gaussian``, ``dark``, or ``published``, which also uses the authors' alignment of crops and targets and shifts mirrored
            maps by a cell.
        post_filter: deviation of the post-Gaussian filter in cells (not with ``published``).
        pretrained: ImageNet weights for the trunk: True, a tag of timm, or a file (see `manypose.nn.backbones.hrnet_parts`).
    """

    stride = 32
    training_only: tuple[str, ...] = ()

    def __init__(
        self,
        trunk: str = "hrnet_w32",
        input_size: Sequence[int] = (256, 192),
        skeleton: Skeleton | str = COCO,
        sigma: float | None = None,
        extend: Sequence[float] | None = None,
        decoding: Decoding = "gaussian",
        post_filter: float = 1.0,
        pretrained: bool | str = False,
    ) -> None:
        super().__init__()
        self.skeleton = named(skeleton) if isinstance(skeleton, str) else skeleton
        published = decoding == "published"
        self.views = PersonViews.of(input_size, extend or (1.25, 1.25), decoding)
        self.input_size, self.size = self.views.size, min(self.views.size)
        self.fields = {"heat": Field(self.skeleton.mirror, shift=int(published))}
        self.sigma = sigma or self.input_size[1] / 96
        self.first_cell = FIRST_CELL["hrnet" if published else "ours"]
        self.decoding: Decoding = decoding
        self.person_nms_oks = 0.9 if published else 0.7
        self.post_filter = post_filter
        self.net = HRNetwork(trunk, len(self.skeleton), pretrained)
        self.pixels = ImageNetInput()

    def people(self, photo: UInt8[np.ndarray, "H W 3"], boxes: Float[np.ndarray, "n 4"]) -> list[Warp]:
        """See `PersonViews.cut`."""
        return self.views.cut(photo, boxes)

    def prepare(self, images: UInt8[Tensor, "b H W 3"]) -> Float[Tensor, "b 3 H W"]:
        """See `ImageNetInput`."""
        return self.pixels(images)

    def network(self, images: Float[Tensor, "b 3 H W"]) -> Maps:
        """``heat`` (b, k, h, w) at 1/4, peaks 1 high."""
        return {"heat": self.net(images)}

    forward = network

    def targets(self, people: Batch, size: tuple[int, int]) -> Maps:
        """``heat``, ``visible``, ``known``: see `manypose.methods.mspn.targets.targets`."""
        return targets(people, size, {"heat": self.sigma}, 1.0, self.first_cell)

    def loss(self, outputs: Maps, targets: Maps) -> dict[str, Tensor]:
        """``heat``: see `manypose.methods.mspn.loss.hrnet_loss`."""
        return {"heat": hrnet_loss(outputs["heat"], targets)}

    def readout(self, outputs: Maps) -> Maps:
        """``heat`` of the outputs."""
        return {"heat": outputs["heat"]}

    def decode(self, outputs: Maps, size: tuple[int, int]) -> list[Poses]:
        """One person per crop, from ``heat`` (b, k, h, w)."""
        heat = outputs["heat"]
        if self.decoding == "published":
            return to_poses(self.skeleton, *published_hrnet(heat, size), min_height=0.2)
        return to_poses(self.skeleton, *decode(heat, size, self.decoding, self.post_filter, self.first_cell), min_height=COUNTS)
