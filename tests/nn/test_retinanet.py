"""RetinaNet's anchors, targets and losses."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_people import batch_of
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import box_iou, sigmoid_focal_loss

from manypose.nn.retinanet import PersonSubnet, anchors, likeliest, person_losses, person_targets
from manypose.nn.retinanet.anchors import ANCHORS, assign_anchors, from_shifts, to_shifts

sides = st.integers(1, 6).map(lambda n: 32 * n)


@given(sides, sides, st.sampled_from([32, 16, 8]))
def test_there_is_an_anchor_for_each_answer_of_the_network(h, w, output_stride):
    strides = [8, min(16, output_stride), output_stride]
    trunk = [torch.zeros(1, 4, h // s, w // s) for s in strides]
    net = PersonSubnet([4, 4, 4], 8).eval()
    with torch.no_grad():
        found = net(trunk)
    at = anchors((h, w), output_stride)
    assert found["person"].shape == (1, len(at))
    assert found["shift"].shape == (1, len(at), 4)
    assert found["person"].sigmoid().max() < 0.5


def test_anchors_are_retinanets():
    """The published sizes, proportions and places, as torchvision makes them."""
    sizes = tuple((x, int(x * 2 ** (1 / 3)), int(x * 2 ** (2 / 3))) for x in (32, 64, 128, 256, 512))
    grids, strides = [[8, 12], [4, 6], [2, 3], [1, 2], [1, 1]], [[torch.tensor(8 << i)] * 2 for i in range(5)]
    expected = torch.cat(AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * 5).grid_anchors(grids, strides))
    ours = anchors((64, 96))
    assert ours.shape == expected.shape == (sum(h * w for h, w in grids) * ANCHORS, 4)
    assert (ours - expected).abs().max() <= 2  # torchvision cuts sizes to whole numbers first


boxes = st.tuples(st.floats(0, 90), st.floats(0, 90), st.floats(4, 120), st.floats(4, 120))


@given(st.lists(boxes, min_size=1, max_size=4))
def test_shifts_come_back(rows):
    given_boxes = torch.tensor([[x, y, x + w, y + h] for x, y, w, h in rows])
    at = anchors((64, 64))[: len(rows)]
    assert torch.allclose(from_shifts(to_shifts(given_boxes, at), at), given_boxes, atol=1e-2)


@given(st.lists(boxes, min_size=1, max_size=4), st.integers(0, 3))
def test_everybody_has_an_anchor_and_each_anchor_its_nearest(rows, padding):
    people = torch.tensor([[x, y, x + w, y + h] for x, y, w, h in rows])
    at = anchors((128, 128))
    iou = torch.cat([box_iou(people, at), torch.ones(padding, len(at))])[None]
    there = torch.tensor([[True] * len(rows) + [False] * padding])
    owner, between = assign_anchors(iou, there)
    most, who = iou[0, : len(rows)].max(0)
    assert set(owner[0].tolist()) <= {-1, *range(len(rows))}
    clear = most >= 0.5
    best = iou[0, : len(rows)].amax(1)
    forced = (iou[0, : len(rows)] == best[:, None]).any(0)
    assert torch.equal(owner[0][clear & ~forced], who[clear & ~forced])
    for n in range(len(rows)):  # a person's best anchor is its own, unless it is another's best too
        mine = iou[0, n] == best[n]
        assert ((owner[0] == n) & mine).any() or (iou[0, : len(rows), mine] == best[:, None]).sum(0).max() > 1
    assert not (between[0] & (owner[0] >= 0)).any()
    assert (most[between[0]] >= 0.4).all()
    assert (most[(owner[0] < 0) & ~between[0]] < 0.4).all()


def test_18_half_an_overlap_is_a_match_and_two_fifths_are_no_background():
    iou = torch.tensor([[[0.9, 0.5, 0.49, 0.4, 0.39, 0.0]]])
    owner, between = assign_anchors(iou, torch.ones(1, 1, dtype=torch.bool))
    assert owner[0].tolist() == [0, 0, -1, -1, -1, -1]
    assert between[0].tolist() == [False, False, True, True, False, False]
    none, _ = assign_anchors(torch.zeros(1, 1, 3), torch.ones(1, 1, dtype=torch.bool))
    assert none[0].tolist() == [-1] * 3  # an anchor that does not overlap is not forced


def test_18_a_shift_is_a_tenth_of_the_side_and_a_fifth_of_its_logarithm():
    at = torch.tensor([[10.0, 20, 30, 60]])
    wanted = [20 + 2, 40 - 4, 20 * np.exp(0.2), 40 * np.exp(-0.2)]
    x0, y0, x1, y1 = from_shifts(torch.tensor([[1.0, -1, 1, -1]]), at)[0].tolist()
    assert [(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0] == pytest.approx(wanted, rel=1e-5)
    huge = from_shifts(torch.tensor([[0.0, 0, 1e6, 0]]), at)[0]
    assert float(huge[2] - huge[0]) == pytest.approx(20 * 1000 / 16, rel=1e-5)


def one_person(box, size=(64, 96), mask=None):
    x0, y0, x1, y1 = box
    people = batch_of([np.array([[[x0, y0, 2], [x1, y1, 2]]], np.float32)], size, mask)
    return people.boxes, people.there, people.mask


def test_targets_are_the_persons_box():
    at = anchors((64, 96), scale=3.0)
    made = person_targets(*one_person((20, 10, 50, 60)), at)
    own = made["label"][0] == 1
    assert own.any()
    found = from_shifts(made["shift"][0][own], at[own])
    assert torch.allclose(found, torch.tensor([20.0, 10, 50, 60]).expand_as(found), atol=1e-2)
    assert (made["label"][0] == 0).sum() > own.sum()


def test_boxes_are_cut_at_the_edge():
    at = anchors((64, 96), scale=3.0)
    made = person_targets(*one_person((-40, 10, 30, 80)), at)
    own = made["label"][0] == 1
    found = from_shifts(made["shift"][0][own], at[own])
    assert torch.allclose(found, torch.tensor([-0.5, 10, 30, 63.5]).expand_as(found), atol=1e-2)


def test_no_loss_where_it_may_not_look():
    mask = np.ones((1, 1, 64, 96), np.uint8)
    mask[..., 48:] = 0
    at = anchors((64, 96), scale=3.0)
    label = person_targets(*one_person((10, 10, 30, 50), mask=mask), at)["label"][0]
    middle = at[:, ::2].mean(1)
    assert (label[middle > 50] != 0).all()
    assert (label[middle < 40] == 0).any()


def test_nobody_there():
    people = batch_of([np.zeros((0, 2, 3), np.float32)], (64, 64))
    at = anchors((64, 64))
    made = person_targets(people.boxes, people.there, people.mask, at)
    assert (made["label"] == 0).all()
    losses = person_losses(torch.full((1, len(at)), -5.0), torch.zeros(1, len(at), 4), made["label"], made["shift"])
    assert losses["box"] == 0
    assert 0 < losses["person"] < 0.1


def test_losses_are_the_definitions():
    logits, shifts = torch.tensor([[2.0, -1.0, 0.5, 3.0]]), torch.tensor([[[0.5, 0, 0, 0.05]] + [[9.0] * 4] * 3])
    label, target = torch.tensor([[1, 0, -1, 1]]), torch.zeros(1, 4, 4)
    target[0, 3] = 9.0
    losses = person_losses(logits, shifts, label, target)
    focal = sigmoid_focal_loss(logits, torch.tensor([[1.0, 0, 0, 1]]), 0.25, 2.0)[0]
    assert losses["person"].item() == pytest.approx((focal[0] + focal[1] + focal[3]).item() / 2)
    assert losses["box"].item() == pytest.approx(((0.5 - 1 / 18) + 0.5 * 0.05**2 * 9) / 2)


def test_the_likeliest_boxes_come_first():
    at = anchors((64, 64), scale=3.0)
    logits = torch.full((2, len(at)), -6.0)
    logits[0, 40], logits[0, 7] = 3.0, 1.0
    found = likeliest(logits, torch.zeros(2, len(at), 4), at, (64, 64), 5)
    assert found.shape == (2, 5, 5)
    assert torch.allclose(found[0, 0, :4], at[40].clamp(-0.5, 63.5))
    assert torch.allclose(found[0, :2, 4], torch.tensor([3.0, 1.0]).sigmoid())
    assert (found[..., 4].diff(dim=1) <= 0).all()
