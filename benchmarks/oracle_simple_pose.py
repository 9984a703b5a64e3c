"""Simple Pose's maps as a perfect or a spoiled network would give them, rendered from annotations: for ``oracle.py``.

The frame and the targets are the published ones: the photo's height becomes 512, both sides are padded to multiples of 64; at 1/4 of that
joints' Gaussians, of several people the largest, and parts by their distance to the line through both joints, several people averaged.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from manypose.methods.simple_pose.body import body_of
from manypose.methods.simple_pose.decode import decode as assembly
from manypose.methods.simple_pose.targets import heat_maps, part_maps
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO
from manypose.poses.warp import Warp

BODY = body_of(COCO)
HEIGHT, STRIDE, CUT = 512, 4, 0.015
PROTOCOL = "height 512; maps of 1/4, decoded as they are; in degraded maps a part may stay whose joint is left out"
EVERYTHING = frozenset({"gain", "joints", "parts", "noise"})


def view(photo: tuple[int, int]) -> Warp:
    """Photo of height and width `photo` to the network's input."""
    h, w = photo
    scale = HEIGHT / h
    return Warp.scaling(scale, (HEIGHT, -(-round(w * scale) // 64) * 64))


def maps(
    keypoints: Float[np.ndarray, "n 17 3"],
    photo: tuple[int, int],
    image_id: int,
    degraded: bool = False,
    how: frozenset[str] = EVERYTHING,
) -> tuple[dict[str, Tensor], Warp]:
    """``part`` (1, 30, h, w) and ``heat`` (1, 18, h, w) as the method's readout gives them, and the way from the photo to the input.

    Args:
        keypoints: x, y, visibility of the photo's people.
        photo: its height and width.
        image_id: seeds the degradation, so that it is the same for all methods.
        degraded: spoil the maps.
        how: joints of 0.3 … 1 of their height (``gain``), a tenth of them left out (``joints``), a tenth of the parts left out
            (``parts``), noise with a deviation of 0.03 in every cell (``noise``).
    """
    warp = view(photo)
    n, k, parts, grid = len(keypoints), len(BODY.sources), len(BODY.parts), (warp.size[0] // STRIDE, warp.size[1] // STRIDE)
    people = warp.joints(keypoints.astype(np.float64), COCO.mirror)
    joints = BODY.joints(torch.from_numpy(people)[None]).float()
    xy, drawn = joints[..., :2], joints[..., 2] > 0
    draw = np.random.Generator(np.random.PCG64(image_id))
    gain = torch.from_numpy(draw.uniform(0.3, 1.0, (n, k))).float()[None]
    joint, part = (torch.from_numpy(draw.uniform(size=(n, m)) >= 0.1)[None] for m in (k, parts))
    how = how if degraded else frozenset()
    heat = heat_maps(xy, drawn & joint if "joints" in how else drawn, grid, thre=CUT, published=True, gain=gain if "gain" in how else None)
    limb = part_maps(xy, drawn, BODY, grid, thre=CUT, published=True, keep=part if "parts" in how else None)
    if "noise" in how:
        noise = torch.from_numpy(draw.normal(0, 0.03, (parts + k, *grid))).float()
        limb, heat = (limb + noise[:parts]).clamp(0, 1), (heat + noise[parts:]).clamp(0, 1)
    return {"part": limb, "heat": heat}, warp


def decode(maps: dict[str, Tensor], warp: Warp, published: bool = False) -> Poses:
    """People in photo pixels."""
    if published:
        raise SystemExit("the authors' grouping of Simple Pose is mended and not copied: leave out --published")
    return warp.back(assembly(maps["part"], maps["heat"], BODY, warp.size)[0])
