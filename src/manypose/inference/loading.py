"""The choice of a model's runtime: ONNX Runtime for bundled graphs, PyTorch for everything else."""

import shutil
from pathlib import Path
from typing import Any, Literal, TypeAlias

from manypose.inference.graph_files import load_graph
from manypose.inference.running import AnyModel
from manypose.io.extras import need_torch, torch_installed
from manypose.methods.catalog import MODELS, no_model
from manypose.weights.graphs import bundled_graph, line_of_graph
from manypose.weights.names import CHOICES, is_file, line_of

__all__ = ["RuntimeName", "load_any"]

RuntimeName: TypeAlias = Literal["auto", "onnx", "openvino", "torch"]


def load_any(
    name: str | Path | None = None,
    *,
    weights: str | Path | None = None,
    device: str = "auto",
    runtime: RuntimeName = "auto",
    **overrides: Any,
) -> AnyModel:
    """A model for a runtime; arguments and errors: see `manypose.inference.model.load`."""
    if runtime not in ("auto", "onnx", "openvino", "torch"):
        raise ValueError(f"runtime must be auto, onnx, openvino or torch, got {runtime!r}")
    if name is not None and Path(name).suffix == ".onnx":
        if weights is not None or overrides or runtime == "torch":
            raise ValueError(f"{name}: a graph includes its weights and arguments and does not run in PyTorch; give the graph only")
        return _of_graph(Path(name), device, "onnx" if runtime == "auto" else runtime)
    if name is not None and not is_file(name) and line_of(name) not in MODELS:  # before PyTorch, which takes seconds
        raise ValueError(no_model(str(name), tuple(CHOICES), "model and no file"))
    own = weights is None and not overrides and not (name is not None and is_file(name))
    graph = bundled_graph(line_of(name)) if own else None
    if runtime == "auto":
        runtime = "onnx" if graph is not None and not (torch_installed() and _on_gpu(device)) else "torch"
    if runtime != "torch":
        if graph is None:
            raise ValueError(
                f"no graph of {name or 'these weights'} is bundled: write one (manypose export {name or 'MODEL'} --out X.onnx) "
                "and give this file as the model"
            )
        return _of_graph(graph, device, runtime)
    need_torch(f"the model {name or 'default'}" if graph is None else "runtime='torch'")
    from manypose.weights import files

    return files.load(name, weights=weights, device=device, **overrides)


def _of_graph(path: Path, device: str, runtime: Literal["onnx", "openvino"]) -> AnyModel:
    model = load_graph(path, runtime, "cpu" if device == "auto" else device)
    if model is not None:
        return model
    line = line_of_graph(path)
    if line not in MODELS:
        raise ValueError(f"{path}: is the graph of {line!r}, which is not the name of a model; export it by its name")
    need_torch(f"decoding the outputs of {line}")
    from manypose.inference.graph_method import with_graph
    from manypose.methods.catalog import build

    return with_graph(build(line), path, runtime)


def _on_gpu(device: str) -> bool:
    """Whether PyTorch would use a device other than the CPU; it is imported only if there is an NVIDIA driver."""
    if device != "auto":
        return device != "cpu"
    if shutil.which("nvidia-smi") is None and not Path("/dev/nvidiactl").exists():
        return False
    import torch

    return torch.cuda.is_available()
