"""`Sample`, a photo with its annotated people, and `Batch`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
import torch

from manypose.io.shapes import Bool, Float, Shaped, UInt8
from manypose.poses.skeleton import Skeleton
from manypose.poses.warp import Warp

__all__ = ["Batch", "Sample", "collate", "warp"]


@dataclass(frozen=True)
class Sample:
    """A photo and its annotated people. Coordinates are pixels of `image`; integers are pixel centres.

    Args:
        skeleton: of the k joints.
        image: RGB.
        keypoints: x, y, visibility (0 not labelled, 1 hidden, 2 visible).
        boxes: xyxy.
        areas: in square pixels, as in the data set's metric.
        mask: 1 in regions with a loss. One plane for all joints (m = 1), or one per joint (m = k) if some joint types are not annotated,
            such as the face points of sports photos.
        segmentation: 1 person, 0 none, 255 unknown; None if the data set has no segmentations.
        image_id: of the data set.
        turn: rotation of the photo in radians.
        unposed: xyxy boxes of people without a labelled joint: targets of detectors, masked for the keypoint loss.
    """

    skeleton: Skeleton
    image: UInt8[np.ndarray, "H W 3"]
    keypoints: Float[np.ndarray, "n k 3"]
    boxes: Float[np.ndarray, "n 4"]
    areas: Float[np.ndarray, " n"]
    mask: UInt8[np.ndarray, "m H W"]
    segmentation: UInt8[np.ndarray, "H W"] | None = None
    image_id: int = 0
    turn: float = 0.0
    unposed: Float[np.ndarray, "u 4"] = field(default_factory=lambda: np.zeros((0, 4), np.float32))


def warp(sample: Sample, w: Warp) -> Sample:
    """The sample in network pixels. Joints outside the image become unlabelled; outside the photo the mask is 0."""
    keypoints = w.joints(sample.keypoints, sample.skeleton.mirror)
    h, wd = w.size
    x, y = keypoints[..., 0], keypoints[..., 1]
    keypoints[(x < -0.5) | (y < -0.5) | (x > wd - 0.5) | (y > h - 0.5)] = 0
    keypoints[keypoints[..., 2] == 0] = 0
    planes = sample.mask[list(sample.skeleton.mirror)] if w.mirrored and len(sample.mask) > 1 else sample.mask
    return replace(
        sample,
        image=w.image(sample.image),
        keypoints=keypoints,
        boxes=w.boxes(sample.boxes),
        areas=(sample.areas * w.scale**2).astype(np.float32),
        mask=_planes(planes, w),
        segmentation=None if sample.segmentation is None else w.mask(sample.segmentation, outside=255),
        turn=sample.turn + float(np.arctan2(w.matrix[1, 0], abs(w.matrix[0, 0]))),
        unposed=w.boxes(sample.unposed),
    )


def _planes(planes: UInt8[np.ndarray, "m H W"], w: Warp) -> UInt8[np.ndarray, "m h w"]:
    """Mask planes in network pixels; equal planes are mapped once."""
    mapped: list[tuple[np.ndarray, np.ndarray]] = []
    out = np.empty((len(planes), *w.size), np.uint8)
    for plane, to in zip(planes, out, strict=True):
        done = next((m for p, m in mapped if np.array_equal(p, plane)), None)
        if done is None:
            done = w.mask(plane)
            mapped.append((plane, done))
        to[:] = done
    return out


@dataclass(frozen=True)
class Batch:
    """A batch of b samples of one size, padded to n people; network pixels.

    Args:
        images: RGB, not normalized (`Method.prepare` does this on the device).
        keypoints: x, y, visibility; visibility 0 in padding.
        boxes: xyxy.
        areas: square pixels.
        there: mask of the rows that are people and not padding.
        mask: 1 in regions with a loss; m is 1 (all joints alike) or k.
        segmentation: 1 person, 0 none, 255 unknown.
        turn: rotation of each photo in radians; None: no rotation.
        unposed: xyxy boxes of people without a labelled joint, zeros in padding; None: there are none.
    """

    images: UInt8[torch.Tensor, "b H W 3"]
    keypoints: Float[torch.Tensor, "b n k 3"]
    boxes: Float[torch.Tensor, "b n 4"]
    areas: Float[torch.Tensor, "b n"]
    there: Bool[torch.Tensor, "b n"]
    mask: UInt8[torch.Tensor, "b m H W"]
    segmentation: UInt8[torch.Tensor, "b H W"]
    turn: Float[torch.Tensor, " b"] | None = None
    unposed: Float[torch.Tensor, "b u 4"] | None = None

    def detection_boxes(self) -> tuple[Float[torch.Tensor, "b p 4"], Bool[torch.Tensor, "b p"]]:
        """The target boxes of a person detector, clipped to the image, and a mask of those that are people.

        All people outside crowd regions, with and without labelled joints (COCO's detection rule), except boxes of which at most a
        pixel is inside the image.
        """
        h, w = self.mask.shape[-2:]
        rows = self.boxes if self.unposed is None else torch.cat([self.boxes, self.unposed], 1)
        boxes = rows.clamp(min=-0.5).minimum(rows.new_tensor([w, h, w, h]) - 0.5)
        there = (boxes[..., 2:] - boxes[..., :2] > 1).all(-1)
        there[:, : self.there.shape[1]] &= self.there
        return boxes, there

    def to(self, device: torch.device | str) -> "Batch":
        """The batch on another device."""
        return self._each(lambda t: t.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """The batch in page-locked memory (a `DataLoader` calls this)."""
        return self._each(torch.Tensor.pin_memory)

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "Batch":
        tensors = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: None if tensor is None else change(tensor) for name, tensor in tensors.items()})

    def widths(self) -> Float[torch.Tensor, "b n"]:
        """The boxes' widths before the rotation of the photos, which enlarged the boxes."""
        wide, high = (self.boxes[..., i + 2] - self.boxes[..., i] for i in (0, 1))
        if self.turn is None:
            return wide
        c, s = self.turn.cos().abs()[:, None], self.turn.sin().abs()[:, None]
        return ((wide * c - high * s) / (c**2 - s**2).clamp(min=0.1)).clamp(min=0).minimum(wide)


def collate(samples: Sequence[Sample]) -> Batch:
    """The batch of samples of one size and skeleton.

    Raises:
        ValueError: sizes differ.
    """
    sizes = {s.image.shape for s in samples}
    if len(sizes) != 1:
        raise ValueError(f"a batch needs samples of one size, got {sorted(sizes)}; warp them to one size first")
    h, w, _ = sizes.pop()
    n, k = max([1, *(len(s.keypoints) for s in samples)]), len(samples[0].skeleton)
    planes = max(len(s.mask) for s in samples)
    unknown = np.full((h, w), 255, np.uint8)

    def padded(rows: list[np.ndarray], tail: tuple[int, ...]) -> torch.Tensor:
        out = np.zeros((len(rows), max(1, *map(len, rows)), *tail), np.float32)
        for i, r in enumerate(rows):
            out[i, : len(r)] = r
        return torch.from_numpy(out)

    def stacked(arrays: list[Shaped[np.ndarray, "..."]]) -> torch.Tensor:
        return torch.from_numpy(np.stack(arrays))

    counts = torch.tensor([len(s.keypoints) for s in samples])
    return Batch(
        images=stacked([s.image for s in samples]),
        keypoints=padded([s.keypoints for s in samples], (k, 3)),
        boxes=padded([s.boxes for s in samples], (4,)),
        areas=padded([s.areas for s in samples], ()),
        there=torch.arange(n)[None] < counts[:, None],
        mask=stacked([np.broadcast_to(s.mask, (planes, h, w)) for s in samples]),
        segmentation=stacked([unknown if s.segmentation is None else s.segmentation for s in samples]),
        turn=torch.tensor([s.turn for s in samples]),
        unposed=padded([s.unposed for s in samples], (4,)) if any(len(s.unposed) for s in samples) else None,
    )
