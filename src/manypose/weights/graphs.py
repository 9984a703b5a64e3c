"""Graphs (``.onnx``) and the JSON file beside each that describes it; and those that come with the package. Needs no PyTorch.

A bundled graph holds no weights: its tensors are in the model's ``.safetensors`` file beside it (ONNX's external data).
"""

import json
from pathlib import Path
from typing import Any

from manypose.weights.names import BUNDLED

__all__ = ["bundled_graph", "read_about"]


def bundled_graph(line: str) -> Path | None:
    """The graph of a line of the table of models; None if none is bundled."""
    path = BUNDLED / f"{line}.onnx"
    return path if path.is_file() else None


def read_about(path: str | Path) -> dict[str, Any]:
    """The JSON file beside a graph.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is not one that `manypose.export.onnx.export` writes.
    """
    path = Path(path).with_suffix(".json")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: missing; it lies beside the .onnx file that manypose export wrote")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if missing := {"kind", "input", "outputs", "skeleton", "outputs_of", "model"} - content.keys():
            raise KeyError(*missing)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{path}: not the description that manypose export writes; export the model again") from None
    return content
