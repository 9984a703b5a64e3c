"""SIMPLE's pose maps as a perfect or a spoiled network would give them, with annotated boxes: for ``oracle.py``.

The frame is the one of a test: the short side becomes 512, maps are a quarter of that, each joint a Gaussian with a deviation of 2 cells
at its place. Spoiled: each joint's bump is lowered to 0.3 … 1 of its height, a tenth of the joints are left out, and every cell gets
noise with a deviation of 0.03. What is compared is who gets which peak: SIMPLE's decoding with its grouping CNN, MultiPoseNet's PRN, or the
highest peak in the box.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from manypose.methods.multiposenet.assign import Candidates, assign
from manypose.methods.multiposenet.prn_file import BUNDLED as PRN
from manypose.methods.multiposenet.prn_file import load_prn
from manypose.methods.simple.decode import decode as simple_decode
from manypose.methods.simple.grouping_file import BUNDLED, load_grouping
from manypose.methods.simple.roi import enlarged
from manypose.nn.heatmaps import gaussians, peaks, subpixel
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO
from manypose.poses.warp import Warp, cell_to_pixel, pixel_to_cell

SHORT, STRIDE, SIGMA = 512, 4, 2.0
THRESHOLD, TOP = 0.1, 32  # of peaks, for all alike

WHO = {
    "cnn": "SIMPLE's decoding, joints without a peak taken from the kept maps",
    "peaks": "SIMPLE's decoding, peaks alone",
    "prn": "the PRN",
    "max": "the highest peak in the box x {extend:g}",
}


@dataclass
class Grouping:
    """What the oracle asks of a method.

    Args:
        by: who decides which peaks are a box's person's.
        weights: of the decider; default: those that come with the package.
        extend: for ``max``: how much of a box's surroundings is looked at.
    """

    by: Literal["cnn", "peaks", "prn", "max"] = "cnn"
    weights: Path | None = None
    extend: float = 1.1
    BOXES = True

    @property
    def PROTOCOL(self) -> str:
        """For the printed figures."""
        return f"short side 512, pose maps of 1/4, annotated boxes, joints to people by {WHO[self.by].format(extend=self.extend)}"

    @cached_property
    def decider(self) -> Any:
        """Loaded once."""
        return load_prn(self.weights or PRN) if self.by == "prn" else load_grouping(self.weights or BUNDLED)

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

    @torch.inference_mode()
    def decode(self, maps: dict[str, Tensor], warp: Warp, published: bool = False) -> Poses:
        """People in photo pixels, one a box."""
        heat, boxes = maps["heat"], maps["boxes"]
        if self.by in ("cnn", "peaks"):
            sure = torch.cat([boxes, torch.ones(len(boxes), 1)], 1)[None]
            # The boxes are right: none is left out for being like another, or for having a person like another's.
            rules = {"same": 1.0, "overlap": 1.0, "most": len(boxes), "refill": self.by == "cnn", "threshold": THRESHOLD, "top": TOP}
            return warp.back(simple_decode(heat, sure, self.decider, COCO, warp.size, **rules)[0])
        heights, cells = peaks(heat, 5, THRESHOLD, TOP)
        xy = cell_to_pixel(subpixel(heat, cells), STRIDE)
        if self.by == "max":
            joints, scores = highest(heights[0], xy[0], enlarged(boxes, self.extend))
        else:
            _, joint, n = (heights > 0).nonzero(as_tuple=True)
            joints, scores = assign(self.decider, Candidates(xy[0, joint, n], heights[0, joint, n], joint), boxes)
        return warp.back(Poses(COCO, joints.numpy(), scores.numpy(), scores.mean(1).numpy(), boxes.numpy()))


def highest(
    heights: Float[Tensor, "k n"], xy: Float[Tensor, "k n 2"], boxes: Float[Tensor, "r 4"]
) -> tuple[Float[Tensor, "r k 2"], Float[Tensor, "r k"]]:
    """Each joint type's highest peak in each box."""
    inside = ((xy >= boxes[:, None, None, :2]) & (xy <= boxes[:, None, None, 2:])).all(-1)
    best = (heights * inside).max(2)
    at = xy.expand(len(boxes), -1, -1, -1).gather(2, best.indices[..., None, None].expand(-1, -1, 1, 2))[:, :, 0]
    return at, best.values


METHODS = {"simple": Grouping(), "simple-peaks": Grouping("peaks"), "simple-prn": Grouping("prn"), "simple-max": Grouping("max")}
