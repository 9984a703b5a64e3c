"""`Poses`: the people of one image."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from PIL import Image

from manypose.io.files import write_text
from manypose.io.shapes import Bool, Float, Int, UInt8
from manypose.poses import drawing, formats
from manypose.poses.arrays import People, in_skeleton
from manypose.poses.boxes import boxes_around, counted
from manypose.poses.person import Person, box_text
from manypose.poses.skeleton import Skeleton

__all__ = ["Poses"]


@dataclass(frozen=True, eq=False, repr=False)
class Poses:
    """The people of one image, best first or in the data set's order. Coordinates are xy pixels; integers are pixel centres.

    ``poses[0]`` and iteration give a `Person`; slices, index arrays and boolean arrays give `Poses`.

    Args:
        skeleton: names and order of the k joints.
        keypoints: positions; a joint that was not found has score 0 and, by convention, position 0.
        keypoint_scores: confidence of each joint, 0 if not found.
        scores: confidence of each person.
        boxes: xyxy; default: around each person's joints (those of `manypose.poses.boxes.counted`).
        masks: person masks at the image's size, from methods with segmentation.
        ids: track ids, from a tracker.
        detections: the person detector's xyxy boxes, from top-down methods; ``bbox`` of result files.
        photo: the path or RGB array of the photo, for drawing.
    """

    skeleton: Skeleton
    keypoints: Float[np.ndarray, "n k 2"]
    keypoint_scores: Float[np.ndarray, "n k"]
    scores: Float[np.ndarray, " n"]
    boxes: Float[np.ndarray, "n 4"] = field(default=None)  # type: ignore[assignment]
    masks: Bool[np.ndarray, "n H W"] | None = None
    ids: Int[np.ndarray, " n"] | None = None
    photo: Any = None
    detections: Float[np.ndarray, "n 4"] | None = None

    def __post_init__(self) -> None:
        n, k = len(self.keypoints), len(self.skeleton)
        if self.keypoints.shape != (n, k, 2) or self.keypoint_scores.shape != (n, k) or self.scores.shape != (n,):
            raise ValueError(
                f"Poses of skeleton {self.skeleton.name!r} need keypoints (n,{k},2), keypoint_scores (n,{k}) and scores (n,); "
                f"got {self.keypoints.shape}, {self.keypoint_scores.shape}, {self.scores.shape}"
            )
        if self.boxes is None:
            object.__setattr__(self, "boxes", boxes_around(self.keypoints, counted(self.keypoint_scores)))
        for name in ("boxes", "masks", "ids", "detections"):
            value = getattr(self, name)
            if value is not None and len(value) != n:
                raise ValueError(f"Poses: {n} people but {len(value)} {name}")

    # ── a collection of people ──

    def __len__(self) -> int:
        return len(self.keypoints)

    @overload
    def __getitem__(self, which: int | np.integer) -> Person: ...
    @overload
    def __getitem__(self, which: slice | list[int] | np.ndarray) -> "Poses": ...
    def __getitem__(self, which: int | np.integer | slice | list[int] | np.ndarray | str) -> "Person | Poses":
        """One person by index; several by slice, index array or boolean array."""
        if isinstance(which, str):
            raise TypeError(f"people are indexed by number, slice or array; a joint of one person is poses[0][{which!r}]")
        if isinstance(which, (int, np.integer)):
            if not -len(self) <= which < len(self):
                raise IndexError(f"no person {which}: there are {len(self)}")
            box = self.boxes if self.detections is None else self.detections
            name = None if self.ids is None else int(self.ids[which])
            scores = self.keypoint_scores[which]
            return Person(self.skeleton, self.keypoints[which], scores, float(self.scores[which]), box[which], name)
        return replace(self, **{f: None if getattr(self, f) is None else getattr(self, f)[which] for f in _ROWS})

    def __iter__(self) -> Iterator[Person]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        shown = ", ".join(f"{s:.3f}" for s in self.scores[:5]) + (", …" if len(self) > 5 else "")
        people = f"{len(self)} {'person' if len(self) == 1 else 'people'}"
        return f"Poses({people} of skeleton {self.skeleton.name!r}" + (f", scores {shown})" if len(self) else ")")

    def summary(self) -> str:
        """A text with a line for each person: score, number of joints found, box and track id."""
        rows = [
            f"  {i}: score {p.score:.3f}, {int((p.scores > 0).sum())} joints, {box_text(p.box)}" + ("" if p.id is None else f", id {p.id}")
            for i, p in enumerate(self)
        ]
        return "\n".join([f"{len(self)} {'person' if len(self) == 1 else 'people'}, skeleton {self.skeleton.name!r}", *rows])

    @classmethod
    def empty(cls, skeleton: Skeleton) -> "Poses":
        """Poses without people."""
        k = len(skeleton)
        return cls(skeleton, np.zeros((0, k, 2), np.float32), np.zeros((0, k), np.float32), np.zeros(0, np.float32))

    @classmethod
    def of(cls, people: People) -> "Poses":
        """Poses from the arrays of a format's reader."""
        found = (people.keypoints, people.keypoint_scores, people.scores)
        more: Any = {} if people.boxes is None else {"boxes": people.boxes}
        return cls(people.skeleton, *found, ids=people.ids, detections=people.detections, **more)

    @classmethod
    def of_joints(
        cls, skeleton: Skeleton, joints: Float[np.ndarray, "k 3"], min_height: float | None = None, joint_penalty: float | None = None
    ) -> "Poses":
        """One person from the x, y and peak height of each joint.

        Args:
            skeleton: of the person.
            joints: x, y, height.
            min_height: the person's score is the mean of the heights above `min_height`; None: of all.
            joint_penalty: if given, the score is Σh² / (Σh + k · joint_penalty), a mean of the heights weighted by themselves with a
                penalty per joint, so that invisible joints hardly lower it. Raising it lowers the scores of people with few visible joints.
        """
        heights = joints[:, 2].copy()
        counts = heights if min_height is None else heights[heights > min_height]
        mean = counts.mean() if len(counts) else 0.0
        score = mean if joint_penalty is None else (heights**2).sum() / (heights.sum() + len(heights) * joint_penalty)
        return cls(skeleton, joints[None, :, :2] * (heights > 0)[None, :, None], heights[None], np.array([score], np.float32))

    @classmethod
    def of_boxes(cls, skeleton: Skeleton, boxes: Float[np.ndarray, "n 5"]) -> "Poses":
        """People from boxes and scores alone; every joint lies at the box's centre."""
        middle = np.repeat((boxes[:, None, :2] + boxes[:, None, 2:4]) / 2, len(skeleton), 1)
        return cls(skeleton, middle, np.ones(middle.shape[:2], np.float32), boxes[:, 4], boxes[:, :4])

    def to(self, skeleton: Skeleton) -> "Poses":
        """The same people with the joints of another skeleton, matched by name; missing joints get score 0."""
        keypoints, scores = in_skeleton(self, skeleton)
        return replace(self, skeleton=skeleton, keypoints=keypoints, keypoint_scores=scores)

    # ── to other formats (`manypose.poses.formats` has more, and the readers) ──

    def to_coco(self, image_id: int | str) -> list[dict[str, Any]]:
        """The entries of this image in a COCO keypoint results file."""
        return formats.to_coco(self, image_id)

    def to_openpose(self, order: Literal["body_25", "coco_18"] = "body_25") -> dict[str, Any]:
        """OpenPose's JSON of one image."""
        return formats.to_openpose(self, order)

    def to_csv_rows(self, image: str = "") -> list[tuple[Any, ...]]:
        """One row per found joint: image, person, joint, x, y, score, id."""
        return formats.to_csv_rows(self, image)

    def to_supervision(self) -> Any:
        """``supervision.KeyPoints`` (extra ``interop``)."""
        return formats.to_supervision(self)

    def to_pandas(self, image: str = "") -> Any:
        """A ``pandas.DataFrame`` with the rows of `to_csv_rows` (extra ``interop``)."""
        return formats.to_pandas([(image, self)])

    def to_json(self, image: str = "") -> str:
        """One line of JSON with all fields except masks and photo; coordinates to 0.001 px."""
        return formats.to_jsonl(self, image)

    def save(self, path: str | Path) -> None:
        """Write `to_json` to a file that `Poses.load` reads.

        Raises:
            ValueError: the people have masks, which the file would lose.
            OSError: the file cannot be written.
        """
        if self.masks is not None:
            raise ValueError(f"{path}: the format holds no masks; save the people without them: dataclasses.replace(poses, masks=None)")
        write_text(Path(path), self.to_json(str(self.photo) if isinstance(self.photo, (str, Path)) else "") + "\n")

    @classmethod
    def load(cls, path: str | Path) -> "Poses":
        """The people of a file written by `save` (or of a JSON Lines file with one line), with their photo if its path still exists.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not a file of poses.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"{path}: no such file of poses")
        try:
            images = list(formats.from_jsonl(Path(path).read_text(encoding="utf-8-sig").splitlines()))
        except UnicodeDecodeError:
            raise ValueError(f"{path}: not a file of poses (it is not text)") from None
        except ValueError as e:
            raise ValueError(f"{path}: {e}") from None
        if len(images) != 1:
            raise ValueError(f"{path}: {len(images)} images; Poses.load reads one, manypose.poses.formats.from_jsonl reads all")
        name, people = images[0]
        return replace(cls.of(people), photo=name if name and Path(name).is_file() else None)

    # ── pictures ──

    def draw(self, path: str | Path | None = None, photo: Any = None, **options: Any) -> UInt8[np.ndarray, "H W 3"]:
        """The photo with the people drawn on it; also written to `path` if that is given.

        Args:
            path: ``.jpg``, ``.png`` …
            photo: path, array, PIL image or tensor; default: the photo of the prediction.
            options: of `manypose.poses.drawing.draw`.

        Raises:
            ValueError: the photo is not known (video frames are not kept).
        """
        from manypose.io import photos

        photo = self.photo if photo is None else photo
        if photo is None:
            raise ValueError("the photo of these poses is not known (frames of videos are not kept); give it: poses.draw(path, photo)")
        picture = drawing.draw(photos.pixels(photo), self, **options)
        if path is not None:
            photos.write(path, picture)
        return picture

    def show(self, photo: Any = None, **options: Any) -> None:
        """Open the drawing in the system's image viewer."""
        Image.fromarray(self.draw(None, photo, **options)).show()

    def _repr_png_(self) -> bytes | None:
        """The drawing shown by notebooks; None if the photo is not known."""
        if self.photo is None:
            return None
        out = io.BytesIO()
        Image.fromarray(self.draw()).save(out, "PNG")
        return out.getvalue()


_ROWS = ("keypoints", "keypoint_scores", "scores", "boxes", "masks", "ids", "detections")
