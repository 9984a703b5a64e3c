"""A model's network as an ONNX file, from uint8 RGB photos to the outputs that decoding reads.

The graph holds the preprocessing, the network and `Method.readout`, but not grouping and decoding, which depend on the image. A JSON file
beside the graph holds the data that a program needs to use it: skeleton, sizes, outputs and the merging of mirrored views.
"""

import json
import struct
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from manypose.inference.graph_method import about
from manypose.io.files import atomic, write_json
from manypose.methods.method import Maps, Method, TopDownMethod
from manypose.methods.mspn import MSPN
from manypose.methods.mspn.decode import COUNTS
from manypose.methods.mspn.mobile import DOUBT, MobileMSPN
from manypose.methods.mspn.targets import FIRST_CELL
from manypose.methods.multiposenet import MultiPoseNet
from manypose.methods.nanodet import NanoDet
from manypose.methods.simple import SIMPLE

__all__ = ["Graph", "export"]

LARGEST = 256
"""Largest side of the input of a bottom-up model's graph, in units of `Method.stride`."""

LINKED = 64
"""Smaller tensors are always stored in the graph."""

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
        """The outputs as a tuple."""
        return tuple(self.outputs(images).values())


def export(
    method: Method,
    out: str | Path,
    *,
    name: str = "",
    precision: Literal["float32", "float16", "int8"] = "float32",
    calibration: Iterable[UInt8[np.ndarray, "b H W 3"]] = (),
    link: str | Path | None = None,
) -> Path:
    """Write a method's network as ``.onnx``, and a JSON file of the same name beside it.

    Args:
        method: a method with its weights; it is put into evaluation mode.
        out: the file to write. The batch size is free; the height and width are free too for bottom-up methods (multiples of the stride).
        name: the model's name, for the JSON file.
        precision: ``float16`` stores weights in half precision and computes in single precision at the graph's ends; ``int8`` quantises
            weights and activations, with ranges measured on `calibration`.
        calibration: batches of photos or crops as the network sees them, for ``int8``.
        link: the ``.safetensors`` file of the method in the same folder; the graph refers to its tensors instead of storing a copy.

    Raises:
        ValueError: the file of `link` is elsewhere or holds other weights; the suffix is not ``.onnx``; int8 without calibration batches;
            the network cannot be traced.
        ImportError: onnx or onnxscript is not installed (extra ``export``).
        OSError: the file cannot be written.
    """
    out = Path(out)
    if out.suffix != ".onnx":
        raise ValueError(f"{out}: the suffix must be .onnx")
    batches = list(calibration)
    if precision == "int8" and not batches:
        raise ValueError("int8 needs calibration photos to measure the ranges of activations (--calibration PHOTOS)")
    if isinstance(method, SIMPLE):
        raise ValueError("SIMPLE cannot be exported yet: its corner pooling would fix the size of the traced photo")
    if link is not None and (Path(link).parent.resolve() != out.parent.resolve() or precision != "float32"):
        raise ValueError(f"{out}: a graph can link only to unchanged weights in its own folder, which {link} is not")
    _needs("onnx", "onnxscript")
    graph = Graph(method, "network" if isinstance(method, MultiPoseNet) else "readout").eval()
    with atomic(out) as temporary:
        _trace(graph).save(str(temporary))
        if precision == "float16":
            _halved(temporary)
        elif precision == "int8":
            _quantised(temporary, batches)
        _stripped(temporary)
        if link is not None:
            _linked(temporary, Path(link))
    described = {**about(method, name), "outputs_of": graph.part, "precision": precision, "decoding": _decoding(method)}
    write_json(out.with_suffix(".json"), described)
    return out


def _decoding(method: Method) -> dict[str, Any] | None:
    """The parameters of decoding without PyTorch; None if decoding needs PyTorch."""
    if isinstance(method, NanoDet):
        return {"overlap": method.overlap, "threshold": method.threshold, "most": method.most}
    if isinstance(method, MobileMSPN):
        extend, deviation, score = method.extend, method.post_filter, {"doubt": DOUBT}
    elif isinstance(method, MSPN) and method.decoding == "gaussian" and method.first_cell == FIRST_CELL["ours"]:
        extend, deviation = method.views.extend, 1.0 if method.post_filter is None else method.post_filter
        score = {"least": COUNTS}
    else:
        return None
    return {"extend": extend, "post_filter": deviation, **score, "person_nms_oks": method.person_nms_oks}


def _trace(graph: Graph) -> Any:
    """The ONNX program of a graph, traced with two non-square images so that no size becomes a constant."""
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
        raise ValueError(f"the network cannot be exported to ONNX: {' '.join(str(e).split())[:300]}") from None
    return program


def _halved(path: Path) -> None:
    """Store weights in half precision, with a cast to single precision before each use."""
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


def _stripped(path: Path) -> None:
    """Remove the references of nodes to the Python source."""
    import onnx

    model = onnx.load(str(path))
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.initializer, *model.graph.input, *model.graph.output):
        part.doc_string = ""
        del part.metadata_props[:]
    del model.graph.value_info[:], model.graph.metadata_props[:], model.metadata_props[:]
    onnx.save(model, str(path))


def _linked(path: Path, weights: Path) -> None:
    """Replace the graph's tensors by references to a safetensors file (ONNX's external data, by offset and length); halves are cast."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(path))
    content = weights.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    kinds = {"F16": (TensorProto.FLOAT16, np.float16), "F32": (TensorProto.FLOAT, np.float32)}
    casts = []
    for tensor in model.graph.initializer:
        name, values = tensor.name, numpy_helper.to_array(tensor)
        entry = header.get(name.removeprefix("method."))
        if values.size < LINKED or entry is None or entry["dtype"] not in kinds:
            continue
        kind, dtype = kinds[entry["dtype"]]
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        if not np.array_equal(np.frombuffer(content[start:end], dtype).reshape(entry["shape"]).astype(np.float32), values):
            raise ValueError(f"{weights}: its tensor {name} differs from the method's")
        tensor.Clear()
        tensor.name, tensor.data_type, tensor.data_location = name, kind, TensorProto.EXTERNAL
        tensor.dims.extend(entry["shape"])
        for key, value in (("location", weights.name), ("offset", start), ("length", end - start)):
            tensor.external_data.add(key=key, value=str(value))
        if kind == TensorProto.FLOAT16:
            tensor.name = f"{name}_half"
            casts.append(helper.make_node("Cast", [tensor.name], [name], name=f"{name}_cast", to=TensorProto.FLOAT))
    stored = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    if stored > 100 * LINKED:
        raise ValueError(f"{weights}: {stored} bytes of the graph's weights are missing")
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    path.write_bytes(model.SerializeToString())


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
