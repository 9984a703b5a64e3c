import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_people import batch_of, random_people

from manypose.methods.swahr.loss import adaptive_weight, heat_loss, regularizer, scaled_target, swahr_loss
from manypose.methods.swahr.targets import targets
from manypose.nn.associative_embedding import associative_embedding

SIZE = (64, 96)


def example(dtype=torch.float64, seed=0):
    torch.manual_seed(seed)
    t = targets(batch_of([random_people(s, 3, SIZE) for s in (0, 1)], SIZE), SIZE)
    t = {n: v.to(dtype) if v.is_floating_point() else v for n, v in t.items()}
    maps = {n: t["heat4" if n.endswith("4") else "heat2"] for n in ("heat4", "tag4", "scale4", "heat2", "scale2")}
    return {n: (0.5 * m + 0.3 * torch.randn_like(m)).requires_grad_() for n, m in maps.items()}, t


def test_heat_unchanged_where_the_scale_is_one():
    heat = torch.tensor([0.0, 1e-6, 0.3, 1.0])
    for exact in (False, True):
        assert torch.equal(scaled_target(heat, torch.zeros(4), exact), heat)


@given(st.floats(0.05, 20), st.floats(0.001, 1))
def test_power_scales_the_deviation(s, heat):
    """h^(1/s) is the Gaussian whose variance is s times as large."""
    h = torch.tensor(heat, dtype=torch.float64)
    squared = -2 * torch.log(h)  # (distance / σ₀)²
    assert float(scaled_target(h, torch.tensor(1 / s - 1, dtype=torch.float64), exact=True)) == pytest.approx(
        float(torch.exp(-squared / (2 * s))), rel=1e-9
    )


def test_taylor_is_the_power_to_second_order():
    h = torch.linspace(0.05, 1, 20, dtype=torch.float64)
    for alpha in (1e-2, 1e-3):
        a = torch.full_like(h, alpha)
        assert (scaled_target(h, a) - scaled_target(h, a, exact=True)).abs().max() < (alpha * 3) ** 3 / 6


def test_equation_8_as_printed():
    h, a = torch.rand(50, dtype=torch.float64) * 0.99 + 0.01, torch.randn(50, dtype=torch.float64)
    assert torch.allclose(scaled_target(h, a), 0.5 * h * (1 + (1 + a * torch.log(h)) ** 2), rtol=1e-12)


@pytest.mark.parametrize(("detach", "slope"), [(False, -0.3183), (True, -0.2789)])
def test_slope_of_the_weighted_loss(detach, slope):
    """The authors let gradients through the weight: -0.3183 at P = 0.3, H = 0.5; without, it would be -0.2789."""
    pred, heat = torch.full((1, 1, 1, 1), 0.3, requires_grad=True), torch.full((1, 1, 1, 1), 0.5)
    heat_loss(pred, heat, torch.ones(1, 1, 1, 1), adaptive_weight(pred, heat, detach=detach)).sum().backward()
    assert pred.grad is not None
    assert float(pred.grad) == pytest.approx(slope, abs=5e-5)


def test_soft_boundary():
    """At h = 2^(-1/γ) both sides weigh the same (Section 3.4)."""
    for gamma in (1.0, 0.1, 0.01):
        h = torch.tensor(2.0, dtype=torch.float64) ** (-1 / gamma)
        assert float(adaptive_weight(torch.tensor(0.9, dtype=torch.float64), h, gamma)) == pytest.approx(0.5)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("kind", ["exp", "max"])
def test_gradients_are_the_derivatives(exact, kind):
    torch.manual_seed(1)
    heat = torch.rand(1, 2, 3, 3, dtype=torch.float64) * (torch.rand(1, 2, 3, 3) > 0.4)
    cell, tagged = torch.tensor([[[0, 4], [8, 2]]]), torch.tensor([[[True, True], [True, False]]])
    t = {"heat4": heat, "heat2": heat, "mask4": torch.ones(1, 1, 3, 3), "mask2": torch.ones(1, 1, 3, 3), "cell": cell, "tagged": tagged}
    names = ("heat4", "tag4", "scale4", "heat2", "scale2")
    inputs = [torch.rand(1, 2, 3, 3, dtype=torch.float64).mul(0.8).add(0.1).requires_grad_() for _ in names]

    def total(*maps):
        parts = swahr_loss(dict(zip(names, maps, strict=True)), t, exact=exact, kind=kind)
        return torch.stack([p.sum() for p in parts.values()]).sum()

    assert torch.autograd.gradcheck(total, inputs)


@pytest.mark.parametrize("exact", [False, True])
def test_extreme_values_stay_finite(exact):
    heat = torch.tensor([0.0, 1e-38, 1e-20, 1e-6, 0.5, 1.0])
    for a in (-5.0, -1.0, 0.0, 5.0, 1e3):
        alpha, pred = torch.full((6,), a, requires_grad=True), torch.linspace(-3, 3, 6).requires_grad_()
        value = ((pred - scaled_target(heat, alpha, exact)) ** 2 * adaptive_weight(pred, heat)).sum()
        value.backward()
        assert torch.isfinite(value)
        assert alpha.grad is not None
        assert pred.grad is not None
        assert torch.isfinite(alpha.grad).all()
        assert torch.isfinite(pred.grad).all()


@pytest.mark.parametrize(("scale", "weight"), [(False, False), (True, False), (False, True), (True, True)])
def test_switches(scale, weight):
    outputs, t = example()
    parts = swahr_loss(outputs, t, scale_adaptive=scale, weight_adaptive=weight)
    assert set(parts) == {"heat4", "heat2", "push", "pull"} | ({"scale4", "scale2"} if scale else set())
    pred, heat, mask = outputs["heat4"], t["heat4"], t["mask4"]
    target = scaled_target(heat, outputs["scale4"]) if scale else heat
    expected = heat_loss(pred, target, mask, adaptive_weight(pred, heat) if weight else None)
    assert torch.equal(parts["heat4"], expected)
    half = swahr_loss(outputs, t, scale_adaptive=scale, weight_adaptive=weight, lambda_=0.5, push=2e-3, pull=0.0)
    assert torch.allclose(half["push"], 2 * parts["push"])
    assert not half["pull"].any()
    if scale:
        assert torch.allclose(half["scale2"], 0.5 * regularizer(outputs["scale2"], t["heat2"], t["mask2"]))


def test_naive_scale_draws_each_person_at_their_scale():
    batch = batch_of([random_people(0, 1, SIZE)], SIZE)
    t = targets(batch, SIZE, naive_scale=256)
    factor = float(batch.boxes[0, 0, 2] - batch.boxes[0, 0, 0]) / 256
    perfect = {n: t[n].clamp(min=1e-38) ** (1 / factor) for n in ("heat4", "heat2")} | {"tag4": t["heat4"]}
    parts = swahr_loss(perfect, t, scale_adaptive=False, weight_adaptive=False)
    assert float(parts["heat4"] + parts["heat2"]) < 1e-10
    assert float(swahr_loss({**perfect, "heat2": t["heat2"]}, t, scale_adaptive=False, weight_adaptive=False)["heat2"]) > 1e-4


def test_masked_cells_teach_nothing():
    outputs, t = example()
    t["mask4"][..., :8], t["mask2"][..., :16] = 0, 0
    parts = swahr_loss(outputs, t, push=0.0, pull=0.0)
    torch.stack([p.sum() for p in parts.values()]).sum().backward()
    for name, columns in (("heat4", 8), ("scale4", 8), ("heat2", 16), ("scale2", 16)):
        grad = outputs[name].grad
        assert grad is not None
        assert not grad[..., :columns].any()
        assert grad[..., columns:].any()


def test_a_joint_can_be_masked_alone():
    outputs, t = example()
    planes = torch.ones(2, 17, 1, 1).expand(-1, -1, *t["mask4"].shape[-2:]).clone()
    planes[:, 5] = 0
    parts = swahr_loss(outputs, {**t, "mask4": planes})
    parts["heat4"].sum().backward()
    grad = outputs["heat4"].grad
    assert grad is not None
    assert not grad[:, 5].any()
    assert grad[:, 6].any()


def test_images_do_not_mix():
    outputs, t = example()
    together = swahr_loss(outputs, t)
    for i in (0, 1):
        alone = swahr_loss({n: o[i : i + 1] for n, o in outputs.items()}, {n: v[i : i + 1] for n, v in t.items()})
        for name, part in alone.items():
            assert torch.allclose(part, together[name][i : i + 1], rtol=1e-12), name


def tags_of(people: list[list[float]]):
    """Tag maps (1, k, 1, n·k) in which person i's joint j reads people[i][j]."""
    n, k = len(people), len(people[0])
    tags = torch.tensor(people, dtype=torch.float64).flatten().expand(1, k, 1, n * k).contiguous()
    return tags, torch.arange(n * k).view(1, n, k), torch.ones(1, n, k, dtype=torch.bool)


def test_embedding_by_hand():
    push, pull = associative_embedding(*tags_of([[0.0, 2.0], [3.0, 3.0]]))
    assert float(pull) == pytest.approx((1 + 0) / 2)  # mean over people of the mean squared distance to their mean tag
    assert float(push) == pytest.approx(0.5 * torch.exp(torch.tensor(-4.0)).item())
    assert float(associative_embedding(*tags_of([[0.5, 0.5], [0.0, 0.0]]), kind="max")[0]) == pytest.approx(0.25)


def test_embedding_of_one_and_of_nobody():
    tags, cell, tagged = tags_of([[0.0, 2.0], [3.0, 3.0]])
    tagged[0, 1] = False
    push, pull = associative_embedding(tags, cell, tagged)
    assert (float(push), float(pull)) == (0, 1)
    push, pull = associative_embedding(tags, cell, tagged & False)
    assert (float(push), float(pull)) == (0, 0)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(4)), st.floats(-5, 5))
def test_embedding_knows_no_order_and_no_origin(order, shift):
    torch.manual_seed(0)
    tags, cell, tagged = tags_of(torch.randn(4, 3).tolist())
    tagged[0, 2, 1] = False
    ours = associative_embedding(tags, cell, tagged)
    theirs = associative_embedding(tags + shift, cell[:, list(order)], tagged[:, list(order)])
    for a, b in zip(ours, theirs, strict=True):
        assert float(a) == pytest.approx(float(b), rel=1e-9)


def test_half_precision_outputs_are_compared_in_float32():
    outputs, t = example(torch.float32)
    halves = {n: o.detach().bfloat16() for n, o in outputs.items()}
    ours, theirs = swahr_loss(halves, t), swahr_loss({n: o.float() for n, o in halves.items()}, t)
    for name, part in ours.items():
        assert part.dtype == torch.float32
        assert torch.equal(part, theirs[name])
