"""The joints and body parts of Simple Pose (Figure 2): COCO's 17 joints and a neck, and 30 parts, 13 of which are redundant."""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from manypose.poses.skeleton import COCO, Skeleton

__all__ = ["Body", "body_of", "spanning_tree"]

# The published order of channels; joints as indices of COCO's.
_NECK = (5, 6)
_COCO_JOINTS = (0, _NECK, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
_COCO_PARTS = (
    (1, 0), (1, 14), (1, 15), (1, 16), (1, 17), (0, 14), (0, 15), (14, 16), (15, 17), (1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7),
    (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (0, 2), (0, 5), (2, 8), (8, 12), (5, 11), (11, 9), (16, 2), (17, 5), (8, 11),
)  # fmt: skip
_COCO_TREE = (0, *range(5, 21))

# Body proportions: a joint's mean position relative to the neck (x to the person's left), and the deviation of the vector to it from the
# previous joint, in units with a median person area of 1. Medians over the people of COCO train2017 with eight or more parts; joints that
# COCO lacks are inter- or extrapolated.
_BUILD = {
    "neck": (0.0, 0.0, 0.12), "upper_neck": (0.0, 0.0, 0.12), "head_bottom": (0.0, 0.0, 0.12), "thorax": (0.0, 0.0, 0.12),
    "head": (0.0, -0.35, 0.13), "head_top": (0.0, -0.45, 0.13), "nose": (0.0, -0.224, 0.13), "eye": (0.047, -0.272, 0.022),
    "ear": (0.15, -0.25, 0.045), "shoulder": (0.182, 0.0, 0.12), "elbow": (0.248, 0.34, 0.16), "wrist": (0.18, 0.47, 0.2),
    "pelvis": (0.0, 0.682, 0.18), "hip": (0.1, 0.682, 0.18), "knee": (0.1, 1.178, 0.23), "ankle": (0.1, 1.69, 0.18),
}  # fmt: skip


@dataclass(frozen=True)
class Body:
    """The joints and parts with maps, for a skeleton.

    Args:
        skeleton: the people's skeleton.
        sources: for each mapped joint its skeleton joint, or the two of which it is the midpoint.
        parts: pairs of mapped joints.
        mirror_joints: mapped joint i of a mirrored person is ``mirror_joints[i]``.
        mirror_parts: the same for parts.
        place: mean positions (xy) of joints in a person of unit size; NaN if unknown.
        variance: per-axis variance of the vector between two joints, in that unit; infinite if unknown.
    """

    skeleton: Skeleton
    sources: tuple[int | tuple[int, int], ...]
    parts: tuple[tuple[int, int], ...]
    mirror_joints: tuple[int, ...]
    mirror_parts: tuple[int, ...]
    place: Float[np.ndarray, "j 2"] = field(compare=False, repr=False)
    variance: Float[np.ndarray, "j j"] = field(compare=False, repr=False)

    @property
    def back(self) -> tuple[int, ...]:
        """For each joint of the skeleton, its mapped joint."""
        return tuple(self.sources.index(j) for j in range(len(self.skeleton)))

    @property
    def made(self) -> tuple[int, ...]:
        """Mapped joints that the skeleton lacks."""
        return tuple(i for i, s in enumerate(self.sources) if isinstance(s, tuple))

    def joints(self, keypoints: Float[Tensor, "b n k 3"]) -> Float[Tensor, "b n j 3"]:
        """Mapped joints of people; a midpoint has the lower visibility and needs both joints."""
        ends = [s if isinstance(s, tuple) else (s, s) for s in self.sources]
        first, second = (keypoints[:, :, [e[i] for e in ends]] for i in (0, 1))
        visibility = torch.minimum(first[..., 2:], second[..., 2:])
        return torch.cat([(first[..., :2] + second[..., :2]) / 2, visibility], -1)


def body_of(skeleton: Skeleton, redundant: bool = True) -> Body:
    """COCO: the published joints and parts. Other skeletons: their own joints, and their limbs as parts.

    Args:
        skeleton: of the people.
        redundant: all parts; False: only a spanning tree (Table 1, experiment 12).

    Raises:
        ValueError: the skeleton's limbs do not join all its joints, or are not their own mirror image.
    """
    if skeleton.joints == COCO.joints:
        sources: tuple[int | tuple[int, int], ...] = _COCO_JOINTS
        tree = tuple(_COCO_PARTS[i] for i in _COCO_TREE)
        parts = _COCO_PARTS if redundant else tree
        mirrored = [s if isinstance(s, tuple) else skeleton.mirror[s] for s in sources]
        mirror = tuple(sources.index(m) for m in mirrored)
    else:
        sources, mirror = tuple(range(len(skeleton))), skeleton.mirror
        tree = spanning_tree(skeleton)
        parts = skeleton.limbs if redundant else tree
    unordered = [frozenset(p) for p in parts]
    images = [frozenset(mirror[j] for j in p) for p in parts]
    alone = [parts[i] for i, image in enumerate(images) if image not in unordered]
    if alone:
        raise ValueError(f"skeleton {skeleton.name!r}: the limbs {alone} lack their mirror image; Simple Pose needs it for flipping")
    names = tuple("neck" if isinstance(s, tuple) else skeleton.joints[s] for s in sources)
    return Body(skeleton, sources, parts, mirror, tuple(unordered.index(image) for image in images), *_build(names, tree))


def _build(names: tuple[str, ...], tree: tuple[tuple[int, int], ...]) -> tuple[Float[np.ndarray, "j 2"], Float[np.ndarray, "j j"]]:
    """Positions and variances of joints; variances add up along the tree."""
    place, deviation = np.full((len(names), 2), np.nan), np.full(len(names), np.inf)
    for i, name in enumerate(names):
        side = {"left": 1, "right": -1}.get(name.partition("_")[0], 0)
        known = _BUILD.get(name.partition("_")[2] if side else name)
        if known is not None and (side or not known[0]):
            place[i], deviation[i] = ((side or 1) * known[0], known[1]), known[2]
    near = np.full((len(names), len(names)), np.inf)
    np.fill_diagonal(near, 0)
    distance = np.hypot(*place.T)
    reached = [int(np.nanargmin(distance))] if np.isfinite(distance).any() else []
    for a in reached:  # grows: from the neck outwards
        for b in {j for pair in tree if a in pair for j in pair if j not in reached}:
            near[a, b] = near[b, a] = deviation[b] ** 2
            reached.append(b)
    for via in range(len(names)):
        near = np.minimum(near, near[:, [via]] + near[[via]])
    return place, near


def spanning_tree(skeleton: Skeleton) -> tuple[tuple[int, int], ...]:
    """A spanning tree of the limbs, in the order of the skeleton; which contains both or none of a limb and its mirror image.

    Raises:
        ValueError: the limbs do not join all joints.
    """
    pairs = {frozenset(limb): limb for limb in skeleton.limbs}
    units = [(limb, pairs.get(frozenset(skeleton.mirror[j] for j in limb), limb)) for limb in skeleton.limbs]
    group = list(range(len(skeleton)))
    if len(group) < 2:
        raise ValueError(f"skeleton {skeleton.name!r} has one joint and no limb; Simple Pose groups joints along limbs")
    tree: list[tuple[int, int]] = []
    # Limbs within one side first, so that limbs between the sides are left out if they close a cycle.
    for unit in sorted(units, key=lambda u: u[0] == u[1]):
        new = list(group)
        for a, b in dict.fromkeys(unit):
            if new[a] == new[b]:
                break
            new = [new[a] if g == new[b] else g for g in new]
        else:
            group = new
            tree += dict.fromkeys(unit)
    if len(set(group)) > 1:
        raise ValueError(
            f"skeleton {skeleton.name!r}: its limbs do not join all of its joints; Simple Pose groups joints along limbs, so give them"
        )
    return tuple(tree)
