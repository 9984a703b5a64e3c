"""Person masks: intersection over union of pixels, as PASCAL VOC defines its segmentation accuracy.

Source: Everingham et al., "The PASCAL Visual Object Classes Challenge", IJCV 2010, Section 4.2.2: true positives divided by the sum of
true positives, false positives and false negatives, each summed over the pixels of all images; void pixels are left out.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Int, UInt8

__all__ = ["mask_counts", "person_iou"]

VOID = 255


def mask_counts(found: Bool[np.ndarray, "H W"], truth: UInt8[np.ndarray, "h w"]) -> Int[np.ndarray, "4"]:
    """Pixels that are true positive, false positive, false negative and true negative.

    >>> truth = np.array([[1, 1, 0], [0, 255, 255]], np.uint8)
    >>> found = np.array([[True, False, True], [False, True, False]])
    >>> mask_counts(found, truth).tolist()
    [1, 1, 1, 1]

    Args:
        found: where the method sees people (the union of their masks).
        truth: 1 person, 0 none, 255 unknown: left out.

    Raises:
        ValueError: the sizes differ.
    """
    if found.shape != truth.shape:
        raise ValueError(f"a person mask of {found.shape[1]}x{found.shape[0]} pixels for a truth of {truth.shape[1]}x{truth.shape[0]}")
    known, person = truth != VOID, truth == 1
    right, wrong = int((found & person).sum()), int((found & known & ~person).sum())
    missed = int((~found & person).sum())
    return np.array([right, wrong, missed, int(known.sum()) - right - wrong - missed])


def person_iou(counts: Iterable[Int[np.ndarray, "4"]]) -> dict[str, float]:
    """IoU of person and of background and their mean, over the pixels of all images; NaN where there is none.

    >>> figures = person_iou([np.array([6, 2, 2, 90]), np.array([0, 0, 0, 50])])
    >>> round(figures["IoU"], 3), round(figures["mIoU"], 3)
    (0.6, 0.786)

    Args:
        counts: of each image, from `mask_counts`.
    """
    right, wrong, missed, other = np.sum([np.zeros(4, np.int64), *counts], axis=0).tolist()

    def over(part: int, whole: int) -> float:
        return part / whole if whole else float("nan")

    person, background = over(right, right + wrong + missed), over(other, other + wrong + missed)
    return {"IoU": person, "IoU_background": background, "mIoU": (person + background) / 2}
