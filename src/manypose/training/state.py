"""States of optimizers and random generators as tensors and JSON, so that reading a checkpoint runs no code."""

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["pack", "random_state", "set_random_seed", "set_random_state", "unpack"]


def pack(tree: Any) -> tuple[Any, dict[str, Tensor]]:
    """Nested dicts, lists, tuples, numbers, strings, tensors and arrays as a JSON value and the tensors that it refers to by number.

    Raises:
        TypeError: a value of another type.
    """
    tensors: dict[str, Tensor] = {}

    def walk(value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, Tensor | np.ndarray):
            name = str(len(tensors))
            tensors[name] = value if isinstance(value, Tensor) else torch.from_numpy(np.array(value))
            return {"tensor" if isinstance(value, Tensor) else "array": name}
        if isinstance(value, Mapping):
            return {"dict": [[walk(k), walk(v)] for k, v in value.items()]}
        if isinstance(value, list | tuple):
            return {type(value).__name__: [walk(v) for v in value]}
        raise TypeError(f"a checkpoint holds tensors, numbers and texts, not a {type(value).__name__}")

    return walk(tree), tensors


def unpack(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of `pack`.

    Raises:
        ValueError, KeyError: not a result of `pack`.
    """
    if not isinstance(tree, dict):
        return tree
    ((kind, value),) = tree.items()
    if kind == "tensor":
        return tensors[value]
    if kind == "array":
        return tensors[value].numpy()
    if kind == "dict":
        return {unpack(k, tensors): unpack(v, tensors) for k, v in value}
    if kind in ("list", "tuple"):
        values = [unpack(v, tensors) for v in value]
        return values if kind == "list" else tuple(values)
    raise ValueError(f"a packed state has no {kind!r}")


def random_state(device: torch.device) -> dict[str, Any]:
    """The state of the random generators of PyTorch (CPU and `device`), NumPy and Python."""
    state = {"torch": torch.get_rng_state(), "numpy": np.random.get_state(legacy=False), "python": random.getstate()}
    if device.type != "cpu":
        state["device"] = getattr(torch, device.type).get_rng_state()
    return state


def set_random_state(state: Mapping[str, Any], device: torch.device) -> None:
    """Restore the state of the random generators."""
    torch.set_rng_state(state["torch"])
    np.random.set_state(state["numpy"])
    random.setstate(state["python"])
    if device.type != "cpu" and "device" in state:
        getattr(torch, device.type).set_rng_state(state["device"])


def set_random_seed(seed: int) -> None:
    """Seed the random generators of PyTorch, NumPy and Python."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
