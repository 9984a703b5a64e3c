"""Copy-paste augmentation: people with a segmentation are pasted onto other photos."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from manypose.data.loading import People
from manypose.data.photos import Photos, paint
from manypose.data.sample import Sample
from manypose.poses.skeleton import Skeleton
from manypose.poses.warp import Warp

__all__ = ["Cutout", "Pasted", "cutouts", "paste"]


@dataclass(frozen=True)
class Cutout:
    """A person cut out of a photo.

    Args:
        image: RGB crop around the person.
        cover: 255 on the person, else 0.
        keypoints: in `image`'s pixels.
    """

    image: UInt8[np.ndarray, "h w 3"]
    cover: UInt8[np.ndarray, "h w"]
    keypoints: Float[np.ndarray, "k 3"]


def cutouts(photos: Photos, smallest: int = 48, joints: int = 8, inside: float = 0.9) -> list[Cutout]:
    """The people with a usable segmentation.

    Args:
        photos: annotated photos.
        smallest: smallest longer side of a person's box in pixels.
        joints: smallest number of labelled joints.
        inside: smallest share of visible joints inside the segmentation, against wrong segmentations.

    Raises:
        ValueError: there are none.
    """
    found: list[Cutout] = []
    for i, photo in enumerate(photos.photos):
        good = [
            n for n, (s, j, b) in enumerate(zip(photo.shapes, photo.keypoints, photo.boxes, strict=True))
            if s is not None and (j[:, 2] > 0).sum() >= joints and max(b[2:] - b[:2]) >= smallest
        ]  # fmt: skip
        image = photos[i].image if good else None
        for n in good:
            plane = np.zeros(photo.size, np.uint8)
            paint(plane, photo.shapes[n], 255)
            cut = None if image is None else _cut(image, plane, photo.keypoints[n], inside)
            found += [] if cut is None else [cut]
    if not found:
        raise ValueError(f"{photos.report.name}: no person in it has a segmentation and {joints} joints on a box of {smallest} pixels")
    return found


def _cut(image: UInt8[np.ndarray, "H W 3"], plane: UInt8[np.ndarray, "H W"], joints: np.ndarray, inside: float) -> Cutout | None:
    ys, xs = np.flatnonzero(plane.any(1)), np.flatnonzero(plane.any(0))
    if not len(ys):
        return None
    h, w = plane.shape
    y0, y1, x0, x1 = max(ys[0] - 2, 0), min(ys[-1] + 3, h), max(xs[0] - 2, 0), min(xs[-1] + 3, w)
    seen = joints[joints[:, 2] == 2]
    at = np.round(seen[:, :2]).astype(int)
    near = cv2.dilate(plane, np.ones((5, 5), np.uint8))  # segmentations are slightly too tight
    if len(seen) and (near[np.clip(at[:, 1], 0, h - 1), np.clip(at[:, 0], 0, w - 1)] > 0).mean() < inside:
        return None
    moved = joints.copy()
    moved[:, :2] -= (x0, y0)
    moved[joints[:, 2] == 0] = 0
    return Cutout(image[y0:y1, x0:x1].copy(), plane[y0:y1, x0:x1].copy(), moved)


def paste(sample: Sample, cutout: Cutout, w: Warp, exposure: float = 1.0) -> Sample:
    """The sample with one more person in front.

    Covered joints of other people become hidden; people who are mostly covered become unlabelled and are masked.

    Args:
        sample: of the cutout's skeleton.
        w: from the cutout's pixels to the sample's; its size is the sample's.
        exposure: factor of the cutout's brightness.
    """
    soft = w.image(cv2.GaussianBlur(cutout.cover, (0, 0), 0.7)[..., None]).astype(np.float32).reshape(*w.size, 1) / 255
    hard = w.mask(cutout.cover) > 127
    if not hard.any():
        return sample
    pixels = w.image(cutout.image).astype(np.float32) * exposure
    image = np.clip(sample.image * (1 - soft) + pixels * soft, 0, 255).astype(np.uint8)
    kept, mask = _behind(sample, hard)
    joints = w.joints(cutout.keypoints[None], sample.skeleton.mirror)[0]
    h, wide = hard.shape
    joints[((joints[:, :2] < -0.5) | (joints[:, :2] > np.array([wide, h]) - 0.5)).any(1)] = 0
    joints[joints[:, 2] == 0] = 0
    ys, xs = np.flatnonzero(hard.any(1)), np.flatnonzero(hard.any(0))
    box = np.array([[xs[0] - 0.5, ys[0] - 0.5, xs[-1] + 0.5, ys[-1] + 0.5]], np.float32)
    labelled = (joints[:, 2] > 0).any()
    mask[:, hard] = np.uint8(labelled)
    known = sample.segmentation
    return replace(
        kept,
        image=image,
        keypoints=np.concatenate([kept.keypoints, joints[None]]) if labelled else kept.keypoints,
        boxes=np.concatenate([kept.boxes, box]) if labelled else kept.boxes,
        areas=np.append(kept.areas, np.float32(hard.sum())).astype(np.float32) if labelled else kept.areas,
        mask=mask,
        segmentation=None if known is None else np.where(hard, np.uint8(1), known),
    )


def _behind(sample: Sample, hard: np.ndarray, hidden: float = 0.75) -> tuple[Sample, UInt8[np.ndarray, "m H W"]]:
    """The sample behind the cover `hard`, and its mask: covered joints are hidden, mostly covered people are removed and masked."""
    keypoints, mask = sample.keypoints.copy(), sample.mask.copy()
    h, w = hard.shape
    stays = np.ones(len(keypoints), bool)
    for i, box in enumerate(sample.boxes):
        x0, y0, x1, y1 = (int(v) for v in (*np.floor(box[:2] + 0.5).clip(0), *np.ceil(box[2:] + 0.5)))
        part = hard[y0 : min(y1, h), x0 : min(x1, w)]
        at = np.round(keypoints[i, :, :2]).astype(int)
        covered = hard[np.clip(at[:, 1], 0, h - 1), np.clip(at[:, 0], 0, w - 1)] & (keypoints[i, :, 2] > 0)
        labelled = (keypoints[i, :, 2] > 0).sum()
        if (part.size and part.mean() > hidden) or covered.sum() > hidden * labelled:
            stays[i] = False
            mask[:, y0 : min(y1, h), x0 : min(x1, w)] = 0
        keypoints[i, covered, 2] = 1
    rest = np.array([_part(hard, box).mean() <= hidden for box in sample.unposed], bool)
    kept = replace(sample, keypoints=keypoints[stays], boxes=sample.boxes[stays], areas=sample.areas[stays], unposed=sample.unposed[rest])
    return kept, mask


def _part(plane: np.ndarray, box: Float[np.ndarray, "4"]) -> np.ndarray:
    """The part of a plane in a box; a single 1 if the box lies outside."""
    h, w = plane.shape
    x0, y0, x1, y1 = (int(v) for v in (*np.floor(box[:2] + 0.5).clip(0), *np.ceil(box[2:] + 0.5)))
    part = plane[y0 : min(y1, h), x0 : min(x1, w)]
    return part if part.size else np.ones((1, 1))


@dataclass(eq=False)
class Pasted:
    """A data set with pasted people; sample i of a seed is always the same.

    Args:
        onto: the data set onto which people are pasted, such as photos without people.
        people: the data set of the segmented people.
        length: number of samples; None: that of `onto`.
        seed: random seed.
        number: range of the number of people pasted onto a photo.
        height: range of a pasted person's height, as a fraction of the image height.
    """

    onto: People
    people: Photos
    length: int | None = None
    seed: int = 0
    number: tuple[int, int] = (1, 4)
    height: tuple[float, float] = (0.25, 1.1)

    def __post_init__(self) -> None:
        self.skeleton: Skeleton = self.people.skeleton
        self._cutouts: Sequence[Cutout] = cutouts(self.people)

    def __len__(self) -> int:
        return len(self.onto) if self.length is None else self.length

    def __getitem__(self, i: int) -> Sample:
        if not -len(self) <= i < len(self):
            raise IndexError(f"no sample {i}, there are {len(self)}")
        rng = np.random.default_rng((self.seed, i % len(self)))
        sample = self.onto[i % len(self.onto)]
        for _ in range(rng.integers(self.number[0], self.number[1] + 1)):
            cutout = self._cutouts[int(rng.integers(len(self._cutouts)))]
            sample = paste(sample, cutout, self._place(rng, cutout, sample.image.shape[:2]), float(rng.uniform(0.8, 1.2)))
        return sample

    def _place(self, rng: np.random.Generator, cutout: Cutout, size: tuple[int, int]) -> Warp:
        (h, w), (ch, cw) = size, cutout.cover.shape
        # Enlargement by more than two makes the low resolution visible.
        scale = min(float(np.exp(rng.uniform(*np.log(self.height)))) * h / ch, 2.0)
        turn = np.radians(rng.normal(0, 6))
        linear = scale * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        at = np.array([rng.uniform(0, w - 1), rng.uniform(0.2, 0.9) * h]) - linear @ np.array([(cw - 1) / 2, (ch - 1) / 2])
        warp = Warp(np.column_stack([linear, at]), (int(h), int(w)))
        return warp.mirror() if rng.random() < 0.5 else warp
