"""Points, boxes, losses and bumps against CenterNet's published program, where SIMPLE shares the definition."""

import json

import numpy as np
import pytest
import torch
from shared import parity

from manypose.methods.simple.boxes_from_points import find, pairs
from manypose.methods.simple.loss import corner_tags, focal, offsets
from manypose.methods.simple.targets import SPREAD, bump_radius, bumps
from manypose.nn.heatmaps import gather

FOLDER = "simple_pose_prn"


def tensors(name: str) -> dict[str, torch.Tensor]:
    """A stored file."""
    with np.load(parity(FOLDER, name)) as file:
        return {k: torch.from_numpy(np.asarray(file[k])) for k in file}


@pytest.fixture(scope="module")
def info():
    return json.loads(parity(FOLDER, "centernet_info.json").read_text())


def test_centres():
    t = tensors("centernet_decode.npz")
    heights, xy, _ = find(t["ct"].sigmoid(), t["ct_regr"], int(t["K"]), 0.0)
    assert torch.allclose(xy[0], t["center"][0, :, :2], atol=1e-5)
    assert torch.allclose(heights[0], t["center"][0, :, 3], atol=1e-6)


def test_pairs_of_corners(info):
    t = tensors("centernet_decode.npz")
    top, threshold = int(t["K"]), float(t["ae_threshold"])
    first, second = (find(t[c].sigmoid(), t[f"{c}_regr"], top, 0.0) for c in ("tl", "br"))
    tags = [gather(t[f"{c}_tag"], f[2])[:, 0] for c, f in (("tl", first), ("br", second))]
    boxes, means = pairs(first[1], first[0], second[1], second[0], tags, threshold)
    ours = torch.cat([boxes[0], means[0, :, None]], 1)[means[0] > 0]
    theirs = t["detections"][0][t["detections"][0, :, 4] > -1]
    assert len(ours) == len(theirs) == info["decode"]["valid (score>-1)"]
    assert torch.allclose(ours[ours[:, 4].argsort(descending=True)], theirs[theirs[:, 4].argsort(descending=True), :5], atol=1e-5)


def test_losses(info):
    t, said = tensors("centernet_loss.npz"), info["loss"]
    there = t["mask"].bool()
    heat = sum(focal(t[f"heat{i}"], t[f"gt_heat{i}"]) for i in range(3))
    pull, push = corner_tags(t["tag_tl"][..., 0], t["tag_br"][..., 0], there)
    regression = sum(offsets(t[f"regr{i}"], t[f"gt_regr{i}"], there) for i in range(3))
    assert float(heat) == pytest.approx(said["focal"], rel=1e-6)
    assert float(pull) * 0.1 == pytest.approx(said["pull_x0.1"], rel=1e-6)
    assert float(push) * 0.1 == pytest.approx(said["push_x0.1"], rel=1e-6)
    assert float(regression) == pytest.approx(said["regr"], rel=1e-6)
    assert float(heat + 0.1 * (pull + push) + regression) == pytest.approx(said["total"], rel=1e-6)


def test_bumps():
    """The names of the stored bumps say kind, radius, x and y."""
    stored = tensors("centernet_targets.npz")
    assert len(stored) == 3
    for name, theirs in stored.items():
        kind, radius, _, x, y = name.split("_")
        spread = SPREAD["centre" if kind == "center" else "top_left"]
        cell, there = torch.tensor([[[float(x), float(y)]]]), torch.ones(1, 1, dtype=torch.bool)
        ours = bumps(cell, there, torch.tensor([[float(radius[1:])]]), (theirs.shape[0], theirs.shape[1]), spread)
        assert torch.allclose(ours[0, 0], theirs, atol=1e-6), name


def test_radii(info):
    for sides, theirs in info["gaussian_radius_iou0.7"].items():
        ours = bump_radius(torch.tensor([float(s) for s in sides.split("x")], dtype=torch.float64))
        assert float(ours) == pytest.approx(theirs, rel=1e-9)
