import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_people import batch_of, random_people

from manypose.methods.swahr.targets import mask_at, targets
from manypose.nn.heatmaps import gaussians
from manypose.poses.skeleton import COCO
from manypose.poses.warp import Warp, pixel_to_cell

SIZE = (64, 96)


def painted(people: np.ndarray, stride: int, sigma: float = 2.0) -> np.ndarray:
    """Equations 1 and 2 as they stand, one joint after another."""
    h, w = SIZE[0] // stride, SIZE[1] // stride
    heat, reach = np.zeros((people.shape[1], h, w)), int(3 * sigma + 1)
    for person in people:
        for j, (x, y, v) in enumerate(person):
            x, y = pixel_to_cell(float(x), stride), pixel_to_cell(float(y), stride)
            if v == 0:
                continue
            for row in range(max(0, round(y) - reach), min(h, round(y) + reach + 1)):
                for col in range(max(0, round(x) - reach), min(w, round(x) + reach + 1)):
                    heat[j, row, col] = max(heat[j, row, col], np.exp(-((row - y) ** 2 + (col - x) ** 2) / (2 * sigma**2)))
    return heat


@pytest.mark.parametrize("sigma", [2.0, 3.0])
def test_heat_maps_are_the_equations(sigma):
    people = [random_people(s, 4, SIZE) for s in (0, 1)]
    out = targets(batch_of(people, SIZE), SIZE, sigma=sigma)
    for stride in (4, 2):
        expected = np.stack([painted(p, stride, sigma) for p in people])
        ours = out[f"heat{stride}"].numpy()
        assert ours.shape == expected.shape
        assert np.abs(ours - expected).max() < 1e-5
        assert ((ours > 0) == (expected > 0)).all()


def test_support_is_a_square_and_positive():
    at = torch.tensor([[[[20.4, 15.5]]]])
    heat = gaussians(at, torch.ones(1, 1, 1, dtype=torch.bool), (40, 40))[0, 0]
    rows, cols = torch.nonzero(heat, as_tuple=True)
    assert (int(cols.min()), int(cols.max()), int(rows.max() - rows.min())) == (13, 27, 14)
    assert len(rows) == 15 * 15
    assert heat.max() <= 1


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_mirrored_people_have_mirrored_maps(seed, n):
    people = random_people(seed, n, SIZE)
    mirrored = Warp.scaling(1.0, SIZE).mirror().joints(people, COCO.mirror)
    ours, theirs = (targets(batch_of([p], SIZE), SIZE) for p in (people, mirrored))
    for name in ("heat4", "heat2"):
        assert torch.allclose(ours[name].flip(-1)[:, list(COCO.mirror)], theirs[name], atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(-3, 3), st.integers(-3, 3))
def test_moving_people_by_cells_moves_the_maps(seed, dx, dy):
    people = random_people(seed, 3, (32, 32)) + np.array([32, 16, 0], np.float32)  # far from the borders
    moved = people + np.array([4 * dx, 4 * dy, 0], np.float32)
    ours, theirs = (targets(batch_of([p], SIZE), SIZE) for p in (people, moved))
    inner = (slice(None), slice(None), slice(4, -4), slice(4, -4))
    assert torch.allclose(ours["heat4"].roll((dy, dx), (2, 3))[inner], theirs["heat4"][inner], atol=1e-5)
    labelled = ours["tagged"]
    assert torch.equal(labelled, theirs["tagged"])
    w = SIZE[1] // 4
    assert torch.equal((ours["cell"] + dy * w + dx)[labelled], theirs["cell"][labelled])


def test_tags_are_read_at_the_nearest_cell():
    people = random_people(7, 5, SIZE)
    out = targets(batch_of([people], SIZE), SIZE)
    cells = pixel_to_cell(people[..., :2].astype(np.float64), 4)
    w = SIZE[1] // 4
    found = np.stack([out["cell"][0] % w, out["cell"][0] // w], -1)
    assert (out["tagged"][0].numpy() == (people[..., 2] > 0)).all()
    assert np.abs(found - cells)[people[..., 2] > 0].max() <= 0.5 + 1e-5


def test_padding_unlabelled_and_outside_joints_leave_no_trace():
    people = random_people(3, 2, SIZE)
    alone = targets(batch_of([people], SIZE), SIZE, naive_scale=256)
    batch = batch_of([people, random_people(4, 6, SIZE)], SIZE)
    keypoints = batch.keypoints.clone()
    keypoints[0, 2] = torch.tensor([30.0, 30.0, 2.0])  # a row of padding, in spite of all
    keypoints[0, 3, :, :2], keypoints[0, 3, :, 2] = float("nan"), 0
    there = batch.there.clone()
    there[0, 3] = True  # a person none of whose joints is known
    there[0, 4] = True  # a person beside the picture
    keypoints[0, 4] = torch.tensor([SIZE[1] + 0.0, 10.0, 2.0])
    padded = targets(replace(batch, keypoints=keypoints, there=there), SIZE, naive_scale=256)
    for name in ("heat4", "heat2", "s4", "s2"):
        assert torch.equal(padded[name][0], alone[name][0]), name
    assert not padded["tagged"][0, 2:].any()
    assert torch.equal(padded["cell"][0, :2], alone["cell"][0])


def test_no_people_at_all():
    out = targets(batch_of([np.zeros((0, 17, 3))], SIZE), SIZE, naive_scale=256)
    assert not out["heat4"].any()
    assert not out["heat2"].any()
    assert not out["tagged"].any()


def test_published_joints_are_cut_to_cells():
    person = np.zeros((1, 17, 3), np.float32)
    person[0, 0], person[0, 1], person[0, 2] = (43.9, 23.9, 1), (-3.9, 8, 1), (96, 8, 1)  # the second lies in column int(-0.975) = 0
    person[0, 3], person[0, 4], person[0, 5] = (95.9, 63.9, 1), (8, 64, 1), (8, -3.9, 1)
    heat = targets(batch_of([person], SIZE), SIZE, published=True)["heat4"][0]
    assert [torch.nonzero(heat[i] == 1).tolist() for i in (0, 1, 3, 5)] == [[[5, 10]], [[2, 0]], [[15, 23]], [[0, 2]]]
    assert not heat[2].any()
    assert not heat[4].any()


def test_18_a_joint_counts_to_the_edge_of_the_outermost_pixels():
    person = np.zeros((1, 17, 3), np.float32)
    person[0, :4] = (-0.5, 30, 2), (30, -0.5, 2), (95.49, 30, 2), (30, 63.49, 2)
    person[0, 4:8] = (-0.51, 30, 2), (30, -0.51, 2), (95.5, 30, 2), (30, 63.5, 2)
    out = targets(batch_of([person], SIZE), SIZE)
    assert out["tagged"][0, 0].tolist() == [True] * 4 + [False] * 13
    assert [bool(plane.any()) for plane in out["heat2"][0]] == [True] * 4 + [False] * 13


def test_a_cell_counts_where_most_of_it_is_trusted():
    mask = torch.zeros(1, 2, 8, 8, dtype=torch.uint8)
    mask[0, 0, :4, :2] = 1  # half of the first cell: not enough
    mask[0, 1, :4, :3] = 1  # three quarters
    assert mask_at(mask, 4).tolist() == [[[[0, 0], [0, 0]], [[1, 0], [0, 0]]]]
    planes = np.ones((1, 17, *SIZE), np.uint8)
    planes[0, 3] = 0
    out = targets(batch_of([random_people(0, 1, SIZE)], SIZE, planes), SIZE)
    assert out["mask2"].shape == (1, 17, 32, 48)
    assert not out["mask4"][0, 3].any()
    assert out["mask4"][0, 2].all()


def test_naive_scale_is_the_owners():
    """Two noses: near each the factor is that person's box width / 256, in between the higher Gaussian's owner's."""
    people = np.zeros((2, 17, 3), np.float32)
    people[0, 0], people[1, 0] = (24, 32, 2), (48, 32, 2)
    batch = replace(batch_of([people], SIZE), boxes=torch.tensor([[[0.0, 0, 64, 64], [32, 0, 64, 64]]]))  # the second half as wide
    out = targets(batch, SIZE, naive_scale=256)
    s, heat = out["s4"][0, 0], out["heat4"][0, 0]
    assert torch.equal(s > 0, heat > 0)
    cells, drawn = pixel_to_cell(batch.keypoints[..., :2], 4), batch.keypoints[..., 2] > 0
    first, second = (gaussians(cells[:, i : i + 1], drawn[:, i : i + 1], tuple(s.shape))[0, 0] for i in (0, 1))
    assert set(s[first > second].tolist()) == {0.25}
    assert set(s[second > first].tolist()) == {0.125}


def test_18_no_box_is_narrower_than_a_hundredth_of_the_naive_scale():
    person = np.zeros((1, 17, 3), np.float32)
    person[0, 0] = (24, 32, 2)
    factors = []
    for width in (0.5, 2.56, 5.12):
        batch = replace(batch_of([person], SIZE), boxes=torch.tensor([[[20.0, 0, 20 + width, 64]]]))
        factors.append(float(targets(batch, SIZE, naive_scale=256)["s4"].max()))
    assert factors == pytest.approx([0.01, 0.01, 0.02], rel=1e-5)


def test_time_of_rendering():
    """Ten people at 512 pixels, both maps, on one thread."""
    batch = batch_of([random_people(0, 10, (512, 512))], (512, 512))
    times = []
    for _ in range(7):
        start = time.perf_counter()
        targets(batch, (512, 512))
        times.append(time.perf_counter() - start)
    print(f"targets of 10 people at 512 x 512: {1000 * sorted(times)[3]:.1f} ms (median of 7, with shapes checked)")
    assert min(times) < 0.5
