"""Ensembles: those of MSPN (Section 4.5) and of MultiPoseNet (Section 4.2).

Top-down models get the same crops, and their heat maps are averaged before decoding, as for flips (MSPN does not describe the averaging).
Bottom-up models each find people, and OKS-NMS removes duplicates (MultiPoseNet).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from manypose.inference.model import Model
from manypose.methods.method import Field, Maps, Method, TopDownMethod, module_of
from manypose.methods.multiposenet.ensemble import ensemble
from manypose.poses.poses import Poses
from manypose.poses.warp import Warp

__all__ = ["PeopleEnsemble", "ViewEnsemble", "together"]


def together(models: Sequence[Model]) -> Model:
    """An ensemble, with the size, decoder and detector of its first model.

    Raises:
        ValueError: the models are incompatible: different joints or input sizes, or top-down and bottom-up models.
    """
    methods: list[Any] = [m.method for m in models]
    if not all(isinstance(m, nn.Module) for m in methods):
        raise ValueError("an ensemble needs models on PyTorch: load them with runtime='torch'")
    joints = {m.skeleton.joints for m in models}
    if len(joints) > 1:
        raise ValueError(f"an ensemble needs one skeleton; its models have {' and '.join(sorted({m.skeleton.name for m in models}))}")
    top_down = [m for m in methods if isinstance(m, TopDownMethod)]
    if top_down and len(top_down) < len(methods):
        raise ValueError("an ensemble needs top-down models or bottom-up models, not both")
    sizes = {tuple(m.input_size) for m in top_down}
    if len(sizes) > 1:
        raise ValueError(f"an ensemble of top-down models needs one input size, got {' and '.join(f'{h} x {w}' for h, w in sorted(sizes))}")
    name = " + ".join(m.name or type(m.method).__name__ for m in models)
    return Model(ViewEnsemble(top_down) if top_down else PeopleEnsemble(methods), models[0].detector, name)


def _outputs(members: nn.ModuleList, channels_first: Tensor) -> list[Maps]:
    """The readouts of all models, each with its own preprocessing of the images."""
    images = channels_first.permute(0, 2, 3, 1).contiguous()
    methods: list[Any] = list(members)
    return [m.readout(m.network(m.prepare(images).contiguous(memory_format=torch.channels_last))) for m in methods]


def _pixels(self: Any, images: UInt8[Tensor, "b H W 3"]) -> UInt8[Tensor, "b 3 H W"]:
    """The unchanged pixels: each model prepares them."""
    return images.permute(0, 3, 1, 2)


def _readout(self: Any, outputs: Maps) -> Maps:
    """The unchanged outputs, which decoding reads."""
    return outputs


def _untrained(self: Any, *_: Any, **__: Any) -> Any:
    raise NotImplementedError("an ensemble is not trained; train its models")


class ViewEnsemble(nn.Module):
    """Top-down models whose heat maps are averaged. See `together`.

    Args:
        methods: methods with the same skeleton and input size.
    """

    training_only: tuple[str, ...] = ()
    prepare, readout, targets, loss = _pixels, _readout, _untrained, _untrained

    def __init__(self, methods: Sequence[TopDownMethod]) -> None:
        super().__init__()
        first = methods[0]
        self.members = nn.ModuleList(module_of(m) for m in methods)
        self.skeleton, self.stride, self.size, self.fields = first.skeleton, first.stride, first.size, first.fields
        self.input_size, self.person_nms_oks = first.input_size, first.person_nms_oks

    def network(self, images: UInt8[Tensor, "b 3 H W"]) -> Maps:
        """The mean of the models' maps."""
        every = _outputs(self.members, images)
        if any({n: m.shape for n, m in maps.items()} != {n: m.shape for n, m in every[0].items()} for maps in every):
            raise ValueError("an ensemble of top-down models needs maps of one size")
        return {name: torch.stack([maps[name] for maps in every]).mean(0) for name in self.fields}

    def decode(self, outputs: Maps, size: tuple[int, int]) -> list[Poses]:
        """As the first model does."""
        first: Any = self.members[0]
        return first.decode(outputs, size)

    def people(self, photo: UInt8[np.ndarray, "H W 3"], boxes: Float[np.ndarray, "n 4"]) -> list[Warp]:
        """The first model's views."""
        first: Any = self.members[0]
        return first.people(photo, boxes)


class PeopleEnsemble(nn.Module):
    """Bottom-up models whose people are merged. See `together`.

    Args:
        methods: methods with the same skeleton.
        same: OKS above which the lower-scoring of two people is left out.
    """

    training_only: tuple[str, ...] = ()
    prepare, readout, targets, loss = _pixels, _readout, _untrained, _untrained

    def __init__(self, methods: Sequence[Method], same: float = 0.7) -> None:
        super().__init__()
        self.members = nn.ModuleList(module_of(m) for m in methods)
        self.same = same
        self.skeleton, self.size, self.stride = methods[0].skeleton, methods[0].size, max(m.stride for m in methods)
        self.fields: dict[str, Field] = {f"{i}.{name}": field for i, m in enumerate(methods) for name, field in m.fields.items()}

    def network(self, images: UInt8[Tensor, "b 3 H W"]) -> Maps:
        """The outputs of all models, with the model's index in their names."""
        found = {f"{i}.{name}": m for i, maps in enumerate(_outputs(self.members, images)) for name, m in maps.items()}
        planes = {tuple(m.shape[2:]) for name, m in found.items() if self.fields[name].merge != "boxes"}
        if len(planes) > 1:
            raise ValueError(f"an ensemble needs models whose maps have one size, got {' and '.join(map(str, sorted(planes)))}")
        return found

    def decode(self, outputs: Maps, size: tuple[int, int]) -> list[Poses]:
        """The people found by all models, without duplicates."""
        every = []
        for i, member in enumerate(self.members):
            one: Any = member
            every.append(one.decode({name: outputs[f"{i}.{name}"] for name in one.fields}, size))
        return [ensemble(people, self.same) for people in zip(*every, strict=True)]
