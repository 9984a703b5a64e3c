"""Reading and writing of ``.safetensors`` files: named tensors and a JSON object that describes them.

PyTorch is imported only where tensors of PyTorch are read or written.
"""

import json
from collections.abc import Mapping
from errno import EIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from safetensors import SafetensorError, safe_open

from manypose.io.files import atomic

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["HEADER_LIMIT", "read_about", "read_arrays", "read_tensors", "write_tensors"]

HEADER_LIMIT = 16 * 2**20
"""Largest header in bytes; checked before the header is read."""

_KEY = "manypose"


def read_about(path: str | Path) -> dict[str, Any]:
    """The JSON object that describes the tensors of a file; empty for a file of another program. The tensors are not read.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a safetensors file, truncated, or its description is not a JSON object.
    """
    return _read(path, "np", False)[0]


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """A file's tensors as arrays of NumPy; errors as of `read_about`."""
    return _read(path, "np", True)[1]


def read_tensors(path: str | Path) -> tuple[dict[str, Any], "dict[str, Tensor]"]:
    """A file's description and its tensors on the CPU; errors as of `read_about`."""
    return _read(path, "pt", True)


def write_tensors(path: str | Path, tensors: "Mapping[str, Tensor]", about: Mapping[str, Any]) -> Path:
    """Write tensors (copied to the CPU) and their description atomically.

    Raises:
        OSError: the file cannot be written.
        ValueError: the name does not end in ``.safetensors``.
    """
    from safetensors.torch import save_file

    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: weights files end in .safetensors")
    copies = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    with atomic(path) as temporary:
        try:
            save_file(copies, temporary, {_KEY: json.dumps(dict(about))})
        except SafetensorError as e:
            raise OSError(EIO, str(e), str(temporary)) from None
    return path


def _read(path: str | Path, framework: Literal["np", "pt"], with_tensors: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """A file's description, and perhaps its tensors."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weights file")
    try:
        _check_header_length(path)
        with safe_open(path, framework) as file:
            about = json.loads((file.metadata() or {}).get(_KEY, "{}"))
            tensors = {key: file.get_tensor(key) for key in file.keys()} if with_tensors else {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RecursionError, TypeError, AttributeError) as e:
        raise ValueError(f"{path}: not a complete safetensors file ({e}); write or download it again") from None
    if not isinstance(about, dict):
        raise ValueError(f"{path}: its description is {type(about).__name__}, not a JSON object; write or download it again")
    return about, tensors


def _check_header_length(path: Path) -> None:
    """The first eight bytes hold the header's length (little-endian), followed by the header."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    size = path.stat().st_size
    if size < 8 or length > size - 8:
        raise ValueError(f"{size} bytes are fewer than the header states")
    if length > HEADER_LIMIT:
        raise ValueError(f"its header of {length} bytes is longer than {HEADER_LIMIT}")
