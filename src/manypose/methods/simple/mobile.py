"""A light student for SIMPLE on a light trunk, with points predicted from features of all strides."""

from jaxtyping import Float
from torch import Tensor, nn

from manypose.methods.method import Maps
from manypose.methods.simple.corner_pooling import POINTS
from manypose.methods.simple.network import PointBranch
from manypose.nn.movenet_photo import JointsInContext
from manypose.nn.rates import faster

__all__ = ["MobileStudent"]


class MobileStudent(nn.Module):
    """Pose maps (0 … 1) and points at stride 4, as of `network.Student`.

    Args:
        joints: number of joints.
        channels: of the features.
        pooled: channels of the input of the points' branches.
        inner: channels of the pooled branches.
        corner_tags: whether to predict CenterNet's corner tags.
        features: whether to return ``features``, the input of the pose maps' correction.
        frozen, pretrained, trunk: see `manypose.nn.movenet_photo.photo_trunk`.
    """

    def __init__(
        self,
        joints: int = 17,
        channels: int = 64,
        pooled: int = 32,
        inner: int = 24,
        corner_tags: bool = False,
        features: bool = False,
        frozen: int = 0,
        pretrained: bool | str | None = None,
        trunk: str = "movenet",
    ) -> None:
        super().__init__()
        self.features = features
        self.base = JointsInContext(joints, channels, frozen, pretrained, trunk)
        self.points = nn.ModuleDict({p: PointBranch(pooled, p, inner, corner_tags and p != "centre") for p in POINTS})
        self.reduce = nn.Conv2d(channels, pooled, 1)
        faster(self.points.parameters())
        faster(self.reduce.parameters())

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> Maps:
        """See `network.Student.forward`."""
        logits, x = self.base(images)
        out: Maps = {"pose": logits.sigmoid()} | ({"features": x} if self.features else {})
        x = self.reduce(x)
        for point, branch in self.points.items():
            out |= {point + end: maps for end, maps in branch(x).items()}
        return out
