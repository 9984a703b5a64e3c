"""Weights files: ``.safetensors`` with a method's tensors and, as JSON, the arguments to build it.

Published ``.pth`` files are read by the ``published.py`` of the method's package, without running code from the file.
"""

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from manypose.io.safetensors import read_tensors, write_tensors
from manypose.methods.catalog import MODELS, build, no_model
from manypose.methods.method import Method, module_of
from manypose.nn.checkpoint_files import Published, mismatch
from manypose.nn.device import choose_device
from manypose.nn.network_files import built, fill_exactly, filled, stored
from manypose.poses.skeleton import Skeleton, named
from manypose.weights.names import BUNDLED, CHOICES, DEFAULT, is_file, published

__all__ = ["BUNDLED", "CHOICES", "DEFAULT", "bundled", "convert", "load", "save", "transfer"]


def save(
    method: Method,
    path: str | Path,
    *,
    name: str,
    kwargs: Mapping[str, Any] | None = None,
    dtype: Literal["float32", "float16"] = "float32",
    note: str = "",
    **more: Any,
) -> Path:
    """Write a method to a ``.safetensors`` file atomically.

    Args:
        method: the method.
        path: the file.
        name: its name in the model catalog.
        kwargs: arguments of its factory beyond the catalog's (the skeleton is always stored).
        dtype: ``float16`` stores tensors in half precision, except vectors (biases, normalization).
        note: training data, procedure and licence.
        more: further metadata as JSON values.

    Raises:
        OSError: the file cannot be written.
    """
    path = Path(path)
    if name not in MODELS:
        raise ValueError(no_model(name))
    arguments = {**MODELS[name].kwargs, **(kwargs or {})}
    # Loading the file must not download pretrained weights; parts only needed in training (a teacher) are dropped.
    for dropped in ("pretrained", *method.training_only):
        arguments.pop(dropped, None)
    about = {
        "model": name,
        "kwargs": arguments,
        "skeleton": method.skeleton.to_mapping(),
        "version": version("manypose"),
        "note": note,
        **more,
    }
    return write_tensors(path, stored(module_of(method), dtype, method.training_only), about)


def load(source: str | Path | None = None, *, weights: str | Path | None = None, device: str = "auto", **overrides: Any) -> Method:
    """A method ready for inference.

    Args:
        source: a model's name, a name of `CHOICES`, a ``.safetensors`` file, or None for the default model.
        weights: a file for a named model: ``.safetensors`` or published ``.pth``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``.
        overrides: arguments of the model's factory, such as ``skeleton``.

    Raises:
        FileNotFoundError, ValueError: no such model, file or device, no weights for it, or weights that do not fit.
    """
    target = choose_device(device)
    name = None if source is None or is_file(source) else CHOICES.get(str(source), str(source))
    if name is not None and name not in MODELS:
        raise ValueError(no_model(name, tuple(CHOICES), "model and no file"))
    if name is None and weights is not None:
        raise ValueError(f"weights={str(weights)!r} need the name of their model, as in load('swahr-w32', weights=FILE)")
    path = Path(weights) if weights is not None else Path(source) if name is None and source is not None else _bundled(name)
    method = _from_published(path, name, overrides) if published(path) else _from_safetensors(path, name, overrides)
    module_of(method).to(target).eval()
    return method


def bundled(name: str) -> Path | None:
    """The bundled weights file of a model of the catalog; None if there is none."""
    path = BUNDLED / f"{MODELS[name].weights or name}.safetensors"
    return path if path.is_file() else None


def convert(source: str | Path, name: str, out: str | Path, **overrides: Any) -> Path:
    """Convert a published ``.pth`` of the model `name` to ``.safetensors``; returns the path."""
    method = load(name, weights=source, device="cpu", **overrides)
    kwargs = {k: v for k, v in overrides.items() if k != "skeleton"}
    kwargs = {**_published_arguments(name, Path(source)), **kwargs}
    return save(method, out, name=name, kwargs=kwargs, note=f"converted from the published file {Path(source).name}")


def transfer(method: Method, path: str | Path, name: str) -> str:
    """Initialize `method` from the tensors of a file whose names and shapes fit, or from a published file's backbone.

    Returns:
        a message that says what was loaded.

    Raises:
        FileNotFoundError: no such file.
        ValueError: less than half of the tensors fit.
    """
    path = Path(path)
    if published(path):
        room = _room(name, path)
        state = room.read(path)
        try:
            room.fit(method, state, str(path))
        except ValueError:
            room.fit(method, state, str(path), trunk=True)
            return f"started from the backbone of {path}"
        return f"started from {path}"
    state, own = read_tensors(path)[1], module_of(method).state_dict()
    fitting = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    if 2 * len(fitting) < len(own):
        raise ValueError(f"{path}: only {len(fitting)} of the {len(own)} tensors of {name} fit; {mismatch(own, state)}")
    module_of(method).load_state_dict(fitting, strict=False)
    return f"started from {path}: {len(fitting)} of {len(own)} tensors"


# ── file formats ──


def _from_safetensors(path: Path, name: str | None, overrides: dict[str, Any]) -> Method:
    about, state = read_tensors(path)
    if not about and name is None:
        raise ValueError(f"{path}: has no model name; give it, as in load('swahr-w32', weights={str(path)!r})")
    model = about.get("model", name)
    shared = name if name in MODELS and MODELS[name].weights == model else None
    if model not in (name, None) and name is not None and shared is None:
        raise ValueError(f"{path}: holds the model {model!r}, not {name!r}")
    if not isinstance(model, str) or model not in MODELS:
        raise ValueError(f"{path}: holds the model {model!r}, which is unknown to this version; known models: {', '.join(MODELS)}")
    kwargs = about.get("kwargs", {})
    if "skeleton" in about:
        own = built(path, "skeleton", lambda: Skeleton.from_mapping(about["skeleton"], str(path)), about["skeleton"])
        asked = overrides.get("skeleton", own)
        asked = named(asked) if isinstance(asked, str) else asked
        if asked.joints != own.joints:
            raise ValueError(f"{path}: holds the skeleton {own.name!r} of {len(own)} joints, not {asked.name!r} of {len(asked)}")
        overrides["skeleton"] = own
    if not isinstance(kwargs, dict):
        raise ValueError(f"{path}: its description of the model has kwargs {kwargs!r}, not an object; write or download it again")
    if shared is not None:  # weights of another model: its network, this model's arguments
        model, kwargs = shared, MODELS[shared].kwargs
    arguments = {**kwargs, **overrides}
    if kwargs == MODELS[model].kwargs:  # a network of the catalog: the file does not decide its size
        return fill_exactly(_build(model, arguments), state, path, "model")
    return filled(path, f"model {model!r}", lambda: build(model, **arguments), kwargs, state)


def _from_published(path: Path, name: str | None, overrides: dict[str, Any]) -> Method:
    path = _existing(path)
    if name is None:
        raise ValueError(f"{path}: a published file has no model name; give it: load('swahr-w32', weights={str(path)!r})")
    room = _room(name, path)
    method = _build(name, {**_published_arguments(name, path), **overrides})
    room.fit(method, room.read(path), str(path))
    return method


def _room(name: str, path: Path) -> Published:
    """The reader of a model's published files."""
    module = MODELS[name].factory.partition(":")[0] + ".published"
    try:
        there = find_spec(module) is not None
    except ModuleNotFoundError:  # the method is a single file
        there = False
    if not there:
        raise ValueError(f"{path}: published files of {name} are not supported; give a .safetensors file")
    return import_module(module).PUBLISHED


def _published_arguments(name: str, path: Path) -> dict[str, Any]:
    """Factory arguments of a model for a published file."""
    return dict(_room(name, path).arguments) if published(path) else {}


# ── helpers ──


def _build(name: str, kwargs: dict[str, Any]) -> Method:
    try:
        return build(name, **kwargs)
    except TypeError as e:
        raise ValueError(f"model {name!r} cannot be built with {sorted(kwargs)}: {e}") from None


def _bundled(name: str | None) -> Path:
    path = bundled(name or DEFAULT)
    if path is None:
        there = sorted(p.stem for p in BUNDLED.glob("*.safetensors") if p.stem in MODELS)  # some are parts of a model
        raise ValueError(
            f"no weights for {name or DEFAULT!r}: give a file (--weights FILE, or load({name or DEFAULT!r}, weights=FILE)), or train it; "
            f"models with bundled weights: {', '.join(there) or 'no model'}"
        )
    return path


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weights file")
    return path
