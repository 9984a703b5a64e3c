"""Error analysis: errors by keypoint, size, crowding and visibility, the AP that each type of error costs, and the worst photos.

Source of the definitions: Ronchi and Perona, ICCV 2017 (see `errors` and `costs`).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from manypose.evaluation.error_analysis.costs import Cost, background, costs, duplicates, missed, scoring_errors
from manypose.evaluation.error_analysis.errors import KINDS, Diagnosis, diagnose
from manypose.evaluation.metrics.annotations import Results, Truth
from manypose.evaluation.metrics.matching import Pairs, pair_up

__all__ = ["CROWDING", "SIZES", "Analysis", "Group", "analyse", "crowding", "overlapping", "sizes"]

SIZES = (("small (< 32²)", 0.0), ("medium (32² – 64²)", 32.0**2), ("large (64² – 96²)", 64.0**2), ("extra large (> 96²)", 96.0**2))
CROWDING = ("no overlap", "1 or 2 overlap", "3 or more overlap")
OVERLAP = 0.1
"""IoU of boxes from which two people overlap (as in the paper's benchmarks)."""


@dataclass(frozen=True)
class Group:
    """Counts over a subset of the people, or of their joints.

    Args:
        name: its name.
        people: number of people that count.
        found: number of them matched by a result with OKS of at least 0.1.
        oks: mean OKS of the matched people (NaN if there are none).
        kinds: for each joint the number of detections of each type in `KINDS`.
    """

    name: str
    people: int
    found: int
    oks: float
    kinds: Int[np.ndarray, "k 5"]


@dataclass(frozen=True)
class Analysis:
    """The result of `analyse`.

    Args:
        truth, results: the analysed annotations and results.
        pairs, diagnosis: the matching and the error of every joint.
        everybody: all people as one group.
        groups: people by size, by crowding and by labelled joints; joints by visibility.
        costs: AP after correction of each type of error.
        background: number of results near no person, and of those that score higher than half of the matched results.
        duplicates: number of results near people who have a more similar result.
        missed: number of people without a matching result.
        several: number of people with several results, and of those whose highest-scoring result is not the most similar.
        absent: number of missed joints that the result reports as not found (third number 0).
        loss: the loss of each image (see `image_loss`).
    """

    truth: Truth
    results: Results
    pairs: Pairs
    diagnosis: Diagnosis
    everybody: Group
    groups: dict[str, list[Group]]
    costs: list[Cost]
    background: tuple[int, int]
    duplicates: int
    missed: int
    several: tuple[int, int]
    absent: int
    loss: Float[np.ndarray, " i"]

    def to_json(self) -> dict[str, Any]:
        """The analysis as plain numbers and lists."""
        joints = self.truth.skeleton.joints
        plain = self.costs[0].alone.mean()
        return {
            "people": self.everybody.people,
            "found": self.everybody.found,
            "missed": self.missed,
            "background": self.background[0],
            "background_confident": self.background[1],
            "duplicates": self.duplicates,
            "people_with_several_results": self.several[0],
            "scoring_errors": self.several[1],
            "absent_joints": self.absent,
            "shares": dict(zip(KINDS, shares(self.everybody.kinds.sum(0)), strict=True)),
            "keypoints": {j: dict(zip(KINDS, row.tolist(), strict=True)) for j, row in zip(joints, self.everybody.kinds, strict=True)},
            "groups": {by: [_group_json(g, joints) for g in groups] for by, groups in self.groups.items()},
            "costs": [
                {
                    "corrected": c.step, "AP": _figure(c.alone.mean()), "gain": _figure(c.alone.mean() - plain),
                    "AP50": _figure(c.alone[0]), "AP75": _figure(c.alone[5]), "AP_with_all_before": _figure(c.so_far.mean()),
                }
                for c in self.costs
            ],
            "worst": [int(self.truth.image_ids[i]) for i in self.worst(20)],
        }  # fmt: skip

    def worst(self, number: int) -> list[int]:
        """Indices of the images with the largest loss, largest first; images without loss are left out."""
        order = np.argsort(-self.loss, kind="stable")[:number]
        return [int(i) for i in order if self.loss[i] > 0]


def analyse(truth: Truth, results: Results, most: int = 20) -> Analysis:
    """Diagnose every joint and person, and compute the AP that each type of error costs.

    >>> from manypose.evaluation.metrics.annotations import read_results, read_truth
    >>> from manypose.poses.skeleton import Skeleton
    >>> pair = Skeleton.build("pair", ["left_hand", "right_hand"], [], [0.1, 0.1])
    >>> person = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 100, 100], "area": 10000, "keypoints": [10, 50, 2, 90, 50, 2]}
    >>> truth = read_truth({"images": [{"id": 1}], "annotations": [person]}, pair)
    >>> crossed = [{"image_id": 1, "category_id": 1, "keypoints": [88, 50, 1, 90, 50, 1], "score": 0.9}]
    >>> report = analyse(truth, read_results(crossed, truth)).to_json()
    >>> report["shares"]["inversion"], report["keypoints"]["left_hand"]["inversion"]
    (0.5, 1)

    Args:
        truth: annotated people.
        results: predicted people.
        most: largest number of results per image, highest score first.
    """
    pairs = pair_up(truth, results)
    found = diagnose(truth, results, pairs, most)
    oks = _oks_of_found(truth, pairs, found)
    nobody = background(pairs, found)
    matched = np.sort(results.scores[found.found])
    confident = int((results.scores[nobody] > np.median(matched)).sum()) if len(matched) else int(nobody.sum())
    lost = (found.kind == KINDS.index("miss")) & (results.keypoints[found.found, :, 2] == 0)
    return Analysis(
        truth,
        results,
        pairs,
        found,
        _group("everybody", truth, found, oks, ~truth.ignored),
        _groups(truth, found, oks),
        costs(truth, results, pairs, found, most),
        (int(nobody.sum()), confident),
        int(duplicates(truth, results, pairs, found, most).sum()),
        int(missed(truth, found).sum()),
        scoring_errors(truth, results, pairs, found),
        int(lost.sum()),
        image_loss(truth, results, found, oks),
    )


def image_loss(truth: Truth, results: Results, found: Diagnosis, oks: Float[np.ndarray, " n"]) -> Float[np.ndarray, " i"]:
    """For each image the sum of 1 - OKS over its people (1 for a missed person), plus the weights of its false positives.

    The weight of a false positive is the fraction of matched results with a lower score: near 1 for a confident one, near 0 otherwise.

    Args:
        truth, results, found: see `Analysis`.
        oks: of each person's result; 0 for a missed person.
    """
    loss = np.bincount(truth.image, (1 - oks) * ~truth.ignored, len(truth.image_ids))
    nobody = (found.person < 0) & (found.rank >= 0)
    matched = np.sort(results.scores[found.found])
    weight = np.searchsorted(matched, results.scores[nobody]) / max(1, len(matched))
    return loss + np.bincount(results.image[nobody], weight, len(truth.image_ids))


def shares(counts: Int[np.ndarray, " 5"]) -> list[float]:
    """Counts as fractions of their sum, rounded to four decimals."""
    return [round(float(c) / max(1, int(counts.sum())), 4) for c in counts]


def overlapping(truth: Truth) -> Int[np.ndarray, " n"]:
    """For each person the number of others who count and whose box overlaps with an IoU of at least 0.1."""
    counts = np.zeros(len(truth.ids), np.int64)
    people = np.flatnonzero(~truth.ignored)
    for here in np.split(people, np.flatnonzero(np.diff(truth.image[people])) + 1):
        low, size = truth.boxes[here, :2], truth.boxes[here, 2:]
        high = low + size
        shared = np.clip(np.minimum(high[:, None], high) - np.maximum(low[:, None], low), 0, None).prod(-1)
        area = size.prod(-1)
        counts[here] = (shared >= OVERLAP * np.maximum(area[:, None] + area - shared, 1e-9)).sum(1) - 1
    return counts


def sizes(truth: Truth) -> Int[np.ndarray, " n"]:
    """For each person the index in `SIZES`."""
    return np.searchsorted([low for _, low in SIZES], truth.areas, side="right") - 1


def crowding(near: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """For each person the index in `CROWDING`, from the number of overlapping people (`overlapping`)."""
    return np.searchsorted([1, 3], near, side="right")


def _groups(truth: Truth, found: Diagnosis, oks: Float[np.ndarray, " n"]) -> dict[str, list[Group]]:
    size, crowd, labelled = sizes(truth), crowding(overlapping(truth)), (truth.keypoints[..., 2] > 0).sum(1)
    k = len(truth.skeleton)
    ranges = [(low, min(high, k)) for low, high in ((1, 5), (6, 10), (11, 15), (16, 10**9)) if low <= k]
    chosen = {
        "size": [(name, size == i) for i, (name, _) in enumerate(SIZES)],
        "crowding": [(name, crowd == i) for i, name in enumerate(CROWDING)],
        "labelled joints": [
            (f"{low} – {high}" if low < high else f"{low}", (labelled >= low) & (labelled <= high)) for low, high in ranges
        ],
    }
    groups = {by: [_group(name, truth, found, oks, some & ~truth.ignored) for name, some in parts] for by, parts in chosen.items()}
    seen = [("visible joints", 2), ("hidden joints", 1)]
    groups["visibility"] = [_group(name, truth, found, oks, ~truth.ignored, visibility) for name, visibility in seen]
    return groups


def _group(name: str, truth: Truth, found: Diagnosis, oks: Float[np.ndarray, " n"], some: Any, visibility: int | None = None) -> Group:
    person = found.person[found.found]
    rows = some[person]
    kind = found.kind[rows]
    if visibility is not None:
        kind = np.where(truth.keypoints[person[rows], :, 2] == visibility, kind, -1)
    counts = np.stack([(kind == i).sum(0) for i in range(len(KINDS))], 1)
    return Group(name, int(some.sum()), int(rows.sum()), float(oks[person[rows]].mean()) if rows.any() else float("nan"), counts)


def _oks_of_found(truth: Truth, pairs: Pairs, found: Diagnosis) -> Float[np.ndarray, " n"]:
    """OKS of each person's result; 0 for a missed person."""
    out = np.zeros(len(truth.ids))
    chosen = (found.person[pairs.found] == pairs.person) & ~truth.ignored[pairs.person]
    out[pairs.person[chosen]] = pairs.oks[chosen]
    return out


def _group_json(group: Group, joints: tuple[str, ...]) -> dict[str, Any]:
    return {
        "name": group.name, "people": group.people, "found": group.found, "mean_oks": _figure(group.oks),
        "shares": dict(zip(KINDS, shares(group.kinds.sum(0)), strict=True)),
        "keypoints": {j: dict(zip(KINDS, row.tolist(), strict=True)) for j, row in zip(joints, group.kinds, strict=True)},
    }  # fmt: skip


def _figure(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
