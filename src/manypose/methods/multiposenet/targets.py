"""What MultiPoseNet's outputs should be: heat maps and the person mask at 1/4, a label and a box for each anchor; on the device."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import avg_pool2d
from torchvision.ops import box_iou

from manypose.data.sample import Batch
from manypose.geometry import pixel_to_cell
from manypose.maps import gaussians
from manypose.methods import Maps
from manypose.methods.multiposenet.anchors import assign_anchors, to_shifts

__all__ = ["keypoint_targets", "person_targets"]

STRIDE = 4


def keypoint_targets(people: Batch, size: tuple[int, int], sigma: float = 1.75) -> Maps:
    """Section 3.2, Equation 4.

    Args:
        people: joints in network pixels.
        size: height and width of the input.
        sigma: of the Gaussians, in cells of the 1/4 map (the paper does not say; 1.75 cells are 7 pixels).

    Returns:
        ``heat`` (b, k + 1, h, w): Gaussians, of several people the higher; last, the part of each cell that is person.
        ``mask`` (b, k + 1, h, w): the paper's W: 1 where the loss may look.
    """
    h, w = size[0] // STRIDE, size[1] // STRIDE
    cells = pixel_to_cell(people.keypoints[..., :2], STRIDE)
    x, y = cells.unbind(-1)
    near = (x > -4 * sigma) & (y > -4 * sigma) & (x < w + 4 * sigma) & (y < h + 4 * sigma)  # what lies far off draws nothing
    drawn = (people.keypoints[..., 2] > 0) & people.there[..., None] & near
    heat = gaussians(cells, drawn, (h, w), sigma)
    look = (avg_pool2d(people.mask.float(), STRIDE) > 0.5).float().expand_as(heat)
    known, person = (avg_pool2d(m[:, None].float(), STRIDE) for m in (people.segmentation != 255, people.segmentation == 1))
    share = person / known.clamp(min=1e-6)
    return {"heat": torch.cat([heat, share], 1), "mask": torch.cat([look, (known > 0.5).float()], 1)}


def person_targets(people: Batch, at: Float[Tensor, "a 4"]) -> Maps:
    """Section 3.3, as RetinaNet. Boxes are cut at the picture's edge; an anchor whose middle lies where the loss may not look is left out.

    Args:
        people: boxes in network pixels.
        at: anchors.

    Returns:
        ``label`` (b, a): 1 a person's, 0 background, -1 left out. ``shift`` (b, a, 4): the person's box relative to the anchor.
    """
    h, w = people.mask.shape[-2:]
    limit = people.boxes.new_tensor([w, h, w, h])
    boxes = people.boxes.clamp(min=-0.5).minimum(limit - 0.5)
    there = people.there & (boxes[..., 2] - boxes[..., 0] > 1) & (boxes[..., 3] - boxes[..., 1] > 1)
    b, n = there.shape
    iou = box_iou(boxes.flatten(0, 1), at).view(b, n, len(at))
    owner, between = assign_anchors(iou, there)
    unseen = (owner < 0) & _hidden(people, at)
    label = torch.where(owner >= 0, 1, torch.where(between | unseen, -1, 0))
    own = boxes.gather(1, owner.clamp(min=0)[..., None].expand(-1, -1, 4))
    shift = to_shifts(own.where(owner[..., None] >= 0, at).flatten(0, 1), at.repeat(b, 1)).view(b, len(at), 4)
    return {"label": label, "shift": shift}


def _hidden(people: Batch, at: Float[Tensor, "a 4"]) -> Int[Tensor, "b a"] | Tensor:
    """Whether no loss may look at an anchor's middle, for any joint; middles beyond the picture count as at its edge."""
    h, w = people.mask.shape[-2:]
    middle = ((at[:, :2] + at[:, 2:]) / 2).round().long()
    x, y = middle[:, 0].clamp(0, w - 1), middle[:, 1].clamp(0, h - 1)
    return people.mask.amax(1)[:, y, x] == 0
