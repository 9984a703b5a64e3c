"""The NumPy part of prediction: the views of a photo for the network, and the merging of the people of all views.

A *view* is the network's input for a photo at one scale, or for one person in it. Its `Warp` maps its pixels to the photo. Needs no
PyTorch, so that other runtimes can be used.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, UInt8

from manypose.inference.options import PredictOptions
from manypose.poses.boxes import counted, person_boxes
from manypose.poses.oks import oks_nms
from manypose.poses.poses import Poses
from manypose.poses.skeleton import Skeleton
from manypose.poses.warp import Warp

__all__ = ["Views", "base_scale", "boxes_in_photo", "cut", "people_in_photo", "photo_views", "published_views", "views"]


@dataclass(eq=False)
class Views:
    """The views of a whole photo at each scale, or of one person in it.

    Args:
        warps: one for each scale.
        images: the network's inputs; None until they are cropped from `photo`.
        photo: its pixels.
        found: the network's results in pixels of the base view: `Poses`, or the boxes of people and their scores.
    """

    warps: tuple[Warp, ...]
    images: list[UInt8[np.ndarray, "_h _w 3"]]
    photo: UInt8[np.ndarray, "H W 3"] | None = None
    found: Poses | Float[np.ndarray, "n 5"] | None = None

    def pixels(self) -> list[UInt8[np.ndarray, "_h _w 3"]]:
        """The images, cropped now if necessary."""
        return self.images if self.photo is None else [w.image(self.photo) for w in self.warps]


def cut(photo: UInt8[np.ndarray, "H W 3"], warps: Sequence[tuple[Warp, ...]], ahead: int) -> list[Views]:
    """The views of a photo. The first `ahead` are cropped now and the others later, which limits the memory for thousands of people."""
    return [Views(w, [v.image(photo) for v in w]) if i < ahead else Views(w, [], photo) for i, w in enumerate(warps)]


def photo_views(photo: tuple[int, int], size: int, stride: int, options: PredictOptions) -> tuple[Warp, ...]:
    """The views of a whole photo (h, w), one for each scale; `size` is the model's own, used if the options have none."""
    size = options.size or size
    if options.published:
        return published_views(photo, size, options.scales)
    return views(photo, size, stride, options.scales, options.edge)


def base_scale(scales: Sequence[float]) -> int:
    """The index of the base scale, in whose pixels people are decoded: the one nearest to 1."""
    return min(range(len(scales)), key=lambda i: abs(np.log(scales[i])))


def views(
    photo: tuple[int, int], size: int, stride: int, scales: Sequence[float] = (1.0,), edge: Literal["short", "long", "square"] = "short"
) -> tuple[Warp, ...]:
    """One `Warp` for each scale of a whole photo (h, w): its short side becomes `size` × scale, padded to multiples of `stride`.

    For `edge` see `PredictOptions`.

    The factor from the base view to another is the same for every photo, so photos whose views have equal sizes form a batch.
    """
    if edge == "short":
        return tuple(Warp.fit(photo, max(1, round(size * s)), stride) for s in scales)
    return tuple(_long_edge(photo, size * s, stride, edge == "square") for s in scales)


def _long_edge(photo: tuple[int, int], size: float, stride: int, square: bool) -> Warp:
    factor = size / max(photo)
    sides = [max(stride, int(np.ceil(round(side * factor, 6) / stride)) * stride) for side in photo]
    return Warp.scaling(factor, (max(sides), max(sides)) if square else (sides[0], sides[1]))


def published_views(photo: tuple[int, int], size: int, scales: Sequence[float] = (1.0,)) -> tuple[Warp, ...]:
    """As `views`, by the rule of HigherHRNet's and SWAHR's authors, to reproduce their figures.

    The photo is centred in the view. At the smallest scale both sides become multiples of 64, and the sides at other scales are
    proportional: a photo of 480 × 640 at 512 px gives 512 × 704 by itself, but 512 × 768 if 0.5 is among the scales.
    """
    h, w = photo
    smallest = min(1.0, *scales)
    short = (int(smallest * size) + 63) // 64 * 64
    long = int((short * max(h, w) / min(h, w) + 63) // 64 * 64)
    middle = np.array([int(w / 2 + 0.5), int(h / 2 + 0.5)], np.float64)
    warps = []
    for s in scales:
        a, b = int(short * s / smallest), int(long * s / smallest)
        warps.append(_centred(middle, a / min(h, w), (a, b) if h < w else (b, a)))
    return tuple(warps)


def _centred(middle: Float[np.ndarray, "2"], factor: float, size: tuple[int, int]) -> Warp:
    """Scaling about a photo point that is mapped to half the size (in index coordinates, as in the authors' programs)."""
    shift = np.array(size[::-1]) / 2 - factor * middle
    return Warp(np.column_stack([np.eye(2) * factor, shift]), size)


# ── back to the photo ──


def boxes_in_photo(views: Views, scales: Sequence[float], photo: tuple[int, int], threshold: float) -> Float[np.ndarray, "n 5"]:
    """The finite boxes with a score of at least `threshold` that a detector found in a whole photo, in photo pixels."""
    warp, found = views.warps[base_scale(scales)], views.found
    assert found is not None
    if isinstance(found, Poses):
        people = warp.back(found, photo)
        people = people[_sound(people)]
        rows = person_boxes(people.keypoints, counted(people.keypoint_scores), people.boxes, people.scores)
    else:
        corners = Warp(warp.inverse, photo).boxes(found[:, :4].astype(np.float32))
        rows = np.concatenate([corners, found[:, 4:]], 1).astype(np.float32)
    return rows[np.isfinite(rows).all(1) & (rows[:, 4] >= threshold)]


def people_in_photo(
    skeleton: Skeleton,
    looks: Sequence[Views],
    boxes: Float[np.ndarray, "n 5"] | None,
    photo: tuple[int, int],
    options: PredictOptions,
    nms_oks: float | None = None,
) -> Poses:
    """The people in all views of a photo, in photo pixels; ordered by score if duplicates were removed.

    Args:
        skeleton: the skeleton of the people.
        looks: the views of the whole photo, or one for each box.
        boxes: boxes whose scores multiply those of the people; None for a whole photo.
        photo: height and width of the photo.
        options: the thresholds.
        nms_oks: OKS above which the lower-scoring of two people is left out; None: never.
    """
    base = base_scale(options.scales)
    parts = [look.warps[base].back(look.found, photo) for look in looks if isinstance(look.found, Poses)]
    if boxes is not None:
        parts = [
            replace(p, scores=p.scores * box[4], detections=np.tile(box[:4], (len(p), 1))) for p, box in zip(parts, boxes, strict=True)
        ]
    poses = parts[0] if len(parts) == 1 else _together(parts, skeleton)
    poses = poses if nms_oks is None else oks_nms(poses, nms_oks)
    if options.joint_threshold > 0:
        scores = poses.keypoint_scores
        poses = replace(poses, keypoint_scores=np.where(scores >= options.joint_threshold, scores, 0).astype(scores.dtype))
    keep = _sound(poses) & (poses.scores >= options.threshold)
    return poses if keep.all() else poses[keep]  # avoids a copy of the masks of a large photo


def _together(parts: Sequence[Poses], skeleton: Skeleton) -> Poses:
    if not parts:
        return Poses.empty(skeleton)
    names = ("keypoints", "keypoint_scores", "scores", "boxes", *(("detections",) if parts[0].detections is not None else ()))
    return Poses(skeleton, **{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})


def _sound(poses: Poses) -> Bool[np.ndarray, " n"]:
    """The people with at least one joint and only finite numbers."""
    numbers = (poses.keypoints, poses.keypoint_scores, poses.scores, poses.boxes)
    finite = [np.isfinite(a).all(axis=tuple(range(1, a.ndim))) for a in numbers]
    return np.logical_and.reduce(finite) & (poses.keypoint_scores > 0).any(1)
