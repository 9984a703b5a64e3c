"""Writing and reading of grouping CNNs as ``.safetensors`` files."""

from pathlib import Path
from typing import Any, Literal

from manypose.io.safetensors import write_tensors
from manypose.methods.simple.grouping import GroupingCNN
from manypose.nn.network_files import read_network, stored

__all__ = ["BUNDLED", "load_grouping", "save_grouping"]

BUNDLED = Path(__file__).parents[2] / "weights" / "bundled" / "simple-grouping.safetensors"
"""The bundled weights."""


def save_grouping(
    cnn: GroupingCNN, path: str | Path, dtype: Literal["float32", "float16"] = "float32", note: str = "", **more: Any
) -> Path:
    """Write a grouping CNN atomically.

    Args:
        cnn: a grouping CNN.
        path: ``.safetensors``.
        dtype: ``float16`` stores convolutions in half precision.
        note: training data, procedure and licence.
        more: further metadata as JSON values.
    """
    return write_tensors(path, stored(cnn, dtype), {"grouping": cnn.arguments, "note": note, **more})


def load_grouping(path: str | Path = BUNDLED) -> GroupingCNN:
    """A grouping CNN in eval mode and single precision; errors as of `manypose.nn.network_files.read_network`."""
    cnn = read_network(path, "grouping", "grouping CNN", "`manypose grouping train`", lambda about: GroupingCNN(**about["grouping"]))
    assert isinstance(cnn, GroupingCNN)
    return cnn
