"""`Poses`: the people of one image."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from manypose.poses.boxes import boxes_around
from manypose.poses.skeleton import Skeleton

__all__ = ["Poses"]


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

    # ── to other formats (`manypose.poses.formats` has more, and the ways back) ──

    def to_coco(self, image_id: int | str) -> list[dict[str, Any]]:
        """This image's part of a COCO keypoint results file."""
        from manypose.poses.formats import to_coco

        return to_coco(self, image_id)

    def to_openpose(self, order: Literal["body_25", "coco_18"] = "body_25") -> dict[str, Any]:
        """OpenPose's JSON of one image."""
        from manypose.poses.formats import to_openpose

        return to_openpose(self, order)

    def to_csv_rows(self, image: str = "") -> list[tuple]:
        """One row a found joint: image, person, joint, x, y, score, id."""
        from manypose.poses.formats import to_csv_rows

        return to_csv_rows(self, image)

    def to_supervision(self) -> Any:
        """``supervision.KeyPoints`` (extra ``interop``)."""
        from manypose.poses.formats import to_supervision

        return to_supervision(self)

    def draw(self, path: str | Path | None = None, photo: Any = None, **options: Any) -> UInt8[np.ndarray, "H W 3"]:
        """The photo with the people drawn on it; also written to `path` if that is given.

        Args:
            path: ``.jpg``, ``.png`` …
            photo: path, array, PIL image or tensor to draw on; default: the one they were found in.
            options: of `manypose.poses.drawing.draw`.

        Raises:
            ValueError: no photo is known (frames of a video are not kept).
        """
        from manypose.io import photos
        from manypose.poses.drawing import draw

        photo = self.photo if photo is None else photo
        if photo is None:
            raise ValueError("these people do not know their photo; give it: poses.draw(path, photo)")
        picture = draw(photos.pixels(photo), self, **options)
        if path is not None:
            photos.write(path, picture)
        return picture


_ROWS = ("keypoints", "keypoint_scores", "scores", "boxes", "masks", "ids")
