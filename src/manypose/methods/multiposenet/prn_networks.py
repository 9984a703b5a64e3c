"""The trainable Pose Residual Networks, by name."""

from typing import Any

from manypose.methods.multiposenet.attention import AttentionPRN
from manypose.methods.multiposenet.baselines import UCR
from manypose.methods.multiposenet.dense_prn import DensePRN
from manypose.methods.multiposenet.prn import PRN
from manypose.poses.skeleton import Skeleton

__all__ = ["NETWORKS", "PrnNetwork", "prn_network"]

PrnNetwork = PRN | DensePRN | AttentionPRN | UCR

NETWORKS: dict[str, type[PrnNetwork]] = {"PRN": PRN, "DensePRN": DensePRN, "AttentionPRN": AttentionPRN, "UCR": UCR}


def prn_network(skeleton: Skeleton, kind: str = "PRN", **arguments: Any) -> PrnNetwork:
    """A new network of this kind.

    Raises:
        ValueError: no such kind, or unknown arguments.
    """
    if kind not in NETWORKS:
        raise ValueError(f"a PRN is one of {', '.join(NETWORKS)}; got {kind!r}")
    try:
        return NETWORKS[kind](skeleton, **arguments)
    except TypeError as e:
        raise ValueError(f"{kind}: {e}") from None
