"""Reading of published ``.pth`` checkpoints, without running code in them, with checks of all names and shapes."""

import _codecs
import pickle
import warnings
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from manypose.io.files import check_unpacked

__all__ = ["Published", "mismatch", "read_checkpoint", "with_counters"]

# Training checkpoints hold their best score as a NumPy number, which torch does not accept by default.
_SCALAR = np.float64(0).__reduce__()[0]
NUMPY_NUMBERS: list = [
    *((_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    np.dtype,
    np.dtypes.Float64DType,
    _codecs.encode,
]


def read_checkpoint(path: str | Path, wrappers: tuple[str, ...]) -> dict[str, Tensor]:
    """A published file's parameters: a state dict, or the one under the first existing key of `wrappers`; ``module.`` prefixes are removed.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a checkpoint, truncated, or with code.
    """
    path = Path(path)
    content = _read(path)
    wrapped = [content[w] for w in wrappers if isinstance(content.get(w), dict)] if isinstance(content, dict) else []
    state = wrapped[0] if wrapped else content
    if not isinstance(state, dict) or not state or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise ValueError(f"{path}: not a checkpoint: it holds no named tensors, nor {' or '.join(wrappers)}")
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def _read(path: Path) -> object:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weights file")
    try:
        with suppress(OSError):  # reported below
            check_unpacked(path)
    except zipfile.BadZipFile:
        raise ValueError(f"{path}: not a PyTorch checkpoint, or truncated; download it again") from None
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(NUMPY_NUMBERS):
            warnings.simplefilter("ignore")  # the errors below are clearer than torch's warnings
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error)
        if "GLOBAL" in reason or "global" in reason:
            name = next((w.strip(".,`'\"") for w in reason.split("GLOBAL ")[-1].split() if "." in w), "objects")
            raise ValueError(
                f"{path}: refused: the file holds code or objects ({name}), not only tensors; save its state_dict alone"
            ) from None
        raise ValueError(f"{path}: not a PyTorch checkpoint, or damaged") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror or error})") from None
    except Exception:  # torch raises many types on damaged files: RuntimeError, EOFError, KeyError, UnicodeDecodeError …
        raise ValueError(f"{path}: not a PyTorch checkpoint, or truncated; download it again") from None


def with_counters(own: dict[str, Tensor], state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state with batch counters, which files of early PyTorch versions lack and which have no effect."""
    return {**{name: tensor for name, tensor in own.items() if name.endswith("num_batches_tracked")}, **state}


def mismatch(own: dict[str, Tensor], state: dict[str, Tensor]) -> str:
    """A line on how a state dict's names and shapes differ from a network's; empty if they agree."""
    missing = [n for n in own if n not in state]
    unexpected = [n for n in state if n not in own]
    shapes = [
        f"{n}: expected {tuple(own[n].shape)}, found {tuple(state[n].shape)}" for n in own if n in state and own[n].shape != state[n].shape
    ]
    lists = (("missing", missing), ("unexpected", unexpected), ("other shapes", shapes))
    return "; ".join(f"{len(names)} {kind} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})" for kind, names in lists if names)


@dataclass(frozen=True)
class Published:
    """The format of the checkpoints of a method's authors; parameters of ``method.net`` have the published names.

    Args:
        wrappers: keys under which a file may hold its state dict; the first that exists counts.
        describe: the model name for a state dict, for errors.
        trunk: whether a name is that of a parameter independent of the joints.
        prefix: removed from all names.
        arguments: arguments of the method for published weights.
    """

    wrappers: tuple[str, ...]
    describe: Callable[[dict[str, Tensor]], str]
    trunk: Callable[[str], bool]
    prefix: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def read(self, path: str | Path) -> dict[str, Tensor]:
        """A file's parameters, without `prefix`; see `read_checkpoint`."""
        return {name.removeprefix(self.prefix): tensor for name, tensor in read_checkpoint(path, self.wrappers).items()}

    def fit(self, method: Any, state: dict[str, Tensor], source: str = "the checkpoint", *, trunk: bool = False) -> None:
        """Load a state dict into a method, completely or not at all.

        Args:
            method: a method with the checkpoint's architecture.
            state: from `read`.
            source: the file's name, for errors.
            trunk: whether to load only the parameters that `Published.trunk` names.

        Raises:
            ValueError: names or shapes differ; the message says how, and which model would fit.
        """
        own = {name: tensor for name, tensor in method.net.state_dict().items() if not trunk or self.trunk(name)}
        filled = with_counters(own, {name: tensor for name, tensor in state.items() if name in own} if trunk else state)
        if wrong := mismatch(own, filled):
            what = f"{'the trunk of ' * trunk}{self.describe(method.net.state_dict())}"
            raise ValueError(f"{source}: does not fit {what}: {wrong}; this looks like {self.describe(state)}")
        method.net.load_state_dict(filled, strict=not trunk)
