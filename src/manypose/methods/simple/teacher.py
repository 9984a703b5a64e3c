"""The teacher of SIMPLE's stage 2: a trained top-down model that predicts in the student's boxes (Sections 5.2 and 5.4)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from manypose.io.safetensors import read_tensors
from manypose.methods.catalog import build
from manypose.methods.method import Method, TopDownMethod, module_of
from manypose.methods.simple.roi import roi_align
from manypose.nn.network_files import fill_exactly
from manypose.poses.skeleton import Skeleton

__all__ = ["Teacher", "crops_of", "read_teacher"]


class Teacher:
    """A frozen top-down method.

    Args:
        method: a `TopDownMethod` in eval mode.
        skeleton: the student's.
        tap: name of a submodule whose input is returned too; empty: none.
        half: whether to run in bfloat16.

    Raises:
        ValueError: the method is not top-down, has other joints, or no such submodule.
    """

    def __init__(self, method: Method, skeleton: Skeleton, tap: str = "", half: bool = False) -> None:
        if not isinstance(method, TopDownMethod):
            raise ValueError(f"a teacher must be top-down, as mspn and hrnet models are; {type(method).__name__} is not")
        if method.skeleton.joints != skeleton.joints:
            raise ValueError(f"the teacher's skeleton {method.skeleton.name!r} has other joints than the student's {skeleton.name!r}")
        self.method, self.half, self.tapped = method, half, bool(tap)
        self._features: list[Tensor] = []
        if tap:
            modules = dict(module_of(method).named_modules())
            if tap not in modules:
                raise ValueError(f"the teacher has no submodule {tap!r}; the last ones are {', '.join(list(modules)[-6:])}")
            modules[tap].register_forward_pre_hook(lambda _, given: self._features.append(given[0]))

    @torch.no_grad()
    def look(
        self, images: UInt8[Tensor, "b H W 3"], boxes: Float[Tensor, "r 4"], image: Int[Tensor, " r"]
    ) -> tuple[Float[Tensor, "r k h w"], Float[Tensor, "r c _h _w"] | None]:
        """The teacher's maps (and features) of crops: see `crops_of`."""
        self._features.clear()
        crops = roi_align(images.permute(0, 3, 1, 2).float(), boxes, image, self.method.input_size, 1.0)
        pixels = crops.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.half):
            outputs = self.method.readout(self.method.network(self.method.prepare(pixels)))
        features = self._features[-1].float() if self.tapped else None
        self._features.clear()
        return next(iter(outputs.values())).float(), features


def crops_of(
    teacher: TopDownMethod,
    boxes: Float[Tensor, "r 4"],
    image: Int[Tensor, " r"],
    person: Int[Tensor, " r"],
    size: tuple[int, int] | torch.Size,
) -> tuple[Float[Tensor, "s 4"], Int[Tensor, " s"], Int[Tensor, " s"]]:
    """The boxes (xyxy in network pixels) of the teacher's crops; boxes without an area are left out.

    Args:
        teacher: the top-down method.
        boxes: xyxy in network pixels.
        image, person: indices, returned for the remaining boxes.
        size: height and width of the images.
    """
    h, w = int(size[0]), int(size[1])
    inside = (boxes[:, :2] < boxes.new_tensor([w, h])).all(1) & (boxes[:, 2:] > -1).all(1)
    sound = inside & boxes.isfinite().all(1) & (boxes[:, 2:] - boxes[:, :2] >= 1).all(1)
    blank = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (h, w, 3))
    views = teacher.people(blank, boxes[sound].double().cpu().numpy()) if bool(sound.any()) else []
    rows = []
    for view in views:
        corners = np.array([[-0.5, -0.5], [view.size[1] - 0.5, view.size[0] - 0.5]]) @ view.inverse[:, :2].T + view.inverse[:, 2]
        rows.append(corners.ravel())
    edges = torch.tensor(np.array(rows).reshape(-1, 4), dtype=boxes.dtype, device=boxes.device)
    return edges, image[sound], person[sound]


def read_teacher(name: str, weights: str | Path | None, arguments: Mapping[str, Any]) -> Method:
    """A frozen top-down model with its weights.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such model, or weights of another model.
    """
    about: dict[str, Any] = {}
    state: dict[str, Tensor] | None = None
    if weights is not None:
        path = Path(weights)
        about, state = read_tensors(path)
        if about.get("model", name) != name:
            raise ValueError(f"{path}: holds the model {about['model']!r}, not the teacher {name!r}")
    skeleton = {"skeleton": Skeleton.from_mapping(about["skeleton"], str(weights))} if "skeleton" in about else {}
    method = build(name, **{**about.get("kwargs", {}), **skeleton, **arguments})
    module = module_of(method)
    if state is not None:
        fill_exactly(module, state, Path(str(weights)), f"teacher {name!r}")
    module.eval().requires_grad_(False)
    return method
