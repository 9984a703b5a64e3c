"""A light top-down network for CPUs with one or two stages, initialized from MoveNet or EfficientNet-Lite.

As in MoveNet, a head regresses the joints' positions from the feature at the crop's centre (Zhou et al., *Objects as Points*, 2019), and
the heat of a joint is reduced with the distance to its regressed position, which selects the central person of a crop.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from manypose.data.sample import Batch
from manypose.methods.method import Field, Maps
from manypose.methods.mspn.mobile_heat import lowered, mobile_loss
from manypose.methods.mspn.second_stage import SecondStage
from manypose.methods.mspn.targets import targets
from manypose.nn.movenet import MoveNetHeads, MoveNetTrunk, load_heads, load_trunk
from manypose.nn.movenet_photo import CHANNELS, JointsInContext, movenet_file, movenet_pixels
from manypose.nn.rates import faster
from manypose.poses.crops import crops
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO, Skeleton, named
from manypose.poses.warp import Warp, pixel_to_cell

__all__ = ["DOUBT", "MobileMSPN"]

DOUBT = 0.05
"""See `Poses.of_joints`. On 93 held-out training photos, compared with the mean of the heights above 0.05: AP in annotated boxes 0.489
and 0.486, photos without a detection 8.6 and 11.8 %; false detections in 4.7 and 4.0 % of 150 photos without people."""


class MobileMSPN(nn.Module):
    """The light top-down method, with one or two stages.

    Args:
        trunk: ``movenet``, or ``efficientnet_lite0`` … ``2``.
        stages: 1 (MoveNet's network), or 2: see `manypose.methods.mspn.second_stage`.
        input_size: height and width of a person's crop.
        skeleton: a skeleton, its name, or the path of its YAML.
        extend: factors by which a box's width and height are enlarged.
        sigma: deviation of the targets' Gaussians as a fraction of the crop's width.
        hidden: weight of hidden joints (visibility 1).
        absent: weight of unlabelled joints, trained as absent.
        post_filter: deviation of the post-Gaussian filter in cells.
        person_nms_oks: OKS above which two people are duplicates.
        pretrained: file of MoveNet's published weights; for other backbones see `manypose.nn.movenet_photo.photo_trunk`.
        frozen: number of first residuals (EfficientNet-Lite: stages) that are not trained, with the stem.
    """

    stride = 32
    training_only = ("frozen",)

    def __init__(
        self,
        stages: int = 2,
        input_size: Sequence[int] = (256, 192),
        skeleton: Skeleton | str = COCO,
        extend: Sequence[float] = (1.25, 1.25),
        sigma: float = 1 / 96,
        hidden: float = 0.7,
        absent: float = 0.1,
        post_filter: float = 1.0,
        person_nms_oks: float = 0.7,
        pretrained: str | bool | None = None,
        frozen: int = 0,
        trunk: str = "movenet",
    ) -> None:
        super().__init__()
        self.skeleton = named(skeleton) if isinstance(skeleton, str) else skeleton
        self.input_size = (int(input_size[0]), int(input_size[1]))
        if min(self.input_size) < 64 or any(side % 32 for side in self.input_size):
            raise ValueError(f"input_size is a height and a width, multiples of 32 from 64 on, got {tuple(input_size)}")
        self.size = min(self.input_size)
        self.extend = (float(extend[0]), float(extend[1]))
        self.fields = {"heat": Field(self.skeleton.mirror)}
        self.person_nms_oks, self.post_filter, self.sigma = person_nms_oks, post_filter, sigma
        self.weights = {"hidden": hidden, "absent": absent}
        k = len(self.skeleton)
        self._movenet = trunk == "movenet"
        if self._movenet:
            self.trunk = MoveNetTrunk(frozen)
            self.heads = MoveNetHeads({"heat": k, "regression": 2 * k})
            if (start := movenet_file(pretrained)) is not None:
                load_trunk(self.trunk, start)
                load_heads(self.heads, start)
        else:
            self.base = JointsInContext(k, 64, frozen, pretrained, trunk)
            self.regression = nn.Conv2d(64, 2 * k, 1)
            faster(self.regression.parameters())
        self.second = SecondStage(k, CHANNELS if self._movenet else self.base.photo.channels) if stages == 2 else None  # type: ignore[arg-type]

    def people(self, photo: UInt8[np.ndarray, "H W 3"], boxes: Float[np.ndarray, "n 4"]) -> list[Warp]:
        """The crop of each box (xyxy in photo pixels)."""
        return crops(boxes, (photo.shape[0], photo.shape[1]), self.input_size, self.extend)

    def prepare(self, images: UInt8[Tensor, "b H W 3"]) -> Float[Tensor, "b 3 H W"]:
        """RGB scaled to -1 … 1."""
        return movenet_pixels(images)

    def network(self, images: Float[Tensor, "b 3 H W"]) -> Maps:
        """``heat`` (b, k, h, w): logits at stride 4; with two stages also ``first``. ``regression`` (b, 2k): joints' x and y in cells."""
        if not self._movenet:
            return self._on_another_trunk(images)
        pyramid, features = self.trunk.pyramid(images)
        outputs = self.heads.upside_down(pyramid)
        maps = lowered(outputs["heat"].float(), outputs["regression"].float())
        if self.second is None:
            return maps
        seen = [torch.cat([features[0], pyramid], 1), *features[1:]]
        return _corrected(maps, lambda heat: self._second(seen, heat.flip(2, 3)).flip(2, 3))

    forward = network

    def _on_another_trunk(self, images: Float[Tensor, "b 3 H W"]) -> Maps:
        heat, x, features = self.base.with_features(images)
        maps = lowered(heat, self.regression(x).float())
        return maps if self.second is None else _corrected(maps, lambda heat: self._second(features, heat))

    def _second(self, features: Sequence[Tensor], heat: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k h w"]:
        """The correction of the logits, without gradient to the backbone, which an untrained second stage would spoil."""
        assert self.second is not None
        return self.second([f.detach() for f in features], heat.to(features[0].dtype)).float()

    def targets(self, people: Batch, size: tuple[int, int]) -> Maps:
        """``heat``, ``visible``, ``known`` as `manypose.methods.mspn.targets.targets`, and ``xy`` (b, k, 2) in cells."""
        out = targets(people, size, {"heat": self.sigma * size[1]}, 1.0)
        return {**out, "xy": pixel_to_cell(people.keypoints[:, 0, :, :2], 4)}

    def loss(self, outputs: Maps, targets: Maps) -> dict[str, Tensor]:
        """See `mobile_loss`."""
        losses = mobile_loss(outputs, targets, **self.weights)
        if "first" in outputs:
            first = mobile_loss({**outputs, "heat": outputs["first"]}, targets, **self.weights)
            losses["first"] = first["heat"] + first["place"]
        return losses

    def readout(self, outputs: Maps) -> Maps:
        """``heat``: 0 to 1."""
        return {"heat": outputs["heat"].sigmoid()}

    def decode(self, outputs: Maps, size: tuple[int, int]) -> list[Poses]:
        """One person per crop, from ``heat`` (b, k, h, w)."""
        from manypose.methods.mspn import decode as d

        return d.to_poses(self.skeleton, *d.decode(outputs["heat"], size, "gaussian", self.post_filter), joint_penalty=DOUBT)


def _corrected(maps: Maps, change: Callable[[Tensor], Tensor]) -> Maps:
    """The outputs of two stages: the second corrects the logits of the first, given its probabilities."""
    first = maps["heat"]
    return {**maps, "heat": first.detach() + change(first.detach().sigmoid()), "first": first}
