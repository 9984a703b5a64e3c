"""A model's network as an ONNX file: uint8 RGB photos in, the outputs that decoding reads out.

The graph holds the pre-processing, the network and `Method.readout`. Grouping and decoding stay outside: they depend on the image. A JSON
file beside the graph says what a program needs to use it: skeleton, sizes, outputs and how mirrored views merge.
"""

import json
import warnings
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from manypose.io.files import atomic, write_json
from manypose.methods.method import Maps, Method, TopDownMethod
from manypose.methods.multiposenet import MultiPoseNet
from manypose.methods.simple import SIMPLE

__all__ = ["Graph", "about", "export"]

LARGEST = 256
"""The most cells of `Method.stride` a side of the input may have in a graph of a bottom-up model."""

OPSET = 20


class Graph(nn.Module):
    """The part of a method that a graph holds.

    Args:
        method: a method with its weights.
        part: ``readout``: the outputs that decoding reads; ``network``: the network's own, where `Method.readout` selects boxes by steps
            whose sizes depend on the image (MultiPoseNet's anchors).
    """

    def __init__(self, method: Method, part: Literal["readout", "network"] = "readout") -> None:
        super().__init__()
        self.method = method
        self.part = part

    def outputs(self, images: UInt8[Tensor, "b H W 3"]) -> Maps:
        """The outputs by name, in the order of the graph."""
        maps = self.method.network(self.method.prepare(images))
        maps = self.method.readout(maps) if self.part == "readout" else maps
        return {name: maps[name].float() for name in sorted(maps)}

    def forward(self, images: UInt8[Tensor, "b H W 3"]) -> tuple[Float[Tensor, "b ..."], ...]:
        """The outputs alone."""
        return tuple(self.outputs(images).values())


def export(
    method: Method,
    out: str | Path,
    *,
    name: str = "",
    precision: Literal["float32", "float16", "int8"] = "float32",
    calibration: Iterable[UInt8[np.ndarray, "b H W 3"]] = (),
) -> Path:
    """Write a method's network as ``.onnx``, and a JSON file of the same name beside it.

    Args:
        method: a method with its weights; it is put into evaluation mode.
        out: the file to write. The batch size is free; the height and width are free too for bottom-up methods (multiples of the stride).
        name: the model's name, for the JSON file.
        precision: ``float16`` stores weights in half precision and computes in single precision at the graph's ends; ``int8`` quantises
            weights and activations, with ranges measured on `calibration`.
        calibration: batches of photos or crops as the network sees them, for ``int8``.

    Raises:
        ValueError: the suffix is not ``.onnx``; int8 without calibration batches; the network cannot be traced.
        ImportError: onnx or onnxscript is not installed (extra ``export``).
        OSError: the file cannot be written.
    """
    out = Path(out)
    if out.suffix != ".onnx":
        raise ValueError(f"{out}: the file to write is an .onnx file")
    batches = list(calibration)
    if precision == "int8" and not batches:
        raise ValueError("int8 needs photos to measure the ranges of activations on: give some (--calibration PHOTOS)")
    if isinstance(method, SIMPLE):
        raise ValueError("SIMPLE cannot be written as ONNX yet: its corner pooling takes the size of the traced photo for a constant")
    _needs("onnx", "onnxscript")
    graph = Graph(method, "network" if isinstance(method, MultiPoseNet) else "readout").eval()
    with atomic(out) as temporary:
        _trace(graph).save(str(temporary))
        if precision == "float16":
            _halved(temporary)
        elif precision == "int8":
            _quantised(temporary, batches)
    write_json(out.with_suffix(".json"), {**about(method, name), "outputs_of": graph.part, "precision": precision})
    return out


def about(method: Method, name: str = "") -> dict[str, Any]:
    """What the JSON file beside a graph says."""
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


def _trace(graph: Graph) -> Any:
    """The ONNX program of a graph, traced with two images that are not square, so that no size is taken for a constant."""
    method = graph.method
    batch = torch.export.Dim("batch", min=1, max=1024)
    if isinstance(method, TopDownMethod):
        size, shape = method.input_size, {0: batch}
    else:
        s = method.stride
        size = (-(-method.size // s) * s, (-(-method.size // s) + 2) * s)
        rows, columns = (torch.export.Dim(n, min=1, max=LARGEST) for n in ("rows", "columns"))
        shape = {0: batch, 1: s * rows, 2: s * columns}
    device = next(graph.parameters()).device
    images = torch.zeros((2, *size, 3), dtype=torch.uint8, device=device)
    try:
        with torch.no_grad():
            names = list(graph.outputs(images))
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                graph, (images,), dynamo=True, dynamic_shapes=(shape,), input_names=["images"], output_names=names,
                opset_version=OPSET, verbose=False,
            )  # fmt: skip
    except torch.onnx.OnnxExporterError as e:
        raise ValueError(f"the network cannot be written as ONNX: {' '.join(str(e).split())[:300]}") from None
    return program


def _halved(path: Path) -> None:
    """Store weights in half precision; a cast before each use keeps the computation in single precision where the runtime has no half."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(path))
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or numpy_helper.to_array(tensor).size < 64:
            continue
        original, half = tensor.name, f"{tensor.name}_half"
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), half))
        casts.append(helper.make_node("Cast", [half], [original], name=f"{original}_cast", to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, str(path))


def _quantised(path: Path, batches: list[UInt8[np.ndarray, "b H W 3"]]) -> None:
    """Static quantisation: weights and activations as int8, with ranges measured on batches."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Batches(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(batches)

        def get_next(self) -> dict[str, np.ndarray] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
            batch = next(self.left, None)
            return None if batch is None else {"images": batch}

    quantize_static(
        str(path), str(path), Batches(), quant_format=QuantFormat.QDQ, per_channel=True, op_types_to_quantize=["Conv"],
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )  # fmt: skip


def _needs(*packages: str) -> None:
    from importlib.util import find_spec

    missing = [p for p in packages if find_spec(p) is None]
    if missing:
        raise ImportError(f"export needs {' and '.join(missing)}: pip install 'manypose[export]'")


def read_about(path: str | Path) -> dict[str, Any]:
    """The JSON file beside a graph.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is not one that `export` writes.
    """
    path = Path(path).with_suffix(".json")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: missing; it lies beside the .onnx file that manypose export wrote")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content["input"], content["outputs"], content["skeleton"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path}: not the description that manypose export writes; export the model anew") from None
    return content
