"""The contract of a method: the protocols `Method`, `TopDownMethod` and `PersonDetector`.

Prediction, training, evaluation and drawing speak to methods through these three alone, and no method's room knows another's.
"""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np

from manypose.io.shapes import Float, UInt8
from manypose.poses.poses import Poses
from manypose.poses.skeleton import Skeleton
from manypose.poses.warp import Warp

if TYPE_CHECKING:
    import torch
    from torch import nn

    from manypose.data.sample import Batch

    Tensor: TypeAlias = torch.Tensor
else:
    Tensor = Any  # no method is needed to run a graph, so PyTorch may be missing

__all__ = ["Field", "Maps", "Method", "PersonDetector", "TopDownMethod", "module_of"]

Maps: TypeAlias = dict[str, Tensor]
"""Named tensors, batch first: network outputs, or targets."""


@dataclass(frozen=True)
class Field:
    """How one network output is mirrored and merged, so that test-time augmentation is written once for all methods.

    Args:
        mirror: the channel order of the mirrored picture's output, or None where channels do not change.
        merge: ``mean`` over flips and scales (heat maps); ``stack``: kept side by side in a new last dimension (tags); ``boxes``: no maps
            but boxes (b, n, 5), xyxy in the view's pixels and score; those of all views are put one after the other.
        scales: ``all`` scales take part, or the ``base`` scale alone (tags of other scales live in another space).
        shift: cells by which the mirrored picture's output is moved to the right once it is mirrored back; 1 for weights of programs that
            place cell i at pixel ``i · stride``, as the published top-down HRNets.
        offset: network pixels, right and down, from a peak's cell to its joint, which `decode` adds: maps of other scales are moved so that
            theirs is as large in pixels of the base scale.
    """

    mirror: tuple[int, ...] | None
    merge: Literal["mean", "stack", "boxes"] = "mean"
    scales: Literal["all", "base"] = "all"
    shift: float = 0.0
    offset: float = 0.0


@runtime_checkable
class Method(Protocol):
    """The contract of a system that finds people; implementations are `torch.nn.Module`s.

    Attributes:
        skeleton: the people's joints.
        stride: both sides of a network input are multiples of it.
        size: the short side of the input it is tested at, in pixels.
        fields: how each output that `readout` gives is mirrored and merged.
        training_only: names of submodules (and of the arguments that make them) that training alone needs; weights files leave them out.
    """

    skeleton: Skeleton
    stride: int
    size: int
    fields: dict[str, Field]
    training_only: tuple[str, ...]

    def prepare(self, images: "UInt8[Tensor, 'b H W 3']") -> "Float[Tensor, 'b 3 H W']":
        """RGB pixels to what the network was trained on (channel order, mean, deviation)."""
        ...

    def network(self, images: "Float[Tensor, 'b 3 H W']") -> Maps:
        """All outputs of the network, as `loss` takes them."""
        ...

    def targets(self, people: "Batch", size: tuple[int, int]) -> Maps:
        """What the outputs should be for a network input of `size`, rendered on the batch's device."""
        ...

    def loss(self, outputs: Maps, targets: Maps) -> Maps:
        """Named scalars; training minimises their sum."""
        ...

    def readout(self, outputs: Maps) -> Maps:
        """Of all outputs those that decoding reads, one tensor a field of `fields`, all of one size; flips and scales merge on these."""
        ...

    def decode(self, outputs: Maps, size: tuple[int, int]) -> list[Poses]:
        """The people of each image in network pixels, from `readout`'s outputs, perhaps merged; `size` of the input."""
        ...


@runtime_checkable
class TopDownMethod(Method, Protocol):
    """A `Method` that sees one person at a time: `people` cuts a view for each box, and `decode` gives one person a view.

    Attributes:
        input_size: height and width of a person's view in pixels.
        person_nms_oks: of two people of one photo whose OKS is above it, the one with the lower score is left out.
    """

    input_size: tuple[int, int]
    person_nms_oks: float

    def people(self, photo: UInt8[np.ndarray, "H W 3"], boxes: Float[np.ndarray, "n 4"]) -> list[Warp]:
        """One view for each box (xyxy in photo pixels).

        Raises:
            ValueError: a box has no area or is not finite.
        """
        ...


@runtime_checkable
class PersonDetector(Protocol):
    """A `Method` that finds the boxes of people apart from their keypoints: more and fainter ones than `decode` does."""

    def detect(self, outputs: Maps, size: tuple[int, int]) -> list[Float[np.ndarray, "n 5"]]:
        """The people of each image: xyxy in network pixels and score, from `readout`'s outputs; `size` of the input (height, width)."""
        ...


def module_of(method: Method) -> "nn.Module":
    """The same object, typed as the `torch.nn.Module` that every method is.

    Raises:
        TypeError: it is none.
    """
    torch = sys.modules.get("torch")  # a program that has a module has imported it
    module: Any = method
    if torch is None or not isinstance(module, torch.nn.Module):
        raise TypeError(f"a Method is a torch.nn.Module, got {type(method).__name__}")
    return module
