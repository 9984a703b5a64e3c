"""Distillation from a top-down teacher (Section 5, Equations 11 to 15, Algorithm 1), any `TopDownMethod`.

The teacher predicts on crops of the image at the student's boxes. RoIAlign samples the student's pose maps on the teacher's grid. Two
adapters map the annotated and the teacher's maps to targets of the student's. Stage 1 of
Algorithm 1 is a training without `Mimic`; stage 2 starts from its weights and has `Mimic`.

Choices that the paper leaves open (arguments): crops follow the teacher's rule. A box is used if its IoU with an annotated person is at
least 0.5, as in Mask R-CNN, since a top-down teacher finds a person in any box. Losses are sums over cells and means over boxes and joints,
as written in Equations 14 and 15. Adapters are convolutions, initialized as the identity and trained. A joint of which another annotated
person has one in the box has no loss (`others`), since the student's map shows all people and the teacher's one.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torchvision.ops import box_iou

from manypose.data.sample import Batch
from manypose.methods.method import Maps
from manypose.methods.simple.roi import roi_align, to_roi
from manypose.methods.simple.teacher import Teacher, crops_of, read_teacher
from manypose.nn.heatmaps import gaussians
from manypose.poses.skeleton import Skeleton

__all__ = ["Mimic", "matched"]


class Mimic(nn.Module):
    """The transfer module and its losses.

    Args:
        skeleton: of the student; the teacher's must have the same joints.
        teacher: name of a top-down model.
        weights: the teacher's weights, ``.safetensors``; None: random (to measure cost).
        teacher_args: further arguments of the teacher.
        truth: the annotated maps as a term (Equation 14; Table 3 b and e).
        soft: the teacher's term: ``heat``, its maps (Equation 15; Table 3 d and e), ``features`` (c), or
            ``none`` (b).
        beta: weight of the sum of the terms (1 in the paper).
        boxes: ``detected`` by the student (the paper), ``annotated``, or ``both``.
        most: number of boxes per image, the best first.
        overlap: smallest IoU of a box with an annotated box.
        sigma: of the annotated maps' Gaussians, in cells of the teacher's map.
        others: ``spared``: see above; ``suppressed``: other people's joints in a box count as errors, as in the formulas.
        kernel: of the adapters.
        adapt: whether adapters are trained; otherwise they are the identity.
        tap: with ``features`` the name of the teacher's submodule whose input they are: ``net.final_layer`` of an HRNet,
            ``net.stage1.upsample.up4.res_conv1`` of a two-stage MSPN.
        widths: with ``features`` the channels of the teacher's and of the student's.
        half: whether the teacher runs in bfloat16.

    Raises:
        ValueError: inconsistent arguments.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        teacher: str = "hrnet-w32",
        weights: str | Path | None = None,
        teacher_args: Mapping[str, Any] | None = None,
        truth: bool = True,
        soft: Literal["heat", "features", "none"] = "heat",
        beta: float = 1.0,
        boxes: Literal["detected", "annotated", "both"] = "detected",
        most: int = 32,
        overlap: float = 0.5,
        sigma: float = 2.0,
        others: Literal["spared", "suppressed"] = "spared",
        kernel: int = 1,
        adapt: bool = True,
        tap: str = "",
        widths: tuple[int, int] = (0, 0),
        half: bool = False,
    ) -> None:
        super().__init__()
        if soft not in ("heat", "features", "none") or boxes not in ("detected", "annotated", "both"):
            raise ValueError(f"soft is heat, features or none, boxes is detected, annotated or both; got {soft!r} and {boxes!r}")
        if others not in ("spared", "suppressed"):
            raise ValueError(f"others is spared or suppressed, got {others!r}")
        if not truth and soft == "none":
            raise ValueError("mimicking needs a term: truth, or soft heat or features")
        if soft == "features" and (not tap or min(widths) < 1):
            raise ValueError("soft features need tap, the teacher's submodule that takes them, and widths, the channels of both")
        self.named: dict[str, Any] = {"name": teacher, "weights": weights, "arguments": dict(teacher_args or {})}
        self.skeleton, self.truth, self.soft, self.beta, self.boxes = skeleton, truth, soft, beta, boxes
        self.most, self.overlap, self.sigma, self.others, self.tap, self.coarse = most, overlap, sigma, others, tap, half
        k = len(skeleton)
        self.adapter1 = _identity(k, k, kernel) if truth else None
        shapes = {"heat": (k, k), "features": (int(widths[0]), int(widths[1]))}
        self.adapter2 = _identity(*shapes[soft], kernel) if soft != "none" else None
        self.requires_grad_(adapt)
        # Not a submodule, since it is neither trained nor saved; loaded when training starts.
        self._teacher: list[Teacher] = []

    def teacher(self, device: torch.device) -> "Teacher":
        """The teacher, loaded on first use."""
        if not self._teacher:
            method = read_teacher(self.named["name"], self.named["weights"], self.named["arguments"])
            self._teacher.append(Teacher(method, self.skeleton, self.tap if self.soft == "features" else "", self.coarse))
        module = cast(nn.Module, self._teacher[0].method)
        module.to(device)
        return self._teacher[0]

    def targets(self, people: Batch) -> Maps:
        """Targets of the losses for a batch."""
        return {
            "mimic_images": people.images,
            "mimic_keypoints": people.keypoints,
            "mimic_boxes": people.boxes,
            "mimic_there": people.there,
        }

    def forward(self, outputs: Maps, targets: Maps, boxes: Float[Tensor, "b n 5"]) -> dict[str, Tensor]:
        """``mimic_truth`` (Equation 14) and ``mimic_soft`` (Equation 15).

        Args:
            outputs: the student's ``pose``, perhaps ``features``.
            targets: with those of `Mimic.targets`.
            boxes: the student's boxes, xyxy in network pixels and a score, best first; score 0: no box.
        """
        pose = outputs["pose"]
        zero = pose.sum() * 0 + sum(p.sum() * 0 for p in self.parameters())
        terms = {"mimic_truth": zero} if self.truth else {}
        terms |= {"mimic_soft": zero} if self.soft != "none" else {}
        chosen, image, person = self._chosen(boxes.detach(), targets)
        if not len(chosen):
            return terms
        teacher = self.teacher(pose.device)
        crop_boxes, image, person = crops_of(teacher.method, chosen, image, person, targets["mimic_images"].shape[1:3])
        if not len(crop_boxes):
            return terms
        heat, features = teacher.look(targets["mimic_images"], crop_boxes, image)
        grid, n = (heat.shape[2], heat.shape[3]), len(crop_boxes)
        truth, others = self._annotated(targets, crop_boxes, image, person, grid)
        seen = roi_align(pose, crop_boxes, image, grid, targets["mimic_images"].shape[1] / pose.shape[2])
        counts = 1 - others if self.others == "spared" else torch.ones_like(others)
        if self.adapter1 is not None:
            known = roi_align(targets["mask"].expand(-1, len(self.skeleton), -1, -1), crop_boxes, image, grid) > 0.5
            terms["mimic_truth"] = zero + self.beta * _squares(seen, self.adapter1(truth), counts * known) / n
        if self.adapter2 is not None and features is None:
            terms["mimic_soft"] = zero + self.beta * _squares(seen, self.adapter2(heat), counts) / n
        elif self.adapter2 is not None and features is not None:
            mine = roi_align(outputs["features"], crop_boxes, image, (features.shape[2], features.shape[3]))
            whole = mine.new_ones((1, 1, 1, 1))
            terms["mimic_soft"] = zero + self.beta * _squares(mine, self.adapter2(features), whole) / n
        return terms

    def _chosen(self, boxes: Float[Tensor, "b n 5"], targets: Maps) -> tuple[Float[Tensor, "r 4"], Int[Tensor, " r"], Int[Tensor, " r"]]:
        """The boxes to use, and the indices of their images and people."""
        annotated, there = targets["mimic_boxes"], targets["mimic_there"]
        labelled = there & (targets["mimic_keypoints"][..., 2] > 0).any(2)
        found: list[tuple[Tensor, Tensor, Tensor]] = []
        for i in range(len(boxes)):
            mine = boxes[i][boxes[i, :, 4] > 0, :4][: self.most]
            whose = matched(mine, annotated[i], labelled[i], self.overlap)
            if self.boxes != "detected":
                people = labelled[i].nonzero()[:, 0]
                given = annotated[i][people]
                mine, whose = (given, people) if self.boxes == "annotated" else (torch.cat([mine, given]), torch.cat([whose, people]))
            keep = whose >= 0
            found.append((mine[keep], torch.full_like(whose[keep], i), whose[keep]))
        joined = [torch.cat(parts) for parts in zip(*found, strict=True)]
        return joined[0], joined[1], joined[2]

    def _annotated(
        self, targets: Maps, boxes: Float[Tensor, "r 4"], image: Int[Tensor, " r"], person: Int[Tensor, " r"], grid: tuple[int, int]
    ) -> tuple[Float[Tensor, "r k h w"], Float[Tensor, "r k h w"]]:
        """The annotated maps of each box's person, and a mask of other people's joints."""
        keypoints = targets["mimic_keypoints"][image]
        cells = to_roi(keypoints[..., :2], boxes, grid)
        limit = cells.new_tensor([grid[1] - 0.5, grid[0] - 0.5])
        drawn = (keypoints[..., 2] > 0) & targets["mimic_there"][image][..., None] & ((cells >= -0.5) & (cells < limit)).all(-1)
        own = torch.arange(keypoints.shape[1], device=boxes.device) == person[:, None]
        truth = gaussians(cells, drawn & own[..., None], grid, self.sigma)
        others = gaussians(cells, drawn & ~own[..., None], grid, 1.5 * self.sigma)
        # A joint of the box's person counts even near another person's.
        return truth, ((others > 0.1) & (truth < 0.1)).to(truth.dtype)


def matched(boxes: Float[Tensor, "n 4"], annotated: Float[Tensor, "m 4"], there: Bool[Tensor, " m"], overlap: float) -> Int[Tensor, " n"]:
    """For each box the annotated one with the largest IoU; -1 if that is below `overlap`."""
    if not len(annotated) or not len(boxes):
        return torch.full((len(boxes),), -1, dtype=torch.long, device=boxes.device)
    best = (box_iou(boxes, annotated) * there).max(1)
    return best.indices.where(best.values >= overlap, torch.full_like(best.indices, -1))


def _identity(before: int, after: int, kernel: int) -> nn.Conv2d:
    """A convolution initialized as the identity on the common channels."""
    conv = nn.Conv2d(before, after, kernel, padding=kernel // 2)
    nn.init.dirac_(conv.weight)
    nn.init.zeros_(conv.get_parameter("bias"))
    return conv


def _squares(seen: Float[Tensor, "r k h w"], wanted: Float[Tensor, "r k h w"], counts: Tensor) -> Float[Tensor, ""]:
    """Squared errors, summed over cells and boxes, mean over joints."""
    return ((seen - wanted) ** 2 * counts).sum((2, 3)).mean(1).sum()
