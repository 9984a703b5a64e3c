"""SIMPLE: Zhang et al., *SIMPLE: Single-network with Mimicking and Point Learning for Bottom-up Human Pose Estimation*, AAAI 2021.

People and joints are both points. One HRNet with its four branches concatenated (Section 3) predicts a heat map per joint (Eq. 8) and
three maps of people's boxes: centre, top left and bottom right corner, after center pooling and cascade corner pooling (Section 4.1, Eq. 9;
CenterNet's losses, Eq. 10). The 32 best corners of each type are paired to boxes with a centre in their middle; a box's score is the mean
of the three. A CNN on the pose maps in a box keeps the responses of its person (Section 4.2). In training, the student's pose maps in its
own boxes also mimic a top-down teacher's (Section 5, Eq. 11-15). Files: `corner_pooling`, `network`, `targets`, `loss`,
`boxes_from_points`, `decode`; `roi`, `grouping`, `peak_assignment`, `peak_owners` (grouping), `training_maps`, `grouping_train`,
`grouping_file` (its training); `distillation`, `teacher`.

Choices that the paper leaves open (see also `roi`, `grouping`, `peak_assignment`, `training_maps` and `distillation`):

- F_shared's 15 C channels become 256 by a 1 × 1 convolution before each point's branch (``channels``): at all 480 of W32 the three
  branches would cost 440 G multiply-adds at 512 px, eleven times the trunk. Branches are enlarged bilinearly. The pose maps' layers are
  HRNet-V2's: 1 × 1 to 15 C, batch normalization, ReLU, 1 × 1. Heads of the point maps and their offsets are CenterNet's.
- No tags of corners (``corner_tags``): the text pairs by the centre alone. Corners of two people around a third may form a box,
  which gets no points in the assignment and is removed.
- Points have offsets within ± 1/2 cell from the nearest cell's centre, instead of CenterNet's 0 … 1 from the cell below. Boxes are clipped
  to the image before their points are rendered.
- Joints' Gaussians have a deviation of 2 cells (``sigma``), as HRNet's and HigherHRNet's. Equation 8 is summed over cells, as
  written.
- phi_det is 0.05, phi_pose 0.1; NMS of boxes at an IoU of 0.65 (CenterNet's soft NMS would keep the others with lower scores) and of
  people at an OKS of 0.9. Arguments of ``boxes`` and ``people``.
- A joint's score is its point's height × its probability of belonging to the person; a person's is the mean over all joints × the box's.
- A joint without a point is placed at the highest kept response in the person's RoI (``refill``).
- Flips and scales: pose maps are averaged; boxes of all views are concatenated before NMS.
- The grouping CNN is trained on the currently predicted points in annotated boxes with jitter of up to a tenth of their sides, without
  gradient to the pose maps (`peak_owners`).
- Optimizer and augmentation: Adam; HigherHRNet's.

Published: AP 66.1 (W18) and 69.6 (W32) on COCO test-dev2017 with one scale, 68.1 and 71.1 with five (Table 4). Ours: docs/simple.md.
"""

from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from manypose.data.sample import Batch
from manypose.methods.method import Field, Maps
from manypose.methods.simple.boxes_from_points import boxes_of_points, keep_best, point_maps
from manypose.methods.simple.distillation import Mimic
from manypose.methods.simple.grouping import GroupingCNN
from manypose.methods.simple.grouping_file import load_grouping
from manypose.methods.simple.loss import simple_loss
from manypose.methods.simple.mobile import MobileStudent
from manypose.methods.simple.network import Student
from manypose.methods.simple.targets import targets
from manypose.nn.movenet_photo import LIGHT, movenet_pixels
from manypose.nn.preprocess import ImageNetInput
from manypose.nn.retinanet import anchors, likeliest, person_targets
from manypose.poses.boxes import counted, person_boxes
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO, Skeleton, named

__all__ = ["SIMPLE"]


class SIMPLE(nn.Module):
    """The student: pose maps and person boxes from one HRNet, with the grouping CNN; or one of the paper's ablations.

    Args:
        trunk: any HRNet of timm; or ``movenet``, ``efficientnet_lite0`` … ``2``: the light student of `mobile`, with the
            ``points`` detector.
        size: default short side of the input, in pixels (Section 6.1: 512).
        skeleton: a skeleton, its name, or the path of its YAML.
        pretrained: initialize the trunk from ImageNet weights, as published; for a light trunk see
            `manypose.nn.movenet_photo.photo_trunk`.
        detector: ``points`` (Table 2 c); ``regression``, by anchors as in MultiPoseNet (b); ``none``, which needs ``ae`` (a).
        grouping: ``cnn`` (Section 4.2); ``max``: each box takes the highest points in it; ``ae``: associative embedding, without boxes.
        channels: of F_shared after its reduction before each point's branch, or width of the regression; None: all 15 C.
        inner: channels of the pooled branches.
        corner_tags: whether to train CenterNet's corner tags and pair by them.
        sigma: of the joints' Gaussians, in cells.
        alpha: factor of the detection loss (Equation 10).
        group: factor of the grouping CNN's loss; 0: it is not trained.
        push, pull: factors of the embedding loss with ``ae``.
        features: whether the network also gives ``features``, the input of the pose maps' layers, for mimicking (Table 3 c).
        anchor_scale: side of the smallest square anchor of each level, in multiples of its stride (RetinaNet's 4).
        cnn: arguments of `GroupingCNN`; or only ``weights``: a file of a trained one, or ``bundled``.
        supervision: arguments of `owned_peaks`.
        boxes: arguments of `boxes_of_points`.
        people: arguments of `decode.decode`, or with ``ae`` of `manypose.nn.associative_embedding.decode.decode`.
        mimic: arguments of `Mimic`, for distillation from a top-down teacher (Section 5); not in weights files.
        frozen: number of MoveNet's first residuals that are not trained, with the stem.

    Raises:
        ValueError: detector and grouping do not match.
    """

    stride = 32
    training_only: tuple[str, ...] = ("mimic", "frozen")

    def __init__(
        self,
        trunk: str = "hrnet_w32",
        size: int = 512,
        skeleton: Skeleton | str = COCO,
        pretrained: bool | str = False,
        detector: Literal["points", "regression", "none"] = "points",
        grouping: Literal["cnn", "max", "ae"] = "cnn",
        channels: int | None = 256,
        inner: int = 128,
        corner_tags: bool = False,
        sigma: float = 2.0,
        alpha: float = 1.0,
        group: float = 1.0,
        push: float = 1e-3,
        pull: float = 1e-3,
        features: bool = False,
        anchor_scale: float = 4.0,
        cnn: dict[str, Any] | None = None,
        supervision: dict[str, Any] | None = None,
        boxes: dict[str, Any] | None = None,
        people: dict[str, Any] | None = None,
        mimic: dict[str, Any] | None = None,
        frozen: int = 0,
    ) -> None:
        super().__init__()
        if (detector == "none") != (grouping == "ae"):
            raise ValueError(f"grouping ae goes with detector none, cnn and max with a detector; got {detector!r} and {grouping!r}")
        if mimic is not None and detector == "none" and mimic.get("boxes") != "annotated":
            raise ValueError("without a detector mimicking needs boxes: annotated")
        if mimic is not None and (mimic.get("soft") == "features") and not features:
            raise ValueError("mimicking features needs features: true")
        self.skeleton = named(skeleton) if isinstance(skeleton, str) else skeleton
        self.size, self.sigma, self.detector, self.anchor_scale = size, sigma, detector, anchor_scale
        mirror, k = self.skeleton.mirror, len(self.skeleton)
        other = {"tag": Field(mirror, "stack", "base")} if detector == "none" else {"boxes": Field(None, "boxes")}
        self.fields = {"pose": Field(mirror), **other}
        self._loss = {"alpha": alpha, "group": group, "push": push, "pull": pull}
        self._supervision, self._boxes, self._people = supervision or {}, boxes or {}, people or {}
        self.pixels: Any
        if trunk in LIGHT:
            if detector != "points":
                raise ValueError(f"trunk {trunk} finds people by points: set detector: points")
            self.net: nn.Module = MobileStudent(k, 64, channels or 32, inner, corner_tags, features, frozen, pretrained, trunk)
            self.pixels = movenet_pixels
        else:
            self.net = Student(trunk, k, detector, channels, inner, grouping == "ae", corner_tags, features, bool(pretrained))
            self.pixels = ImageNetInput()
        self.grouping = _grouping(k, **(cnn or {})) if grouping == "cnn" else None
        self.mimic = None if mimic is None else Mimic(self.skeleton, **mimic)

    def prepare(self, images: UInt8[Tensor, "b H W 3"]) -> Float[Tensor, "b 3 H W"]:
        """RGB normalized by ImageNet's mean and deviation; for light trunks scaled to -1 … 1."""
        return self.pixels(images)

    def network(self, images: Float[Tensor, "b 3 H W"]) -> Maps:
        """See `Student.forward`."""
        return self.net(images)

    forward = network

    def targets(self, people: Batch, size: tuple[int, int]) -> Maps:
        """See `manypose.methods.simple.targets.targets`; with regression also those of anchors, with a teacher also its inputs."""
        out = targets(people, size, self.sigma) | ({} if self.mimic is None else self.mimic.targets(people))
        if self.detector != "regression":
            return out
        return out | person_targets(*people.detection_boxes(), people.mask, self._anchors(size, out["pose"]))

    def _anchors(self, size: tuple[int, int], like: Tensor) -> Float[Tensor, "a 4"]:
        return anchors(size, scale=self.anchor_scale, device=like.device)

    def loss(self, outputs: Maps, targets: Maps) -> dict[str, Tensor]:
        """See `manypose.methods.simple.loss.simple_loss`; with a teacher also `Mimic`'s."""
        losses = simple_loss(outputs, targets, self.grouping, self._supervision, **self._loss)
        if self.mimic is None:
            return losses
        with torch.no_grad():
            found = outputs["pose"].new_zeros(len(outputs["pose"]), 0, 5) if self.mimic.boxes == "annotated" else self._found(outputs)
        return losses | self.mimic(outputs, targets, found)

    def readout(self, outputs: Maps) -> Maps:
        """``pose``; and ``boxes`` (b, n, 5), xyxy in network pixels and a score (0: no box), or with ``ae`` the joints' ``tag``."""
        if self.detector == "none":
            return {"pose": outputs["pose"], "tag": outputs["tag"]}
        return {"pose": outputs["pose"], "boxes": self._found(outputs)}

    def _found(self, outputs: Maps) -> Float[Tensor, "b n 5"]:
        """People's boxes from the network's outputs: xyxy in network pixels and a score, by falling score; score 0: no box."""
        if self.detector == "regression":
            size = (4 * outputs["pose"].shape[2], 4 * outputs["pose"].shape[3])
            found = likeliest(outputs["person"], outputs["shift"], self._anchors(size, outputs["pose"]), size)
            # As for boxes of points: boxes with low scores would take joints from the true ones.
            clear = found[..., 4:] >= self._boxes.get("threshold", FAINT)
            return torch.cat([found[..., :4], found[..., 4:] * clear], 2)
        return boxes_of_points(point_maps(outputs), **self._boxes)

    def detect(self, outputs: Maps, size: tuple[int, int]) -> list[Float[np.ndarray, "n 5"]]:
        """The boxes of people (xyxy, score) from ``boxes``; with ``ae`` the boxes around the joints of decoded people."""
        if self.detector == "none":
            people = self.decode(outputs, size)
            return [person_boxes(p.keypoints, counted(p.keypoint_scores), p.boxes, p.scores) for p in people]
        boxes = keep_best(outputs["boxes"], self._people.get("overlap", 0.65), 100).float().cpu().numpy()
        return [rows[rows[:, 4] > 0] for rows in boxes]

    def decode(self, outputs: Maps, size: tuple[int, int]) -> list[Poses]:
        """People from ``pose`` (b, k, h, w) and ``boxes`` (b, n, 5) of one or more views, or ``points`` (`point_maps`) for boxes."""
        if self.detector == "none":
            from manypose.nn.associative_embedding.decode import decode as decode_tags

            return decode_tags(outputs["pose"], outputs["tag"], self.skeleton, size, **self._people)
        from manypose.methods.simple.decode import decode

        boxes = outputs["boxes"] if "boxes" in outputs else boxes_of_points(outputs["points"], **self._boxes)
        return decode(outputs["pose"], boxes, self.grouping, self.skeleton, size, **self._people)


FAINT = 0.05
"""Smallest score of a box by regression, the same as in `boxes_of_points`."""


def _grouping(joints: int, weights: str | None = None, **arguments: Any) -> GroupingCNN:
    if weights is None:
        return GroupingCNN(joints, **arguments)
    if arguments:
        raise ValueError(f"cnn: weights say how the grouping CNN is built; leave out {', '.join(arguments)}")
    with torch.device("cpu"):
        cnn = load_grouping() if weights == "bundled" else load_grouping(weights)
    if cnn.joints != joints:
        raise ValueError(f"cnn: the grouping CNN of {weights} has {cnn.joints} joints, the skeleton {joints}; train one for it")
    return cnn
