"""The focal L2 loss, against Equations 2–4 as they stand."""

import numpy as np
import pytest
import torch

from manypose.methods.simple_pose.loss import focal_factor, focal_l2, simple_pose_loss


def equation_3(pred, target, weights, mask, alpha=0.1, beta=0.02, thre=0.01) -> float:
    total = 0.0
    for j in range(pred.shape[0]):
        for y in range(pred.shape[1]):
            for x in range(pred.shape[2]):
                s, goal = pred[j, y, x], target[j, y, x]
                sd = s - alpha if goal > thre else 1 - s - beta
                total += weights[j] * mask[y, x] * (s - goal) ** 2 * (1 - sd) ** 2
    return total


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(3)
    pred = torch.rand(2, 4, 6, 8, generator=generator, dtype=torch.float64) * 1.4 - 0.2
    target = torch.rand(2, 4, 6, 8, generator=generator, dtype=torch.float64) ** 6
    mask = (torch.rand(2, 1, 6, 8, generator=generator) > 0.2).double()
    return pred, target, mask


def test_equation_3(case):
    pred, target, mask = case
    weights = torch.tensor([1.0, 1.0, 3.0, 3.0]).double()  # η + 1 = 3 for joints
    ours = focal_l2(pred, target, mask, weights, torch.ones(4).double())
    for i in range(2):
        assert float(ours[i]) == pytest.approx(equation_3(pred[i].numpy(), target[i].numpy(), weights.numpy(), mask[i, 0].numpy()))


def test_13_easy_cells_cost_next_to_nothing():
    """Right foreground is near 0.9, right background near -0.02 … 0.01: there the factor all but vanishes."""
    target = torch.tensor([1.0, 0.0, 0.0])[None, None, None]
    factor = focal_factor(torch.tensor([1.0, 0.0, 0.5])[None, None, None], target)[0, 0, 0]
    assert factor[0] == pytest.approx(0.01)
    assert factor[1] == pytest.approx(0.0004)
    assert factor[2] == pytest.approx(0.2704)
    assert focal_factor(torch.full((1, 1, 1, 1), 1.1), torch.ones(1, 1, 1, 1)).item() == pytest.approx(0, abs=1e-12)


def test_a_cell_at_the_threshold_is_background_in_the_paper_alone():
    at = torch.full((1, 1, 1, 1), 0.01)
    assert focal_factor(at, at).item() == pytest.approx(0.03**2)
    assert focal_factor(at, at, inclusive=True).item() == pytest.approx(1.09**2)
    assert focal_factor(at.double(), at.double(), inclusive=True).item() == pytest.approx(1.09**2)  # and in any precision


def test_plain_and_partly_focal(case):
    pred, target, mask = case
    weights, ones = torch.ones(4).double(), torch.ones(4).double()
    plain, focal = focal_l2(pred, target, mask, weights), focal_l2(pred, target, mask, weights, ones)
    assert torch.allclose(plain, ((pred - target) ** 2 * mask).sum((1, 2, 3)))
    half = torch.tensor([0, 0, 1, 1]).double()
    partly = focal_l2(pred, target, mask, weights, half)
    expected = focal_l2(pred, target, mask, 1 - half) + focal_l2(pred, target, mask, half, ones)
    assert torch.allclose(partly, expected)
    assert (focal < partly).all()


@pytest.mark.parametrize("stages", ["sum", "mean"])
def test_equation_4(case, stages):
    pred, target, mask = case
    lambdas, weights = (1.0, 4.0), [1.0] * 4
    outputs = {f"stage{t}_scale{i}": pred * (0.5 + 0.1 * t + 0.2 * i) for t in range(3) for i in range(2)}
    parts = simple_pose_loss(
        outputs, {f"{n}{i}": m for n, m in (("scale", target), ("mask", mask)) for i in (0, 1)}, weights, weights, lambdas, stages
    )
    each = [
        [focal_l2(outputs[f"stage{t}_scale{i}"], target, mask, torch.ones(4).double(), torch.ones(4).double()) for t in range(3)]
        for i in (0, 1)
    ]
    for i in (0, 1):
        assert torch.allclose(parts[f"scale{i}"], sum(each[i]) * lambdas[i] / 5 / (3 if stages == "mean" else 1))


def test_13_one_scale_counts_whole(case):
    """Without spatial attention there is but one scale, and its λ is of no matter."""
    pred, target, mask = case
    parts = simple_pose_loss({"stage0_scale0": pred}, {"scale0": target, "mask0": mask}, [1.0] * 4, None, (7.0,))
    assert torch.allclose(parts["scale0"], focal_l2(pred, target, mask, torch.ones(4).double()))
    assert set(parts) == {"scale0"}


def test_masked_cells_give_no_gradient(case):
    pred, target, mask = case
    pred.requires_grad_()
    focal_l2(pred, target, mask, torch.ones(4).double(), torch.ones(4).double()).sum().backward()
    assert pred.grad is not None
    assert not pred.grad[(mask == 0).expand_as(pred)].any()
    assert np.isfinite(pred.grad.numpy()).all()
