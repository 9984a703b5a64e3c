"""Graphs (``.onnx``) in ONNX Runtime or OpenVINO, and the models made from them. Needs no PyTorch."""

import os
from pathlib import Path
from typing import Any, get_args

import numpy as np
from jaxtyping import UInt8

from manypose.inference.graph_models import DetectorGraph, PersonGraph, Run, Runtime, graph_model
from manypose.weights.graphs import read_about

__all__ = ["Runtime", "cores", "load_graph", "open_graph", "threads_of_cpu"]


def load_graph(path: Path, runtime: Runtime = "onnx", device: str = "cpu") -> PersonGraph | DetectorGraph | None:
    """The model of a graph; None if its outputs can only be decoded by PyTorch (bottom-up methods).

    Raises:
        FileNotFoundError, ValueError: the graph or its description is missing or damaged, or the runtime has no such device.
        ImportError: the runtime is not installed.
    """
    about = read_about(path)
    if about.get("decoding") is None:
        return None
    described = path.with_suffix(".json")
    try:
        return graph_model(open_graph(path, runtime, device), runtime, device, about, str(described))
    except (LookupError, TypeError) as e:
        raise ValueError(f"{described}: {type(e).__name__}: {e}; export the model again") from None


def open_graph(path: Path, runtime: Runtime = "onnx", device: str = "cpu", threads: int | None = None) -> Run:
    """A function from RGB images to the graph's outputs by name; errors: see `load_graph`.

    Args:
        path: the ``.onnx`` file.
        runtime: ONNX Runtime or OpenVINO.
        device: ``cpu``; with an ONNX Runtime for GPUs also ``cuda`` or ``cuda:N``.
        threads: number of CPU threads; default `threads_of_cpu`.
    """
    if runtime not in get_args(Runtime):
        raise ValueError(f"runtime must be torch, {' or '.join(get_args(Runtime))}, got {runtime!r}")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such graph")
    opened = _onnx if runtime == "onnx" else _openvino
    return opened(path, device, threads or threads_of_cpu())


def threads_of_cpu() -> int:
    """``OMP_NUM_THREADS`` if it is set, else the number of cores that this process may use."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    if said.isdecimal() and int(said):
        return int(said)
    return cores()


def cores() -> int:
    """The number of cores that this process may use; where the system does not tell (macOS, Windows), of all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _onnx(path: Path, device: str, threads: int) -> Run:
    import onnxruntime

    provider: Any = "CPUExecutionProvider"
    if device != "cpu":
        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers() or not device.startswith("cuda"):
            raise ValueError(
                f"device {device!r}: this ONNX Runtime does not support it; install onnxruntime-gpu, or use runtime='torch' or device='cpu'"
            )
        provider = ("CUDAExecutionProvider", {"device_id": int(device.partition(":")[2] or 0)})

    def opened(threads: int) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # detector and pose network share the cores
        try:
            return onnxruntime.InferenceSession(os.fspath(path), options, providers=[provider])
        except Exception as e:  # onnxruntime's errors have no common class but Exception
            raise ValueError(f"{path}: ONNX Runtime cannot load it: {' '.join(str(e).split())[:200]}") from None

    sessions = {os.getpid(): opened(threads)}
    names = [output.name for output in sessions[os.getpid()].get_outputs()]

    def run(images: UInt8[np.ndarray, "b H W 3"]) -> dict[str, Any]:
        process = os.getpid()
        if process not in sessions:  # after a fork: a session's threads do not exist in the child
            sessions[process] = opened(1)
        return dict(zip(names, sessions[process].run(None, {"images": images}), strict=True))

    return run


def _openvino(path: Path, device: str, threads: int) -> Run:
    try:
        import openvino
    except ImportError:
        raise ImportError("OpenVINO is not installed: pip install 'manypose[openvino]'") from None
    if device != "cpu":
        raise ValueError(f"device {device!r}: OpenVINO is supported only on the CPU; use device='cpu'")
    try:
        # Single precision: on some processors OpenVINO would use half precision.
        options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        network = openvino.Core().compile_model(os.fspath(path), "CPU", options)
    except RuntimeError as e:
        raise ValueError(f"{path}: OpenVINO cannot load it: {' '.join(str(e).split())[:200]}") from None
    names, owner = [output.any_name for output in network.outputs], os.getpid()

    def run(images: UInt8[np.ndarray, "b H W 3"]) -> dict[str, np.ndarray]:
        if os.getpid() != owner:
            raise ValueError(f"{path}: OpenVINO's threads do not survive a fork: load the model in the new process, or use runtime='onnx'")
        found = network({"images": np.ascontiguousarray(images)})
        return {name: np.array(found[i]) for i, name in enumerate(names)}

    return run
