"""RetinaNet as a person detector (Lin et al., *Focal Loss for Dense Object Detection*, ICCV 2017).

`PersonSubnet` predicts logits and shifts for each anchor, `person_targets` and `person_losses` train it, `likeliest` decodes boxes.
"""

import math
from collections import OrderedDict

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops import FeaturePyramidNetwork, box_iou, sigmoid_focal_loss
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from manypose.nn.retinanet.anchors import ANCHORS, anchors, assign_anchors, from_shifts, to_shifts

__all__ = ["PersonSubnet", "anchors", "likeliest", "person_losses", "person_targets"]


class PersonSubnet(nn.Module):
    """RetinaNet's pyramid P3 … P7 and heads for the class person.

    Args:
        channels: of C3 … C5.
        width: of the pyramid and the heads (256).
        norm: whether the pyramid has batch normalization (the paper has none).
        prior: initial score of every anchor.
    """

    def __init__(self, channels: list[int], width: int = 256, norm: bool = False, prior: float = 0.01) -> None:
        super().__init__()
        top = LastLevelP6P7(channels[-1], width)
        self.pyramid = FeaturePyramidNetwork(channels, width, top, norm_layer=nn.BatchNorm2d if norm else None)
        self.head = RetinaNetHead(width, ANCHORS, 1)
        nn.init.constant_(self.head.classification_head.cls_logits.bias, math.log(prior / (1 - prior)))  # type: ignore[arg-type]
        for tower in (self.head.classification_head.conv, self.head.regression_head.conv):
            for conv in tower.modules():
                if isinstance(conv, nn.Conv2d):
                    # RetinaNet's N(0, 0.01) is too small for towers with fewer than 256 channels.
                    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")

    def forward(self, trunk: list[Tensor]) -> dict[str, Tensor]:
        """``person``: (b, a) logits, ``shift``: (b, a, 4) boxes relative to the anchors of `manypose.nn.retinanet.anchors`."""
        found = self.head(list(self.pyramid(OrderedDict((str(i), c) for i, c in enumerate(trunk))).values()))
        return {"person": found["cls_logits"][..., 0], "shift": found["bbox_regression"]}


def person_targets(
    boxes: Float[Tensor, "b n 4"], there: Bool[Tensor, "b n"], mask: UInt8[Tensor, "b m H W"], at: Float[Tensor, "a 4"]
) -> dict[str, Tensor]:
    """Labels and shifts of all anchors.

    Args:
        boxes: people's boxes, xyxy in network pixels; they are clipped to the input.
        there: mask of the rows of `boxes` that are people.
        mask: 1 in regions with loss; anchors whose centre has mask 0 in every plane are ignored unless they match a person.
        at: the anchors.

    Returns:
        ``label`` (b, a): 1 person, 0 background, -1 ignored. ``shift`` (b, a, 4): the person's box relative to the anchor.
    """
    h, w = mask.shape[-2:]
    boxes = boxes.clamp(min=-0.5).minimum(boxes.new_tensor([w, h, w, h]) - 0.5)
    there = there & (boxes[..., 2] - boxes[..., 0] > 1) & (boxes[..., 3] - boxes[..., 1] > 1)
    b, n = there.shape
    iou = box_iou(boxes.flatten(0, 1), at).view(b, n, len(at))
    owner, between = assign_anchors(iou, there)
    unseen = (owner < 0) & _masked_centres(mask, at)
    label = torch.where(owner >= 0, 1, torch.where(between | unseen, -1, 0))
    own = boxes.gather(1, owner.clamp(min=0)[..., None].expand(-1, -1, 4))
    shift = to_shifts(own.where(owner[..., None] >= 0, at).flatten(0, 1), at.repeat(b, 1)).view(b, len(at), 4)
    return {"label": label, "shift": shift}


def _masked_centres(mask: UInt8[Tensor, "b m H W"], at: Float[Tensor, "a 4"]) -> Bool[Tensor, "b a"]:
    """A mask of the anchors whose centre (clamped to the input) has mask 0 in every plane."""
    h, w = mask.shape[-2:]
    centre = ((at[:, :2] + at[:, 2:]) / 2).round().long()
    x, y = centre[:, 0].clamp(0, w - 1), centre[:, 1].clamp(0, h - 1)
    return mask.amax(1)[:, y, x] == 0


def person_losses(
    logits: Float[Tensor, "b a"],
    shifts: Float[Tensor, "b a 4"],
    label: Int[Tensor, "b a"],
    target: Float[Tensor, "b a 4"],
    alpha: float = 0.25,
    gamma: float = 2.0,
    beta: float = 1 / 9,
) -> dict[str, Tensor]:
    """``person``: focal loss, ``box``: smooth L1; per image normalized by its number of person anchors, then the batch mean.

    Args:
        logits: of the anchors.
        shifts: predicted boxes, relative to the anchors.
        label: 1 person, 0 background, -1 ignored.
        target: ground-truth boxes, relative to the anchors.
        alpha, gamma: of the focal loss.
        beta: of the smooth L1 loss, the limit between its quadratic and linear parts.
    """
    own = (label == 1).float()
    count = own.sum(1).clamp(min=1)
    focal = sigmoid_focal_loss(logits, own, alpha, gamma) * (label >= 0)
    box = smooth_l1_loss(shifts, target, beta=beta, reduction="none").sum(2) * own
    return {"person": (focal.sum(1) / count).mean(), "box": (box.sum(1) / count).mean()}


def likeliest(
    logits: Float[Tensor, "b a"], shifts: Float[Tensor, "b a 4"], at: Float[Tensor, "a 4"], size: tuple[int, int], most: int = 100
) -> Float[Tensor, "b n 5"]:
    """The boxes with the highest scores, xyxy in input pixels and clipped to the input, and their scores, by falling score.

    Args:
        logits: of the anchors.
        shifts: predicted boxes, relative to the anchors.
        at: the anchors.
        size: height and width of the input.
        most: largest number n of boxes.
    """
    best, which = logits.float().topk(min(most, len(at)), 1)
    chosen = shifts.float().gather(1, which[..., None].expand(-1, -1, 4))
    boxes = from_shifts(chosen.flatten(0, 1), at[which.flatten()]).unflatten(0, which.shape)
    limit = boxes.new_tensor([size[1], size[0]] * 2) - 0.5
    return torch.cat([boxes.clamp(min=-0.5).minimum(limit), best.sigmoid()[..., None]], 2)
