"""Readers of MATLAB's .mat files and of HDF5 annotation files."""

from pathlib import Path
from typing import Any

import numpy as np

from manypose.io.files import MOST_UNPACKED
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
    most = MOST_UNPACKED * max(Path(path).stat().st_size, 4096)
    try:
        with h5py.File(path) as f:
            there = list(f)
            found = {n: _data_set(f, n, most) for n in names if n in there}
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, OverflowError, MemoryError) as e:  # what h5py raises for damaged files
        raise ValueError(f"{path}: not an HDF5 file that can be read ({str(e)[:100]}); download it again") from None
    if missing := [n for n in names if n not in found]:
        raise ValueError(f"{path}: has no data set {missing[0]!r}, it has {', '.join(map(str, there)) or 'nothing'}")
    return tuple(found[n] for n in names)


def _data_set(f: Any, name: str, most: int) -> np.ndarray:
    """An array of the file itself: neither a link to another file, nor larger than the file can hold."""
    import h5py

    found = f[name] if isinstance(f.get(name, getlink=True), h5py.HardLink) else None  # other links may open other files
    if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual:
        raise TypeError(f"{name} is no data set of this file")
    if found.nbytes > most:
        raise TypeError(f"{name} claims {found.nbytes / 1e6:,.0f} MB, more than the file can hold")
    if found.dtype.kind not in "biufSO":
        raise TypeError(f"{name} holds neither numbers nor text")
    return np.asarray(found)


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
