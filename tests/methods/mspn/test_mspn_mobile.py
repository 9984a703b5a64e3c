"""The light network of two stages on MoveNet's trunk."""

import numpy as np
import pytest
import torch

from manypose.data.sample import Batch
from manypose.methods.method import TopDownMethod
from manypose.methods.mspn.mobile import MobileMSPN
from manypose.methods.mspn.mobile_heat import lowered, mobile_loss


def _batch(size, joints, visible=2.0):
    keypoints = torch.zeros(len(joints), 1, 17, 3)
    keypoints[:, 0] = torch.cat([torch.tensor(joints, dtype=torch.float32), torch.full((len(joints), 17, 1), visible)], 2)
    n, (h, w) = len(joints), size
    return Batch(
        images=torch.zeros(n, h, w, 3, dtype=torch.uint8), keypoints=keypoints, boxes=torch.zeros(n, 1, 4), areas=torch.ones(n, 1),
        there=torch.ones(n, 1, dtype=torch.bool), mask=torch.ones(n, 1, h, w, dtype=torch.uint8),
        segmentation=torch.zeros(n, h, w, dtype=torch.uint8),
    )  # fmt: skip


@pytest.mark.parametrize("size", [(256, 192), (128, 96)])
def test_what_it_decodes_from_its_targets_is_what_was_drawn(size):
    rng = np.random.default_rng(0)
    joints = rng.uniform(12, np.array([size[1], size[0]]) - 13, (2, 17, 2))
    method = MobileMSPN(input_size=size)
    heat = method.targets(_batch(size, joints), size)["heat"]
    for person, expected in zip(method.decode({"heat": heat}, size), joints, strict=True):
        np.testing.assert_allclose(person.keypoints[0], expected, atol=0.02)


def test_heat_far_from_the_regressed_joint_is_lowered():
    heat, regression = torch.zeros(1, 1, 8, 8), torch.zeros(1, 2, 8, 8)
    regression[0, :, 4, 4] = torch.tensor([-2.0, 1.0])  # two cells up, one to the right of the middle cell
    out = lowered(heat, regression)
    assert out["regression"].tolist() == [[5.0, 2.0]]
    assert out["heat"][0, 0, 2, 5] == out["heat"].max()
    torch.testing.assert_close(out["heat"][0, 0, 7, 5], -torch.log1p(torch.tensor(5 / 1.8)), atol=1e-4, rtol=0)


def test_the_loss_of_the_right_map_is_the_least_and_unlabelled_joints_have_no_place():
    size = (64, 64)
    method = MobileMSPN(input_size=size, sigma=1 / 32)
    targets = method.targets(_batch(size, [[[30.0, 34.0]] * 17]), size)
    right = {"heat": targets["heat"].clamp(1e-4, 1 - 1e-4).logit(), "regression": targets["xy"].flatten(1)}
    wrong = {**right, "heat": right["heat"].roll(3, 3)}
    good, bad = (mobile_loss(o, targets, 0.7, 0.1) for o in (right, wrong))
    assert good["heat"] < bad["heat"]
    assert good["place"] < bad["place"]
    assert good["coarse"] < 1e-6
    nobody = mobile_loss(right, method.targets(_batch(size, [[[30.0, 34.0]] * 17], 0.0), size), 0.7, 0.1)
    assert nobody["place"] == 0
    assert torch.isfinite(torch.stack(list(nobody.values()))).all()


def test_the_second_stage_learns_apart_from_the_first():
    method = MobileMSPN(input_size=(64, 64), frozen=6).train()
    assert isinstance(method, TopDownMethod)
    outputs = method.network(torch.zeros(1, 3, 64, 64))
    outputs["heat"].sum().backward()
    assert all(p.grad is None for p in method.trunk.parameters())
    assert method.second is not None
    assert method.second.out.weight.grad is not None
    one = MobileMSPN(stages=1)
    assert one.second is None
    assert set(one.network(torch.zeros(1, 3, 64, 64))) == {"heat", "regression"}
