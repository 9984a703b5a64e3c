"""Poses: the people of one image, and how alike two people are (OKS)."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from manypose.skeleton import Skeleton

__all__ = ["Poses", "oks", "oks_nms"]


@dataclass(frozen=True)
class Poses:
    """The people of one image, best first or in the data set's order. Coordinates are xy pixels; integers are pixel centres.

    Args:
        skeleton: what the k joints are.
        keypoints: positions; a joint that was not found has score 0 (its position is then meaningless, by custom 0).
        keypoint_scores: 0 where there is no such joint, else its confidence.
        scores: one confidence a person.
        boxes: xyxy. Left out, the boxes around each person's joints with a score above 0.
        masks: person masks at the image's size, where a method gives them.
        ids: track ids, where a tracker gave them.
        photo: what they were found in (a path or an RGB array), where that is known: for drawing.
    """

    skeleton: Skeleton
    keypoints: Float[np.ndarray, "n k 2"]
    keypoint_scores: Float[np.ndarray, "n k"]
    scores: Float[np.ndarray, " n"]
    boxes: Float[np.ndarray, "n 4"] = field(default=None)  # type: ignore[assignment]
    masks: Bool[np.ndarray, "n H W"] | None = None
    ids: Int[np.ndarray, " n"] | None = None
    photo: Any = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        n, k = len(self.keypoints), len(self.skeleton)
        if self.keypoints.shape != (n, k, 2) or self.keypoint_scores.shape != (n, k) or self.scores.shape != (n,):
            raise ValueError(
                f"Poses of skeleton {self.skeleton.name!r} need keypoints (n,{k},2), keypoint_scores (n,{k}) and scores (n,); "
                f"got {self.keypoints.shape}, {self.keypoint_scores.shape}, {self.scores.shape}"
            )
        if self.boxes is None:
            object.__setattr__(self, "boxes", boxes_around(self.keypoints, self.keypoint_scores > 0))
        for name in ("boxes", "masks", "ids"):
            value = getattr(self, name)
            if value is not None and len(value) != n:
                raise ValueError(f"Poses: {n} people but {len(value)} {name}")

    def __len__(self) -> int:
        return len(self.keypoints)

    def __getitem__(self, which: "slice | list[int] | np.ndarray") -> "Poses":
        """Some of the people, by slice, index array or boolean array."""
        pick = {f: None if getattr(self, f) is None else getattr(self, f)[which] for f in _ROWS}
        return replace(self, **pick)

    @classmethod
    def empty(cls, skeleton: Skeleton) -> "Poses":
        """Nobody."""
        k = len(skeleton)
        return cls(skeleton, np.zeros((0, k, 2), np.float32), np.zeros((0, k), np.float32), np.zeros(0, np.float32))

    def to(self, skeleton: Skeleton) -> "Poses":
        """The same people with the joints of another skeleton; joints that ours lacks get score 0."""
        source = np.array(skeleton.from_skeleton(self.skeleton))
        keypoints = np.where((source >= 0)[None, :, None], self.keypoints[:, source], 0).astype(self.keypoints.dtype)
        scores = np.where(source >= 0, self.keypoint_scores[:, source], 0).astype(self.keypoint_scores.dtype)
        return replace(self, skeleton=skeleton, keypoints=keypoints, keypoint_scores=scores)

    # ── to other formats (`manypose.formats` has more, and the ways back) ──

    def to_coco(self, image_id: int | str) -> list[dict[str, Any]]:
        """This image's part of a COCO keypoint results file."""
        from manypose.formats import to_coco

        return to_coco(self, image_id)

    def to_openpose(self, order: Literal["body_25", "coco_18"] = "body_25") -> dict[str, Any]:
        """OpenPose's JSON of one image."""
        from manypose.formats import to_openpose

        return to_openpose(self, order)

    def to_csv_rows(self, image: str = "") -> list[tuple]:
        """One row a found joint: image, person, joint, x, y, score, id."""
        from manypose.formats import to_csv_rows

        return to_csv_rows(self, image)

    def to_supervision(self) -> Any:
        """``supervision.KeyPoints`` (extra ``interop``)."""
        from manypose.formats import to_supervision

        return to_supervision(self)

    def draw(self, path: str | Path | None = None, photo: Any = None, **options: Any) -> UInt8[np.ndarray, "H W 3"]:
        """The photo with the people drawn on it; also written to `path` if that is given.

        Args:
            path: ``.jpg``, ``.png`` …
            photo: path, array, PIL image or tensor to draw on; default: the one they were found in.
            options: of `manypose.draw.draw`.

        Raises:
            ValueError: no photo is known (frames of a video are not kept).
        """
        from manypose import media
        from manypose.draw import draw

        photo = self.photo if photo is None else photo
        if photo is None:
            raise ValueError("these people do not know their photo; give it: poses.draw(path, photo)")
        picture = draw(media.pixels(photo), self, **options)
        if path is not None:
            media.write(path, picture)
        return picture


_ROWS = ("keypoints", "keypoint_scores", "scores", "boxes", "masks", "ids")


def boxes_around(keypoints: Float[np.ndarray, "n k 2"], there: Bool[np.ndarray, "n k"]) -> Float[np.ndarray, "n 4"]:
    """The xyxy box around each person's joints that are there; zeros where there is none."""
    low = np.where(there[..., None], keypoints, np.inf).min(1, initial=np.inf)
    high = np.where(there[..., None], keypoints, -np.inf).max(1, initial=-np.inf)
    boxes = np.concatenate([low, high], 1)
    boxes[~there.any(1)] = 0
    return boxes.astype(keypoints.dtype)


def oks(
    keypoints: Float[np.ndarray, "n k 2"],
    truth: Float[np.ndarray, "m k 2"],
    labelled: Bool[np.ndarray, "m k"],
    areas: Float[np.ndarray, " m"],
    sigmas: tuple[float, ...],
) -> Float[np.ndarray, "n m"]:
    """Object keypoint similarity of every person to every true person (COCO's definition, double precision).

    The mean over the labelled joints of ``exp(-d² / (2 area (2 sigma)²))``; 0 where a true person has no labelled joint.
    """
    d2 = ((keypoints[:, None].astype(np.float64) - truth[None]) ** 2).sum(-1)
    variance = (2 * np.asarray(sigmas)) ** 2
    similar = np.exp(-d2 / (2 * (np.asarray(areas, np.float64)[:, None] + np.spacing(1)) * variance))
    count = labelled.sum(1)
    return np.where(count > 0, (similar * labelled).sum(-1) / np.maximum(count, 1), 0.0)


def oks_nms(poses: Poses, threshold: float = 0.9) -> Poses:
    """Keep people by falling score; drop whoever has an OKS above `threshold` to one kept before. An area is that of a person's box."""
    if len(poses) < 2:
        return poses
    size = np.maximum(poses.boxes[:, 2:] - poses.boxes[:, :2], 1)
    areas, found = size.prod(1), poses.keypoint_scores > 0
    order = np.argsort(-poses.scores, kind="stable")
    kept: list[int] = []
    # The same measure as evaluation uses; of two people the kept one is "the truth", its found joints the labelled ones.
    if len(order) <= 64:
        alike = oks(poses.keypoints[order], poses.keypoints[order], found[order], areas[order], poses.skeleton.sigmas)
        same = np.tril(~(alike <= threshold), -1)
        left = np.ones(len(order), bool)
        for i in range(len(order) if same.any() else 0):
            if left[i]:
                left &= ~same[:, i]
        return poses[order[left]]
    # One kept person at a time, so that thousands of people take no more memory than a few.
    while len(order):
        best, order = int(order[0]), order[1:]
        kept.append(best)
        one = slice(best, best + 1)
        similar = oks(poses.keypoints[order], poses.keypoints[one], found[one], areas[one], poses.skeleton.sigmas)[:, 0]
        order = order[similar <= threshold]
    return poses[np.array(kept)]
