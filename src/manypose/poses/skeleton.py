"""Skeletons: the joints of a person, their limbs, mirror pairs and OKS constants.

All functions take a `Skeleton` instead of a number of joints.
"""

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

__all__ = ["COCO", "CROWDPOSE", "MPII", "POSETRACK", "Skeleton", "named"]


MOST_JOINTS = 1000
"""Largest number of joints, a guard against damaged or hostile files."""


def _not_too_many(name: str, joints: int) -> None:
    if joints > MOST_JOINTS:
        raise ValueError(f"skeleton {name!r}: {joints} joints; there may be at most {MOST_JOINTS}")


@dataclass(frozen=True, repr=False)
class Skeleton:
    """Joints, limbs, mirror pairs and OKS sigmas of one kind of person.

    Args:
        name: such as ``coco``.
        joints: the joints' names, in the order of every keypoint array.
        limbs: pairs of joint indices to draw and to score.
        mirror: a permutation; joint ``i`` of a mirrored person is joint ``mirror[i]``.
        sigmas: one positive OKS constant for each joint (COCO's ``k_i = 2 sigma_i``), without a default, since wrong sigmas make any AP
            meaningless.

    Raises:
        ValueError: lengths differ, an index of a limb or of the mirror is out of range, or a sigma is not positive.
    """

    name: str
    joints: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...]
    mirror: tuple[int, ...]
    sigmas: tuple[float, ...]

    def __post_init__(self) -> None:
        k = len(self.joints)
        if len(set(self.joints)) != k or k == 0:
            raise ValueError(f"skeleton {self.name!r}: joint names must be given and differ, got {list(self.joints)}")
        _not_too_many(self.name, k)
        if len(self.sigmas) != k:
            raise ValueError(f"skeleton {self.name!r}: {k} joints but {len(self.sigmas)} sigmas; give one sigma for each joint")
        if not all(0 < s < 10 for s in self.sigmas):
            raise ValueError(f"skeleton {self.name!r}: sigmas must be positive numbers, got {list(self.sigmas)}")
        if sorted(self.mirror) != list(range(k)) or any(self.mirror[j] != i for i, j in enumerate(self.mirror)):
            raise ValueError(f"skeleton {self.name!r}: mirror must exchange pairs of its {k} joints, got {list(self.mirror)}")
        if any(not (0 <= a < k and 0 <= b < k) for a, b in self.limbs):
            raise ValueError(f"skeleton {self.name!r}: a limb has a joint index out of range; joints run from 0 to {k - 1}")

    def __len__(self) -> int:
        return len(self.joints)

    def __repr__(self) -> str:
        return f"Skeleton({self.name!r}, {len(self)} joints)"

    def index(self, joint: str) -> int:
        """Index of a joint by name.

        Raises:
            ValueError: there is no such joint; the message lists the joints.
        """
        if joint not in self.joints:
            raise ValueError(f"skeleton {self.name!r} has no joint {joint!r}; it has {', '.join(self.joints)}")
        return self.joints.index(joint)

    def side(self, joint: int) -> str:
        """``left``, ``right`` or ``middle``, by the joint's name."""
        return _side(self.joints[joint])[0]

    @property
    def unpaired(self) -> tuple[str, ...]:
        """Joints named left or right without a mirror partner; with these, mirror augmentation gives wrong labels."""
        return tuple(j for i, j in enumerate(self.joints) if _side(j)[0] != "middle" and self.mirror[i] == i)

    @property
    def of_people(self) -> bool:
        """Whether these are joints of people, by the skeleton's name (``person`` …) or because all are joints of built-in skeletons."""
        known = {joint for skeleton in BUILT_IN.values() for joint in skeleton.joints}
        return self.name.lower().startswith(("person", "people", "human")) or set(self.joints) <= known

    def from_skeleton(self, other: "Skeleton") -> tuple[int, ...]:
        """For each joint the index of the joint of the same name in `other`, or -1."""
        return tuple(other.joints.index(j) if j in other.joints else -1 for j in self.joints)

    @classmethod
    def build(
        cls,
        name: str,
        joints: Sequence[str],
        limbs: Sequence[Sequence[str | int]],
        sigmas: Sequence[float],
        mirror: Sequence[Sequence[str | int]] | None = None,
    ) -> "Skeleton":
        """A skeleton from names; `limbs` and `mirror` are pairs of names or indices.

        Without `mirror`, names that differ only in their side are paired: ``left_hip`` and ``right_hip``, ``L_Hip`` and ``R_Hip``,
        ``hip_l`` and ``hip_r``, ``hip-left`` and ``hip-right``, ``hip.L`` and ``hip.R``, ``LHip`` and ``RHip``. A warning names
        joints with a side but no partner.
        """
        joints = tuple(str(j) for j in joints)
        _not_too_many(name, len(joints))  # before pairing, which takes quadratic time

        def at(j: str | int) -> int:
            if isinstance(j, int):
                if not 0 <= j < len(joints):
                    raise ValueError(f"skeleton {name!r}: there is no joint {j}; joints run from 0 to {len(joints) - 1}")
                return j
            if j not in joints:
                raise ValueError(f"skeleton {name!r}: {j!r} is not one of its joints: {', '.join(joints)}")
            return joints.index(j)

        if mirror is None:
            sides = [_side(j) for j in joints]
            other = {"left": "right", "right": "left", "middle": ""}
            order = [next((k for k, s in enumerate(sides) if s == (other[side], rest)), i) for i, (side, rest) in enumerate(sides)]
        else:
            order = list(range(len(joints)))
            for a, b in mirror:
                order[at(a)], order[at(b)] = at(b), at(a)
        made = cls(name, joints, tuple((at(a), at(b)) for a, b in limbs), tuple(order), tuple(float(s) for s in sigmas))
        if made.unpaired and mirror is None:
            warnings.warn(
                f"skeleton {name!r}: {', '.join(made.unpaired)} have a side but no partner on the other one, so that mirroring leaves "
                "them where they are; give 'mirror', pairs of names",
                stacklevel=2,
            )
        return made

    @classmethod
    def from_yaml(cls, path: str | Path) -> "Skeleton":
        """A skeleton from a YAML file with ``joints``, ``sigmas`` and, optionally, ``name``, ``limbs`` and ``mirror``."""
        path = Path(path)
        try:
            given = yaml.safe_load(path.read_text())
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as e:
            raise ValueError(f"{path}: cannot be read as a skeleton YAML: {e}") from None
        if not isinstance(given, dict):
            raise ValueError(f"{path}: a skeleton file is a mapping with joints, limbs and sigmas")
        return cls.from_mapping({"name": path.stem, **given}, str(path))

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any], where: str) -> "Skeleton":
        """A skeleton from the content of a YAML or weights file; `where` names it in errors."""
        missing = [key for key in ("joints", "sigmas") if not given.get(key)]
        if missing:
            raise ValueError(f"{where}: a skeleton must give {' and '.join(missing)}; sigmas are one OKS constant for each joint")
        unknown = {str(key) for key in given} - {"name", "joints", "limbs", "sigmas", "mirror"}
        if unknown:
            raise ValueError(f"{where}: unknown keys {sorted(unknown)}; a skeleton has name, joints, limbs, sigmas, mirror")
        if isinstance(given["joints"], str) or isinstance(given["sigmas"], str):
            raise ValueError(f"{where}: joints and sigmas are lists, one entry for each joint")
        try:
            joints, sigmas = [str(j) for j in given["joints"]], [float(s) for s in given["sigmas"]]
            return cls.build(str(given.get("name", "custom")), joints, given.get("limbs") or (), sigmas, given.get("mirror"))
        except (OverflowError, TypeError, ValueError) as e:
            raise ValueError(f"{where}: {' '.join(str(e).split())}") from None

    @classmethod
    def from_coco_category(cls, category: Mapping[str, Any], sigmas: Sequence[float] | None = None, where: str = "category") -> "Skeleton":
        """A skeleton from a COCO category (1-based ``skeleton``), with `sigmas` or else the category's own.

        A category with exactly the joints of a built-in skeleton, and without sigmas, gives that skeleton.
        """
        try:
            joints = tuple(str(j) for j in category.get("keypoints") or ())
        except TypeError:
            raise ValueError(f"{where}: 'keypoints' is a list of joint names, got {category['keypoints']!r}") from None
        known = next((s for s in BUILT_IN.values() if s.joints == joints), None)
        if known is not None and sigmas is None and not category.get("sigmas"):
            return known
        sigmas = sigmas or category.get("sigmas")
        if not sigmas:
            raise ValueError(
                f"{where}: the joints {list(joints)} are no built-in skeleton and no sigmas are given; "
                "add 'sigmas' to the category or the data set's YAML (one number a joint, or one for all: COCO has 0.025 for an eye, "
                "0.107 for a hip), or give a skeleton YAML"
            )
        try:
            limbs = [(a - 1, b - 1) for a, b in category.get("skeleton") or ()]
        except (TypeError, ValueError):
            raise ValueError(f"{where}: 'skeleton' must be pairs of joint numbers counted from 1, got {category['skeleton']}") from None
        return cls.from_mapping({"name": category.get("name", "custom"), "joints": joints, "limbs": limbs, "sigmas": sigmas}, where)

    def to_mapping(self) -> dict[str, Any]:
        """The mapping that `from_mapping` reads, of plain lists for JSON or YAML."""
        pairs = [[i, j] for i, j in enumerate(self.mirror) if i < j]
        limbs = [list(limb) for limb in self.limbs]
        return {"name": self.name, "joints": list(self.joints), "limbs": limbs, "sigmas": list(self.sigmas), "mirror": pairs}


# The word left or right anywhere in a name; else L or R between separators; else L or R marked by a change of case (LHip, hipL).
_SIDES = (
    re.compile(r"^(?P<before>.*?)(?P<side>left|right)(?P<after>.*)$", re.IGNORECASE),
    re.compile(r"^(?P<before>|.*[_.\s-])(?P<side>[lr])(?P<after>|[_.\s-].*)$", re.IGNORECASE),
    re.compile(r"^(?P<before>)(?P<side>[LR])(?P<after>[A-Z][a-z].*)$|^(?P<before2>.*[a-z0-9])(?P<side2>[LR])$"),
)


def _side(joint: str) -> tuple[str, str]:
    """``left``, ``right`` or ``middle``, and the name without the side, in lower case.

    >>> _side("left_hip"), _side("L_Hip"), _side("hip.R"), _side("LHip"), _side("elbow")
    (('left', '_hip'), ('left', '_hip'), ('right', 'hip.'), ('left', 'hip'), ('middle', 'elbow'))
    """
    found = next((m for pattern in _SIDES if (m := pattern.match(joint))), None)
    if found is None:
        return "middle", joint.lower()
    parts = found.groupdict()
    side = parts["side"] or parts["side2"]
    rest = (parts["before"] or parts.get("before2") or "") + (parts["after"] or "")
    return ("left" if side[0] in "lL" else "right"), rest.lower()


# Sigmas of COCO and CrowdPose are those of their evaluation programs. MPII and PoseTrack (evaluated by PCKh) have no official sigmas: here
# they are COCO's for the joints that COCO has, its shoulder's for head, neck and thorax, its hip's for the pelvis. They are used for
# OKS-NMS, matching and training; OKS AP with them is not comparable to published figures.
COCO = Skeleton.build(
    "coco",
    (
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
        "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    ),
    [(a - 1, b - 1) for a, b in (
        (16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9),
        (8, 10), (9, 11), (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7),
    )],
    (.026, .025, .025, .035, .035, .079, .079, .072, .072, .062, .062, .107, .107, .087, .087, .089, .089),
)  # fmt: skip

CROWDPOSE = Skeleton.build(
    "crowdpose",
    (
        "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
        "left_knee", "right_knee", "left_ankle", "right_ankle", "head", "neck",
    ),
    [(a - 1, b - 1) for a, b in (
        (11, 9), (9, 7), (12, 10), (10, 8), (7, 8), (7, 1), (8, 2), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (13, 14), (14, 1), (14, 2),
    )],
    (.079, .079, .072, .072, .062, .062, .107, .107, .087, .087, .089, .089, .079, .079),
)  # fmt: skip

MPII = Skeleton.build(
    "mpii",
    (
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "thorax", "upper_neck",
        "head_top", "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
    ),
    [(0, 1), (1, 2), (2, 6), (6, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 9), (7, 12), (12, 11), (11, 10), (7, 13), (13, 14), (14, 15)],
    (.089, .087, .107, .107, .087, .089, .107, .079, .079, .079, .062, .072, .079, .079, .072, .062),
)  # fmt: skip

POSETRACK = Skeleton.build(
    "posetrack",
    (
        "nose", "head_bottom", "head_top", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist",
        "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    ),
    [(0, 1), (0, 2), (1, 3), (1, 4), (3, 5), (4, 6), (5, 7), (6, 8), (3, 9), (4, 10), (9, 10), (9, 11), (10, 12), (11, 13), (12, 14)],
    (.026, .079, .079, .079, .079, .072, .072, .062, .062, .107, .107, .087, .087, .089, .089),
)  # fmt: skip

BUILT_IN = {s.name: s for s in (COCO, CROWDPOSE, MPII, POSETRACK)}


def named(name: str) -> Skeleton:
    """A built-in skeleton by name, or a custom one from a ``.yaml`` path."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    if name.endswith((".yaml", ".yml")):
        return Skeleton.from_yaml(name)
    raise ValueError(f"no skeleton {name!r}; there are {', '.join(BUILT_IN)}, or give the path of a skeleton YAML")
