"""RelativeAdam: steps are a share of each tensor's size."""

import pytest
import torch

from manypose.training.optimizers import RelativeAdam


def test_steps_are_in_proportion_to_a_tensors_size():
    small, large, still = (torch.nn.Parameter(torch.full((4,), value)) for value in (0.01, 1.0, 1.0))
    optimizer = RelativeAdam([small, large, still], lr=0.1)
    (small.sum() + large.sum()).backward()
    optimizer.step()
    torch.testing.assert_close(small.detach(), torch.full((4,), 0.009))
    torch.testing.assert_close(large.detach(), torch.full((4,), 0.9))
    assert (still == 1).all()  # no gradient


def test_a_parameter_may_have_a_rate_of_its_own_and_zeros_move():
    fresh, zeros = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.zeros(2))
    fresh.rate = 3.0
    optimizer = RelativeAdam([fresh, zeros], lr=0.1, floor=0.5)
    (fresh.sum() + zeros.sum()).backward()
    optimizer.step()
    torch.testing.assert_close(fresh.detach(), torch.full((2,), 0.7))
    torch.testing.assert_close(zeros.detach(), torch.full((2,), -0.05))


def test_it_finds_a_minimum_and_resumes():
    torch.manual_seed(0)
    x = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
    optimizer = RelativeAdam([x], lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        ((x - torch.tensor([1.0, 0.5])) ** 2).sum().backward()
        optimizer.step()
    assert (x.detach() - torch.tensor([1.0, 0.5])).abs().max() < 0.1
    again = RelativeAdam([x], lr=0.05)
    again.load_state_dict(optimizer.state_dict())
    assert again.state[x]["step"] == 300


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="RelativeAdam needs"):
        RelativeAdam([torch.nn.Parameter(torch.ones(1))], lr=-1)
