"""Networks in ``.safetensors`` files: tensors to store, and networks rebuilt from their description."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from manypose.io.safetensors import read_tensors
from manypose.nn.checkpoint_files import mismatch

__all__ = ["LARGEST", "built", "fill_exactly", "filled", "read_network", "stored"]

LARGEST = 65_536
"""Largest integer (nodes, layers, channels) in a description; checked before the network is built."""

N = TypeVar("N")


def stored(network: nn.Module, dtype: Literal["float32", "float16"] = "float32", without: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """The tensors of a network for a file.

    Args:
        network: any network.
        dtype: ``float16`` stores tensors in half precision, except vectors (biases, normalization).
        without: names of children to leave out, which only training needs.
    """
    state = {k: v for k, v in network.state_dict().items() if k.split(".")[0] not in without}
    return {k: v.half() if dtype == "float16" and v.ndim > 1 and v.is_floating_point() else v for k, v in state.items()}


def built(path: Path, what: str, build: Callable[[], N], described: Any) -> N:
    """The result of `build`, with failures due to a wrong description as a `ValueError` that names the file.

    Args:
        path: the file, for errors.
        what: the kind of network, for errors.
        build: builds the network from `described`.
        described: JSON value from the file.
    """
    if any(isinstance(v, int) and abs(v) > LARGEST for v in _leaves(described)):
        raise ValueError(f"{path}: its description of the {what} has a number above {LARGEST}; write or download it again")
    try:
        return build()
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as e:
        said = " ".join(f"{type(e).__name__}: {e}".split())[:300]
        raise ValueError(f"{path}: its description of the {what} is wrong ({said}); write or download it again") from None


def read_network(path: str | Path, key: str, what: str, cure: str, build: Callable[[dict[str, Any]], nn.Module]) -> nn.Module:
    """A network from a file with a description under `key`, in eval mode and single precision.

    Args:
        path: ``.safetensors``.
        key: key of the file's JSON object whose value describes the network.
        what: the kind of network, for errors.
        cure: the command that writes such files, for errors.
        build: builds the network from the JSON object.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a complete safetensors file, of another kind, with a wrong description, or with tensors that do not fit.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weights file; {cure} writes one")
    about, state = read_tensors(path)
    if not isinstance(about.get(key), dict):
        raise ValueError(f"{path}: holds no {what}; {cure} writes one")
    return filled(path, what, lambda: build(about), about, state).eval()


def filled(path: Path, what: str, build: Callable[[], N], described: Any, state: Mapping[str, Tensor]) -> N:
    """The result of `build` with a file's tensors; see `built` and `fill_exactly`.

    It is first built on the meta device, to refuse a file that describes a huge network without holding it.
    """
    with torch.device("meta"):
        _check(built(path, what, build, described), state, path, what)
    return fill_exactly(build(), state, path, what)


def fill_exactly(network: N, state: Mapping[str, Tensor], path: Path, what: str) -> N:
    """The network with a file's tensors.

    Raises:
        ValueError: tensors are missing, left over or of another shape.
    """
    _check(network, state, path, what)
    assert isinstance(network, nn.Module)
    network.load_state_dict(dict(state))
    return network


def _check(network: Any, state: Mapping[str, Tensor], path: Path, what: str) -> None:
    if wrong := mismatch(network.state_dict(), dict(state)):
        raise ValueError(f"{path}: does not fit the {what}: {wrong}; another size, skeleton or kind of network?")


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for v in value:
            yield from _leaves(v)
    else:
        yield value
