"""A grouping CNN in a ``.safetensors`` file, with all that is needed to build it again."""

import json
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from manypose.io.files import atomic
from manypose.methods.simple.grouping import GroupingCNN

__all__ = ["BUNDLED", "load_grouping", "save_grouping"]

BUNDLED = Path(__file__).parents[2] / "weights" / "bundled" / "simple-grouping.safetensors"
"""The weights that come with the package."""


def save_grouping(cnn: GroupingCNN, path: str | Path, dtype: Literal["float32", "float16"] = "float32", note: str = "") -> Path:
    """Write a grouping CNN, whole or not at all.

    Args:
        cnn: with ``arguments``, what it was built with.
        path: ``.safetensors``.
        dtype: ``float16`` stores convolutions in half precision.
        note: how it was trained, on what, under which licence.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: weights are written as .safetensors")
    half = dtype == "float16"
    state = {k: (v.half() if half and v.ndim > 1 else v).detach().cpu().contiguous().clone() for k, v in cnn.state_dict().items()}
    about = {"grouping": cnn.arguments, "note": note}
    with atomic(path) as temporary:
        save_file(state, temporary, {"format": "pt", "manypose": json.dumps(about)})
    return path


def load_grouping(path: str | Path = BUNDLED) -> GroupingCNN:
    """A grouping CNN ready to group (eval mode, single precision).

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is not a whole safetensors file, or not a grouping CNN's.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weights file; `manypose grouping train` writes one")
    try:
        with safe_open(path, "pt") as file:
            about: dict[str, Any] = json.loads((file.metadata() or {}).get("manypose", "{}"))
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as e:
        raise ValueError(f"{path}: not a whole safetensors file ({e}); train or download it again") from None
    if "grouping" not in about:
        raise ValueError(f"{path}: holds no grouping CNN; `manypose grouping train` writes one")
    cnn = GroupingCNN(**about["grouping"])
    try:
        cnn.load_state_dict(state)
    except RuntimeError as e:
        raise ValueError(f"{path}: does not fit the grouping CNN it says it is ({str(e).splitlines()[-1].strip()})") from None
    return cnn.eval()
