"""A grouping CNN in a ``.safetensors`` file, with all that is needed to build it again."""

from pathlib import Path
from typing import Any, Literal

from manypose.io.safetensors import write_tensors
from manypose.methods.simple.grouping import GroupingCNN
from manypose.nn.network_files import read_network, stored

__all__ = ["BUNDLED", "load_grouping", "save_grouping"]

BUNDLED = Path(__file__).parents[2] / "weights" / "bundled" / "simple-grouping.safetensors"
"""The weights that come with the package."""


def save_grouping(
    cnn: GroupingCNN, path: str | Path, dtype: Literal["float32", "float16"] = "float32", note: str = "", **more: Any
) -> Path:
    """Write a grouping CNN, whole or not at all.

    Args:
        cnn: with ``arguments``, what it was built with.
        path: ``.safetensors``.
        dtype: ``float16`` stores convolutions in half precision.
        note: how it was trained, on what, under which licence.
        more: further facts for the file; JSON values.
    """
    return write_tensors(path, stored(cnn, dtype), {"grouping": cnn.arguments, "note": note, **more})


def load_grouping(path: str | Path = BUNDLED) -> GroupingCNN:
    """A grouping CNN ready to group (eval mode, single precision); errors as of `manypose.nn.network_files.read_network`."""
    cnn = read_network(path, "grouping", "grouping CNN", "`manypose grouping train`", lambda about: GroupingCNN(**about["grouping"]))
    assert isinstance(cnn, GroupingCNN)
    return cnn
