"""Training data of the PRN: annotated people without photos. Inputs are all joints in a box, targets those of its person."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from manypose.data.datasets.coco import annotated_people
from manypose.methods.multiposenet.roi import MARGIN
from manypose.poses.skeleton import COCO

__all__ = ["People", "Points", "batches", "order", "points", "ranges", "read_people"]


@dataclass(frozen=True)
class People:
    """All annotated people of a data set, by image.

    Args:
        keypoints: x, y, visibility (0 not labelled).
        boxes: xyxy.
        areas: square pixels; 0 for joints that are only candidates of other regions (see `prn_detections`).
        image: index of each person's image.
        first: for each person, the row of its image's first person.
        count: for each person, the number of people in its image.
        image_ids: ids of the images.
    """

    keypoints: Float[Tensor, "n k 3"]
    boxes: Float[Tensor, "n 4"]
    areas: Float[Tensor, " n"]
    image: Int[Tensor, " n"]
    first: Int[Tensor, " n"]
    count: Int[Tensor, " n"]
    image_ids: Int[Tensor, " i"]

    def __len__(self) -> int:
        return len(self.boxes)


def read_people(path: str | Path) -> People:
    """The people of an annotation archive (see `manypose.data.datasets.coco.annotated_people`)."""
    images = list(annotated_people(path))
    counts = torch.tensor([len(i.keypoints) for i in images])
    first = counts.cumsum(0) - counts
    image = torch.repeat_interleave(torch.arange(len(images)), counts)
    keypoints, boxes, areas = (np.concatenate([getattr(i, name) for i in images]) for name in ("keypoints", "boxes", "areas"))
    return People(
        torch.from_numpy(keypoints),
        torch.from_numpy(boxes),
        torch.from_numpy(areas.astype(np.float32)),
        image,
        first[image],
        counts[image],
        torch.tensor([i.image_id for i in images]),
    )


@dataclass(frozen=True)
class Points:
    """The labelled joints in regions: one row per joint and region.

    Args:
        row: index of the region.
        joint: joint type.
        place: xy in the box, 0 … 1.
        own: whether it belongs to the region's person.
        candidate: index of the labelled joint, equal in all regions that contain it.
        seen: whether it is near enough to the box to be a candidate; own joints are targets in any case.
    """

    row: Int[Tensor, " p"]
    joint: Int[Tensor, " p"]
    place: Float[Tensor, "p 2"]
    own: Bool[Tensor, " p"]
    seen: Bool[Tensor, " p"]
    candidate: Int[Tensor, " p"]


def points(
    people: People,
    chosen: Int[Tensor, " n"],
    boxes: Float[Tensor, "n 4"] | None = None,
    mirrored: Bool[Tensor, " n"] | None = None,
    mirror: tuple[int, ...] = COCO.mirror,
    margin: float = MARGIN,
) -> Points:
    """The labelled joints in the regions of the chosen people.

    Args:
        people: all annotated people.
        chosen: rows of `people`.
        boxes: the regions' boxes; default: the annotated ones.
        mirrored: mask of the regions to mirror.
        mirror: `Skeleton.mirror`.
        margin: see `roi.MARGIN`.
    """
    boxes = people.boxes[chosen] if boxes is None else boxes
    count = people.count[chosen]
    row = torch.repeat_interleave(torch.arange(len(chosen)), count)
    person = ranges(people.first[chosen], count)
    keypoints = people.keypoints[person]
    low, size = boxes[:, :2], (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-6)
    place = (keypoints[..., :2] - low[row, None]) / size[row, None]
    own = (person == chosen[row])[:, None].expand(place.shape[:2])
    seen = ((place > -margin) & (place < 1 + margin)).all(2)
    at, joint = ((keypoints[..., 2] > 0) & (seen | own)).nonzero(as_tuple=True)
    candidate = person[at] * place.shape[1] + joint
    row, place, own, seen = row[at], place[at, joint], own[at, joint], seen[at, joint]
    if mirrored is not None:
        swapped = mirrored[row]
        joint = torch.where(swapped, torch.tensor(mirror)[joint], joint)
        place = torch.stack([torch.where(swapped, 1 - place[:, 0], place[:, 0]), place[:, 1]], 1)
    return Points(row, joint, place, own, seen, candidate)


def order(people: People, least: int = 2) -> Int[Tensor, " m"]:
    """Rows of people with an area and `least` labelled joints, easy ones first: by number of joints, then box area (Section 3.5)."""
    labelled = (people.keypoints[..., 2] > 0).sum(1)
    size = (people.boxes[:, 2:] - people.boxes[:, :2]).prod(1)
    by = np.lexsort((-size.numpy(), -labelled.numpy()))
    by = torch.from_numpy(by)
    return by[(labelled[by] >= least) & (people.areas[by] > 0)]


def batches(
    people: People,
    easy_first: Int[Tensor, " m"],
    batch_size: int,
    epoch: int,
    seed: int,
    curriculum: Literal["sorted", "none"] = "none",
    whole: bool = False,
) -> list[Int[Tensor, " b"]]:
    """The batches of an epoch as rows of `people`; an incomplete last batch, different in each epoch, is left out.

    Args:
        people: all annotated people.
        easy_first: `order`'s rows.
        batch_size: people per batch.
        epoch: from 0.
        seed: random seed.
        curriculum: ``sorted``: from easy to hard, as in the paper; ``none``: shuffled.
        whole: whether a batch has all people of its images, about `batch_size`, ordered by each image's easiest person.
    """
    g = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    if not whole:
        n = len(easy_first) // batch_size * batch_size
        kept = torch.randperm(len(easy_first), generator=g)[:n]
        return list(easy_first[kept.sort().values if curriculum == "sorted" else kept].view(-1, batch_size))
    # Images by their easiest person, or shuffled.
    rank = torch.full((len(people.image_ids),), len(easy_first)).scatter_reduce(
        0, people.image[easy_first], torch.arange(len(easy_first)), "amin"
    )
    there = rank < len(easy_first)
    images = rank.argsort(stable=True)[: int(there.sum())]
    images = images if curriculum == "sorted" else images[torch.randperm(len(images), generator=g)]
    first, count = torch.zeros(2, len(rank), dtype=torch.long).unbind(0)
    first[people.image], count[people.image] = people.first, people.count
    made = (count[images].cumsum(0) - 1) // batch_size
    return [ranges(first[images[made == i]], count[images[made == i]]) for i in range(int(made.max()))]


def ranges(first: Int[Tensor, " n"], count: Int[Tensor, " n"]) -> Int[Tensor, " m"]:
    """``first[0] … first[0] + count[0] - 1, first[1] …``."""
    start = torch.repeat_interleave(count.cumsum(0) - count, count)
    return torch.arange(len(start)) - start + torch.repeat_interleave(first, count)
