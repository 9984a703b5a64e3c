"""The authors' decoding (Section "Keypoint Assignment Algorithm"; with choices left open as in their program).

Maps are enlarged to the input's size by cubic interpolation. Parts are processed type by type, the best first, with each joint in one part
of a type; a person grows only by the second end of a part. ``paper`` follows the text where the two differ: of two people whose parts share
a joint the weaker loses it, and peaks are refined in x by x and in y by y.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from manypose.methods.simple_pose.body import Body
from manypose.poses.poses import Poses

__all__ = ["decode_published"]

THRESHOLD = 0.1  # of a peak, and of a point on a part
POINTS, SUPPORT = 20, 0.8  # samples along a part, and the fraction that must be above
STRETCH = 16.0  # largest ratio of a part's length to its person's longest
MERGE = 0.7  # smallest score of a joining part, relative to the weaker of two people's weakest parts
FEWEST, WEAKEST = 2, 0.45  # smallest number of joints and mean score of a person


def decode_published(
    part: Float[Tensor, "b l h w"], heat: Float[Tensor, "b j h w"], body: Body, size: tuple[int, int], paper: bool = False
) -> list[Poses]:
    """The people of each image, in network pixels, in order of creation; a score is 1 - 1 / (sum of joints' and parts').

    Args:
        part: a map per part.
        heat: a map per joint.
        body: the joints and parts.
        size: height and width of the network's input.
        paper: whether to follow the text where the authors' program differs.
    """
    return [_image(_enlarged(parts, size), _enlarged(heats, size), body, paper) for parts, heats in zip(part, heat, strict=True)]


def _enlarged(maps: Float[Tensor, "c h w"], size: tuple[int, int]) -> Float[np.ndarray, "c H W"]:
    planes = maps.detach().float().cpu().numpy()
    return np.stack([cv2.resize(plane, size[::-1], interpolation=cv2.INTER_CUBIC) for plane in planes])


def _image(part: Float[np.ndarray, "l H W"], heat: Float[np.ndarray, "j H W"], body: Body, paper: bool) -> Poses:
    joint, xy, score = _peaks(heat, paper)
    people = _assembled(part, joint, xy, score, body, paper)
    kept = [p for p in people if len(p.joints) >= FEWEST and p.total / len(p.joints) >= WEAKEST]
    keypoints, scores = np.zeros((len(kept), len(body.sources), 2), np.float32), np.zeros((len(kept), len(body.sources)), np.float32)
    for i, person in enumerate(kept):
        for j, (peak, _) in person.joints.items():
            keypoints[i, j], scores[i, j] = xy[peak], score[peak]
    order = list(body.back)
    return Poses(body.skeleton, keypoints[:, order], scores[:, order], np.array([1 - 1 / p.total for p in kept], np.float32))


def _peaks(
    heat: Float[np.ndarray, "j H W"], paper: bool
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, "n 2"], Float[np.ndarray, " n"]]:
    """Joint, position and score of all local maxima; position and score from the 5 × 5 cells around."""
    found: list[tuple[int, float, float, float]] = []
    step = np.arange(-2, 3)
    for j, plane in enumerate(heat):
        h, w = plane.shape
        top = (plane == cv2.dilate(plane, np.ones((3, 3), np.uint8))) & (plane >= THRESHOLD)
        for y, x in zip(*np.nonzero(top), strict=True):
            if not (2 <= x < w - 2 and 2 <= y < h - 2):
                found.append((j, x, y, plane[y, x]))
                continue
            square = plane[y - 2 : y + 3, x - 2 : x + 3].astype(np.float64)
            right, down = (square.sum(0) * step).sum() / square.sum(), (square.sum(1) * step).sum() / square.sum()
            if not paper:  # the program adds each to the other
                right, down = down, right
            found.append((j, x + right, y + down, square.mean()))
    rows = np.array(found, np.float64).reshape(-1, 4)
    return rows[:, 0].astype(int), rows[:, 1:3], rows[:, 3]


def _links(
    plane: Float[np.ndarray, "H W"],
    first: Int[np.ndarray, " n"],
    second: Int[np.ndarray, " m"],
    xy: Float[np.ndarray, "k 2"],
    score: Float[np.ndarray, " k"],
) -> Iterator[tuple[int, int, float, float]]:
    """The parts of one type, the best first, without common joints: both peaks, the part's score, its length."""
    rows = []
    for a in first:
        for b in second:
            length = float(np.linalg.norm(xy[b] - xy[a]))
            if length == 0:
                continue
            x, y = np.rint(np.linspace(xy[a], xy[b], min(round(length + 1), POINTS))).astype(int).T
            values = plane[y.clip(0, plane.shape[0] - 1), x.clip(0, plane.shape[1] - 1)]
            mean = float(values.mean()) + min(0.5 * plane.shape[0] / length - 1, 0)
            if (values > THRESHOLD).sum() >= SUPPORT * len(values) and mean > 0:
                rows.append((0.5 * mean + 0.25 * score[a] + 0.25 * score[b], int(a), int(b), mean, length))
    taken: set[int] = set()
    for _, a, b, mean, length in sorted(rows, key=lambda row: -row[0]):
        if not {a, b} & taken:
            taken |= {a, b}
            yield a, b, mean, length


class _Person:
    """A partly assembled person: for each joint its peak and the score of its part; the sum of scores; the longest part."""

    def __init__(self) -> None:
        self.joints: dict[int, tuple[int, float]] = {}
        self.total, self.longest = 0.0, 0.0

    def put(self, joint: int, peak: int, by: float, score: Float[np.ndarray, " k"], length: float) -> None:
        """Set or replace a joint."""
        self.drop(joint, score)
        self.joints[joint] = (peak, by)
        self.total += float(score[peak]) + by
        self.longest = max(self.longest, length)

    def drop(self, joint: int, score: Float[np.ndarray, " k"]) -> None:
        """Remove a joint."""
        if joint in self.joints:
            peak, by = self.joints.pop(joint)
            self.total -= float(score[peak]) + by


def _assembled(
    part: Float[np.ndarray, "l H W"],
    joint: Int[np.ndarray, " n"],
    xy: Float[np.ndarray, "n 2"],
    score: Float[np.ndarray, " n"],
    body: Body,
    paper: bool,
) -> list[_Person]:
    people: list[_Person] = []
    for (first, second), plane in zip(body.parts, part, strict=True):
        for a, b, s, length in _links(plane, np.flatnonzero(joint == first), np.flatnonzero(joint == second), xy, score):
            near = [p for p in people if p.joints.get(first, (-1,))[0] == a or p.joints.get(second, (-1,))[0] == b][:2]
            if not near:
                person = _Person()
                person.joints = {first: (a, s), second: (b, s)}
                person.total, person.longest = float(score[a] + score[b]) + s, length
                people.append(person)
            elif len(near) == 1:
                _grow(near[0], second, b, s, length, score)
            else:
                _meet(people, near[0], near[1], (first, second), s, length, score, paper)
    return people


def _grow(person: _Person, joint: int, peak: int, s: float, length: float, score: Float[np.ndarray, " k"]) -> None:
    """Add the second joint of a part to a person, or replace one from a weaker part."""
    old = person.joints.get(joint)
    fits = length < STRETCH * person.longest
    if (
        (old is None and fits)
        or (old is not None and old[0] != peak and old[1] < s and fits)
        or (old is not None and old[0] == peak and old[1] <= s)
    ):
        person.put(joint, peak, s, score, length)


def _meet(
    people: list[_Person],
    one: _Person,
    other: _Person,
    ends: tuple[int, int],
    s: float,
    length: float,
    score: Float[np.ndarray, " k"],
    paper: bool,
) -> None:
    """Join two people connected by a part if they share no joint type; otherwise, in the paper, the weaker loses its joint."""
    if not one.joints.keys() & other.joints.keys():
        weakest = min(min(by for _, by in p.joints.values()) for p in (one, other))
        if s >= MERGE * weakest and length < STRETCH * one.longest:
            one.joints |= other.joints
            one.total += other.total + s
            one.longest = max(one.longest, other.longest, length)
            people.remove(other)
    elif paper:
        owned = [(p, j) for p, j in ((one, ends[0]), (other, ends[1]), (one, ends[1]), (other, ends[0])) if j in p.joints]
        scores = [p.joints[j][1] for p, j in owned[:2]]
        if s >= min(scores):
            weaker, its = owned[int(np.argmin(scores))]
            weaker.drop(its, score)
