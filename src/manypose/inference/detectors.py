"""Person detectors for top-down methods, by name: torchvision's, and the models of this package."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

from manypose.inference.graph_models import DetectorGraph
from manypose.inference.loading import RuntimeName, load_any
from manypose.inference.pipeline import Detector
from manypose.inference.running import AnyModel, Graphs, runner
from manypose.io.extras import need_torch
from manypose.methods.catalog import MODELS

if TYPE_CHECKING:
    import torch

__all__ = ["Detector", "find_detector", "torchvision_names"]

PERSON = "person"
"""What torchvision's detectors look for unless a name says otherwise."""


def torchvision_names() -> list[str]:
    """The detectors that torchvision has, by name."""
    import torchvision

    return torchvision.models.list_models(module=torchvision.models.detection)


def find_detector(
    name: str, *, weights: str | Path | None = None, device: str = "auto", runtime: RuntimeName = "auto"
) -> Detector | AnyModel:
    """A detector by name, with its weights.

    Args:
        name: one of `torchvision_names`, or a model of this package (a name or a ``.safetensors`` file) that sees whole photos; with
            ``@256`` after it the model looks at photos whose short side is 256 pixels, in place of its own size. A detector of torchvision
            may have one of COCO's categories after it, ``fasterrcnn_resnet50_fpn_v2:dog``, for models of other skeletons.
        weights: its weights, where they are not to be fetched: ``.pth`` of torchvision, or as `manypose.load` takes them.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``.
        runtime: of a model of this package, see `manypose.inference.model.load`.

    Raises:
        FileNotFoundError, ValueError: no such detector, file or device, or weights that do not fit.
        ConnectionError: the weights must be fetched and cannot be; the message says from where and what to do.
    """
    name, side = _with_size(name)
    if name in MODELS or name.endswith((".safetensors", ".onnx")):
        method = load_any(name, weights=weights, device=device, runtime=runtime)
        if runner(method).top_down:
            raise ValueError(f"the model {name!r} needs boxes itself; a detector sees whole photos")
        if side is None:
            return method
        if isinstance(method, DetectorGraph):
            return replace(method, size=side)
        assert not isinstance(method, Graphs)
        method.size = side
        return method
    if side is not None:
        raise ValueError(f"{name}@{side}: a size can be chosen for models of this package only")
    name, _, category = name.partition(":")
    need_torch(f"the detector {name}")
    from manypose.nn.device import choose_device

    if name not in torchvision_names():
        whole = [n for n, m in MODELS.items() if not m.factory.startswith("manypose.methods.mspn")]
        raise ValueError(f"no detector {name!r}; there are {', '.join(torchvision_names())}, and the models {', '.join(whole)}")
    label = _label(name, category or PERSON)
    where = choose_device(device)
    network = _fetched(name) if weights is None else _filled(name, weights)
    return _detecting(network.to(where).eval(), where, label)


def _with_size(name: str) -> tuple[str, int | None]:
    """A name, and the size that follows an @."""
    model, _, side = name.rpartition("@")
    if not (model and side.isdecimal()):
        return name, None
    if not 16 <= int(side) <= 10_000:
        raise ValueError(f"{name}: the size must be 16 to 10,000 pixels")
    return model, int(side)


# ── torchvision ──


def _label(name: str, category: str) -> int:
    """The number of a category in a detector of torchvision."""
    import torchvision

    names = torchvision.models.get_model_weights(name).DEFAULT.meta["categories"]  # pyright: ignore[reportAttributeAccessIssue]
    if category not in names:
        there = ", ".join(n for n in names if n not in ("N/A", "__background__"))
        raise ValueError(f"{name}: finds no {category!r}; its categories are {there}")
    return names.index(category)


def _fetched(name: str) -> "torch.nn.Module":
    import torchvision

    chosen = torchvision.models.get_model_weights(name).DEFAULT  # pyright: ignore[reportAttributeAccessIssue]
    try:
        return torchvision.models.get_model(name, weights=chosen, weights_backbone=None)
    except (OSError, RuntimeError) as e:  # torch.hub: no network, a broken download
        raise ConnectionError(
            f"the weights of the detector {name!r} cannot be fetched ({e}); fetch {chosen.url} where there is a network, "
            "and give the file (--detector-weights FILE)"
        ) from None


def _filled(name: str, path: str | Path) -> "torch.nn.Module":
    import torchvision

    from manypose.nn import checkpoint_files

    state = checkpoint_files.read_checkpoint(path, ("model",))
    network = torchvision.models.get_model(name, weights=None, weights_backbone=None)
    if wrong := checkpoint_files.mismatch(network.state_dict(), state):
        raise ValueError(f"{path}: does not fit the detector {name!r}: {wrong}")
    network.load_state_dict(state)
    return network


def _detecting(network: "torch.nn.Module", device: "torch.device", label: int) -> Detector:
    import torch

    def detect(photos: Sequence[UInt8[np.ndarray, "_h _w 3"]]) -> list[Float[np.ndarray, "n 5"]]:
        with torch.inference_mode():
            found = network([torch.from_numpy(p).to(device).permute(2, 0, 1).float() / 255 for p in photos])
        rows = (torch.cat([f["boxes"], f["scores"][:, None]], 1)[f["labels"] == label] for f in found)
        return [r.cpu().numpy() for r in rows]

    return detect
