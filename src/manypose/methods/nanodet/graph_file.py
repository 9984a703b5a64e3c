"""Reader of NanoDet-g's published weights, a safetensors copy of the tensors of its TensorFlow graph."""

from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

__all__ = ["nanodet_tensors"]

CLASSES = 80

ORDER = (
    "stem", "stages.0.start", "stages.0.blocks.0.first", "stages.0.blocks.0.second", "stages.0.end",
    *(f"stages.{i}.{part}" for i, blocks in ((1, 2), (2, 2), (3, 3))
      for part in ("start", *(f"blocks.{j}.{k}" for j in range(blocks) for k in ("first", "second")), "end")),
    "lateral.0", "lateral.1", "lateral.2", "heads.0.0", "heads.0.1", "heads.1.0", "heads.1.1", "heads.2.0", "heads.2.1",
)  # fmt: skip
"""The convolutions in the file's order."""


def nanodet_tensors(path: str | Path, classes: Sequence[int] = (0,)) -> dict[str, Tensor]:
    """The tensors of `NanoDetNet` from the file, with the outputs of the given classes.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not NanoDet-g's weights.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file of NanoDet's weights")
    stored, out = load_file(path), {}
    for i, name in enumerate(ORDER):
        kernel, bias = f"PartitionedCall/split{f'_{i}' if i else ''}", f"unknown_{2 * i + (4 if i > 27 else 0) + (2 if i > 29 else 0)}"
        if kernel not in stored or bias not in stored:
            raise ValueError(f"{path}: not the weights of NanoDet-g: {kernel!r} is missing")
        k, b = stored[kernel].float().permute(3, 2, 0, 1).contiguous(), stored[bias].float()
        if name.startswith("heads") and name.endswith("1"):
            kept = [*classes, *range(CLASSES, len(k))]
            k, b = k[kept], b[kept]
        plain = name.startswith("lateral") or (name.startswith("heads") and name.endswith("1"))
        end = "" if plain else ".conv"
        out[f"{name}{end}.weight"], out[f"{name}{end}.bias"] = k, b
    return out
