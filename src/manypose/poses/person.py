"""`Person`: one person of an image."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from manypose.io.shapes import Float
from manypose.poses.skeleton import Skeleton

__all__ = ["Joint", "Person"]


class Joint(NamedTuple):
    """One joint: x and y in pixels, and its score (0: not found)."""

    x: float
    y: float
    score: float


@dataclass(frozen=True, eq=False)
class Person:
    """One person; ``person["left_wrist"]`` is a `Joint`.

    Args:
        skeleton: names and order of the k joints.
        keypoints: xy pixels of each joint.
        scores: confidence of each joint, 0 where it was not found.
        score: confidence of the person.
        box: xyxy; the detector's box if known, else the box around the joints.
        id: track id, if the person is tracked.
    """

    skeleton: Skeleton
    keypoints: Float[np.ndarray, "k 2"]
    scores: Float[np.ndarray, " k"]
    score: float
    box: Float[np.ndarray, "4"]
    id: int | None = None

    def __getitem__(self, joint: str) -> Joint:
        """A joint by name.

        Raises:
            KeyError: the skeleton has no such joint.
        """
        if joint not in self.skeleton.joints:
            raise KeyError(f"skeleton {self.skeleton.name!r} has no joint {joint!r}; it has {', '.join(self.skeleton.joints)}")
        i = self.skeleton.joints.index(joint)
        return Joint(float(self.keypoints[i, 0]), float(self.keypoints[i, 1]), float(self.scores[i]))

    def __repr__(self) -> str:
        tracked = "" if self.id is None else f", id {self.id}"
        return f"Person(score {self.score:.3f}, {int((self.scores > 0).sum())} of {len(self.scores)} joints, {box_text(self.box)}{tracked})"


def box_text(box: Float[np.ndarray, "4"]) -> str:
    """A box as text, such as: box 10, 20 to 110, 220."""
    x0, y0, x1, y1 = (f"{v:.0f}" for v in box)
    return f"box {x0}, {y0} to {x1}, {y1}"
