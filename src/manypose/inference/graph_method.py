"""A method whose network runs as a graph and whose outputs PyTorch decodes; and the JSON description of a graph."""

import copy
import json
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from manypose.inference.graph_files import Runtime, open_graph
from manypose.methods.method import Maps, Method, TopDownMethod, module_of
from manypose.weights.graphs import read_about

__all__ = ["about", "with_graph"]

SAME = ("kind", "input", "outputs", "skeleton")


def about(method: Method, name: str = "") -> dict[str, Any]:
    """The description of a method for the JSON file beside its graph, without the export settings."""
    top_down = isinstance(method, TopDownMethod)
    return {
        "model": name,
        "manypose": version("manypose"),
        "kind": "top-down" if top_down else "bottom-up",
        "input": {
            "name": "images",
            "layout": "batch, height, width, RGB",
            "type": "uint8",
            "size": list(method.input_size) if top_down else None,
            "short_side": None if top_down else method.size,
            "multiple_of": method.stride,
        },
        "outputs": {n: {"mirror": f.mirror, "merge": f.merge, "scales": f.scales, "shift": f.shift} for n, f in method.fields.items()},
        "skeleton": method.skeleton.to_mapping(),
    }


def with_graph(method: Method, path: str | Path, runtime: Runtime = "onnx", threads: int | None = None) -> Method:
    """The same method, with its preprocessing and network in a graph.

    Args:
        method: the exported method; its decoding is used, and its weights are freed.
        path: its ``.onnx`` file from `manypose.export.onnx.export`.
        runtime: the library that runs the graph.
        threads: number of CPU threads.

    Raises:
        FileNotFoundError, ValueError: the file or its description is missing, damaged, or belongs to another model.
        ImportError: the runtime is not installed.
    """
    stored, own = read_about(path), json.loads(json.dumps(about(method)))
    if any(stored[key] != own[key] for key in SAME):
        raise ValueError(f"{path}: is the graph of another model; export this one again")
    twin: Any = copy.copy(module_of(method)).eval()
    # An exported network takes pixels; if the graph includes the readout, no readout remains to be done.
    twin.prepare = _as_it_is
    twin.network = twin.forward = partial(_run, open_graph(Path(path), runtime, threads=threads))
    if stored["outputs_of"] == "readout":
        twin.readout = _as_it_is
    return twin


def _run(run: Any, images: Tensor) -> Maps:
    outputs: Mapping[str, Any] = run(images.contiguous().cpu().numpy())
    return {name: torch.from_numpy(values) for name, values in outputs.items()}


def _as_it_is(value: Any) -> Any:
    return value
