"""Claims of the paper, one by one: what is averaged, weighted, scaled and left out."""

from math import inf

import numpy as np
import pytest
import torch
from tiny_people import batch_of, random_people

from manypose.data.sample import Sample, collate, warp
from manypose.methods.swahr import SWAHR
from manypose.methods.swahr.loss import swahr_loss
from manypose.methods.swahr.targets import targets
from manypose.nn.associative_embedding import associative_embedding
from manypose.poses.skeleton import COCO
from manypose.poses.warp import Warp

SIZE = (64, 96)


def outputs_of(made: dict, seed: int = 0) -> dict:
    """Random outputs as large as the targets."""
    draw = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(made["heat" + name[-1]].shape, generator=draw, requires_grad=True)
        for name in ("heat4", "heat2", "tag4", "scale4", "scale2")
    }


def test_other_choices_are_told(untyped):
    with pytest.raises(ValueError, match="heat_maps is both or half"):
        SWAHR("hrnet_w18_small", heat_maps="quarter")  # type: ignore[arg-type]


def test_18_both_heat_maps_count_alike_in_testing():
    """Section 3.5: "it aggregates multi-scale heatmaps", by averaging (Section 4.1); Tables 7 and 8 take the larger alone."""
    maps = {"heat4": torch.full((1, 17, 4, 6), 0.8), "tag4": torch.zeros(1, 17, 4, 6), "heat2": torch.full((1, 17, 8, 12), 0.2)}
    both, half = (SWAHR("hrnet_w18_small", heat_maps=which).readout(maps)["heat"] for which in ("both", "half"))
    assert torch.allclose(both, torch.full_like(both, 0.5))
    assert torch.allclose(half, torch.full_like(half, 0.2))


def test_18_push_and_pull_weigh_a_thousandth():
    """As in HigherHRNet, whose setting the paper follows."""
    people = batch_of([random_people(1, 3, SIZE)], SIZE)
    method = SWAHR("hrnet_w18_small")
    made = method.targets(people, SIZE)
    outputs = outputs_of(made)
    apart, together = associative_embedding(outputs["tag4"], made["cell"], made["tagged"])
    parts = method.loss(outputs, made)
    assert float(parts["push"]) == pytest.approx(1e-3 * float(apart.mean()))
    assert float(parts["pull"]) == pytest.approx(1e-3 * float(together.mean()))
    assert float(together.mean()) > 0


def test_14_an_infinite_lambda_is_the_baseline():
    """Table 5: with λ = ∞ the model "will degrade to the original baseline model": the same loss, the same gradients."""
    made = targets(batch_of([random_people(2, 3, SIZE)], SIZE), SIZE)
    one, other = outputs_of(made), outputs_of(made)
    parts = swahr_loss(one, made, weight_adaptive=False, lambda_=inf)
    baseline = swahr_loss(other, made, scale_adaptive=False, weight_adaptive=False)
    sum(p.sum() for p in parts.values()).backward()
    sum(p.sum() for p in baseline.values()).backward()
    for name in ("heat4", "heat2", "tag4"):
        assert torch.equal(one[name].grad, other[name].grad)
    assert not one["scale4"].grad.any()
    assert all(float(parts[name]) == float(part) for name, part in baseline.items())


@pytest.mark.parametrize(("window", "side"), [("paper", 13), ("published", 15)])
def test_14_a_gaussians_square(window, side):
    """Equation 1: |i - x| ≤ 3σ, 13 cells for σ = 2; the authors' program has 15."""
    people = random_people(3, 1, (128, 128))[:, :1] * 0 + torch.tensor([66.5, 62.5, 2.0]).numpy()
    heat = targets(batch_of([people], (128, 128)), (128, 128), window=window)["heat2"][0, 0]
    rows, columns = torch.nonzero(heat, as_tuple=True)
    assert int(rows.max() - rows.min()) + 1 == int(columns.max() - columns.min()) + 1 == side


@pytest.mark.parametrize("degrees", [0.0, 30.0, -20.0])
@pytest.mark.parametrize("mirrored", [False, True])
def test_14_the_naive_scale_is_the_width_before_rotation(degrees, mirrored):
    """Table 4: s = W_box / 256. A box of 40 × 100 at 30 degrees fits in one 85 wide."""
    angle, middle = np.deg2rad(degrees), np.array([128.0, 128])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if mirrored:
        turn = np.diag([-1.0, 1]) @ turn
    view = Warp(np.column_stack([turn, middle - turn @ middle]), (256, 256), mirrored)
    joints = np.zeros((1, 17, 3), np.float32)
    joints[:, :] = 128, 128, 2
    box = np.array([[108, 78, 148, 178]], np.float32)
    sample = Sample(COCO, np.zeros((256, 256, 3), np.uint8), joints, box, np.array([4000.0], np.float32), np.ones((1, 256, 256), np.uint8))
    batch = collate([warp(sample, view)])
    assert float(batch.widths()[0, 0]) == pytest.approx(40, abs=0.01)
    factors = targets(batch, (256, 256), naive_scale=256)["s4"]
    assert float(factors.max()) == pytest.approx(40 / 256, abs=1e-4)


def test_14_dilation_changes_the_four_blocks_at_half_the_size():
    """Table 7: 1122 dilates the last two of the four residual blocks; the parameters stay what they are."""
    plain, dilated = (SWAHR("hrnet_w18_small", scale_branch=False, dilation=d).net for d in ((1, 1, 1, 1), (1, 1, 2, 2)))
    blocks = list(dilated.deconv_layers[0])[1:]
    assert [block[0].conv1.dilation[0] for block in blocks] == [block[0].conv2.dilation[0] for block in blocks] == [1, 1, 2, 2]
    assert {k: v.shape for k, v in plain.state_dict().items()} == {k: v.shape for k, v in dilated.state_dict().items()}
    assert dilated(torch.zeros(1, 3, 64, 64))["heat2"].shape == (1, 17, 32, 32)
