"""The default config of a training on a custom data set (``train --data FILE.yaml``)."""

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from manypose.data.augmentation.person_crops import EachPerson, lower_body
from manypose.data.datasets.custom import custom, describe
from manypose.methods.catalog import MODELS, build, no_model
from manypose.methods.method import Method, TopDownMethod, module_of
from manypose.poses.skeleton import Skeleton
from manypose.weights import files

__all__ = ["own_data_config"]

STEPS = 16
"""Smallest number of samples per epoch; photos of small data sets are used several times per epoch with different views."""

PATIENCE = 20
"""Evaluations without a better AP after which a training ends."""


def own_data_config(data: str | Path, model: str | None = None, *, epochs: float = 50, batch_size: int | None = None) -> dict[str, Any]:
    """A config for `manypose train` as plain values: loader, augmentation, optimizer, schedule, validation.

    Args:
        data: a data set's YAML file (`manypose.data.datasets.custom`).
        model: a model's name, ``default`` or ``fast``; bundled weights are used for initialization.
        epochs: length of the training.
        batch_size: views per step; default 16, or 8 for a very small data set.

    Raises:
        FileNotFoundError, ValueError: the data set or the model cannot be used; the message names the file.
    """
    name = files.CHOICES.get(model or "default", model or "default")
    if name not in MODELS:
        raise ValueError(no_model(name, tuple(files.CHOICES)))
    said = describe(data)
    method = build(name, skeleton=said.skeleton)
    top_down = isinstance(method, TopDownMethod)
    if top_down and not said.skeleton.of_people:
        warnings.warn(
            f"{data}: the bundled detectors find people and no {said.skeleton.name!r}: predict will need boxes, or a detector "
            "trained on the same data (--model multiposenet-mobile, then predict --detector RUN/best.safetensors)",
            stacklevel=2,
        )
    if "val" in said.parts and (other := describe(data, "val").skeleton) != said.skeleton:
        raise ValueError(f"{data}: the joints of val are {', '.join(other.joints)}, those of train {', '.join(said.skeleton.joints)}")
    photos = custom(data)
    samples = len(EachPerson(photos)) if top_down else len(photos)
    batch = batch_size or (16 if samples >= 16 else 8)
    dataset: dict[str, Any] = {"class_path": "manypose.data.custom", "init_args": {"path": str(data), "part": "train"}}
    if top_down:
        dataset = {"class_path": "manypose.data.EachPerson", "init_args": {"dataset": dataset}}
    start = files.bundled(name)
    config: dict[str, Any] = {
        "model": name,
        "init": None if start is None else model or "default",
        "out": f"runs/{Path(data).stem}_{model or 'default'}",
        "skeleton": said.skeleton.to_mapping(),
        "data": {
            "class_path": "manypose.data.loader",
            "init_args": {
                "sources": [{"dataset": dataset}],
                "augment": _person_view(method, said.skeleton) if isinstance(method, TopDownMethod) else _view(method, said.skeleton),
                "batch_size": batch,
                "length": batch * max(STEPS, math.ceil(samples / batch)),
                "seed": 0,
                "workers": 4 if torch.cuda.is_available() else 0,
            },
        },
        "optimizer": _optimizer(module_of(method), start is not None),
        "schedule": {"epochs": epochs, "warmup": min(1.0, epochs / 10), "decay": "cosine", "final": 0.01},
        "channels_last": True,
        "clip_norm": 10.0,
        "ema": 0.998,
        "saving": {"note": f"trained on {Path(data).name}"},
    }
    if "val" in said.parts:
        measure = {"class_path": "manypose.evaluation.validation.OnDataset", "init_args": {"dataset": str(data)}}
        config["validation"] = {"measure": measure, "every": 1.0, "patience": PATIENCE}
    return config


def _person_view(method: TopDownMethod, skeleton: Skeleton) -> dict[str, Any]:
    """Crops of one person with the method's margin around a box."""
    h, w = method.input_size
    shown = method.people(np.zeros((h, w, 3), np.uint8), np.array([[0, 0, w, h]], np.float32))[0]
    margin = round(1 / float(np.hypot(*shown.matrix[:, 0])), 3)
    half = {"half_body": 0.2} if lower_body(skeleton).any() else {"half_body": 0.0}
    arguments = {"size": [h, w], "extend": [margin, margin], "scale": [0.75, 1.3], "shift": 0.06, "rotation": 40, **half}
    return {"class_path": "manypose.data.PersonView", "init_args": {**arguments, **_flip(skeleton), "colour": _COLOUR}}


def _view(method: Method, skeleton: Skeleton) -> dict[str, Any]:
    """Square views of photos, half of them centred at a person."""
    side = method.stride * math.ceil(method.size / method.stride)
    arguments = {"size": side, "near": 0.5, "share": [0.3, 1.0], "scale": [0.75, 1.5], "shift": 0.15, "rotation": 30}
    return {"class_path": "manypose.data.Augment", "init_args": {**arguments, **_flip(skeleton), "colour": _COLOUR}}


_COLOUR = {"class_path": "manypose.data.Colour", "init_args": {}}


def _flip(skeleton: Skeleton) -> dict[str, float]:
    """No mirroring for joints with a side but no partner."""
    return {"flip": 0.0 if skeleton.unpaired else 0.5}


def _optimizer(network: nn.Module, pretrained: bool) -> dict[str, Any]:
    if not any(isinstance(m, nn.BatchNorm2d) for m in network.modules()):
        return {"class_path": "manypose.training.optimizers.RelativeAdam", "init_args": {"lr": 5e-4}}
    return {"class_path": "torch.optim.AdamW", "init_args": {"lr": 5e-4 if pretrained else 1e-3, "weight_decay": 0.01}}
