"""The contract of a method: the protocols `Method`, `TopDownMethod` and `PersonDetector`.

Inference, training and evaluation use methods only through these protocols, and methods are independent of one another.
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
    Tensor = Any  # graphs run without PyTorch

__all__ = ["Field", "Maps", "Method", "PersonDetector", "TopDownMethod", "module_of"]

Maps: TypeAlias = dict[str, Tensor]
"""Named tensors, batch first: network outputs, or targets."""


@dataclass(frozen=True)
class Field:
    """How one network output is mirrored and merged by test-time augmentation.

    Args:
        mirror: channel order of the mirrored image's output; None: unchanged.
        merge: ``mean`` over flips and scales (heat maps); ``stack`` in a new last dimension (tags); ``boxes``: boxes (b, n, 5), xyxy in
            the view's pixels and score, which are concatenated.
        scales: ``all`` scales are merged, or only the ``base`` scale (tags of different scales are not comparable).
        shift: cells by which the output of the mirrored image is moved to the right after mirroring it back; 1 for weights of programs that
            place cell i at pixel ``i · stride``, as the published top-down HRNets.
        offset: network pixels, right and down, from a peak's cell to its joint, which `decode` adds; maps of other scales are moved to have
            the same offset in pixels of the base scale.
    """

    mirror: tuple[int, ...] | None
    merge: Literal["mean", "stack", "boxes"] = "mean"
    scales: Literal["all", "base"] = "all"
    shift: float = 0.0
    offset: float = 0.0


@runtime_checkable
class Method(Protocol):
    """The contract of a pose estimation method; implementations are `torch.nn.Module`s.

    Attributes:
        skeleton: the people's joints.
        stride: both sides of a network input are multiples of it.
        size: default short side of the input, in pixels.
        fields: how each output of `readout` is mirrored and merged.
        training_only: names of submodules (and of their arguments) that only training needs; weights files leave them out.
    """

    skeleton: Skeleton
    stride: int
    size: int
    fields: dict[str, Field]
    training_only: tuple[str, ...]

    def prepare(self, images: "UInt8[Tensor, 'b H W 3']") -> "Float[Tensor, 'b 3 H W']":
        """The network's input from RGB pixels (channel order, normalization)."""
        ...

    def network(self, images: "Float[Tensor, 'b 3 H W']") -> Maps:
        """All outputs of the network, for `loss` and `readout`."""
        ...

    def targets(self, people: "Batch", size: tuple[int, int]) -> Maps:
        """Training targets for a network input of `size`, on the batch's device."""
        ...

    def loss(self, outputs: Maps, targets: Maps) -> Maps:
        """Named scalar losses; training minimizes their sum."""
        ...

    def readout(self, outputs: Maps) -> Maps:
        """The outputs for decoding, one tensor per field of `fields`; flips and scales are merged on these."""
        ...

    def decode(self, outputs: Maps, size: tuple[int, int]) -> list[Poses]:
        """The people of each image in network pixels, from outputs of `readout` (possibly merged) for an input of `size`."""
        ...


@runtime_checkable
class TopDownMethod(Method, Protocol):
    """A top-down `Method`: `people` gives a crop for each box, and `decode` one person per crop.

    Attributes:
        input_size: height and width of a crop in pixels.
        person_nms_oks: OKS above which the lower-scoring of two people of a photo is removed.
    """

    input_size: tuple[int, int]
    person_nms_oks: float

    def people(self, photo: UInt8[np.ndarray, "H W 3"], boxes: Float[np.ndarray, "n 4"]) -> list[Warp]:
        """The crop of each box (xyxy in photo pixels).

        Raises:
            ValueError: a box has no area or is not finite.
        """
        ...


@runtime_checkable
class PersonDetector(Protocol):
    """A `Method` that also detects person boxes, more and with lower scores than those of `decode`."""

    def detect(self, outputs: Maps, size: tuple[int, int]) -> list[Float[np.ndarray, "n 5"]]:
        """The boxes of each image (xyxy in network pixels, score) from outputs of `readout` for an input of `size`."""
        ...


def module_of(method: Method) -> "nn.Module":
    """The method, typed as a `torch.nn.Module`.

    Raises:
        TypeError: it is not a module.
    """
    torch = sys.modules.get("torch")  # imported if there is a module
    module: Any = method
    if torch is None or not isinstance(module, torch.nn.Module):
        raise TypeError(f"a Method is a torch.nn.Module, got {type(method).__name__}")
    return module
