"""Training views for top-down methods: one sample per person, and random crops (MSPN, Section 4.2, "Training")."""

from copy import copy
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float

from manypose.data.augmentation.views import Colour
from manypose.data.loading import People
from manypose.data.photos import Photos
from manypose.data.sample import Sample, warp
from manypose.poses.crops import aspect_box
from manypose.poses.skeleton import Skeleton
from manypose.poses.warp import Warp

__all__ = ["EachPerson", "PersonView", "lower_body"]

LOWER = ("pelvis", "hip", "knee", "ankle")


@dataclass(eq=False)
class EachPerson:
    """A data set with one sample per person: item i is the photo of person i, with that person alone.

    Args:
        dataset: of `Sample`s. `Photos` are not decoded to count the people, and their person masks are not painted.
        least: smallest number of labelled joints of a person.

    Raises:
        ValueError: no person has enough labelled joints.
    """

    dataset: People
    least: int = 1
    index: list[tuple[int, int]] = field(init=False)

    def __post_init__(self) -> None:
        if isinstance(self.dataset, Photos):
            self.dataset = copy(self.dataset)  # shares the cached photos
            self.dataset.outlines = False
            people = (photo.keypoints for photo in self.dataset.photos)
        else:
            people = (self.dataset[i].keypoints for i in range(len(self.dataset)))
        self.index = [(i, int(j)) for i, k in enumerate(people) for j in np.flatnonzero((k[..., 2] > 0).sum(1) >= self.least)]
        if not self.index:
            raise ValueError(f"no person in the {len(self.dataset)} photos has {self.least} labelled joints")

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i: int) -> Sample:
        photo, person = self.index[i]
        sample = self.dataset[photo]
        return _only(sample, person) if person < len(sample.boxes) else sample  # an unreadable photo has no people


@dataclass(frozen=True)
class PersonView:
    """A random crop of one (random) person: ``view(sample, rng) -> Sample``; a photo without people is used as a whole.

    Args:
        size: height and width of the crop.
        extend: factors by which a box's width and height are enlarged, as in inference.
        random_extend: largest random further enlargement, as fractions of width and height (MSPN's authors: 0.6, 0.8).
        published: the authors' alignment: the box's centre maps to (w/2, h/2), half a pixel off the crop's centre.
        scale: range of a further random factor.
        shift: largest random shift of the crop's centre, as a fraction of its sides.
        rotation: largest random rotation in degrees.
        rotated: probability of a rotation.
        flip: probability of mirroring.
        half_body: probability of a crop of the upper or lower body, for a person with more than `half_body_joints` labelled joints.
        half_body_joints: eight in the paper.
        colour: colour augmentation; None, as published: none.
        turned: probability of a further rotation by 90, 180 or 270 degrees, with the crop of the rotated box.
    """

    size: tuple[int, int] = (256, 192)
    extend: tuple[float, float] = (1.7, 1.7)
    random_extend: tuple[float, float] = (0.0, 0.0)
    published: bool = False
    scale: tuple[float, float] = (0.75, 1.25)
    shift: float = 0.0
    rotation: float = 45.0
    rotated: float = 0.5
    flip: float = 0.5
    half_body: float = 0.3
    half_body_joints: int = 8
    colour: Colour | None = None
    turned: float = 0.0

    def __post_init__(self) -> None:
        if min(self.size) < 1 or not 0 < self.scale[0] <= self.scale[1] or min(self.extend) <= 0 or min(self.random_extend) < 0:
            raise ValueError(f"PersonView needs positive sizes, factors and 0 < scale[0] <= scale[1], got {self}")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """A crop with at most one person; joints outside the crop become unlabelled."""
        labelled = np.flatnonzero((sample.keypoints[..., 2] > 0).any(1))
        if len(labelled):
            sample = _only(sample, int(labelled[rng.integers(len(labelled))]))
            box = self._box(sample, rng)
        else:
            sample = replace(sample, keypoints=sample.keypoints[:0], boxes=sample.boxes[:0], areas=sample.areas[:0])
            h, w = sample.image.shape[:2]
            box = np.array([0.0, 0.0, w - 1, h - 1])
        seen = warp(replace(sample, segmentation=None), self._warp(box, rng))
        return seen if self.colour is None else replace(seen, image=self.colour(seen.image, rng))

    def _box(self, sample: Sample, rng: np.random.Generator) -> Float[np.ndarray, "4"]:
        """The person's box, or that of half the body."""
        labelled = sample.keypoints[0, :, 2] > 0
        if labelled.sum() > self.half_body_joints and rng.random() < self.half_body:
            lower = lower_body(sample.skeleton)
            half = labelled & (lower if rng.random() < 0.5 else ~lower)
            if half.sum() >= 3:
                xy = sample.keypoints[0, half, :2].astype(np.float64)
                return _with_area(np.concatenate([xy.min(0), xy.max(0)]))
        return _with_area(sample.boxes[0].astype(np.float64))

    def _warp(self, box: Float[np.ndarray, "4"], rng: np.random.Generator) -> Warp:
        quarters = int(rng.integers(1, 4)) if self.turned and rng.random() < self.turned else 0
        if quarters % 2:
            middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2])[::-1] / 2
            box = np.concatenate([middle - half, middle + half])
        grown = (1 + np.array(self.random_extend) * rng.random(2)) * self.extend if any(self.random_extend) else self.extend
        around = aspect_box(box, self.size, (float(grown[0]), float(grown[1])))
        sides = (around[2:] - around[:2]) * rng.uniform(*self.scale)
        x, y = (around[:2] + around[2:]) / 2 + rng.uniform(-self.shift, self.shift, 2) * sides
        degrees = rng.uniform(-self.rotation, self.rotation) if rng.random() < self.rotated else 0.0
        degrees += 90 * quarters
        mirrored = bool(rng.random() < self.flip)
        made = Warp.similarity((float(x), float(y)), float(sides[0]), self.size, float(degrees), mirrored)
        if not self.published:
            return made
        move = np.array([[0, 0, -0.5 if mirrored else 0.5], [0, 0, 0.5]])  # mirrored with the view
        return replace(made, matrix=made.matrix + move)


def lower_body(skeleton: Skeleton) -> Bool[np.ndarray, " k"]:
    """A mask of the joints of hips and legs, by name."""
    return np.array([any(part in joint for part in LOWER) for joint in skeleton.joints])


def _only(sample: Sample, person: int) -> Sample:
    one = slice(person, person + 1)
    return replace(sample, keypoints=sample.keypoints[one], boxes=sample.boxes[one], areas=sample.areas[one], unposed=sample.unposed[:0])


def _with_area(box: Float[np.ndarray, "4"]) -> Float[np.ndarray, "4"]:
    """The box, enlarged to at least eight pixels in width and height."""
    middle, half = (box[:2] + box[2:]) / 2, np.maximum((box[2:] - box[:2]) / 2, 4.0)
    return np.concatenate([middle - half, middle + half])
