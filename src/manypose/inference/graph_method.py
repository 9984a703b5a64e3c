"""A method whose network runs as a graph while PyTorch decodes its outputs; and what a graph's description says of a method."""

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
    """What the JSON file beside a graph says of the method, apart from how the graph was made."""
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
    """The same method, whose pre-processing and network run as a graph.

    Args:
        method: the method that was exported; its decoding is used, its weights are let go of.
        path: the ``.onnx`` file that `manypose.export.onnx.export` wrote of it.
        runtime: what runs it.
        threads: of a CPU.

    Raises:
        FileNotFoundError, ValueError: the file or its description is missing, is damaged, or is of another model.
        ImportError: the runtime is not installed.
    """
    stored, own = read_about(path), json.loads(json.dumps(about(method)))
    if any(stored[key] != own[key] for key in SAME):
        raise ValueError(f"{path}: is the graph of another model; export this one anew")
    twin: Any = copy.copy(module_of(method)).eval()
    # An exported network takes pixels, and where its readout is in the graph there is nothing to read out any more.
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
