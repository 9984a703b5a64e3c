"""PoseTrack's metrics: keypoint AP over frames, and CLEAR MOT (MOTA, MOTP, precision, recall) of each joint's tracks.

Tracking: Bernardin and Stiefelhagen, Evaluating Multiple Object Tracking Performance: The CLEAR MOT Metrics, 2008. Each joint is an
separate object, distances are in head sizes, and pairs above 0.5 are not matched (Andriluka et al., PoseTrack, CVPR 2018). All figures are
percentages, as in PoseTrack's tables; MOTP is 100 · (1 - mean distance), so higher is better.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from itertools import groupby

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from manypose.data.datasets.head_sizes import HeadScaledTruth, without_ignored
from manypose.evaluation.metrics.pckh import PartAP, distances, keypoint_ap, parts
from manypose.poses.poses import Poses

__all__ = ["Counts", "Tracking", "Tracks", "posetrack_ap", "posetrack_mot"]


def posetrack_ap(poses: Sequence[Poses], truths: Sequence[HeadScaledTruth]) -> PartAP:
    """Keypoint AP of PoseTrack: frames without annotated people are left out, joints in ignored regions do not count.

    Args:
        poses: what was found, frame by frame.
        truths: the annotated people.
    """
    frames = [(p, t) for p, t in zip(poses, truths, strict=True) if len(t)]
    if not frames:
        raise ValueError("no frame has an annotated person: is this a test set, whose annotations are not published?")
    return keypoint_ap([p for p, _ in frames], [t for _, t in frames])


@dataclass
class Counts:
    """CLEAR MOT counts of one type of object, summed over frames.

    Args:
        objects: annotated objects, counted in each frame.
        detections: predicted objects that are matched.
        misses: annotated objects that are not matched.
        false_positives: predicted objects that are not matched.
        switches: matches whose annotated object was last matched with another id.
        distance: sum of the distances of the matches.
    """

    objects: int = 0
    detections: int = 0
    misses: int = 0
    false_positives: int = 0
    switches: int = 0
    distance: float = 0.0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def mota(self) -> float:
        """100 · (1 - errors / objects); negative with more errors than objects, NaN without objects."""
        errors = self.misses + self.switches + self.false_positives
        return 100 * (1 - errors / self.objects) if self.objects else float("nan")

    @property
    def motp(self) -> float:
        """100 · (1 - mean distance of the matches); 0 without matches (as in PoseTrack's evaluation)."""
        return 100 * (1 - self.distance / self.detections) if self.detections else 0.0

    @property
    def precision(self) -> float:
        """Percentage of predicted objects that are matched; NaN without predictions."""
        found = self.detections + self.false_positives
        return 100 * self.detections / found if found else float("nan")

    @property
    def recall(self) -> float:
        """Percentage of annotated objects that are matched; NaN without objects."""
        return 100 * self.detections / self.objects if self.objects else float("nan")


@dataclass
class Tracks:
    """The matching of annotated and predicted ids through a sequence, with its counts.

    >>> tracks = Tracks()
    >>> tracks.frame([1, 2], [7, 8], np.array([[0.1, np.nan], [np.nan, 0.2]]))
    >>> tracks.frame([1, 2], [8, 9], np.array([[0.1, np.nan], [np.nan, np.nan]]))
    >>> tracks.counts
    Counts(objects=4, detections=3, misses=1, false_positives=1, switches=1, distance=0.4)
    """

    counts: Counts = field(default_factory=Counts)
    pairs: dict[int, int] = field(default_factory=dict)

    def frame(self, true: Sequence[int], found: Sequence[int], distance: Float[np.ndarray, "t f"]) -> None:
        """Count one frame.

        Earlier matches are kept if they are still possible; of the others as many as possible are matched, with the least total distance.

        Args:
            true: ids of the annotated objects, each once.
            found: ids of the predicted objects, each once.
            distance: distances; NaN if a match is not possible.
        """
        paired = self._kept(true, found, distance)
        for t, f in _assigned(np.where(_free(distance, paired), distance, np.nan)):
            self.counts.switches += self.pairs.get(true[t], found[f]) != found[f]
            paired.append((t, f))
            self.pairs[true[t]] = found[f]
        c = self.counts
        c.objects += len(true)
        c.detections += len(paired)
        c.misses += len(true) - len(paired)
        c.false_positives += len(found) - len(paired)
        c.distance += float(sum(distance[t, f] for t, f in paired))

    def _kept(self, true: Sequence[int], found: Sequence[int], distance: Float[np.ndarray, "t f"]) -> list[tuple[int, int]]:
        place = {f: i for i, f in enumerate(found)}
        kept: list[tuple[int, int]] = []
        for t, name in enumerate(true):
            f = place.get(self.pairs.get(name))  # type: ignore[arg-type]
            if f is not None and np.isfinite(distance[t, f]):
                kept.append((t, f))
                del place[found[f]]
        return kept


def _free(distance: Float[np.ndarray, "t f"], paired: list[tuple[int, int]]) -> np.ndarray:
    free = np.ones(distance.shape, bool)
    for t, f in paired:
        free[t], free[:, f] = False, False
    return free


def _assigned(distance: Float[np.ndarray, "t f"]) -> list[tuple[int, int]]:
    """The largest matching, with the least total distance."""
    possible = np.isfinite(distance)
    if not possible.any():
        return []
    costs = np.where(possible, distance, 1 + 2 * min(distance.shape) * distance[possible].max())
    return [(int(t), int(f)) for t, f in zip(*linear_sum_assignment(costs), strict=True) if possible[t, f]]


@dataclass(frozen=True)
class Tracking:
    """Results of tracking.

    Args:
        joints: counts of each joint, by name; their properties are the metrics.
        mota_of_parts: head, shoulder, elbow, wrist, hip, knee, ankle: the mean of their joints' MOTA.
        mota: the mean over the joints that have a value, as for the metrics that follow.
        motp: see `Counts.motp`.
        precision: precision of the predicted joints.
        recall: recall of the annotated joints.
        switches: identity switches, summed over joints.
    """

    joints: dict[str, Counts]
    mota_of_parts: dict[str, float]
    mota: float
    motp: float
    precision: float
    recall: float
    switches: int


def posetrack_mot(poses: Sequence[Poses], truths: Sequence[HeadScaledTruth], threshold: float = 0.5, as_poseval: bool = True) -> Tracking:
    """MOTA, MOTP, precision and recall of people's tracks, for each joint.

    Frames without annotated people are left out, joints in ignored regions do not count. PoseTrack's evaluation tool has two peculiarities,
    which published figures include, so they are the default: it leaves out the last annotated frame of a sequence, and in a frame without
    predictions (or whose annotated joints are all ignored) it counts one miss and one false positive for each joint, whatever the number of
    people. `as_poseval` = False counts all frames and joints normally.

    Args:
        poses: the predictions of each frame, with track ids.
        truths: the annotated people, with track ids, in the order of the frames; the frames of a sequence are consecutive.
        threshold: largest distance of a pair, in head sizes.
        as_poseval: reproduce the two peculiarities. A sequence with a single frame keeps it (the tool cannot evaluate it).

    Raises:
        ValueError: track ids are missing or used twice in a frame, skeletons differ, or no frame has an annotated person.
    """
    frames = [(p, t) for p, t in zip(poses, truths, strict=True) if len(t)]
    if not frames:
        raise ValueError("no frame has an annotated person: is this a test set, whose annotations are not published?")
    skeleton = frames[0][1].skeleton
    total = [Counts() for _ in skeleton.joints]
    for _, group in groupby(frames, key=lambda frame: frame[1].sequence):
        sequence = list(group)
        tracks = [Tracks() for _ in skeleton.joints]
        for found, truth in sequence[:-1] if as_poseval and len(sequence) > 1 else sequence:
            _count_frame(tracks, found, truth, threshold, as_poseval)
        total = [a + t.counts for a, t in zip(total, tracks, strict=True)]
    mota, motp, precision, recall = (np.array([getattr(c, m) for c in total]) for m in ("mota", "motp", "precision", "recall"))
    return Tracking(
        dict(zip(skeleton.joints, total, strict=True)),
        {part: _mean(mota[list(joints)]) for part, joints in parts(skeleton).items()},
        _mean(mota), _mean(motp), _mean(precision), _mean(recall), sum(c.switches for c in total),
    )  # fmt: skip


def _count_frame(tracks: list[Tracks], found: Poses, truth: HeadScaledTruth, threshold: float, as_poseval: bool) -> None:
    for ids, whose in ((found.ids, "found"), (truth.ids, "annotated")):
        if ids is None:
            raise ValueError(f"image {truth.image_id}: the {whose} people have no track ids, which MOTA needs")
        if len(set(ids.tolist())) != len(ids):
            twice = sorted(i for i in set(ids.tolist()) if (ids == i).sum() > 1)
            raise ValueError(f"image {truth.image_id}: track id {twice[0]} is used by several {whose} people of this frame")
    found, truth = without_ignored(found, truth)
    if as_poseval and (len(found) == 0 or len(truth) == 0):
        for t in tracks:
            t.counts += Counts(objects=1, misses=1, false_positives=1)
        return
    away = distances(found, truth)
    away[away > threshold] = np.nan
    there, labelled = found.keypoint_scores > 0, truth.labelled
    for j, t in enumerate(tracks):
        t.frame(_ids(truth.ids, labelled[:, j]), _ids(found.ids, there[:, j]), away[there[:, j]][:, labelled[:, j], j].T)


def _ids(ids: Int[np.ndarray, " n"] | None, which: np.ndarray) -> list[int]:
    return [] if ids is None else ids[which].tolist()


def _mean(values: Iterable[float]) -> float:
    known = [v for v in values if not np.isnan(v)]
    return float(np.mean(known)) if known else float("nan")
