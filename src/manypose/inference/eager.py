"""`Eager`: a `Runner` that runs a `Method`'s network in PyTorch, and merges and decodes its outputs."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch

from manypose.inference.options import PredictOptions
from manypose.inference.test_time_augmentation import outputs
from manypose.inference.views import base_scale
from manypose.io.shapes import Float, UInt8
from manypose.methods.method import Method, PersonDetector, TopDownMethod, module_of
from manypose.poses.poses import Poses
from manypose.poses.skeleton import Skeleton
from manypose.poses.warp import Warp

__all__ = ["Eager", "device_of"]


class Eager:
    """A `Runner` (`manypose.inference.running`).

    Args:
        method: a method of any kind.
    """

    def __init__(self, method: Method) -> None:
        self.method = method
        self.skeleton: Skeleton = method.skeleton
        self.stride, self.size = method.stride, method.size
        self._boxes = method if isinstance(method, PersonDetector) else None
        self._persons = method if isinstance(method, TopDownMethod) else None
        self.finds_boxes, self.top_down = self._boxes is not None, self._persons is not None
        self.nms_oks = None if self._persons is None else self._persons.person_nms_oks

    def people(self, photo: UInt8[np.ndarray, "H W 3"], boxes: Float[np.ndarray, "n 4"]) -> list[Warp]:
        """See `TopDownMethod.people`."""
        if self._persons is None:
            raise TypeError("the method takes whole photos, not boxes")
        return self._persons.people(photo, boxes)

    def found(
        self,
        views: Sequence[UInt8[np.ndarray, "b _h _w 3"]],
        warps: Sequence[Warp],
        options: PredictOptions,
        what: Literal["people", "boxes"],
    ) -> Sequence[Poses | Float[np.ndarray, "n 5"]]:
        """See `manypose.inference.running`."""
        base, device = base_scale(options.scales), device_of(self.method)
        module, training = module_of(self.method), module_of(self.method).training
        if training:  # eval() takes milliseconds for a large network
            module.eval()
        try:
            with torch.inference_mode():
                tensors = [torch.from_numpy(view) for view in views]
                images = [(t.pin_memory() if device.type == "cuda" else t).to(device, non_blocking=True) for t in tensors]
                zooms = [w.scale / warps[base].scale for w in warps]
                grid = "input" if options.published else "base"
                maps = outputs(self.method, images, zooms, base, flip=options.flip, grid=grid, mixed=options.mixed)
                if what == "boxes" and self._boxes is not None:
                    return self._boxes.detect(maps, warps[base].size)
                return self.method.decode(maps, warps[base].size)
        finally:
            if training:
                module.train()


def device_of(method: Method) -> torch.device:
    """The device of a method's weights."""
    module = module_of(method)
    tensor = next((t for group in (module.parameters(), module.buffers()) for t in group), None)
    return torch.device("cpu") if tensor is None else tensor.device
