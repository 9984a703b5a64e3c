"""Photos with annotated people, the output of all readers of data sets, and the map-style data set of them."""

import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch.utils.data import Dataset

from manypose.data.datasets.annotation_report import Report
from manypose.data.run_length import decode_runs
from manypose.data.sample import Sample
from manypose.io.photos import check_size
from manypose.poses.skeleton import Skeleton

__all__ = ["Photo", "Photos", "loss_mask", "paint", "read_rgb", "sample_of", "segmentation", "unread"]

log = logging.getLogger(__name__)

Region = Any
"""An image region: an xyxy box, a COCO segmentation (list of polygons) or a COCO RLE (a mapping with size and counts)."""


@dataclass(frozen=True)
class Photo:
    """The annotations of one photo. Coordinates are photo pixels; integers are pixel centres.

    Args:
        path: the image file.
        size: height and width.
        image_id: of the data set.
        keypoints: x, y, visibility of the people with at least one labelled joint.
        boxes: xyxy.
        areas: square pixels.
        ignored: regions without a loss: crowds, people without joints.
        shapes: each person's region, or None if the data set has none.
        complete: whether all people in the photo are annotated or ignored; otherwise the loss is masked outside the labelled people.
        crowd: the crowd index of CrowdPose.
        unposed: xyxy boxes of people without a labelled joint and outside crowds; also in `ignored`.
    """

    path: Path
    size: tuple[int, int]
    image_id: int
    keypoints: Float[np.ndarray, "n k 3"]
    boxes: Float[np.ndarray, "n 4"]
    areas: Float[np.ndarray, " n"]
    ignored: Sequence[Region] = ()
    shapes: Sequence[Region] = ()
    complete: bool = True
    crowd: float | None = None
    unposed: Float[np.ndarray, "u 4"] = field(default_factory=lambda: np.zeros((0, 4), np.float32))


def read_rgb(path: str | Path, given: bytes | None = None, size: tuple[int, int] | None = None) -> UInt8[np.ndarray, "H W 3"]:
    """A photo file as RGB, in the pixel coordinates of its annotations.

    COCO's annotations ignore the EXIF orientation. If the annotated size is that of the upright photo, the photo is rotated; if both sizes
    agree (rotated by 180°, mirrored, square), it is used as stored, with a warning.

    Args:
        path: the file.
        given: its bytes, if already read.
        size: the annotations' height and width; None: stored pixels.

    Raises:
        ValueError: the file cannot be decoded, is larger than `manypose.io.photos.max_pixels`, or has another size.
    """
    try:
        data = Path(path).read_bytes() if given is None else given
        with Image.open(io.BytesIO(data)) as header:
            check_size(path, *header.size)
            turned = header.getexif().get(ORIENTATION, 1)
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except (OSError, SyntaxError, cv2.error, Image.DecompressionBombError) as e:
        raise ValueError(f"{path}: not an image that can be decoded ({str(e)[:100]}); download it again or remove it") from None
    if pixels is None:
        raise ValueError(f"{path}: not an image that can be decoded; download it again or remove it")
    image = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    if size is None:
        return image
    upright = turned in _TURNS and image.shape[:2] != size
    image = np.ascontiguousarray(_TURNS[turned](image)) if upright else image
    if image.shape[:2] != size:
        (h, w), (H, W) = pixels.shape[:2], size
        exif = "" if turned == 1 else f" (EXIF orientation {turned})"
        raise ValueError(f"{path}: the image is {w}x{h}, its annotations are for {W}x{H}{exif}")
    if turned != 1 and not upright:
        log.warning("%s: EXIF orientation %s; its annotations are assumed to be for the stored pixels, as in COCO", path, turned)
    return image


ORIENTATION = 0x0112
_TURNS = {
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(image, 2).swapaxes(0, 1),
    8: lambda image: np.rot90(image),
}
"""The rotation to upright for EXIF orientations that exchange width and height."""


def paint(plane: UInt8[np.ndarray, "H W"], region: Region, value: int) -> None:
    """Set a region of a plane to a value, in place."""
    h, w = plane.shape
    if isinstance(region, Mapping):
        plane[_decode(region, (h, w))] = value
    elif isinstance(region, np.ndarray):
        x0, y0, x1, y1 = region
        plane[max(0, int(np.floor(y0))) : max(0, int(np.ceil(y1))), max(0, int(np.floor(x0))) : max(0, int(np.ceil(x1)))] = value
    else:
        # Polygon coordinates start at the image edge, pixel centres half a pixel inside; fillPoly's precision is 1/16 pixel here.
        polygons = [np.round((np.reshape(p, (-1, 2)) - 0.5) * 16).astype(np.int32) for p in region if len(p) >= 6]
        if polygons:
            cv2.fillPoly(plane, polygons, value, shift=4)


def _decode(rle: Mapping, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    """A run-length mask, resized to `size` if the photo was scaled after annotation."""
    mask = decode_runs(rle)
    if mask.shape != size:
        mask = cv2.resize(mask.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST) > 0
    return mask


def loss_mask(photo: Photo, margin: float) -> UInt8[np.ndarray, "H W"]:
    """The loss mask: 0 on crowds and people without joints and, in photos not completely annotated, outside the labelled people.

    A labelled person's box has a loss even inside the *box* (not the outline) of a crowd or an unlabelled person.

    Args:
        photo: the annotations.
        margin: fraction of its size by which a labelled person's box is enlarged on each side, in photos not completely annotated.
    """
    mask = np.full(photo.size, int(photo.complete), np.uint8)
    grow = np.stack([photo.boxes[:, 0] - photo.boxes[:, 2], photo.boxes[:, 1] - photo.boxes[:, 3]], 1) * margin
    if not photo.complete:
        for box, g in zip(photo.boxes, grow, strict=True):
            paint(mask, box + np.concatenate([g, -g]), 1)
    for region in photo.ignored:
        paint(mask, region, 0)
    if any(isinstance(region, np.ndarray) for region in photo.ignored):
        for box in photo.boxes:
            paint(mask, box, 1)
        for region in photo.ignored:
            if not isinstance(region, np.ndarray):
                paint(mask, region, 0)
    return mask


def segmentation(photo: Photo) -> UInt8[np.ndarray, "H W"] | None:
    """The person mask (1 person, 0 none, 255 unknown); None if no outline is known."""
    if not any(shape is not None for shape in photo.shapes) and not (photo.complete and not len(photo.boxes)):
        return None
    plane = np.full(photo.size, 0 if photo.complete else 255, np.uint8)
    for region in photo.ignored:
        paint(plane, region, 255)
    for box, shape in zip(photo.boxes, photo.shapes, strict=True):
        if shape is None:
            paint(plane, box, 255)
    for shape in photo.shapes:
        if shape is not None:
            paint(plane, shape, 1)
    return plane


@dataclass(eq=False)
class Photos(Dataset):
    """A map-style data set of `Sample`s.

    Args:
        photos: the annotations.
        skeleton: of the k joints.
        report: the report of their reader.
        annotated: mask of the joints that the data set labels; others get a mask plane of zeros. None: all.
        margin: see `loss_mask`.
        cache: keep nothing, the files' bytes, or the decoded photos in memory, filled at the start so that workers share them.
        unreadable: whether a photo that cannot be decoded is an error or an empty sample with mask 0 (logged, and counted in `skipped`).
        outlines: whether to paint the person mask (`Sample.segmentation`), which top-down methods do not use.
    """

    photos: Sequence[Photo]
    skeleton: Skeleton
    report: Report
    annotated: tuple[bool, ...] | None = None
    margin: float = 0.15
    cache: Literal["none", "encoded", "decoded"] = "none"
    unreadable: Literal["raise", "skip"] = "raise"
    skipped: dict[Path, str] = field(default_factory=dict)
    outlines: bool = True

    def __post_init__(self) -> None:
        self._bytes = [p.path.read_bytes() for p in self.photos] if self.cache == "encoded" else None
        self._images = [self._read(i) for i in range(len(self.photos))] if self.cache == "decoded" else None

    def __len__(self) -> int:
        return len(self.photos)

    def _read(self, i: int) -> UInt8[np.ndarray, "H W 3"] | None:
        photo = self.photos[i]
        try:
            image = read_rgb(photo.path, self._bytes[i] if self.cache == "encoded" and self._bytes else None, photo.size)
        except ValueError as e:
            if self.unreadable == "raise":
                raise
            if photo.path not in self.skipped:
                log.warning("%s; skipped", e)
            self.skipped[photo.path] = str(e)
            return None
        return image

    def __getitem__(self, i: int) -> Sample:
        if not -len(self) <= i < len(self):
            raise IndexError(f"{self.report.name}: no photo {i}, there are {len(self)}")
        i %= len(self)
        photo, image = self.photos[i], self._images[i] if self._images is not None else self._read(i)
        if image is None:
            return unread(photo, self.skeleton)
        return sample_of(photo, image, self.skeleton, self.annotated, self.margin, self.outlines)


def unread(photo: Photo, skeleton: Skeleton) -> Sample:
    """The sample of a photo that cannot be decoded: black, without people, with mask 0."""
    h, w = photo.size
    nobody = np.zeros((0, len(skeleton), 3), np.float32), np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    return Sample(skeleton, np.zeros((h, w, 3), np.uint8), *nobody, np.zeros((1, h, w), np.uint8), None, photo.image_id)


def sample_of(
    photo: Photo,
    image: UInt8[np.ndarray, "H W 3"],
    skeleton: Skeleton,
    annotated: tuple[bool, ...] | None = None,
    margin: float = 0.15,
    outlines: bool = True,
) -> Sample:
    """The sample of a decoded photo; arguments as in `Photos`."""
    mask = loss_mask(photo, margin)[None]
    if annotated is not None and not all(annotated):
        mask = mask * np.array(annotated, np.uint8)[:, None, None]
    return Sample(
        skeleton, image, photo.keypoints.copy(), photo.boxes.copy(), photo.areas.copy(), mask,
        segmentation(photo) if outlines else None, photo.image_id, unposed=photo.unposed.copy(),
    )  # fmt: skip
