"""Data that lies beside the project and not in it: the folder `MANYPOSE_SHARED`, or ``shared`` next to the checkout.

`MANYPOSE_PARITY` may name another folder of published numbers in the format of ``shared/parity``; what is not there is looked for in the
default one. What is absent is skipped with a reason, never silently.
"""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def shared(*parts: str) -> Path:
    """A file or folder beside the project; the test is skipped where it is absent."""
    path = Path(os.environ.get("MANYPOSE_SHARED", REPOSITORY.parent / "shared"), *parts)
    if not path.exists():
        pytest.skip(f"{path} is absent; set MANYPOSE_SHARED to the folder that has it", allow_module_level=True)
    return path


def _parity_folders(folder: str) -> list[Path]:
    default = Path(os.environ.get("MANYPOSE_SHARED", REPOSITORY.parent / "shared")) / "parity" / folder
    named = os.environ.get("MANYPOSE_PARITY")
    first = [Path(named, folder), Path(named)] if named else []
    return [f for f in (*first, default) if f.is_dir()]


def parity(folder: str, name: str) -> Path:
    """One file of published numbers, from the named folder or else the default one; skips where both lack it."""
    paths = [f / name for f in _parity_folders(folder) if (f / name).exists()]
    if not paths:
        pytest.skip(f"parity/{folder}/{name} is absent; set MANYPOSE_SHARED or MANYPOSE_PARITY", allow_module_level=True)
    return paths[0]


def parity_files(folder: str, *patterns: str) -> list:
    """Parameters for `pytest.mark.parametrize`: all files there are, the named folder's before the default's; else one skip."""
    found = {p.name: p for f in reversed(_parity_folders(folder)) for pattern in patterns for p in sorted(f.glob(pattern))}
    if not found:
        reason = f"no {' or '.join(patterns)} in parity/{folder}; set MANYPOSE_SHARED or MANYPOSE_PARITY"
        return [pytest.param(None, id="absent", marks=pytest.mark.skip(reason=reason))]
    return [pytest.param(path, id=name) for name, path in sorted(found.items())]


def parity_module(folder: str, name: str) -> ModuleType:
    """A folder's ``fill.py`` or ``cases.py``; each folder has its own, so they are kept apart."""
    if name != "fill":
        sys.modules["fill"] = parity_module(folder, "fill")  # cases.py imports it by this name
    spec = importlib.util.spec_from_file_location(f"{folder}_{name}", parity(folder, f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.modules.pop("fill", None)
    return module
