"""Videos of drawn people whose paths cross, with joints, track ids and head sizes for every frame. Nothing has to be downloaded.

A frame depends only on (seed, frame number): frames can be made in any order, and a long video needs no memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from manypose.data.datasets.head_sizes import HeadScaledTruth, head_size
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO, POSETRACK, Skeleton
from synthetic_people.drawn.backdrop import backdrop
from synthetic_people.drawn.draw_person import draw_person, figure_joints
from synthetic_people.drawn.figure import Figure, Proportions, project, random_proportions
from synthetic_people.drawn.gait import STRIDE, walking
from synthetic_people.drawn.look import Look, random_look

__all__ = ["Crowd", "SyntheticVideo", "found_in"]


@dataclass(frozen=True)
class Crowd:
    """The people of one frame, far ones first.

    Args:
        truth: joints (labelled if inside the picture), track ids, head sizes.
        hidden: the part of each person's box that boxes of nearer people cover.
    """

    truth: HeadScaledTruth
    hidden: Float[np.ndarray, " n"]


@dataclass(frozen=True)
class _Walker:
    """One person who crosses the picture once."""

    id: int
    body: Proportions
    look: Look
    scale: float  # pixels a body height
    start: tuple[float, float]  # of the hips
    speed: float  # pixels a frame, to the right
    stride: float  # frames
    phase: float
    turn: float  # degrees from the walking direction
    arms: float


@dataclass(frozen=True, eq=False)
class SyntheticVideo:
    """Lanes of walkers, far to near; a new person enters a lane after one has left it.

    Args:
        frames: number of frames.
        seed: of all random choices.
        size: height and width in pixels.
        lanes: number of lanes, each with at most one person at a time.
        height: least and largest height of a person, as parts of the picture's height.
        stride: least and largest duration of two steps, in frames.
        skeleton: COCO, or POSETRACK with the top and the bottom of the head.

    Raises:
        ValueError: no frames or lanes, sizes below 16 pixels, or another skeleton.
    """

    frames: int = 100
    seed: int = 0
    size: tuple[int, int] = (240, 320)
    lanes: int = 4
    height: tuple[float, float] = (0.45, 0.75)
    stride: tuple[float, float] = (20.0, 36.0)
    skeleton: Skeleton = field(default=COCO)

    def __post_init__(self) -> None:
        ranges = 0 < self.height[0] <= self.height[1] and 0 < self.stride[0] <= self.stride[1]
        if self.frames < 1 or self.lanes < 1 or min(self.size) < 16 or not ranges or self.skeleton not in (COCO, POSETRACK):
            raise ValueError(
                "SyntheticVideo needs frames and lanes >= 1, size >= 16, rising ranges above 0 and the skeleton COCO or POSETRACK, got "
                f"{self.frames}, {self.lanes}, {self.size}, {self.height}, {self.stride}, {self.skeleton.name}"
            )
        object.__setattr__(self, "_walker", lru_cache(4 * self.lanes)(self._walker))

    def __len__(self) -> int:
        return self.frames

    def __iter__(self) -> Iterator[tuple[UInt8[np.ndarray, "H W 3"], Crowd]]:
        """Pictures and truth, frame by frame."""
        return ((self.picture(i), self.people(i)) for i in range(self.frames))

    def people(self, i: int) -> Crowd:
        """The people of frame i, without drawing it."""
        h, w = self.size
        keypoints, heads, ids, boxes = [], [], [], []
        for walker, figure, at in self._there(i):
            xyz, local = project(_joints(figure, self.skeleton), walker.scale, at)
            inside = np.all((xyz[:, :2] >= -0.5) & (xyz[:, :2] < [w - 0.5, h - 0.5]), axis=1)
            if inside.any():
                keypoints.append(np.column_stack([xyz[:, :2], np.where(inside, 2, 0)]) * inside[:, None])
                half = np.array(figure.body.head)[[2, 1]] * float(local[0])
                heads.append(head_size(np.array([[*-half, *half]]))[0])
                ids.append(walker.id)
                boxes.append([*xyz[:, :2].min(0), *xyz[:, :2].max(0)])
        joints = np.array(keypoints, np.float64).reshape(-1, len(self.skeleton), 3)
        truth = HeadScaledTruth(
            self.skeleton, i, joints, np.array(heads, np.float64), np.array(ids, np.int64), (), f"synthetic {self.seed}"
        )
        return Crowd(truth, _hidden(np.array(boxes, np.float64).reshape(-1, 4)))

    def picture(self, i: int) -> UInt8[np.ndarray, "H W 3"]:
        """Frame i, drawn."""
        image, light = _stage(self.seed, self.size)
        image = image.copy()
        for walker, figure, at in self._there(i):
            canvas = draw_person(figure, walker.look, walker.scale, at, self.size, light, 0.4).canvas
            (x, y), (h, w) = canvas.origin, canvas.alpha.shape
            if h and w:
                part = (slice(y, y + h), slice(x, x + w))
                image[part] = image[part] * (1 - canvas.alpha[..., None]) + canvas.rgb
        image = cv2.GaussianBlur(image, (0, 0), 0.5)
        grain = np.random.default_rng((self.seed, i, 1)).normal(0, 2.5, image.shape)
        return np.clip(image + grain, 0, 255).astype(np.uint8)

    def _there(self, i: int) -> list[tuple[_Walker, Figure, tuple[float, float]]]:
        """Posed walkers with the pixel position of their hips."""
        if not 0 <= i < self.frames:
            raise IndexError(f"no frame {i}, there are {self.frames}")
        found = []
        for lane in range(self.lanes):
            period, offset = self._rhythm(lane)
            turn, since = divmod(i + offset, period)
            walker: _Walker = self._walker(lane, turn)
            phase = (walker.phase + since / walker.stride) % 1
            facing = (90 if walker.speed > 0 else -90) + walker.turn
            # The hips rise and fall twice a stride.
            bob = 0.012 * walker.scale * np.cos(4 * np.pi * phase)
            at = (walker.start[0] + walker.speed * since, walker.start[1] + bob)
            found.append((walker, walking(walker.body, phase, facing, walker.arms), at))
        return found

    def _rhythm(self, lane: int) -> tuple[int, int]:
        """Number of frames between two walkers of a lane, and the offset of the first frame in it."""
        slowest = STRIDE * self._scale(lane) * 0.9 / self.stride[1]
        period = int(np.ceil((self.size[1] + 0.8 * self._scale(lane)) / slowest))
        return period, int(np.random.default_rng((self.seed, lane, 2)).integers(0, period // 2))

    def _scale(self, lane: int) -> float:
        part = lane / max(1, self.lanes - 1)
        return self.size[0] * (self.height[0] + part * (self.height[1] - self.height[0]))

    def _walker(self, lane: int, turn: int) -> _Walker:
        rng = np.random.default_rng((self.seed, lane, turn, 3))
        h, w = self.size
        scale, stride = self._scale(lane) * rng.uniform(0.9, 1.1), rng.uniform(*self.stride)
        right = bool((lane + turn) % 2)
        feet = h * (0.72 + 0.26 * lane / max(1, self.lanes - 1))
        start = (-0.4 * scale if right else w + 0.4 * scale, feet - 0.5 * scale)
        return _Walker(
            1 + lane + self.lanes * turn, random_proportions(rng), random_look(rng), scale, start,
            STRIDE * scale / stride * (1 if right else -1), stride, rng.uniform(0, 1), rng.uniform(-25, 25), rng.uniform(15, 35),
        )  # fmt: skip


@lru_cache(4)
def _stage(seed: int, size: tuple[int, int]) -> tuple[Float[np.ndarray, "H W 3"], Float[np.ndarray, "3"]]:
    """The background and the direction of the light."""
    rng = np.random.default_rng((seed, 4))
    light = rng.normal(0, 1, 3) * (1, 0.5, 0.3) + (0, -0.8, -0.7)
    return backdrop(rng, size, None), light / np.linalg.norm(light)


def _joints(figure: Figure, skeleton: Skeleton) -> Float[np.ndarray, "k 3"]:
    joints = dict(zip(COCO.joints, figure_joints(figure), strict=True))
    skull, chest = figure.points["skull"], figure.points["chest"]
    joints["head_top"] = skull + figure.head @ np.array([0, figure.body.head[1], 0])
    joints["head_bottom"] = chest + 0.35 * (skull - chest)
    return np.stack([joints[j] for j in skeleton.joints])


def _hidden(boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, " n"]:
    """The largest part of each box that a single later box covers."""
    low, high = np.maximum(boxes[:, None, :2], boxes[None, :, :2]), np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    covered = np.maximum(high - low, 0).prod(-1) / np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(1), 1e-9)[:, None]
    return np.triu(covered, 1).max(1, initial=0)


def found_in(
    crowd: Crowd, rng: np.random.Generator, noise: float = 0.0, drop: float = 0.0, hide: float = 2.0, ghosts: float = 0.0
) -> Poses:
    """Simulated detections of a frame, in random order. Their ids are the true ones (0: false detection), to compare with a tracker's.

    Args:
        crowd: the people of the frame.
        rng: random generator.
        noise: standard deviation of joints, in head sizes.
        drop: chance that a person is missed, and that a joint is missed.
        hide: people with a larger hidden part are missed.
        ghosts: chance of a false detection, a copy of a person moved by some head sizes.
    """
    truth = crowd.truth
    kept = np.flatnonzero((rng.random(len(truth)) >= drop) & (crowd.hidden <= hide))
    there: Bool[np.ndarray, "n k"] = truth.labelled[kept] & (rng.random((len(kept), len(truth.skeleton))) >= drop)
    joints = (
        truth.keypoints[kept, :, :2]
        + rng.normal(0, 1, (len(kept), len(truth.skeleton), 2)) * (noise * truth.head_sizes[kept])[:, None, None]
    )
    ids = np.zeros(0, np.int64) if truth.ids is None else truth.ids[kept]
    if len(kept) and rng.random() < ghosts:
        joints = np.concatenate([joints, joints[:1] + rng.uniform(-4, 4, 2) * truth.head_sizes[kept[0]]])
        there, ids = np.concatenate([there, there[:1]]), np.append(ids, 0)
    order: Int[np.ndarray, " n"] = rng.permutation(np.flatnonzero(there.any(1)))
    scores = np.where(there, rng.uniform(0.6, 1, there.shape), 0)[order]
    keypoints = np.where(there[..., None], joints, 0)[order]
    return Poses(truth.skeleton, keypoints, scores, scores.sum(1) / np.maximum((scores > 0).sum(1), 1), ids=ids[order])
