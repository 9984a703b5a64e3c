"""Writing and reading of PRNs as ``.safetensors`` files."""

from pathlib import Path
from typing import Any, Literal, cast

from manypose.io.safetensors import write_tensors
from manypose.methods.multiposenet.prn_networks import PrnNetwork, prn_network
from manypose.nn.network_files import read_network, stored
from manypose.poses.skeleton import Skeleton

__all__ = ["BUNDLED", "load_prn", "save_prn"]

BUNDLED = Path(__file__).parents[2] / "weights" / "bundled" / "prn.safetensors"
"""The bundled weights."""


def save_prn(prn: PrnNetwork, path: str | Path, dtype: Literal["float32", "float16"] = "float32", note: str = "", **more: Any) -> Path:
    """Write a PRN atomically.

    Args:
        prn: a PRN.
        path: ``.safetensors``.
        dtype: ``float16`` stores matrices in half precision.
        note: training data, procedure and licence.
        more: further metadata as JSON values.
    """
    about = {"prn": {"kind": type(prn).__name__, **prn.arguments}, "skeleton": prn.skeleton.to_mapping(), "note": note, **more}
    return write_tensors(path, stored(prn, dtype), about)


def load_prn(path: str | Path) -> PrnNetwork:
    """A PRN in eval mode and single precision; errors as of `manypose.nn.network_files.read_network`."""
    prn = read_network(
        path, "prn", "PRN", "`manypose prn train`",
        lambda about: prn_network(Skeleton.from_mapping(about["skeleton"], str(path)), **about["prn"]),
    )  # fmt: skip
    return cast(PrnNetwork, prn)
