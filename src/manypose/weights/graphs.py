"""ONNX graphs, their JSON descriptions, and the bundled graphs; without PyTorch.

A bundled graph holds no weights: its tensors are in the model's ``.safetensors`` file beside it (ONNX's external data).
"""

import json
from pathlib import Path
from typing import Any

from manypose.weights.names import BUNDLED, CHOICES

__all__ = ["bundled_graph", "line_of_graph", "read_about"]


def bundled_graph(line: str) -> Path | None:
    """The path of a model's bundled graph; None if there is none."""
    path = BUNDLED / f"{line}.onnx"
    return path if path.is_file() else None


def line_of_graph(path: str | Path) -> str:
    """The catalog name of an exported graph's model; errors as of `read_about`."""
    name = str(read_about(path)["model"])
    return CHOICES.get(name, name)


def read_about(path: str | Path) -> dict[str, Any]:
    """The content of the JSON file beside a graph.

    Raises:
        FileNotFoundError: there is none.
        ValueError: not a file written by `manypose.export.onnx.export`.
    """
    path = Path(path).with_suffix(".json")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: missing; manypose export writes it beside the .onnx file")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if missing := {"kind", "input", "outputs", "skeleton", "outputs_of", "model"} - content.keys():
            raise KeyError(*missing)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{path}: not a description written by manypose export; export the model again") from None
    return content
