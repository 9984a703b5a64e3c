"""Random views of a photo for training: an affine map, then colour augmentation.

Geometry follows SWAHR Section 4.1 and HigherHRNet: rotation ±30°, a square of the short side × 0.75 … 1.5, shifted by ±40 px of 200,
mirrored half of the time.
"""

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from manypose.data.sample import Sample, warp
from manypose.poses.warp import Warp

__all__ = ["Augment", "Colour", "colour_matrix"]


REMAINS = 0.3
"""Smallest fraction of a person's box inside the view for it to be a detection target."""


@dataclass(frozen=True)
class Colour:
    """Random colour changes and image degradation.

    Args:
        brightness: factor drawn from 1 ± this.
        contrast: factor around the mean grey, drawn from 1 ± this.
        saturation: factor drawn from 1 ± this.
        hue: rotation of the hue, drawn from ± this fraction of a full turn.
        grey: probability of conversion to grey.
        blur: probability of a Gaussian blur with a deviation of 0.3 … 2 px.
        jpeg: probability of JPEG compression at quality 30 … 90.
        noise: probability of Gaussian noise with a deviation of 2 … 12 grey levels.
        erase: probability of one to three filled rectangles of 5 … 20 % of the side; hidden joints stay labelled.
        chance: probability of changes of brightness, contrast, saturation, hue and grey.
        swap: probability of a permutation of red, green and blue.
    """

    brightness: float = 0.3
    contrast: float = 0.3
    saturation: float = 0.3
    hue: float = 0.03
    grey: float = 0.05
    blur: float = 0.1
    jpeg: float = 0.1
    noise: float = 0.1
    erase: float = 0.1
    chance: float = 0.8
    swap: float = 0.0

    def __call__(self, image: UInt8[np.ndarray, "H W 3"], rng: np.random.Generator) -> UInt8[np.ndarray, "H W 3"]:
        """A changed copy of an RGB image (or the same array if nothing was drawn)."""
        if rng.random() < self.chance:
            strengths = (self.brightness, self.contrast, self.saturation)
            brightness, contrast, saturation = (float(1 + s * rng.uniform(-1, 1)) for s in strengths)
            saturation *= rng.random() >= self.grey
            image = cv2.transform(
                image, colour_matrix(brightness, contrast, saturation, rng.uniform(-self.hue, self.hue), mean=float(image[::8, ::8].mean()))
            )
        if self.swap and rng.random() < self.swap:
            image = np.ascontiguousarray(image[..., rng.permutation(3)])
        if rng.random() < self.blur:
            image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 2.0))
        if rng.random() < self.noise:
            image = _noisy(image, rng.uniform(2, 12), rng)
        if rng.random() < self.jpeg:
            _, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 91))])
            image = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))  # independent of the channel order
        if rng.random() < self.erase:
            image = _erased(image, rng)
        return image


# Rows: luma as in BT.601 and two chroma axes (YIQ), in which saturation is a scale and hue a rotation.
_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


def colour_matrix(brightness: float, contrast: float, saturation: float, hue: float, mean: float = 128.0) -> Float[np.ndarray, "3 4"]:
    """The affine map of RGB for brightness, contrast (around `mean`), saturation and hue (fraction of a full turn)."""
    angle = 2 * np.pi * hue
    cos, sin = saturation * np.cos(angle), saturation * np.sin(angle)
    turn = np.linalg.inv(_YIQ) @ np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) @ _YIQ
    linear = brightness * contrast * turn
    return np.column_stack([linear, np.full(3, brightness * (1 - contrast) * mean)])


def _noisy(image: UInt8[np.ndarray, "H W 3"], deviation: float, rng: np.random.Generator) -> UInt8[np.ndarray, "H W 3"]:
    noise = rng.standard_normal(image.shape, np.float32) * deviation
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def _erased(image: UInt8[np.ndarray, "H W 3"], rng: np.random.Generator) -> UInt8[np.ndarray, "H W 3"]:
    image, (h, w) = image.copy(), image.shape[:2]
    for _ in range(rng.integers(1, 4)):
        eh, ew = (rng.uniform(0.05, 0.2, 2) * (h, w)).astype(int) + 1
        y, x = int(rng.integers(0, h - eh + 1)), int(rng.integers(0, w - ew + 1))
        image[y : y + eh, x : x + ew] = rng.integers(0, 256, 3)
    return image


@dataclass(frozen=True)
class Augment:
    """A random square view of a sample: ``augment(sample, rng) -> Sample``.

    Args:
        size: side of the result in pixels.
        rotation: largest random rotation in degrees.
        scale: range of the view's side relative to the photo's short side.
        shift: largest random shift of the view's centre, as a fraction of its side (40 of 200 px).
        flip: probability of mirroring.
        colour: colour augmentation; None: none.
        near: probability that the view is centred at a random labelled person (before the shift) instead of the photo's centre.
        share: for views centred at a person, the range of the box's side relative to the view's (log-uniform), which replaces `scale`;
            None: `scale`. It trains people of all sizes in the photos at the given sizes.
        smallest: smallest area of a person in square pixels of the view; smaller people are masked and removed.
    """

    size: int = 512
    rotation: float = 30.0
    scale: tuple[float, float] = (0.75, 1.5)
    shift: float = 0.2
    flip: float = 0.5
    colour: Colour | None = field(default_factory=Colour)
    near: float = 0.0
    share: tuple[float, float] | None = None
    smallest: float = 0.0

    def __post_init__(self) -> None:
        if self.size < 1 or not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"Augment needs a positive size and 0 < scale[0] <= scale[1], got size {self.size}, scale {self.scale}")
        if self.share is not None and not 0 < self.share[0] <= self.share[1]:
            raise ValueError(f"Augment needs 0 < share[0] <= share[1], got share {self.share}")

    def view(self, sample: Sample, rng: np.random.Generator) -> Warp:
        """The random map from the sample's pixels to the result's."""
        h, w = sample.image.shape[:2]
        side = min(h, w) * rng.uniform(*self.scale)
        centre = np.array([(w - 1) / 2, (h - 1) / 2])
        if len(sample.boxes) and rng.random() < self.near:
            box = sample.boxes[rng.integers(len(sample.boxes))]
            centre = (box[:2] + box[2:]) / 2
            if self.share is not None:
                side = max(1.0, *(box[2:] - box[:2])) / np.exp(rng.uniform(*np.log(self.share)))
        x, y = centre + rng.uniform(-self.shift, self.shift, 2) * side
        degrees = rng.uniform(-self.rotation, self.rotation)
        return Warp.similarity((float(x), float(y)), side, (self.size, self.size), degrees, bool(rng.random() < self.flip))

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The view of the sample with colour augmentation, without people who have no labelled joint in it."""
        seen = _present(warp(sample, self.view(sample, rng)), self.smallest)
        return seen if self.colour is None else replace(seen, image=self.colour(seen.image, rng))


def _present(sample: Sample, smallest: float) -> Sample:
    """The sample without people who are outside the view, truncated or too small.

    A person without a labelled joint in the view stays a box for detectors (`Sample.unposed`) if at least `REMAINS` of it is visible;
    otherwise, and for too small people, the loss is masked.
    """
    joints = (sample.keypoints[..., 2] > 0).any(1)
    tiny = joints & (sample.areas < smallest)
    h, w = sample.image.shape[:2]
    rest = np.concatenate([sample.unposed, sample.boxes[~joints]])
    inside = np.clip(rest, -0.5, np.array([w, h, w, h], np.float32) - 0.5)
    seen, whole = (np.prod(b[:, 2:] - b[:, :2], axis=1) for b in (inside, rest))
    stays = (seen >= REMAINS * whole) & (seen >= max(smallest, 1.0))
    masked = np.concatenate([inside[(seen > 0) & ~stays], sample.boxes[tiny]])
    if len(masked):
        mask = sample.mask.copy()
        for x0, y0, x1, y1 in np.clip(masked, 0, None).astype(int):
            mask[:, y0 : y1 + 1, x0 : x1 + 1] = 0
        sample = replace(sample, mask=mask)
    keep = joints & ~tiny
    return replace(
        sample, keypoints=sample.keypoints[keep], boxes=sample.boxes[keep], areas=sample.areas[keep],
        unposed=inside[stays].astype(np.float32),
    )  # fmt: skip
