"""`Tracker`: track ids for the people of a video, for any pose estimation method.

Source: Xiao, Wu and Wei, Simple Baselines for Human Pose Estimation and Tracking, ECCV 2018, Section 3: tracks are propagated
by optical flow; people take the ids of the most similar tracks by OKS; for a person missed by the detector, the pose network runs again
in the box of the propagated joints, enlarged by 15 %; OKS-NMS removes duplicates.

Deviations: a track without a person in the last frame, and every track without flow, is propagated at constant velocity; otherwise the
better fit of flow and velocity counts. People with missing joints are compared by the joints that both have
(`manypose.tracking.association.similarity`). Matching maximizes the total similarity; the paper matches the most similar pair first
(`TrackOptions.matching`). A redetected person gets the lower of its new score and the score of its last detection.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from manypose.io.shapes import Float, Int, UInt8
from manypose.poses.boxes import boxes_around
from manypose.poses.oks import oks, oks_nms
from manypose.poses.poses import Poses
from manypose.poses.skeleton import Skeleton
from manypose.tracking.association import pairs, similarity
from manypose.tracking.optical_flow import Flow, Step
from manypose.tracking.tracks import FrameDetections, Tracks

__all__ = ["Look", "TrackOptions", "Tracker"]

Look: TypeAlias = Callable[[UInt8[np.ndarray, "H W 3"], Float[np.ndarray, "n 4"]], list[Poses]]
"""A function from a frame and boxes (xyxy) to `Poses` with at most one person per box, in the frame's pixels."""


@dataclass(frozen=True)
class TrackOptions:
    """Tracking options.

    Args:
        flow: optical flow that moves people to the next frame: ``dis`` or ``farneback`` (`manypose.tracking.optical_flow`), or ``none``.
        matching: matching of people to tracks: the largest total similarity (``hungarian``), or the most similar pair first (``greedy``,
            as in the paper).
        min_similarity: smallest OKS between a person and a matched track. Raising it gives more new ids and fewer identity switches.
        max_missing_frames: number of frames for which a track without a detection is kept. Raising it bridges longer gaps, but a new
            person gets an old id more often.
        min_new_score: smallest score of a person that starts a track; unmatched people with a lower score are left out. Raising it gives
            fewer short false tracks, and finds new people later.
        nms: OKS above which the lower-scoring of two people in a frame is left out.
        detect_every: detect new people in every N-th frame; in the other frames a top-down model follows the tracked people. Raising it
            saves time, and finds new people later.
        box_margin: fraction of its size by which a track's box is enlarged on each side for redetection.

    Raises:
        ValueError: a number is out of range.
    """

    flow: Literal["dis", "farneback", "none"] = "dis"
    matching: Literal["hungarian", "greedy"] = "hungarian"
    min_similarity: float = 0.05
    max_missing_frames: int = 30
    min_new_score: float = 0.0
    nms: float = 0.9
    box_margin: float = 0.15
    detect_every: int = 1

    def __post_init__(self) -> None:
        if self.flow not in ("dis", "farneback", "none") or self.matching not in ("hungarian", "greedy"):
            raise ValueError(f"flow is dis, farneback or none, and matching hungarian or greedy; got {self.flow!r} and {self.matching!r}")
        if not 0 <= self.max_missing_frames <= 100_000:
            raise ValueError(f"max_missing_frames must be 0 to 100,000 frames, got {self.max_missing_frames}")
        if not 1 <= self.detect_every <= self.max_missing_frames + 1:
            raise ValueError(f"detect_every must be 1 to max_missing_frames + 1 = {self.max_missing_frames + 1}, got {self.detect_every}")
        for name in ("min_similarity", "nms"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, got {getattr(self, name)}")
        if not 0 <= self.box_margin <= 10:
            raise ValueError(f"box_margin must be 0 to 10, got {self.box_margin}")
        if not np.isfinite(self.min_new_score):
            raise ValueError(f"min_new_score must be a number, got {self.min_new_score}")


class Tracker:
    """The tracker of one video, frame by frame. Ids are unique and start at 1.

    >>> from manypose.poses.skeleton import COCO
    >>> def person(x):
    ...     return Poses(COCO, np.arange(34.0).reshape(1, 17, 2) * 3 + x, np.ones((1, 17)), np.ones(1))
    >>> tracker = Tracker(TrackOptions(flow="none"))
    >>> [tracker.update(person(x)).ids.tolist() for x in (0, 2, 4, 900, 8)]
    [[1], [1], [1], [2], [1]]

    Args:
        options: tracking options.
        look: a top-down model for redetection in the predicted boxes of tracks (`Model.tracker` sets it).
    """

    def __init__(self, options: TrackOptions = TrackOptions(), look: Look | None = None) -> None:
        if look is None and options.detect_every > 1:
            raise ValueError("detect_every needs a top-down model, which follows people in the frames without detection")
        self.options: TrackOptions = options
        self.look: Look | None = look
        self._flow = None if options.flow == "none" else Flow(options.flow)
        self._known: Tracks | None = None
        self._skeleton: Skeleton | None = None
        self._next = 1

    @property
    def needs_frames(self) -> bool:
        """Whether `update` needs the frame's pixels."""
        return self._flow is not None or self.look is not None

    def step(self, frame: UInt8[np.ndarray, "H W 3"]) -> Step | None:
        """The optical flow from the previous frame, an argument of `update`; None without optical flow.

        Call it once for each frame, in order; it may run ahead of `update` in another thread.

        Raises:
            ValueError: frames of different sizes.
        """
        return None if self._flow is None else self._flow.step(frame)

    def update(self, poses: Poses, frame: UInt8[np.ndarray, "H W 3"] | None = None, step: Step | None = None) -> Poses:
        """The people of the next frame with ids, in input order, followed by redetected people.

        Args:
            poses: people found in the frame.
            frame: its pixels, RGB; needed for flow and redetection.
            step: the result of `Tracker.step` for this frame, if it was called.

        Raises:
            ValueError: a needed frame is missing, frames differ in size, skeletons differ, or numbers are not finite.
        """
        if frame is None and self.needs_frames:
            raise ValueError("tracking with optical flow or redetection needs the frame's pixels; give them, or set flow='none'")
        if self._skeleton is not None and poses.skeleton.joints != self._skeleton.joints:
            raise ValueError(f"people of skeleton {poses.skeleton.name!r} follow people of skeleton {self._skeleton.name!r}")
        everybody, order = FrameDetections.of(poses), _order(poses)
        place, kept = _suppressed(poses[order], order, self.options.nms)
        seen = everybody[place]
        step = self.step(frame) if step is None and frame is not None else step
        self._skeleton, known = poses.skeleton, self._known or Tracks(len(poses.skeleton))
        known.move(step)
        ids = self._matched(known, seen)
        more = None if self.look is None or frame is None else self._redetected(known, kept, frame, self.look)
        fresh = np.flatnonzero((ids == 0) & (kept.scores >= self.options.min_new_score))
        ids[fresh] = np.arange(self._next, self._next + len(fresh))
        known.add(seen[fresh], self._next)
        self._next += len(fresh)
        known.keep(known.missed <= self.options.max_missing_frames)
        self._known = known
        back = np.argsort(place)
        out = replace(kept[back], ids=ids[back])
        out = out if out.ids is None or out.ids.all() else out[out.ids > 0]
        return out if more is None else _joined(out, more)

    def _matched(self, known: Tracks, seen: FrameDetections) -> Int[np.ndarray, " n"]:
        """The ids of the people of the frame, 0 if unmatched."""
        ids = np.zeros(len(seen.score), np.int64)
        alike = self._alike(known, seen)
        found = pairs(alike, self.options.min_similarity, self.options.matching)
        known.update(found[:, 0], seen[found[:, 1]], detected=True)
        ids[found[:, 1]] = known.ids[found[:, 0]]
        return ids

    def _alike(self, known: Tracks, seen: FrameDetections) -> Float[np.ndarray, "m n"]:
        assert self._skeleton is not None
        # The box of a partly visible person is too small.
        areas, sigmas = np.maximum(known.area[:, None], seen.area), self._skeleton.sigmas
        alike = similarity(known.keypoints, known.found, seen.keypoints, seen.found, areas, sigmas, known.moved)
        if self._flow is None:
            return alike
        # Flow fails for large motions, constant velocity for turns: the better fit counts.
        return np.maximum(alike, similarity(known.keypoints, known.found, seen.keypoints, seen.found, areas, sigmas, known.coasted))

    # ── redetection ──

    def _redetected(self, known: Tracks, detected: Poses, frame: UInt8[np.ndarray, "H W 3"], look: Look) -> Poses | None:
        """People found in the predicted boxes of tracks without a detection, after NMS."""
        wanted = (known.age > 0) & (known.missed <= self.options.max_missing_frames) & known.found.any(1) & (known.score > 0)
        rows = np.flatnonzero(wanted)
        boxes = _boxes(known.keypoints[rows] + known.moved[rows], known.found[rows], self.options.box_margin)
        h, w = frame.shape[:2]
        inside = (boxes[:, :2] < [w - 1, h - 1]).all(1) & (boxes[:, 2:] > 0).all(1)
        rows, boxes = rows[inside], boxes[inside]
        parts = [p.to(detected.skeleton) for p in look(frame, boxes.astype(np.float32))] if len(rows) else []
        # The last detection's score bounds the new one, which lacks the detector's score.
        parts = [replace(p, scores=np.minimum(p.scores, known.score[r]).astype(np.float32)) for p, r in zip(parts, rows, strict=True)]
        best: Poses | None = None
        for i in sorted(range(len(rows)), key=lambda i: -parts[i].scores.max(initial=0)):
            others = detected if best is None else _joined(detected, best)
            if len(parts[i]) != 1 or _same(parts[i], others) > self.options.nms:
                continue
            one, row = FrameDetections.of(parts[i]), rows[i : i + 1]
            if self._alike(known, one)[row[0], 0] >= self.options.min_similarity:
                known.update(row, one, detected=False)
                found = replace(parts[i], ids=known.ids[row])
                best = found if best is None else _joined(best, found)
        return best


# ── arrays ──


def _order(poses: Poses) -> Int[np.ndarray, " n"]:
    """Order by score, then by position, independent of the input order."""
    order = np.argsort(-poses.scores, kind="stable")
    if len(order) > 1 and (np.diff(poses.scores[order]) == 0).any():
        xy = np.where((poses.keypoint_scores > 0)[..., None], poses.keypoints, -np.inf).reshape(len(poses), -1)
        order = np.lexsort((*poses.keypoint_scores.T, *xy.T, *poses.boxes.T, -poses.scores))
    return order


def _suppressed(poses: Poses, order: Int[np.ndarray, " n"], nms: float) -> tuple[Int[np.ndarray, " m"], Poses]:
    """OKS-NMS, and the input indices of the remaining people."""
    if len(poses) < 2:
        return order, poses
    left = oks_nms(replace(poses, ids=np.arange(len(poses))), nms)
    assert left.ids is not None
    return order[left.ids], replace(left, ids=None)


def _boxes(keypoints: Float[np.ndarray, "n k 2"], found: np.ndarray, around: float) -> Float[np.ndarray, "n 4"]:
    """Boxes around joints, enlarged by the fraction `around` of their size and at least one pixel on each side."""
    boxes = boxes_around(keypoints, found)
    pad = np.maximum(around * (boxes[:, 2:] - boxes[:, :2]), 1)
    return np.concatenate([boxes[:, :2] - pad, boxes[:, 2:] + pad], 1)


def _same(one: Poses, others: Poses) -> float:
    """The largest OKS of one person to the others."""
    areas = np.maximum(others.boxes[:, 2:] - others.boxes[:, :2], 1).prod(1)
    found = others.keypoint_scores > 0
    return float(oks(one.keypoints, others.keypoints, found, areas, one.skeleton.sigmas).max(initial=0))


def _joined(first: Poses, second: Poses) -> Poses:
    if not len(first):
        return replace(second, photo=first.photo)
    pairs_ = {n: (getattr(first, n), getattr(second, n)) for n in ("keypoints", "keypoint_scores", "scores", "boxes", "ids", "detections")}
    return replace(first, masks=None, **{n: None if a is None or b is None else np.concatenate([a, b]) for n, (a, b) in pairs_.items()})
