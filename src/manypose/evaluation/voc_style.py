"""PASCAL VOC 2012's segmentation as a benchmark of person masks (MultiPoseNet, Section 4.4 and Table 5).

It reads the data set's own folders: ``ImageSets/Segmentation/val.txt`` (the annotations), ``JPEGImages`` (the photos) and
``SegmentationClass``, whose pixels are class numbers: 15 is person, 255 is void. Source: Everingham et al., IJCV 2010.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from manypose.evaluation.benchmark import Benchmark, BenchmarkSpec, EvalImage, Score
from manypose.evaluation.metrics.segmentation import VOID, mask_counts
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO

__all__ = ["person_mask", "voc"]

PERSON = 15


def voc(request: BenchmarkSpec) -> Benchmark:
    """IoU of person pixels; VOC's segmentation has no keypoints.

    Raises:
        FileNotFoundError: the list, a photo or a mask is missing.
        ValueError: masks were not requested, or other metrics were.
    """
    if not request.masks or request.images is None or request.boxes or request.analyse:
        raise ValueError("voc measures only masks: give the photos (--images JPEGImages) and --mask-iou, without --box-ap and --analyze")
    photos, listing = request.images, Path(request.annotations or "")
    try:
        names = listing.read_text().split()
    except (OSError, UnicodeDecodeError) as e:
        raise FileNotFoundError(f"{listing}: no list of VOC's photos, such as ImageSets/Segmentation/val.txt ({e})") from None
    masks = photos.parent / "SegmentationClass"
    missing = [f for name in names for f in (photos / f"{name}.jpg", masks / f"{name}.png") if not f.is_file()]
    if missing or not names:
        raise FileNotFoundError(f"{missing[0] if missing else listing}: missing ({len(missing)} files of {len(names)} photos are)")
    shots = [EvalImage(i, photos / f"{name}.jpg", None, np.zeros((0, 4))) for i, name in enumerate(names)]

    def pixels(image: int, poses: Poses) -> Int[np.ndarray, "4"]:
        if poses.masks is None:
            raise ValueError("this model predicts no masks, and voc measures only masks")
        return mask_counts(np.asarray(poses.masks.any(0)), person_mask(masks / f"{names[image]}.png"))

    def no_file(path: Path) -> Score:
        raise ValueError(f"{path}: voc measures masks, and a result file of keypoints has none")

    return Benchmark(
        f"PASCAL VOC {listing.stem}", f"{len(names)} photos", "pixels of all people of all photos together, void left out", COCO, shots,
        lambda found, detected: Score({}, [], results=sum(map(len, found.values()))), no_file, None, pixels=pixels, root=photos,
    )  # fmt: skip


def person_mask(path: Path) -> UInt8[np.ndarray, "H W"]:
    """A picture of ``SegmentationClass``: 1 person, 0 something else, 255 void.

    Raises:
        ValueError: the file does not hold class numbers.
    """
    try:
        with Image.open(path) as picture:
            classes = np.array(picture) if picture.mode in ("P", "L") else None
    except (OSError, SyntaxError, Image.DecompressionBombError):
        classes = None
    if classes is None:
        raise ValueError(f"{path}: not a picture of class numbers, as SegmentationClass has them")
    return np.where(classes == VOID, VOID, classes == PERSON).astype(np.uint8)
