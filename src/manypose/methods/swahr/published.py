"""Checkpoints of HigherHRNet and SWAHR as their authors publish them, and HRNet trunks trained on ImageNet.

The parameters' names are ours too, so loading is unwrapping, checking, and saying clearly what does not fit.
"""

import _codecs
import pickle
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from manypose.backbones import HRNET_PARTS
from manypose.methods.swahr import SWAHR

__all__ = ["describe", "fit", "fit_trunk", "load_published"]

WRAPPERS = ("best_state_dict", "state_dict", "model")
# Training checkpoints hold their best score as a numpy number: data, but not what torch takes for data by itself.
_SCALAR = np.float64(0).__reduce__()[0]
NUMPY_NUMBERS: list = [
    *((_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    np.dtype,
    np.dtypes.Float64DType,
    _codecs.encode,
]


def load_published(path: str | Path) -> dict[str, Tensor]:
    """A published file's parameters: a bare state dict, or one in ``best_state_dict`` or ``state_dict``, perhaps with ``module.`` prefixes.

    Nothing in the file is run.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a checkpoint, cut short, or it holds code.
    """
    path = Path(path)
    content = _read(path)
    # best_state_dict comes first: where a training checkpoint has both, that is the model which was published.
    wrapped = [content[w] for w in WRAPPERS if isinstance(content.get(w), dict)] if isinstance(content, dict) else []
    state = wrapped[0] if wrapped else content
    if not isinstance(state, dict) or not state or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise ValueError(f"{path}: not a checkpoint: it holds no named tensors, nor {' or '.join(WRAPPERS)}")
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def _read(path: Path) -> object:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weights file")
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(NUMPY_NUMBERS):
            warnings.simplefilter("ignore")  # what torch says about odd files is said better below
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
    except Exception:  # torch raises many kinds on damaged files: RuntimeError, EOFError, KeyError, UnicodeDecodeError …
        raise ValueError(f"{path}: not a PyTorch checkpoint, or cut short; download it again") from None


def fit(method: SWAHR, state: dict[str, Tensor], source: str = "the checkpoint") -> None:
    """Put a published state dict into a method, all or nothing.

    Args:
        method: of the architecture the checkpoint was trained with.
        state: what `load_published` gives.
        source: the file's name, for errors.

    Raises:
        ValueError: names or shapes differ; the error says how, and which model would fit.
    """
    own = method.net.state_dict()
    state = {**_counters(own), **state}
    _check(own, state, source)
    method.net.load_state_dict(state)


def fit_trunk(method: SWAHR, state: dict[str, Tensor], source: str = "the checkpoint") -> None:
    """Put only the HRNet trunk of a state dict (ImageNet's, a top-down HRNet's or another number of joints') into a method.

    Raises:
        ValueError: the trunk is not all there, or is of another width.
    """
    own = {name: tensor for name, tensor in method.net.state_dict().items() if name.split(".")[0] in HRNET_PARTS}
    state = {**_counters(own), **{name: tensor for name, tensor in state.items() if name in own}}
    _check(own, state, source)
    method.net.load_state_dict(state, strict=False)


def _counters(own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Batch counters, which files of early PyTorch lack and which change nothing."""
    return {name: tensor for name, tensor in own.items() if name.endswith("num_batches_tracked")}


def _check(own: dict[str, Tensor], state: dict[str, Tensor], source: str) -> None:
    missing = [n for n in own if n not in state]
    unexpected = [n for n in state if n not in own]
    shapes = [
        f"{n}: expected {tuple(own[n].shape)}, found {tuple(state[n].shape)}" for n in own if n in state and own[n].shape != state[n].shape
    ]
    if not (missing or unexpected or shapes):
        return
    lists = (("missing", missing), ("unexpected", unexpected), ("other shapes", shapes))
    parts = [f"{len(names)} {kind} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})" for kind, names in lists if names]
    raise ValueError(f"{source}: does not fit {describe(own)}: {'; '.join(parts)}; this looks like {describe(state)}")


def describe(state: dict[str, Tensor]) -> str:
    """What a state dict looks like, in terms of our model names, such as ``higherhrnet-w48, 14 joints``."""

    def channels(name: str) -> int:
        return state[name].shape[0] if name in state else 0

    width, joints = channels("stage4.0.branches.0.0.conv1.weight"), channels("final_layers.1.weight")
    if joints and width:
        small = "-small" if width == 16 else ""  # timm calls the trunk with 16 channels w18_small
        return f"{'swahr' if 'conv_scale_layers.0.0.weight' in state else 'higherhrnet'}-w{18 if small else width}{small}, {joints} joints"
    if width:
        top_down = channels("final_layer.weight")
        return f"a top-down hrnet-w{width}, {top_down} joints" if top_down else f"an HRNet-w{width} trunk without pose layers"
    return "mspn" if "top.conv.conv.weight" in state else "no model of this family"
