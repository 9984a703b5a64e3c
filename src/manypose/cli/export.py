"""``manypose export``: a model's network as an ONNX file."""

from pathlib import Path
from typing import Literal

__all__ = ["export"]


def export(
    model: str,
    *,
    out: Path,
    weights: Path | None = None,
    precision: Literal["float32", "float16", "int8"] = "float32",
    calibration: list[str] | None = None,
    link: Path | None = None,
) -> None:
    """Write a model's network as an ONNX file, and beside it a JSON file that describes its inputs and outputs.

    Args:
        model: a model's name or a .safetensors file; `manypose models` lists the names.
        out: the file to write, .onnx.
        weights: a weights file for a named model: .safetensors, or a published .pth.
        precision: float16 halves the file size; int8 quarters it and needs calibration photos.
        calibration: for int8, photos or folders of photos on which the ranges of activations are measured; 32 photos are enough.
        link: the model's .safetensors file in the same folder; the graph then refers to its tensors instead of storing a copy.
    """
    from manypose.export.calibration import batches
    from manypose.export.onnx import export as write
    from manypose.weights.files import load
    from manypose.weights.names import line_of

    method = load(model, weights=weights, device="cpu")
    photos = batches(method, calibration) if calibration else ()
    path = write(method, out, name=line_of(model) or model, precision=precision, calibration=photos, link=link)
    print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB) and {path.with_suffix('.json').name}")
