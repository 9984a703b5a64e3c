"""Person detectors for top-down methods, by name: torchvision's, and the models of this package."""

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
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
"""The default category of torchvision's detectors."""


def torchvision_names() -> list[str]:
    """The names of torchvision's detectors."""
    import torchvision

    return torchvision.models.list_models(module=torchvision.models.detection)


def find_detector(
    name: str, *, weights: str | Path | None = None, device: str = "auto", runtime: RuntimeName = "auto"
) -> Detector | AnyModel:
    """A detector by name, with its weights.

    Args:
        name: one of `torchvision_names`, or a detector or bottom-up model of this package (a name or a ``.safetensors`` file). A suffix
            ``@256`` resizes the photo's short side to 256 pixels instead of the model's own size. A torchvision detector may have one of
            COCO's categories as a suffix, ``fasterrcnn_resnet50_fpn_v2:dog``, for models of other skeletons.
        weights: a weights file, instead of the bundled or published weights: torchvision's ``.pth``, or see `manypose.load`.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``.
        runtime: runtime of a model of this package, see `manypose.inference.model.load`.

    Raises:
        FileNotFoundError, ValueError: no such detector, file or device, or weights that do not fit.
        ConnectionError: the weights cannot be downloaded; the message names their address and the cure.
    """
    name, side = _with_size(name)
    if name in MODELS or name.endswith((".safetensors", ".onnx")):
        method = load_any(name, weights=weights, device=device, runtime=runtime)
        if runner(method).top_down:
            raise ValueError(f"the model {name!r} needs boxes itself and cannot be a detector")
        if side is None:
            return method
        if isinstance(method, DetectorGraph):
            return replace(method, size=side)
        assert not isinstance(method, Graphs)
        method.size = side
        return method
    if side is not None:
        raise ValueError(f"{name}@{side}: a size can be chosen only for models of this package")
    name, _, category = name.partition(":")
    need_torch(f"the detector {name}")
    from manypose.nn.device import choose_device

    if name not in torchvision_names():
        whole = [n for n, m in MODELS.items() if not m.factory.startswith("manypose.methods.mspn")]
        near = get_close_matches(name, [*torchvision_names(), *whole], 1, 0.5)
        raise ValueError(
            f"no detector {name!r}{f' (did you mean {near[0]}?)' if near else ''}; available: {', '.join(torchvision_names())}, "
            f"and the models {', '.join(whole)}"
        )
    label = _label(name, category or PERSON)
    where = choose_device(device)
    network = _fetched(name) if weights is None else _filled(name, weights)
    return _detecting(network.to(where).eval(), where, label)


def _with_size(name: str) -> tuple[str, int | None]:
    """A name, and the size after an @."""
    model, _, side = name.rpartition("@")
    if not (model and side.isdecimal()):
        return name, None
    if not 16 <= int(side) <= 10_000:
        raise ValueError(f"{name}: the size must be 16 to 10,000 pixels")
    return model, int(side)


# ── torchvision ──


def _label(name: str, category: str) -> int:
    """The label of a category in a torchvision detector."""
    import torchvision

    names = torchvision.models.get_model_weights(name).DEFAULT.meta["categories"]  # pyright: ignore[reportAttributeAccessIssue]
    if category not in names:
        there = ", ".join(n for n in names if n not in ("N/A", "__background__"))
        raise ValueError(f"{name}: has no category {category!r}; available: {there}")
    return names.index(category)


def _fetched(name: str) -> "torch.nn.Module":
    import torchvision

    chosen = torchvision.models.get_model_weights(name).DEFAULT  # pyright: ignore[reportAttributeAccessIssue]
    try:
        return torchvision.models.get_model(name, weights=chosen, weights_backbone=None)
    except (OSError, RuntimeError) as e:  # torch.hub: no network, a broken download
        raise ConnectionError(
            f"cannot download the weights of the detector {name!r} ({e}); download {chosen.url} on a machine with network access, "
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
