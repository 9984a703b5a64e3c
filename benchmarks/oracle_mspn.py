"""A top-down network's maps as a perfect or a spoiled network would give them, for annotated boxes: for ``oracle.py``.

Each person's box is extended and cut out; each joint inside the crop gets a Gaussian, joints outside none. Spoiled: each joint's bump is
lowered to 0.3 … 1 of its height, a tenth of the joints are left out, and every cell gets noise with a deviation of 0.03.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from manypose.methods.mspn.decode import decode as our_decode
from manypose.methods.mspn.decode import published_mspn, to_poses
from manypose.methods.mspn.targets import FIRST_CELL, deviation, published_labels
from manypose.nn.heatmaps import gaussians
from manypose.poses.crops import crop
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO
from manypose.poses.warp import Warp, pixel_to_cell


@dataclass(frozen=True)
class TopDown:
    """What the oracle asks of a method, for one size of input.

    Args:
        size: height and width of a crop.
        extend: factors of a box's width and height; published 1.09 and 1.135.
        labels: Gaussians at the joints' places, or as the authors draw them in whole cells.
        refinement: of our decoding.
    """

    size: tuple[int, int] = (256, 192)
    extend: tuple[float, float] = (1.7, 1.7)
    labels: str = "ours"
    refinement: str = "gaussian"
    TOP_DOWN = True

    @property
    def PROTOCOL(self) -> str:
        """For the printed figures."""
        return (
            f"annotated boxes, crops of {self.size[0]} x {self.size[1]}, box width x {self.extend[0]:g} and height x {self.extend[1]:g} "
            f"(published: 1.09, 1.135), kernel 5 {'at the joints places' if self.labels == 'ours' else 'in whole cells'}"
        )

    def maps(
        self,
        keypoints: Float[np.ndarray, "n 17 3"],
        image_id: int,
        degraded: bool,
        boxes: Float[np.ndarray, "n 4"],
        published: bool,
    ) -> tuple[dict[str, Tensor], list[Warp]]:
        """``heat`` (n, 17, h, w) and the people's crops."""
        rule = replace(self, extend=(1.09, 1.135), labels="published") if published else self
        warps = [crop(np.asarray(box, np.float64), rule.size, rule.extend, published) for box in boxes]
        xy = np.stack([w.points(k[:, :2].astype(np.float64)) for w, k in zip(warps, keypoints, strict=True)])
        limit = np.array([rule.size[1] - 1, rule.size[0] - 1])
        inside = (keypoints[..., 2] > 0) & (xy >= 0).all(-1) & (xy <= limit).all(-1)
        grid, n = (rule.size[0] // 4, rule.size[1] // 4), len(boxes)
        draw = np.random.Generator(np.random.PCG64(image_id))
        gain, kept = draw.uniform(0.3, 1.0, (n, 17)), draw.uniform(size=(n, 17)) >= 0.1
        drawn = torch.from_numpy(inside & kept if degraded else inside)
        if rule.labels == "published":
            heat = published_labels(torch.from_numpy(np.where(inside[..., None], xy / 4, 0)).long(), drawn, grid, 5) / 255
        else:
            heat = gaussians(torch.from_numpy(pixel_to_cell(xy, 4))[:, None], drawn[:, None], grid, deviation(5))
        if degraded:
            noise = draw.normal(0, 0.03, (n, 17, *grid))
            heat = (heat * torch.from_numpy(gain)[..., None, None] + torch.from_numpy(noise)).clamp(0, 1)
        return {"heat": heat.float()}, warps

    def decode(self, maps: dict[str, Tensor], warps: list[Warp], published: bool) -> Poses:
        """The people of one photo, in photo pixels."""
        if published:
            xy, scores = published_mspn(maps["heat"], self.size)
        else:
            first = FIRST_CELL["mspn" if self.labels == "published" else "ours"]
            xy, scores = our_decode(maps["heat"], self.size, self.refinement, first=first)  # pyright: ignore[reportArgumentType]
        people = [w.back(p) for w, p in zip(warps, to_poses(COCO, xy, scores), strict=True)]
        names = ("keypoints", "keypoint_scores", "scores", "boxes")
        return Poses(COCO, **{n: np.concatenate([getattr(p, n) for p in people]) for n in names})


METHODS = {
    "mspn": TopDown(),
    "mspn-384": TopDown((384, 288)),
    "mspn-dark": TopDown(refinement="dark"),
    "mspn-whole-cells": TopDown(labels="published"),
    "mspn-1.25": TopDown(extend=(1.25, 1.25)),
    "mspn-narrow": TopDown(extend=(1.09, 1.135)),
}
