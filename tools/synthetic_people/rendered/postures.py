"""Postures of bodies: rotations drawn from plausible joint ranges and selected by the two-dimensional poses of real people.

A posture is a rotation for each moved bone, relative to its parent, about the world's axes at rest (x to the body's left, y backwards,
z up; the face looks along -y). `Bank` draws many postures, each with a view; a real two-dimensional pose selects one of the nearest, so
that rendered postures have the distribution of real ones.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from manypose.data.datasets.coco import annotated_people
from manypose.poses.skeleton import COCO

__all__ = ["BONES", "Bank", "Rest", "postures", "real_poses"]

SIDES = ("L", "R")
SPINE = ("spine04", "spine03", "spine02")
BONES = (
    "root", *SPINE, "neck01", "head",
    *(f"{b}.{s}" for b in ("upperarm01", "lowerarm01", "wrist", "upperleg01", "lowerleg01", "foot") for s in SIDES),
)  # fmt: skip
_LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
_JOINTS = tuple(COCO.joints.index(f"{side}_{j}") for j in _LIMBS for side in ("left", "right"))


@dataclass(frozen=True)
class Rest:
    """Start points of the bones of a body at rest, in metres, by the names in BONES."""

    heads: dict[str, Float[np.ndarray, "3"]]

    def towards(self, bone: str, end: str) -> Float[np.ndarray, "3"]:
        """The unit vector from the start of one bone to the start of another."""
        d = self.heads[end] - self.heads[bone]
        return d / np.linalg.norm(d)


def postures(rng: np.random.Generator, n: int, rest: Rest) -> dict[str, Float[np.ndarray, "n 3 3"]]:
    """The rotations of each bone for `n` postures: standing, walking, sitting and sport."""
    kind = rng.choice(4, n, p=(0.4, 0.25, 0.2, 0.15))
    turns = {bone: Rotation.identity(n) for bone in BONES}
    bend = rng.normal(0, np.array([8, 12, 18, 30])[kind]) + np.array([2, 5, 10, 20])[kind]
    for bone in SPINE:
        turns[bone] = _euler(np.clip(bend, -25, 85) / 3, rng.normal(0, 4, n), rng.normal(0, 5, n))
    for bone in ("neck01", "head"):
        turns[bone] = _euler(rng.normal(5, 9, n), rng.normal(0, 5, n), rng.normal(0, 16, n))
    stride = rng.normal(0, 1, n)  # the legs swing against one another
    for s, sign in zip(SIDES, (1, -1), strict=True):
        swing = sign * stride * np.array([4, 24, 6, 30])[kind]
        hip = np.array([3, 8, 80, 35])[kind] + swing + rng.normal(0, np.array([5, 10, 14, 32])[kind])
        apart = sign * np.clip(rng.normal(np.array([2, 2, 10, 12])[kind], np.array([4, 5, 9, 14])[kind]), -12, 50)
        turns[f"upperleg01.{s}"] = _euler(-np.clip(hip, -30, 125), -apart, sign * rng.normal(3, 10, n))
        knee = np.array([4, 22, 80, 50])[kind] + np.maximum(0, -swing) + np.abs(rng.normal(0, np.array([6, 22, 22, 35])[kind]))
        turns[f"lowerleg01.{s}"] = _euler(np.clip(knee, 0, 145), np.zeros(n), np.zeros(n))
        turns[f"foot.{s}"] = _euler(rng.normal(-3, 10, n), np.zeros(n), sign * rng.normal(4, 6, n))
        turns[f"upperarm01.{s}"] = _upper_arm(rng, n, rest, s, sign)
        turns[f"lowerarm01.{s}"] = _elbow(rng, n, rest, s)
        turns[f"wrist.{s}"] = _euler(rng.normal(0, 15, n), rng.normal(0, 10, n), rng.normal(0, 15, n))
    # Lying bodies are few; most lean a little.
    lean = np.where(rng.random(n) < 0.06, rng.uniform(-95, 95, n), rng.normal(0, np.array([3, 6, 5, 16])[kind]))
    turns["root"] = _euler(lean * 0.6, lean * 0.4 * rng.choice((-1, 1), n), np.zeros(n))
    return {bone: turn.as_matrix() for bone, turn in turns.items()}


def _euler(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> Rotation:
    return Rotation.from_euler("xyz", np.stack(np.broadcast_arrays(x, y, z), -1), degrees=True)


def _upper_arm(rng: np.random.Generator, n: int, rest: Rest, s: str, sign: int) -> Rotation:
    """Rotations of the upper arm: mostly hanging, often forwards, sometimes raised, with a twist about its axis."""
    kind = rng.choice(4, n, p=(0.45, 0.3, 0.1, 0.15))
    raised = np.radians(np.clip(rng.normal(np.array([12, 45, 80, 140])[kind], np.array([8, 22, 20, 25])[kind]), 0, 178))
    # From straight sideways (0) to straight forwards (90) and across the chest.
    round_ = np.radians(np.clip(rng.normal(np.array([30, 75, 20, 40])[kind], 35), -45, 125))
    to = np.stack([sign * np.sin(raised) * np.cos(round_), -np.sin(raised) * np.sin(round_), -np.cos(raised)], -1)
    at_rest = rest.towards(f"upperarm01.{s}", f"lowerarm01.{s}")
    axis = np.cross(at_rest, to)
    long = np.linalg.norm(axis, axis=-1, keepdims=True)
    angle = np.arctan2(long[:, 0], to @ at_rest)
    swing = Rotation.from_rotvec(axis / np.maximum(long, 1e-9) * angle[:, None])
    return swing * Rotation.from_rotvec(np.radians(rng.normal(0, 35, n))[:, None] * at_rest)


def _elbow(rng: np.random.Generator, n: int, rest: Rest, s: str) -> Rotation:
    upper, lower = rest.towards(f"upperarm01.{s}", f"lowerarm01.{s}"), rest.towards(f"lowerarm01.{s}", f"wrist.{s}")
    axis = np.cross(upper, lower)
    bent = np.degrees(np.arccos(np.clip(upper @ lower, -1, 1)))  # it is bent a little at rest
    wanted = np.where(rng.random(n) < 0.5, np.abs(rng.normal(12, 12, n)), rng.uniform(20, 145, n))
    return Rotation.from_rotvec(np.radians(wanted - bent)[:, None] * (axis / np.linalg.norm(axis)))


def joints(turns: dict[str, Float[np.ndarray, "n 3 3"]], rest: Rest) -> Float[np.ndarray, "n 12 3"]:
    """The twelve joints of arms and legs, left before right, in metres and world axes with the root at the origin."""
    spine = turns["root"]
    at = {"root": np.zeros(3)[None]}
    start = rest.heads["root"]
    place = lambda turn, parent, bone, end: parent + turn @ (rest.heads[end] - (start if bone == "root" else rest.heads[bone]))  # noqa: E731
    hips = {s: place(turns["root"], at["root"], "root", f"upperleg01.{s}") for s in SIDES}
    here, last = at["root"], "root"
    for bone in SPINE:
        here = place(spine, here, last, bone)
        spine, last = spine @ turns[bone], bone
    found = {}
    for s in SIDES:
        found["shoulder", s] = place(spine, here, last, f"upperarm01.{s}")
        found["hip", s] = hips[s]
        for first, second, third, parent, start_ in (
            ("upperarm01", "lowerarm01", "wrist", spine, "shoulder"),
            ("upperleg01", "lowerleg01", "foot", turns["root"], "hip"),
        ):
            turn = parent @ turns[f"{first}.{s}"]
            middle = place(turn, found[start_, s], f"{first}.{s}", f"{second}.{s}")
            turn = turn @ turns[f"{second}.{s}"]
            found["elbow" if first == "upperarm01" else "knee", s] = middle
            found["wrist" if first == "upperarm01" else "ankle", s] = place(turn, middle, f"{second}.{s}", f"{third}.{s}")
    return np.stack([found[j, s] for j in _LIMBS for s in SIDES], 1)


def views(rng: np.random.Generator, n: int) -> Float[np.ndarray, "n 3 3"]:
    """Rotations from world to camera (x right, y down, z away): from all sides, mostly from slightly above, with little roll."""
    turn = Rotation.from_euler("z", rng.uniform(-180, 180, (n, 1)), degrees=True)
    pitch = Rotation.from_euler("x", np.clip(rng.normal(6, 10, (n, 1)), -25, 45), degrees=True)
    roll = Rotation.from_euler("y", rng.normal(0, 4, (n, 1)), degrees=True)
    return np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]) @ (roll * pitch * turn).as_matrix()


def _normal(xy: Float[np.ndarray, "n 12 2"]) -> Float[np.ndarray, "n 24"]:
    """Poses moved to mean 0 and scaled to unit spread."""
    xy = xy - xy.mean(1, keepdims=True)
    return (xy / np.maximum(np.sqrt((xy**2).sum(-1).mean(1)), 1e-9)[:, None, None]).reshape(len(xy), 24)


def real_poses(file: str | Path) -> Float[np.ndarray, "n 24"]:
    """Normalised poses of the people with all twelve joints of arms and legs labelled.

    Args:
        file: a COCO annotation file, or an ``.npz`` with ``keypoints`` (n, 17, 3).

    Raises:
        FileNotFoundError, ValueError: no such file, or no person in it has all twelve joints.
    """
    if Path(file).suffix == ".npz":
        with np.load(file, allow_pickle=False) as content:
            if "keypoints" not in content:
                raise ValueError(f"{file}: no array 'keypoints' (n, 17, 3) in it")
            people = content["keypoints"]
    else:
        people = np.concatenate([image.keypoints for image in annotated_people(file)])
    points = people[:, _JOINTS].astype(np.float64)
    points = points[(points[..., 2] > 0).all(1)]
    if not len(points):
        raise ValueError(f"{file}: no person in it has all twelve joints of arms and legs labelled")
    return _normal(points[..., :2])


class Bank:
    """Random postures with views, and their selection by real poses.

    Args:
        rest: the body at rest.
        seed: of the random postures.
        size: number of postures.
        real: normalised real poses (`real_poses`); None: uniform selection.
    """

    def __init__(self, rest: Rest, seed: int = 0, size: int = 40_000, real: Float[np.ndarray, "m 24"] | None = None) -> None:
        rng = np.random.default_rng(seed)
        self.turns, self.view = postures(rng, size, rest), views(rng, size)
        seen = np.einsum("nij,nkj->nki", self.view, joints(self.turns, rest))[..., :2]
        self.look, self.real = _normal(seen), real
        self.tree = None if real is None else KDTree(self.look)

    def pick(self, rng: np.random.Generator) -> tuple[dict[str, Float[np.ndarray, "3 3"]], Float[np.ndarray, "3 3"]]:
        """A posture and the rotation from world to camera."""
        if self.tree is None or self.real is None:
            i = int(rng.integers(len(self.look)))
        else:
            # One of the three nearest: a rare real pose would always get the same body.
            nearest = np.asarray(self.tree.query(self.real[rng.integers(len(self.real))], 3)[1])
            i = int(nearest[rng.integers(3)])
        return {bone: turn[i] for bone, turn in self.turns.items()}, self.view[i]
