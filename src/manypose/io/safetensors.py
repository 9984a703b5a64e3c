"""The reader and writer of ``.safetensors`` files: named tensors, and one JSON object that describes them.

PyTorch is imported only where tensors of PyTorch are read or written.
"""

import json
from collections.abc import Mapping
from errno import EIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open

from manypose.io.files import atomic

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["HEADER_LIMIT", "read_about", "read_arrays", "read_tensors", "write_arrays", "write_tensors"]

HEADER_LIMIT = 16 * 2**20
"""Bytes: a file with a longer header is refused before the header is read."""

_KEY = "manypose"


def read_about(path: str | Path) -> dict[str, Any]:
    """The JSON object that describes the tensors of a file; empty for a file of another program. The tensors are not read.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a safetensors file, a truncated one, or one whose description is not a JSON object.
    """
    return _read(path, "np", False)[0]


def read_arrays(path: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A file's description and its tensors as NumPy arrays; errors as of `read_about`."""
    return _read(path, "np", True)


def read_tensors(path: str | Path) -> tuple[dict[str, Any], "dict[str, Tensor]"]:
    """A file's description and its tensors on the CPU; errors as of `read_about`."""
    return _read(path, "pt", True)


def write_arrays(path: str | Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> Path:
    """Write NumPy arrays and their description, whole or not at all.

    Raises:
        OSError: the file cannot be written; nothing is left of it.
        ValueError: the name does not end in ``.safetensors``.
    """
    from safetensors.numpy import save_file

    return _write(path, save_file, {k: np.array(v, order="C") for k, v in arrays.items()}, about)


def write_tensors(path: str | Path, tensors: "Mapping[str, Tensor]", about: Mapping[str, Any]) -> Path:
    """Write tensors of PyTorch (copied to the CPU) and their description; errors as of `write_arrays`."""
    from safetensors.torch import save_file

    return _write(path, save_file, {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, about)


def _write(path: str | Path, save_file: Any, tensors: dict[str, Any], about: Mapping[str, Any]) -> Path:
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: weights are written as .safetensors")
    with atomic(path) as temporary:
        try:
            save_file(tensors, temporary, {_KEY: json.dumps(dict(about))})
        except SafetensorError as e:
            raise OSError(EIO, str(e), str(temporary)) from None
    return path


def _read(path: str | Path, framework: str, with_tensors: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weights file")
    try:
        _check_header_length(path)
        with safe_open(path, framework) as file:
            about = json.loads((file.metadata() or {}).get(_KEY, "{}"))
            tensors = {key: file.get_tensor(key) for key in file.keys()} if with_tensors else {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RecursionError, TypeError, AttributeError) as e:
        raise ValueError(f"{path}: not a whole safetensors file ({e}); make or download it again") from None
    if not isinstance(about, dict):
        raise ValueError(f"{path}: its description is {type(about).__name__}, not a JSON object; make or download it again")
    return about, tensors


def _check_header_length(path: Path) -> None:
    """The first eight bytes hold the header's length (little-endian), followed by the header."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    size = path.stat().st_size
    if size < 8 or length > size - 8:
        raise ValueError(f"{size} bytes are fewer than the header announces")
    if length > HEADER_LIMIT:
        raise ValueError(f"its header of {length} bytes is longer than {HEADER_LIMIT}")
