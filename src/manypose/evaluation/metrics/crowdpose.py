"""CrowdPose's AP, over all images and by crowding.

Source: Li et al., "CrowdPose: Efficient Crowded Scenes Pose Estimation and A New Benchmark", CVPR 2019, and its evaluation tool:
COCO's keypoint AP with 14 sigmas, a person's area 0.53 · width · height of the box, and three levels of the images' crowd index.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from manypose.evaluation.metrics.annotations import Results, Truth
from manypose.evaluation.metrics.oks_ap import oks_ap

__all__ = ["PAPER_LEVELS", "TOOL_LEVELS", "Crowding", "crowd_index", "crowding", "crowdpose_ap", "subset"]

TOOL_LEVELS = (0.2, 0.8)
"""Easy is below the first, hard at least the second: the borders of the official tool, which published tables use."""

PAPER_LEVELS = (0.1, 0.8)
"""The borders in the paper's text."""

LEVELS = ("easy", "medium", "hard")


@dataclass(frozen=True)
class Crowding:
    """The crowd index of the evaluated images.

    Args:
        index: the crowd index of each image.
        given: whether it comes from the file; otherwise it was computed with `crowd_index`.
        borders: easy is below the first, hard at least the second.
    """

    index: Float[np.ndarray, " i"]
    given: Bool[np.ndarray, " i"]
    borders: tuple[float, float]

    def level(self, name: str) -> Bool[np.ndarray, " i"]:
        """Mask of the images that are ``easy``, ``medium`` or ``hard``."""
        return np.digitize(self.index, self.borders) == LEVELS.index(name)

    def __str__(self) -> str:
        counts = np.histogram(self.index, [*np.linspace(0, 1, 11), np.inf])[0]
        names = [f"{i / 10:.1f} – {(i + 1) / 10:.1f}" for i in range(10)] + ["from 1.0"]
        bars = [f"  {name:9} {n:6d} {'#' * round(40 * n / max(1, counts.max()))}" for name, n in zip(names, counts, strict=True)]
        levels = ", ".join(f"{int(self.level(name).sum())} {name}" for name in LEVELS)
        head = f"crowd index of {len(self.index)} images: {levels} (borders {self.borders[0]:g} and {self.borders[1]:g})"
        return "\n".join([head, *bars])


def crowd_index(truth: Truth) -> Float[np.ndarray, " i"]:
    """The crowd index of each image (the paper's Section 4.1): the mean over people of (others' joints in the box) / (own joints).

    Labelled joints of people who count in AP; 0 for images without people. On CrowdPose's val annotations four of five images get
    the published two decimals, and the mean difference is 0.035; it is used, with a note, if a file has no ``crowdIndex``.
    """
    out = np.zeros(len(truth.image_ids))
    counts = np.flatnonzero(~truth.ignored)
    for here in np.split(counts, np.flatnonzero(np.diff(truth.image[counts])) + 1) if len(counts) else ():
        labelled, points = truth.keypoints[here, :, 2] > 0, truth.keypoints[here, :, :2]
        low = truth.boxes[here, None, None, :2]
        inside = ((points >= low) & (points <= low + truth.boxes[here, None, None, 2:])).all(-1) & labelled  # joints of j in the box of i
        joints = inside.sum(-1)
        out[truth.image[here[0]]] = np.mean((joints.sum(1) - np.diag(joints)) / np.maximum(labelled.sum(1), 1))
    return out


def crowding(truth: Truth, borders: tuple[float, float] = TOOL_LEVELS) -> Crowding:
    """The crowd index of each image: the file's, or `crowd_index` if it has none."""
    if not 0 < borders[0] < borders[1]:
        raise ValueError(f"crowd index borders must rise from 0, got {borders}")
    given = np.isfinite(truth.crowd_index)
    index = truth.crowd_index if given.all() else np.where(given, truth.crowd_index, crowd_index(truth))
    return Crowding(index, given, borders)


def crowdpose_ap(
    truth: Truth, results: Results, borders: tuple[float, float] = TOOL_LEVELS, most: int = 20
) -> tuple[dict[str, float], list[str]]:
    """AP, AP50, AP75, AR, AR50, AR75 and APeasy, APmedium, APhard.

    >>> from manypose.evaluation.metrics.annotations import read_results, read_truth
    >>> pose = [v for j in range(14) for v in (10 + 5 * j, 40 + (j * j) % 30, 2)]
    >>> person = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 30, 75, 45], "keypoints": pose}
    >>> from manypose.poses.skeleton import CROWDPOSE
    >>> truth = read_truth({"images": [{"id": 1, "crowdIndex": 0.5}], "annotations": [person]}, CROWDPOSE, area="box")
    >>> found = read_results([{"image_id": 1, "category_id": 1, "keypoints": pose, "score": 1.0}], truth)
    >>> figures, notes = crowdpose_ap(truth, found)
    >>> round(figures["APmedium"], 6), figures["APeasy"], notes[0]
    (1.0, nan, 'APeasy is not defined: none of the 1 images has a crowd index below 0.2')

    Args:
        truth: annotated people, read with ``area="box"``.
        results: people found.
        borders: of the crowd index; `TOOL_LEVELS` or `PAPER_LEVELS`.
        most: results of an image that count.

    Returns:
        the figures, NaN where no person is annotated, and a sentence of reason for each NaN and each index that was computed.
    """
    figures = {name: value for name, value in oks_ap(truth, results, most).items() if name[-1] not in "ml"}
    crowd, notes = crowding(truth, borders), []
    ranges = (f"below {borders[0]:g}", f"from {borders[0]:g} to below {borders[1]:g}", f"of {borders[1]:g} or more")
    for name, range_ in zip(LEVELS, ranges, strict=True):
        images = crowd.level(name)
        part, found = subset(truth, results, images)
        figures[f"AP{name}"] = oks_ap(part, found, most)["AP"]
        few = f"the {int(images.sum())} images with a crowd index {range_}"
        if not images.any():
            notes.append(f"AP{name} is not defined: none of the {len(images)} images has a crowd index {range_}")
        elif not part.people:
            notes.append(f"AP{name} is not defined: none of {few} has a labelled person")
        elif not len(found):
            notes.append(f"AP{name} is 0: there is no result for any of {few}")
    missing = int((~crowd.given).sum())
    if missing:
        notes.append(f"the file gives no crowdIndex for {missing} of {len(crowd.given)} images; it was computed from boxes and joints")
    return figures, notes


def subset(truth: Truth, results: Results, images: Bool[np.ndarray, " i"] | Sequence[bool]) -> tuple[Truth, Results]:
    """The same data set and results with some of the images only."""
    keep = np.asarray(images, bool)
    place = np.cumsum(keep) - 1
    people, found = keep[truth.image], keep[results.image]
    part = replace(
        truth, image_ids=truth.image_ids[keep], sizes=truth.sizes[keep], crowd_index=truth.crowd_index[keep],
        files=tuple(f for f, k in zip(truth.files, keep, strict=True) if k), other=truth.other | frozenset(truth.image_ids[~keep].tolist()),
        image=place[truth.image[people]],
        **{name: getattr(truth, name)[people] for name in ("ids", "keypoints", "boxes", "areas", "crowd", "ignored")},
    )  # fmt: skip
    boxes = None if results.boxes is None else results.boxes[found]
    rest = replace(
        results, image=place[results.image[found]], boxes=boxes,
        **{name: getattr(results, name)[found] for name in ("keypoints", "scores", "place")},
    )  # fmt: skip
    return part, rest
