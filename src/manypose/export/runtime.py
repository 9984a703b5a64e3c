"""A method whose network runs in ONNX Runtime: everything above the network stays as it is, so results are equal."""

import copy
import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from manypose.export.onnx import about as describe
from manypose.export.onnx import export, read_about
from manypose.methods.method import Maps, Method, module_of

__all__ = ["with_graph", "with_own_graph"]

PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")


def with_graph(method: Method, path: str | Path, threads: int | None = None) -> Method:
    """The same method, whose pre-processing and network run in ONNX Runtime.

    Args:
        method: the method that was exported; its decoding is used, its weights are let go of.
        path: the ``.onnx`` file that `export` wrote of it.
        threads: of a CPU; default: as many as PyTorch uses.

    Raises:
        FileNotFoundError, ValueError: the file or its description is missing, is damaged, or is of another model.
        ImportError: onnxruntime is not installed.
    """
    about = read_about(path)
    same = {key: value for key, value in describe(method).items() if key in ("kind", "input", "outputs", "skeleton")}
    if any(about.get(key) != json.loads(json.dumps(value)) for key, value in same.items()):
        raise ValueError(f"{path}: is the graph of another model; export this one anew")
    session = _session(Path(path), threads or torch.get_num_threads())
    names = [output.name for output in session.get_outputs()]
    twin: Any = copy.copy(module_of(method)).eval()
    # An exported network takes pixels, and where its readout is in the graph there is nothing to read out any more.
    twin.prepare = _as_it_is
    twin.network = twin.forward = partial(_run, session, names)
    if about["outputs_of"] == "readout":
        twin.readout = _as_it_is
    return twin


def with_own_graph(method: Method, folder: str | Path, name: str) -> Method:
    """`with_graph` for a graph that is exported into a folder when it is not there yet."""
    path = Path(folder) / f"{name}.onnx"
    if not (path.is_file() and path.with_suffix(".json").is_file()):
        export(method, path, name=name)
    return with_graph(method, path)


def _session(path: Path, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise ImportError("ONNX Runtime is not installed: pip install 'manypose[export]'") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    available = onnxruntime.get_available_providers()
    try:
        return onnxruntime.InferenceSession(os.fspath(path), options, providers=[p for p in PROVIDERS if p in available])
    except Exception as e:  # onnxruntime's errors have no common class but Exception
        raise ValueError(f"{path}: ONNX Runtime cannot load it: {' '.join(str(e).split())[:200]}") from None


def _run(session: Any, names: Sequence[str], images: Tensor) -> Maps:
    outputs = session.run(None, {"images": images.contiguous().cpu().numpy()})
    return {name: torch.from_numpy(values) for name, values in zip(names, outputs, strict=True)}


def _as_it_is(value: Any) -> Any:
    return value
