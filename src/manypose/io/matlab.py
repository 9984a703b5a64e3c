"""Readers of MATLAB's .mat files and of HDF5 annotation files."""

from pathlib import Path
from typing import Any

import numpy as np

from manypose.io.mat_variables import read_variables, simplified

__all__ = ["cells", "is_mat", "load_cells", "load_h5", "load_mat"]


def is_mat(path: str | Path) -> bool:
    """Whether a file has a MATLAB header (versions 5 to 7.3); False if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(6) == b"MATLAB"
    except OSError:
        return False


def load_mat(path: str | Path, *names: str) -> Any:
    """The variables of a .mat file (up to version 7), structs as dictionaries; one name gives the variable itself.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file cannot be read, or lacks a variable; the message names the file and lists its variables.
    """
    given = [simplified(value) for value in _load(path, names)]
    return given[0] if len(names) == 1 else tuple(given)


def load_cells(path: str | Path, name: str) -> list:
    """A nested cell array of numbers as nested lists of flat arrays; unlike `load_mat` it keeps cells of one element.

    Raises:
        FileNotFoundError, ValueError: as `load_mat`.
    """
    nested = _nested(_load(path, (name,))[0])
    return nested if isinstance(nested, list) else [nested]


def _nested(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.dtype == object:
        return [_nested(v) for v in value.ravel()]
    return np.asarray(value).ravel()


def _load(path: str | Path, names: tuple[str, ...]) -> list[Any]:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such annotation file")
    try:
        given = dict(read_variables(Path(path).read_bytes()))
    except (ValueError, OSError) as e:
        raise ValueError(f"{path}: not a .mat file of versions 5 to 7 ({e}); download it again, or save it again (save -v7)") from None
    if missing := [n for n in names if given.get(n) is None]:
        there = ", ".join(n for n, value in given.items() if value is not None) or "no readable variable"
        raise ValueError(f"{path}: has no variable {missing[0]!r}, it has {there}")
    return [given[n] for n in names]


def load_h5(path: str | Path, *names: str) -> tuple[np.ndarray, ...]:
    """Data sets of an HDF5 file.

    Raises:
        FileNotFoundError: no such file.
        ImportError: h5py is not installed.
        ValueError: the file cannot be read, or lacks a data set; the message names the file and lists its data sets.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such annotation file")
    try:
        import h5py
    except ImportError:
        raise ImportError("HDF5 files need h5py: pip install 'manypose[eval]'") from None
    try:
        with h5py.File(path) as f:
            if missing := [n for n in names if n not in f]:
                raise ValueError(f"{path}: has no data set {missing[0]!r}, it has {', '.join(f) or 'nothing'}")
            return tuple(np.asarray(f[n]) for n in names)
    except OSError as e:
        raise ValueError(f"{path}: not an HDF5 file ({str(e)[:100]}); download it again") from None


def cells(value: Any) -> list:
    """A cell or struct array of any length as a list; `load_mat` simplifies arrays of no or one element.

    >>> cells({"x": 1}), cells(np.array([])), cells(3), cells([1, 2])
    ([{'x': 1}], [], [3], [1, 2])
    """
    if isinstance(value, np.ndarray):
        return list(value.ravel()) if value.ndim else [value.item()]
    if isinstance(value, (list, tuple)):
        return list(value)
    return [] if value is None or (isinstance(value, str) and not value) else [value]
