"""SIMPLE's pose maps as a perfect or a spoiled network would give them, with annotated boxes: for ``oracle.py``.

The frame is the one of a test: the short side becomes 512, maps are a quarter of that, each joint a Gaussian with a deviation of 2 cells
at its place. Spoiled: each joint's bump is lowered to 0.3 … 1 of its height, a tenth of the joints are left out, and every cell gets
noise with a deviation of 0.03. What is compared is who gets which joint: the grouping CNN, MultiPoseNet's PRN, or the highest response in
the box.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from manypose.geometry import Warp, cell_to_pixel, pixel_to_cell
from manypose.maps import gaussians, peaks, subpixel
from manypose.methods.simple.grouping import GroupingCNN
from manypose.methods.simple.grouping_file import BUNDLED, load_grouping
from manypose.methods.simple.persons import persons
from manypose.methods.simple.roi import enlarged
from manypose.poses import Poses
from manypose.skeleton import COCO

SHORT, STRIDE, SIGMA = 512, 4, 2.0


@dataclass
class Grouping:
    """What the oracle asks of a method.

    Args:
        by: who decides which peaks are a box's person's.
        weights: of the decider.
        extend: for ``max``: how much of a box's surroundings is looked at.
    """

    by: Literal["cnn", "max"] = "cnn"
    weights: Path = BUNDLED
    extend: float = 1.1
    BOXES = True

    @property
    def PROTOCOL(self) -> str:
        """For the printed figures."""
        who = {"cnn": "the grouping CNN", "max": f"the highest peak in the box x {self.extend:g}"}[self.by]
        return f"short side 512, pose maps of 1/4, annotated boxes, joints to people by {who}"

    @cached_property
    def cnn(self) -> GroupingCNN:
        """Loaded once."""
        return load_grouping(self.weights)

    def maps(
        self,
        keypoints: Float[np.ndarray, "n 17 3"],
        photo: tuple[int, int],
        image_id: int,
        degraded: bool,
        boxes: Float[np.ndarray, "n 4"],
    ) -> tuple[dict[str, Tensor], Warp]:
        """``heat`` (1, 17, h, w) and ``boxes`` (n, 4) in network pixels, and the way from the photo."""
        warp = Warp.fit(photo, SHORT)
        h, w = warp.size[0] // STRIDE, warp.size[1] // STRIDE
        labelled = keypoints[..., 2] > 0
        draw = np.random.Generator(np.random.PCG64(image_id))
        gain, kept = draw.uniform(0.3, 1.0, labelled.shape), draw.uniform(size=labelled.shape) >= 0.1
        cells = torch.from_numpy(pixel_to_cell(warp.points(keypoints[..., :2].astype(np.float64)), STRIDE)).float()
        drawn = torch.from_numpy(labelled & kept if degraded else labelled)
        if degraded:
            bumps = [gaussians(c[None, None], d[None, None], (h, w), SIGMA)[0] for c, d in zip(cells, drawn, strict=True)]
            heights = torch.from_numpy(gain).float()[..., None, None]
            heat = torch.stack([b * g for b, g in zip(bumps, heights, strict=True)]).amax(0)
            heat = (heat + torch.from_numpy(draw.normal(0, 0.03, (17, h, w))).float()).clamp(0, 1)[None]
        else:
            heat = gaussians(cells[None], drawn[None], (h, w), SIGMA)
        return {"heat": heat, "boxes": torch.from_numpy(warp.boxes(boxes.astype(np.float64))).float()}, warp

    def decode(self, maps: dict[str, Tensor], warp: Warp, published: bool = False) -> Poses:
        """People in photo pixels, one a box."""
        heat, boxes = maps["heat"], maps["boxes"]
        if self.by == "max":
            xy, scores = highest(heat, enlarged(boxes, self.extend))
        else:
            xy, scores = persons(heat, boxes, torch.zeros(len(boxes), dtype=torch.long), self.cnn)
        found = (scores > 0).sum(1)
        return warp.back(Poses(COCO, xy, scores, scores.sum(1) / np.maximum(found, 1), boxes.numpy()))


def highest(heat: Float[Tensor, "1 k h w"], boxes: Float[Tensor, "n 4"]) -> tuple[Float[np.ndarray, "n k 2"], Float[np.ndarray, "n k"]]:
    """Each joint type's highest peak in each box."""
    heights, cells = peaks(heat, 5, 0.1, 30)
    xy = cell_to_pixel(subpixel(heat, cells), STRIDE)[0]
    inside = ((xy >= boxes[:, None, None, :2]) & (xy <= boxes[:, None, None, 2:])).all(-1)
    best = (heights * inside).max(2)
    at = xy[None].expand(len(boxes), -1, -1, -1).gather(2, best.indices[..., None, None].expand(-1, -1, 1, 2))[:, :, 0]
    return at.numpy(), best.values.numpy()


METHODS = {"simple": Grouping(), "simple-max": Grouping("max")}
