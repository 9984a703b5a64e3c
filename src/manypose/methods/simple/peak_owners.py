"""Training data of the grouping CNN in the full network: predicted peaks and their owners (Section 4.2)."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from manypose.methods.method import Maps
from manypose.methods.simple.grouping import GroupingCNN
from manypose.nn.heatmaps import gather, peaks
from manypose.poses.warp import cell_to_pixel

__all__ = ["Owned", "owned_peaks", "owners"]


class Owned(NamedTuple):
    """RoIs and the peaks in them, the input of `grouping_loss`.

    Args:
        rois: the CNN's input.
        roi, joint: the RoI and the joint type of each peak.
        cells: the peak's position in its RoI.
        own: whether it belongs to the RoI's person.
    """

    rois: Float[Tensor, "r k h w"]
    roi: Int[Tensor, " m"]
    joint: Int[Tensor, " m"]
    cells: Float[Tensor, "m 2"]
    own: Bool[Tensor, " m"]


def owned_peaks(
    pose: Float[Tensor, "b k h w"],
    targets: Maps,
    grouping: GroupingCNN,
    *,
    most: int = 32,
    jitter: float = 0.1,
    reach: float = 2.5,
    threshold: float = 0.1,
    top: int = 16,
) -> Owned:
    """The currently predicted peaks in the RoIs of annotated people.

    Args:
        pose: predicted maps of stride 4, detached, so that the CNN's loss does not change the pose maps.
        targets: of `manypose.methods.simple.targets.targets`.
        grouping: the CNN, for its RoIs.
        most: largest number of RoIs, drawn from the people with a peak.
        jitter: largest random shift of a box's edges, as a fraction of its sides.
        reach: largest distance (cells) of a peak to the nearest annotated joint, its owner.
        threshold: smallest height of a peak.
        top: number of peaks of each type.
    """
    pose = pose.detach()
    heights, cells = peaks(pose, 5, threshold, top)
    known = gather(targets["mask"].expand(-1, pose.shape[1], -1, -1), cells) > 0
    there = (heights > 0) & known
    owner = owners(cells.to(pose.dtype), targets["joints"], targets["tagged"], reach)
    owner = owner.where(there, -1)
    people = targets["boxed"]
    has = (owner[:, None] == torch.arange(people.shape[1], device=pose.device)[:, None, None]).flatten(2).any(2) & people
    image, person = has.nonzero(as_tuple=True)
    if not len(image):  # the whole first image, since distributed training needs all parameters in every step
        image = person = torch.zeros(1, dtype=torch.long, device=pose.device)
        boxes = pose.new_tensor([[0.0, 0.0, 4.0 * pose.shape[3], 4.0 * pose.shape[2]]])
    else:
        some = torch.randperm(len(image), device=pose.device)[:most]
        image, person = image[some], person[some]
        boxes = _moved(targets["box"][image, person], jitter)
    at = grouping.points(cell_to_pixel(cells.to(pose.dtype), 4.0)[image], boxes)
    limit = at.new_tensor([grouping.size[1] - 0.5, grouping.size[0] - 0.5])
    inside = ((at >= -0.5) & (at <= limit)).all(-1) & there[image]
    roi, joint, _ = inside.nonzero(as_tuple=True)
    own = (owner[image] == person[:, None, None])[inside]
    return Owned(grouping.rois(pose, boxes, image), roi, joint, at[inside], own)


def owners(
    cells: Float[Tensor, "b k p 2"], joints: Float[Tensor, "b n k 2"], labelled: Bool[Tensor, "b n k"], reach: float
) -> Int[Tensor, "b k p"]:
    """The person with the nearest joint to each peak, or -1 if none of its type lies within `reach`."""
    away = torch.cdist(cells, joints.transpose(1, 2), compute_mode="donot_use_mm_for_euclid_dist")
    nearest, who = away.where(labelled.transpose(1, 2)[:, :, None], torch.inf).min(3)
    return who.where(nearest <= reach, -1)


def _moved(boxes: Float[Tensor, "r 4"], jitter: float) -> Float[Tensor, "r 4"]:
    side = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    return boxes + side * jitter * (2 * torch.rand_like(boxes) - 1)
