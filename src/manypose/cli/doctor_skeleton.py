"""``manypose doctor skeleton``: prints a skeleton as it is read, for a check before training."""

from manypose.poses.skeleton import Skeleton, named

__all__ = ["lines", "show"]


def show(skeleton: str) -> int:
    """Print the joints of a skeleton, their sigmas and mirror partners, and its limbs.

    Args:
        skeleton: a built-in name, such as coco, or a skeleton YAML.

    Returns:
        1 if a joint has a side but no mirror partner, else 0.
    """
    read = named(skeleton)
    print("\n".join(lines(read)))
    return int(bool(read.unpaired))


def lines(skeleton: Skeleton) -> list[str]:
    """A skeleton as text: one line for each joint, then its limbs, then joints whose mirror partner is missing."""
    width = max(map(len, (*skeleton.joints, "joint")))
    out = [f"{skeleton.name}: {len(skeleton.joints)} joints, {len(skeleton.limbs)} limbs", ""]
    out.append(f"{'joint':<{width}}  {'sigma':>6}  mirror partner")
    for i, (joint, sigma, partner) in enumerate(zip(skeleton.joints, skeleton.sigmas, skeleton.mirror, strict=True)):
        told = skeleton.joints[partner] if partner != i else "MISSING" if joint in skeleton.unpaired else "none: in the middle"
        out.append(f"{joint:<{width}}  {sigma:>6.3f}  {told}")
    limbs = [f"{skeleton.joints[a]} - {skeleton.joints[b]}" for a, b in skeleton.limbs]
    out += ["", "limbs:", *(f"  {limb}" for limb in limbs)] if limbs else ["", "no limbs"]
    if skeleton.unpaired:
        out += ["", f"without a mirror partner: {', '.join(skeleton.unpaired)}; give 'mirror', pairs of names, in the YAML"]
    return out
