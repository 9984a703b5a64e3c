"""The tracks of a video as arrays: each person as last detected, and the predicted places of its joints."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from manypose.poses.poses import Poses

__all__ = ["FrameDetections", "Tracks"]

SHARE = 0.2
"""The weight of the newest speed in the running mean of a person's speeds, once there are five of them."""

SHRINK = 0.9
"""The least ratio of a person's area to the one before: a box around half a person is too small, and no person shrinks so fast."""


@dataclass(frozen=True)
class FrameDetections:
    """People of one frame, in double precision.

    Args:
        keypoints: 0 where there is no such joint.
        found: which joints they have.
        area: of their boxes.
        score: of each.
    """

    keypoints: Float[np.ndarray, "n k 2"]
    found: Bool[np.ndarray, "n k"]
    area: Float[np.ndarray, " n"]
    score: Float[np.ndarray, " n"]

    @classmethod
    def of(cls, poses: Poses) -> "FrameDetections":
        """Raises `ValueError` where a coordinate or score is not finite."""
        found = poses.keypoint_scores > 0
        keypoints = np.where(found[..., None], poses.keypoints.astype(np.float64), 0)
        boxes = poses.boxes.astype(np.float64)
        if not (np.isfinite(keypoints).all() and np.isfinite(boxes).all() and np.isfinite(poses.scores).all()):
            raise ValueError("people with coordinates or scores that are not finite cannot be tracked")
        return cls(keypoints, found, np.maximum(boxes[:, 2:] - boxes[:, :2], 1).prod(1), poses.scores.astype(np.float64))

    def __getitem__(self, which: Int[np.ndarray, " m"]) -> "FrameDetections":
        return FrameDetections(self.keypoints[which], self.found[which], self.area[which], self.score[which])


class Tracks:
    """One row a person.

    Attributes:
        ids: of the tracks.
        keypoints, found, area: as in `FrameDetections`, when the person was last found.
        score: of the last detection.
        moved: how far each joint should have moved since then (m, k, 2).
        velocity: of the whole person, pixels a frame (m, 2).
        times: how often the person was found.
        age: frames since the person was found.
        missed: frames since the person was detected. A person who is found in the box of its track is found without being detected.
    """

    def __init__(self, k: int) -> None:
        self.ids = np.zeros(0, np.int64)
        self.keypoints = np.zeros((0, k, 2))
        self.found = np.zeros((0, k), bool)
        self.area = np.zeros(0)
        self.score = np.zeros(0)
        self.moved = np.zeros((0, k, 2))
        self.velocity = np.zeros((0, 2))
        self.times = np.zeros(0)
        self.age = np.zeros(0)
        self.missed = np.zeros(0)

    def __len__(self) -> int:
        return len(self.ids)

    def move(self, flow: Callable[[np.ndarray], np.ndarray] | None) -> None:
        """Move all tracks to the next frame: those found in the last frame by flow, the others by their own speed."""
        way = np.broadcast_to(self.velocity[:, None], self.moved.shape)
        if flow is not None:
            way = np.where((self.age == 0)[:, None, None], flow(self.keypoints), way)
        self.moved = self.moved + way
        self.age = self.age + 1
        self.missed = self.missed + 1

    @property
    def coasted(self) -> Float[np.ndarray, "m k 2"]:
        """How far each person would have moved by its own speed alone."""
        return np.broadcast_to((self.velocity * self.age[:, None])[:, None], self.moved.shape)

    def add(self, seen: FrameDetections, first: int) -> None:
        """Start tracks, with ids from `first` on."""
        n, fresh = len(seen.score), Tracks(self.found.shape[1])
        if n == 0:
            return
        fresh.ids, fresh.moved, fresh.velocity = np.arange(first, first + n), np.zeros_like(seen.keypoints), np.zeros((n, 2))
        fresh.keypoints, fresh.found, fresh.area, fresh.score = seen.keypoints, seen.found, seen.area, seen.score
        fresh.times, fresh.age, fresh.missed = np.ones(n), np.zeros(n), np.zeros(n)
        for name, rows in vars(self).items():
            setattr(self, name, np.concatenate([rows, getattr(fresh, name)]))

    def update(self, rows: Int[np.ndarray, " p"], seen: FrameDetections, detected: bool) -> None:
        """Update the tracks `rows` with the detected people `seen`."""
        both = self.found[rows] & seen.found
        way = ((seen.keypoints - self.keypoints[rows]) * both[..., None]).sum(1) / np.maximum(both.sum(1), 1)[:, None]
        share = np.where(both.any(1), np.maximum(1 / self.times[rows], SHARE), 0)
        self.velocity[rows] += share[:, None] * (way / self.age[rows, None] - self.velocity[rows])
        self.area[rows] = np.maximum(seen.area, self.area[rows] * SHRINK)
        self.keypoints[rows], self.found[rows] = seen.keypoints, seen.found
        self.moved[rows], self.age[rows] = 0, 0
        self.times[rows] += 1
        if detected:
            self.missed[rows], self.score[rows] = 0, seen.score

    def keep(self, which: Bool[np.ndarray, " m"]) -> None:
        """Remove the other tracks."""
        if not which.all():
            for name, rows in vars(self).items():
                setattr(self, name, rows[which])
