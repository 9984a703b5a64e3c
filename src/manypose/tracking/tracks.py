"""The tracks of a video as arrays: each person's last detection and the predicted motion of its joints."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from manypose.poses.poses import Poses

__all__ = ["FrameDetections", "Tracks"]

SHARE = 0.2
"""Weight of the newest velocity in the running mean, from the fifth velocity on."""

SHRINK = 0.9
"""Smallest ratio of a person's area to the previous one, since the box of a partly visible person is too small."""


@dataclass(frozen=True)
class FrameDetections:
    """The people of one frame, in double precision.

    Args:
        keypoints: 0 for missing joints.
        found: mask of the joints found.
        area: areas of the boxes.
        score: score of each person.
    """

    keypoints: Float[np.ndarray, "n k 2"]
    found: Bool[np.ndarray, "n k"]
    area: Float[np.ndarray, " n"]
    score: Float[np.ndarray, " n"]

    @classmethod
    def of(cls, poses: Poses) -> "FrameDetections":
        """Arrays of `Poses`; raises `ValueError` if a coordinate or score is not finite."""
        found = poses.keypoint_scores > 0
        keypoints = np.where(found[..., None], poses.keypoints.astype(np.float64), 0)
        boxes = poses.boxes.astype(np.float64)
        if not (np.isfinite(keypoints).all() and np.isfinite(boxes).all() and np.isfinite(poses.scores).all()):
            raise ValueError("people with coordinates or scores that are not finite cannot be tracked")
        return cls(keypoints, found, np.maximum(boxes[:, 2:] - boxes[:, :2], 1).prod(1), poses.scores.astype(np.float64))

    def __getitem__(self, which: Int[np.ndarray, " m"]) -> "FrameDetections":
        return FrameDetections(self.keypoints[which], self.found[which], self.area[which], self.score[which])


class Tracks:
    """Tracks, one row each.

    Attributes:
        ids: track ids.
        keypoints, found, area: as in `FrameDetections`, when the person was last found.
        score: score of the last detection.
        moved: predicted motion of each joint since then (m, k, 2).
        velocity: mean velocity of the joints in pixels per frame (m, 2).
        times: number of frames in which the person was found.
        age: frames since the person was last found.
        missed: frames since the person was last detected (redetection does not count).
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
        """Propagate the tracks to the next frame: those found in the last frame by flow, the others at constant velocity."""
        way = np.broadcast_to(self.velocity[:, None], self.moved.shape)
        if flow is not None:
            way = np.where((self.age == 0)[:, None, None], flow(self.keypoints), way)
        self.moved = self.moved + way
        self.age = self.age + 1
        self.missed = self.missed + 1

    @property
    def coasted(self) -> Float[np.ndarray, "m k 2"]:
        """The motion of each person at constant velocity."""
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
