"""Graphs (``.onnx``) run by ONNX Runtime or OpenVINO, and the models made of them. Needs no PyTorch."""

import os
from pathlib import Path
from typing import Any, get_args

import numpy as np
from jaxtyping import UInt8

from manypose.inference.graph_models import DetectorGraph, PersonGraph, Run, Runtime, graph_model
from manypose.weights.graphs import read_about

__all__ = ["Runtime", "load_graph", "open_graph", "threads_of_cpu"]


def load_graph(path: Path, runtime: Runtime = "onnx", device: str = "cpu") -> PersonGraph | DetectorGraph | None:
    """The model of a graph; None where its maps are decoded by PyTorch alone (bottom-up methods).

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
        raise ValueError(f"{described}: {type(e).__name__}: {e}; export the model anew") from None


def open_graph(path: Path, runtime: Runtime = "onnx", device: str = "cpu", threads: int | None = None) -> Run:
    """A function from RGB pictures to the graph's outputs by name; errors as of `load_graph`.

    Args:
        path: the ``.onnx`` file.
        runtime: ONNX Runtime or OpenVINO.
        device: ``cpu``; with an ONNX Runtime for GPUs also ``cuda`` or ``cuda:N``.
        threads: of a CPU; default `threads_of_cpu`.
    """
    if runtime not in get_args(Runtime):
        raise ValueError(f"runtime is torch, {' or '.join(get_args(Runtime))}, got {runtime!r}")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such graph")
    opened = _onnx if runtime == "onnx" else _openvino
    return opened(path, device, threads or threads_of_cpu())


def threads_of_cpu() -> int:
    """``OMP_NUM_THREADS`` where it is set, else the cores that this process may use."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    if said.isdecimal() and int(said):
        return int(said)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _onnx(path: Path, device: str, threads: int) -> Run:
    import onnxruntime

    provider: Any = "CPUExecutionProvider"
    if device != "cpu":
        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers() or not device.startswith("cuda"):
            raise ValueError(
                f"device {device!r}: this ONNX Runtime has none; install onnxruntime-gpu, or take runtime='torch' or device='cpu'"
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
        if process not in sessions:  # forked: a session's threads have not come along
            sessions[process] = opened(1)
        return dict(zip(names, sessions[process].run(None, {"images": images}), strict=True))

    return run


def _openvino(path: Path, device: str, threads: int) -> Run:
    try:
        import openvino
    except ImportError:
        raise ImportError("OpenVINO is not installed: pip install 'manypose[openvino]'") from None
    if device != "cpu":
        raise ValueError(f"device {device!r}: OpenVINO runs on the CPU here; take device='cpu'")
    try:
        # Whole single precision: some processors would halve it.
        options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        network = openvino.Core().compile_model(os.fspath(path), "CPU", options)
    except RuntimeError as e:
        raise ValueError(f"{path}: OpenVINO cannot load it: {' '.join(str(e).split())[:200]}") from None
    names, owner = [output.any_name for output in network.outputs], os.getpid()

    def run(images: UInt8[np.ndarray, "b H W 3"]) -> dict[str, np.ndarray]:
        if os.getpid() != owner:
            raise ValueError(
                f"{path}: OpenVINO's threads do not come along into a forked process: load the model there, or take runtime='onnx'"
            )
        found = network({"images": np.ascontiguousarray(images)})
        return {name: np.array(found[i]) for i, name in enumerate(names)}

    return run
