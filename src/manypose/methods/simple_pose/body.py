"""The joints and body parts that Simple Pose paints (Figure 2): COCO's 17 joints and a neck, joined by 30 parts of which 13 are redundant."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from manypose.skeleton import COCO, Skeleton

__all__ = ["Body", "body_of", "spanning_tree"]

# The published order of channels; joints as indices of COCO's.
_NECK = (5, 6)
_COCO_JOINTS = (0, _NECK, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
_COCO_PARTS = (
    (1, 0), (1, 14), (1, 15), (1, 16), (1, 17), (0, 14), (0, 15), (14, 16), (15, 17), (1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7),
    (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (0, 2), (0, 5), (2, 8), (8, 12), (5, 11), (11, 9), (16, 2), (17, 5), (8, 11),
)  # fmt: skip
_COCO_TREE = (0, *range(5, 21))


@dataclass(frozen=True)
class Body:
    """What is painted for one kind of skeleton.

    Args:
        skeleton: the people's skeleton.
        sources: for each painted joint the skeleton joint it is, or the two that it lies between.
        parts: pairs of painted joints.
        mirror_joints: painted joint i of a mirrored person is painted joint ``mirror_joints[i]``.
        mirror_parts: the same for parts.
    """

    skeleton: Skeleton
    sources: tuple[int | tuple[int, int], ...]
    parts: tuple[tuple[int, int], ...]
    mirror_joints: tuple[int, ...]
    mirror_parts: tuple[int, ...]

    @property
    def back(self) -> tuple[int, ...]:
        """For each joint of the skeleton, the painted joint that it is."""
        return tuple(self.sources.index(j) for j in range(len(self.skeleton)))

    @property
    def made(self) -> tuple[int, ...]:
        """Painted joints that the skeleton does not have."""
        return tuple(i for i, s in enumerate(self.sources) if isinstance(s, tuple))

    def joints(self, keypoints: Float[Tensor, "b n k 3"]) -> Float[Tensor, "b n j 3"]:
        """Painted joints of people; one between two joints is their middle, with the lower visibility, where both are labelled."""
        ends = [s if isinstance(s, tuple) else (s, s) for s in self.sources]
        first, second = (keypoints[:, :, [e[i] for e in ends]] for i in (0, 1))
        visibility = torch.minimum(first[..., 2:], second[..., 2:])
        return torch.cat([(first[..., :2] + second[..., :2]) / 2, visibility], -1)


def body_of(skeleton: Skeleton, redundant: bool = True) -> Body:
    """COCO: the published joints and parts. Other skeletons: their own joints, and their limbs as parts.

    Args:
        skeleton: of the people.
        redundant: all parts; False: a spanning tree alone (Table 1, experiment 12).

    Raises:
        ValueError: the skeleton's limbs do not join all its joints, or are not their own mirror image.
    """
    if skeleton.joints == COCO.joints:
        sources: tuple[int | tuple[int, int], ...] = _COCO_JOINTS
        parts = _COCO_PARTS if redundant else tuple(_COCO_PARTS[i] for i in _COCO_TREE)
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
    return Body(skeleton, sources, parts, mirror, tuple(unordered.index(image) for image in images))


def spanning_tree(skeleton: Skeleton) -> tuple[tuple[int, int], ...]:
    """Limbs that join all joints without a ring, the first ones first; a limb and its mirror image are taken both or neither.

    Raises:
        ValueError: the limbs do not join all joints.
    """
    pairs = {frozenset(limb): limb for limb in skeleton.limbs}
    units = [(limb, pairs.get(frozenset(skeleton.mirror[j] for j in limb), limb)) for limb in skeleton.limbs]
    group = list(range(len(skeleton)))
    tree: list[tuple[int, int]] = []
    # Limbs of one side first: a limb between two sides closes a ring with them, and could only be left out together with a whole side.
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
