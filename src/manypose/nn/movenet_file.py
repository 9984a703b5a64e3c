"""Reader of MoveNet's published weights, a safetensors copy of the tensors of its TensorFlow graph."""

from collections.abc import Iterator
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

__all__ = ["movenet_tensors"]

RESIDUALS = 17

ROOT = "StatefulPartitionedCall/"
NET = ROOT + "center_net_mobile_net_v2fpn_feature_extractor/model_1/"


def _trunk_names() -> Iterator[tuple[str, str, str]]:
    """For each convolution of the backbone: its name, and the names of its kernel and bias in the file (a bias may be missing)."""
    folded = [("stem", "model/Conv1/Conv2D"), ("last", "model/Conv_1/Conv2D")]
    for i in range(RESIDUALS):
        block = f"model/block_{i}" if i else "model/expanded_conv"
        folded += [(f"blocks.{i}.expand", f"{block}_expand/Conv2D")] if i else []
        folded += [(f"blocks.{i}.depthwise", f"{block}_depthwise/depthwise"), (f"blocks.{i}.project", f"{block}_project/Conv2D")]
    for i in range(3):
        separable = f"separable_conv2d{f'_{i}' if i else ''}/separable_conv2d"
        yield f"merge.{i}.0", f"{NET}{separable}/ReadVariableOp", ""
        folded.append((f"merge.{i}.1", separable))
    yield from ((ours, f"{NET}{theirs}_weights", f"{NET}{theirs}_bn_offset") for ours, theirs in folded)
    for i in range(4):
        side = f"{NET}conv2d{f'_{i}' if i else ''}/"
        yield f"lateral.{i}", side + "Conv2D/ReadVariableOp", side + "BiasAdd/ReadVariableOp"


def _head_names() -> Iterator[tuple[str, str, str]]:
    names = {"centre": "center", "heat": "kpt_heatmap", "regression": "kpt_regress", "offset": "kpt_offset"}
    for i, (ours, theirs) in enumerate(names.items()):
        separable, plain = (f"{ROOT}{theirs}_0/{kind}/" for kind in (f"separable_conv2d_{i + 3}", f"conv2d_{i + 4}"))
        yield f"heads.{ours}.0", separable + "separable_conv2d/ReadVariableOp", ""
        yield f"heads.{ours}.1", separable + "separable_conv2d/ReadVariableOp_1", separable + "BiasAdd/ReadVariableOp"
        yield f"heads.{ours}.3", plain + "Conv2D/ReadVariableOp", plain + "BiasAdd/ReadVariableOp"


def movenet_tensors(path: str | Path, part: str = "trunk") -> dict[str, Tensor]:
    """The tensors of MoveNet's ``trunk`` or ``heads`` under the names of `manypose.nn.movenet`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not MoveNet's weights.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file of MoveNet's weights")
    stored, out = load_file(path), {}
    for ours, kernel, bias in _trunk_names() if part == "trunk" else _head_names():
        if kernel not in stored or (bias and bias not in stored):
            raise ValueError(f"{path}: not the weights of MoveNet Thunder: {kernel!r} is missing")
        k = stored[kernel].float()
        # (height, width, in, out); depthwise (height, width, channels, 1)
        k = k.permute(2, 3, 0, 1) if k.shape[3] == 1 and k.shape[0] == 3 else k.permute(3, 2, 0, 1)
        out[f"{ours}.weight"] = k.flip(2, 3).contiguous()
        if bias:
            out[f"{ours}.bias"] = stored[bias].float()
    return out
