"""Tracking: which person of a frame is which of the frames before, for the people that any method finds.

Source: Xiao, Wu and Wei, Simple Baselines for Human Pose Estimation and Tracking, ECCV 2018, Section 3: people known so far are moved into
the new frame by optical flow; people of the frame take the ids of those they are most alike by OKS; a person whom the detector missed
is looked at again in the box of the moved joints, enlarged by 15 %; OKS-NMS leaves one result a person.

We deviate: a person who was not found in the last frame has no joints there that flow could follow (it would follow whoever stands before
them), so they go on at the speed they had; so does everybody where no flow is asked for. Where flow and speed differ, the one that fits
better counts. People of whom joints are missing are compared by those that both have (see `manypose.tracking.association.similarity`). Pairs are
chosen for the largest sum; the paper takes the most alike first (`TrackOptions.matching`). All that is kept is one row for each person
still known.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, UInt8

from manypose.inference.pipeline import Options, PhotoInput, Result, stream
from manypose.io import photos as media
from manypose.methods.method import Method, TopDownMethod
from manypose.poses.boxes import boxes_around
from manypose.poses.oks import oks, oks_nms
from manypose.poses.poses import Poses
from manypose.poses.skeleton import Skeleton
from manypose.tracking.association import pairs, similarity
from manypose.tracking.optical_flow import Flow
from manypose.tracking.tracks import FrameDetections, Tracks

__all__ = ["TrackOptions", "Tracker", "tracked"]


@dataclass(frozen=True)
class TrackOptions:
    """How to track.

    Args:
        flow: optical flow that moves people into the next frame, ``dis`` or ``farneback`` (see `manypose.tracking.optical_flow`); or ``none``.
        matching: people take the ids that make the sum of all similarities largest (``hungarian``), or the most alike pair first
            (``greedy``, as the paper has it).
        least: least similarity of a pair.
        gap: for how many frames a person who is not detected is remembered.
        begin: least score of a person with a new id; people who are nobody known and score less are left out.
        nms: largest OKS of two people of one frame.
        around: by which part of its size a box is enlarged on each side to look at a person again.

    Raises:
        ValueError: a number makes no sense.
    """

    flow: Literal["dis", "farneback", "none"] = "dis"
    matching: Literal["hungarian", "greedy"] = "hungarian"
    least: float = 0.05
    gap: int = 30
    begin: float = 0.0
    nms: float = 0.9
    around: float = 0.15

    def __post_init__(self) -> None:
        if self.flow not in ("dis", "farneback", "none") or self.matching not in ("hungarian", "greedy"):
            raise ValueError(f"flow is dis, farneback or none, and matching hungarian or greedy; got {self.flow!r} and {self.matching!r}")
        if not 0 <= self.gap <= 100_000:
            raise ValueError(f"gap must be 0 to 100,000 frames, got {self.gap}")
        if not (0 < self.least <= 1 and 0 < self.nms <= 1 and 0 <= self.around <= 10):
            raise ValueError(f"least and nms must be above 0 and at most 1, around 0 to 10; got {self.least}, {self.nms} and {self.around}")
        if not np.isfinite(self.begin):
            raise ValueError(f"begin must be a number, got {self.begin}")


class Tracker:
    """Gives ids to the people of a video, frame by frame. Ids count from 1; none is given to two people.

    >>> from manypose.poses.skeleton import COCO
    >>> def person(x):
    ...     return Poses(COCO, np.arange(34.0).reshape(1, 17, 2) * 3 + x, np.ones((1, 17)), np.ones(1))
    >>> tracker = Tracker(TrackOptions(flow="none"))
    >>> [tracker.update(person(x)).ids.tolist() for x in (0, 2, 4, 900, 8)]
    [[1], [1], [1], [2], [1]]

    Args:
        options: how to track.
        again: a top-down method that looks again at people whom the frame's detections lack, where they should be by now.

    Raises:
        ValueError: `again` is no top-down method.
    """

    def __init__(self, options: TrackOptions = TrackOptions(), again: Method | None = None) -> None:
        if again is not None and not isinstance(again, TopDownMethod):
            raise ValueError("only a top-down model can look at people again in boxes; the one given looks at whole photos")
        self.options, self.again = options, again
        self._flow = None if options.flow == "none" else Flow(options.flow)
        self._known: Tracks | None = None
        self._skeleton: Skeleton | None = None
        self._next = 1

    @property
    def needs_frames(self) -> bool:
        """Whether `update` must be given the picture."""
        return self._flow is not None or self.again is not None

    def update(self, poses: Poses, frame: UInt8[np.ndarray, "H W 3"] | None = None) -> Poses:
        """The people of the next frame with ids, in the order they came in; people found again come last.

        Args:
            poses: people found in the frame.
            frame: its pixels, RGB; needed for flow and for looking again.

        Raises:
            ValueError: no frame where one is needed, frames of different sizes, another skeleton than before, or numbers that are not
                finite.
        """
        if frame is None and self.needs_frames:
            raise ValueError("tracking with optical flow, or looking again, needs the frame's pixels; give them, or set flow='none'")
        if self._skeleton is not None and poses.skeleton.joints != self._skeleton.joints:
            raise ValueError(f"people of skeleton {poses.skeleton.name!r} follow people of skeleton {self._skeleton.name!r}")
        everybody, order = FrameDetections.of(poses), _order(poses)
        place, kept = _suppressed(poses[order], order, self.options.nms)
        seen = everybody[place]
        step = None if self._flow is None or frame is None else self._flow.step(frame)
        self._skeleton, known = poses.skeleton, self._known or Tracks(len(poses.skeleton))
        known.move(step)
        ids = self._matched(known, seen)
        more = None if self.again is None or frame is None else self._again(known, kept, frame)
        fresh = np.flatnonzero((ids == 0) & (kept.scores >= self.options.begin))
        ids[fresh] = np.arange(self._next, self._next + len(fresh))
        known.add(seen[fresh], self._next)
        self._next += len(fresh)
        known.keep(known.missed <= self.options.gap)
        self._known = known
        back = np.argsort(place)
        out = replace(kept[back], ids=ids[back])
        out = out if out.ids is None or out.ids.all() else out[out.ids > 0]
        return out if more is None else _joined(out, more)

    def _matched(self, known: Tracks, seen: FrameDetections) -> Int[np.ndarray, " n"]:
        """The ids of people of the frame, 0 where they are nobody known."""
        ids = np.zeros(len(seen.score), np.int64)
        alike = self._alike(known, seen)
        found = pairs(alike, self.options.least, self.options.matching)
        known.update(found[:, 0], seen[found[:, 1]], detected=True)
        ids[found[:, 1]] = known.ids[found[:, 0]]
        return ids

    def _alike(self, known: Tracks, seen: FrameDetections) -> Float[np.ndarray, "m n"]:
        assert self._skeleton is not None
        # Of a person of whom little is seen, in one of the frames, the box is too small.
        areas, sigmas = np.maximum(known.area[:, None], seen.area), self._skeleton.sigmas
        alike = similarity(known.keypoints, known.found, seen.keypoints, seen.found, areas, sigmas, known.moved)
        if self._flow is None:
            return alike
        # Flow loses limbs that move far from one frame to the next; a person's own speed knows nothing of a turn. The better one counts.
        return np.maximum(alike, similarity(known.keypoints, known.found, seen.keypoints, seen.found, areas, sigmas, known.coasted))

    # ── people whom the detector missed ──

    def _again(self, known: Tracks, detected: Poses, frame: UInt8[np.ndarray, "H W 3"]) -> Poses | None:
        """People known but not detected, found in the boxes where they should be; of two at one place the better one."""
        wanted = (known.age > 0) & (known.missed <= self.options.gap) & known.found.any(1) & (known.score > 0)
        rows = np.flatnonzero(wanted)
        boxes = _boxes(known.keypoints[rows] + known.moved[rows], known.found[rows], self.options.around)
        h, w = frame.shape[:2]
        inside = (boxes[:, :2] < [w - 1, h - 1]).all(1) & (boxes[:, 2:] > 0).all(1)
        rows, boxes = rows[inside], boxes[inside]
        parts = self._looked(np.column_stack([boxes, known.score[rows]]).astype(np.float32), frame)
        best: Poses | None = None
        for i in sorted(range(len(rows)), key=lambda i: -parts[i].scores.max(initial=0)):
            others = detected if best is None else _joined(detected, best)
            if len(parts[i]) != 1 or _same(parts[i], others) > self.options.nms:
                continue
            one, row = FrameDetections.of(parts[i]), rows[i : i + 1]
            if self._alike(known, one)[row[0], 0] >= self.options.least:
                known.update(row, one, detected=False)
                found = replace(parts[i], ids=known.ids[row])
                best = found if best is None else _joined(best, found)
        return best

    def _looked(self, boxes: Float[np.ndarray, "n 5"], frame: UInt8[np.ndarray, "H W 3"]) -> list[Poses]:
        """Whom the top-down method finds in each box."""
        assert self.again is not None
        assert self._skeleton is not None
        found = []
        for result in stream(self.again, [PhotoInput(frame, box[None], keep=False) for box in boxes], Options()):
            if result.poses is None:
                raise result.error or RuntimeError("no result")
            found.append(result.poses.to(self._skeleton))
        return found


def tracked(results: Iterable[Result], tracker: Tracker) -> Iterator[Result]:
    """The results of a video's frames, in order, with ids; a result with an error is passed on as it is."""
    for result in results:
        if result.poses is None:
            yield result
        else:
            frame = media.pixels(result.item.photo) if tracker.needs_frames else None
            yield replace(result, poses=tracker.update(result.poses, frame))


# ── arrays ──


def _order(poses: Poses) -> Int[np.ndarray, " n"]:
    """Best first; people of equal score by their places: whatever order they come in, they are treated alike."""
    order = np.argsort(-poses.scores, kind="stable")
    if len(order) > 1 and (np.diff(poses.scores[order]) == 0).any():
        xy = np.where((poses.keypoint_scores > 0)[..., None], poses.keypoints, -np.inf).reshape(len(poses), -1)
        order = np.lexsort((*poses.keypoint_scores.T, *xy.T, *poses.boxes.T, -poses.scores))
    return order


def _suppressed(poses: Poses, order: Int[np.ndarray, " n"], nms: float) -> tuple[Int[np.ndarray, " m"], Poses]:
    """OKS-NMS; of those who are left also their places in the order they came in."""
    if len(poses) < 2:
        return order, poses
    left = oks_nms(replace(poses, ids=np.arange(len(poses))), nms)
    assert left.ids is not None
    return order[left.ids], replace(left, ids=None)


def _boxes(keypoints: Float[np.ndarray, "n k 2"], found: np.ndarray, around: float) -> Float[np.ndarray, "n 4"]:
    """Boxes around joints, enlarged by a part of their size and at least a pixel on each side."""
    boxes = boxes_around(keypoints, found)
    pad = np.maximum(around * (boxes[:, 2:] - boxes[:, :2]), 1)
    return np.concatenate([boxes[:, :2] - pad, boxes[:, 2:] + pad], 1)


def _same(one: Poses, others: Poses) -> float:
    """The largest OKS of one person to the others."""
    areas = np.maximum(others.boxes[:, 2:] - others.boxes[:, :2], 1).prod(1)
    found = others.keypoint_scores > 0
    return float(oks(one.keypoints, others.keypoints, found, areas, one.skeleton.sigmas).max(initial=0))


def _joined(first: Poses, second: Poses) -> Poses:
    names = ("keypoints", "keypoint_scores", "scores", "boxes", "ids")
    rows = {n: np.concatenate([getattr(first, n), getattr(second, n)]) for n in names if getattr(first, n) is not None}
    return replace(first, **{"ids": None, "masks": None, **rows})
