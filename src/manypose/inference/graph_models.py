"""Models whose network is a graph, with pre- and post-processing in NumPy: equal to their `Method`s in PyTorch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from manypose.inference.joints_of_heatmaps import joints_of_heatmaps, merge_mirrored
from manypose.inference.options import PredictOptions
from manypose.io.shapes import Float, UInt8
from manypose.poses.boxes import box_nms
from manypose.poses.crops import crops
from manypose.poses.poses import Poses
from manypose.poses.skeleton import Skeleton
from manypose.poses.warp import Warp

__all__ = ["DetectorGraph", "PersonGraph", "Run", "Runtime", "graph_model"]

Runtime = Literal["onnx", "openvino"]

Run = Callable[[UInt8[np.ndarray, "b H W 3"]], Mapping[str, np.ndarray]]
"""A function from RGB images to the outputs of a graph by name."""


@dataclass(frozen=True, eq=False)
class PersonGraph:
    """A top-down model with a graph that maps crops of people to heat maps.

    Args:
        run: the graph; its output is ``heat`` (b, k, h, w) with peaks of about 1.
        runtime: what runs it, ``onnx`` or ``openvino``.
        device: where.
        skeleton: the skeleton of the people.
        input_size: height and width of a crop.
        extend: factors by which a box's width and height grow before it is cropped.
        deviation: standard deviation of the post-Gaussian filter, in cells.
        min_height, joint_penalty: how a person's score comes from the joints'; see `Poses.of_joints`.
        nms_oks: OKS above which two results are one person.
        shift: cells by which the mirrored maps are shifted.
    """

    run: Run
    runtime: Runtime
    device: str
    skeleton: Skeleton
    input_size: tuple[int, int]
    extend: tuple[float, float]
    deviation: float
    min_height: float | None
    joint_penalty: float | None
    nms_oks: float
    shift: int = 0

    top_down = True
    finds_boxes = False
    stride = 32

    @property
    def size(self) -> int:
        """The short side of a crop."""
        return min(self.input_size)

    def people(self, photo: UInt8[np.ndarray, "H W 3"], boxes: Float[np.ndarray, "n 4"]) -> list[Warp]:
        """One view for each box (xyxy in photo pixels)."""
        return crops(boxes, (photo.shape[0], photo.shape[1]), self.input_size, self.extend)

    def found(
        self,
        views: Sequence[UInt8[np.ndarray, "b h w 3"]],
        warps: Sequence[Warp],
        options: PredictOptions,
        what: Literal["people", "boxes"],
    ) -> list[Poses]:
        """One person for each crop; see `manypose.inference.running`."""
        heat, mirrored = _outputs(self.run, views[0], "heat", options.flip)
        if mirrored is not None:
            heat = merge_mirrored(heat, mirrored, self.skeleton.mirror, self.shift)
        joints = joints_of_heatmaps(heat, self.input_size, self.deviation)
        return [Poses.of_joints(self.skeleton, person, self.min_height, self.joint_penalty) for person in joints]


@dataclass(frozen=True, eq=False)
class DetectorGraph:
    """A person detector with a graph that maps whole photos to boxes.

    Args:
        run: the graph; its output is ``boxes`` (b, n, 5), xyxy in input pixels and score.
        runtime: what runs it, ``onnx`` or ``openvino``.
        device: where.
        skeleton: the skeleton of the people that top-down models find in the boxes.
        size: short side of its input.
        stride: both sides of its input are multiples of it.
        overlap: IoU above which the lower-scoring of two boxes is left out.
        threshold: boxes with a lower score are left out.
        most: largest number of boxes in a photo.
    """

    run: Run
    runtime: Runtime
    device: str
    skeleton: Skeleton
    size: int
    stride: int
    overlap: float
    threshold: float
    most: int

    top_down = False
    finds_boxes = True
    nms_oks = None

    def people(self, photo: UInt8[np.ndarray, "H W 3"], boxes: Float[np.ndarray, "n 4"]) -> list[Warp]:
        """Not available: a detector takes whole photos."""
        raise TypeError("a detector takes whole photos, not boxes")

    def found(
        self,
        views: Sequence[UInt8[np.ndarray, "b h w 3"]],
        warps: Sequence[Warp],
        options: PredictOptions,
        what: Literal["people", "boxes"],
    ) -> list[Poses | Float[np.ndarray, "n 5"]]:
        """The boxes of each photo, or people with all joints at the centre of their box; see `manypose.inference.running`."""
        boxes, mirrored = _outputs(self.run, views[0], "boxes", options.flip)
        if mirrored is not None:
            right = views[0].shape[2] - 1
            back = np.stack([right - mirrored[..., 2], mirrored[..., 1], right - mirrored[..., 0], mirrored[..., 3], mirrored[..., 4]], 2)
            boxes = np.concatenate([boxes, back], 1)
        rows = (b[b[:, 4] >= self.threshold] for b in boxes)
        found = [r[box_nms(r, self.overlap)[: self.most]] for r in rows]
        return [Poses.of_boxes(self.skeleton, f) for f in found] if what == "people" else found


def _outputs(run: Run, view: UInt8[np.ndarray, "b h w 3"], name: str, flip: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """An output of the graph for images and, with `flip`, for their mirror images."""
    return run(view)[name], run(np.ascontiguousarray(view[:, :, ::-1]))[name] if flip else None


def graph_model(run: Run, runtime: Runtime, device: str, about: Mapping[str, Any], where: str) -> PersonGraph | DetectorGraph:
    """A model from a graph and its description (`manypose.weights.graphs`); `where` names it in errors.

    Raises:
        LookupError, TypeError, ValueError: the description lacks something.
    """
    decoding, skeleton = about["decoding"], Skeleton.from_mapping(about["skeleton"], where)
    if about["kind"] == "top-down":
        height, width = about["input"]["size"]
        wide, high = decoding["extend"]
        return PersonGraph(
            run, runtime, device, skeleton, (height, width), (wide, high), decoding["post_filter"], decoding.get("least"),
            decoding.get("doubt"), decoding["person_nms_oks"], int(about["outputs"]["heat"]["shift"]),
        )  # fmt: skip
    size, stride = about["input"]["short_side"], about["input"]["multiple_of"]
    return DetectorGraph(run, runtime, device, skeleton, size, stride, decoding["overlap"], decoding["threshold"], decoding["most"])
