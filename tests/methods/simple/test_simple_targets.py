"""Targets of SIMPLE, and what comes of decoding them: the same boxes, the same people."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_people import batch_of, random_people

from manypose.methods.simple import SIMPLE
from manypose.methods.simple.boxes_from_points import boxes_of_points, central
from manypose.methods.simple.corner_pooling import POINTS
from manypose.methods.simple.example_maps import perfect
from manypose.methods.simple.loss import simple_loss
from manypose.methods.simple.peak_owners import owned_peaks
from manypose.methods.simple.targets import bump_radius, bumps, points_of, targets
from manypose.poses.oks import oks

SIZE = (128, 160)
SMALL = {"trunk": "hrnet_w18_small", "size": 64, "channels": 16, "inner": 8, "cnn": {"size": (32, 32), "widths": (8, 8, 8, 8)}}


@pytest.fixture(scope="module")
def method():
    torch.manual_seed(0)
    return SIMPLE(**SMALL).eval()


@pytest.fixture(scope="module")
def without_cnn():
    return SIMPLE(**SMALL, grouping="max")


def on_a_grid(seed: int, n: int, k: int = 17) -> np.ndarray:
    """People (n, k, 3), each in a place of its own of 40 × 50 pixels, whose boxes are never far from that size."""
    rng = np.random.default_rng(seed)
    body = rng.uniform(0, 1, (n, k, 2))
    body[:, 0], body[:, 1] = 0, 1  # so that the labelled joints span the box
    xy = body * rng.uniform(0.7, 1, (n, 1, 2)) * [40, 50] + rng.uniform(3, 6, (n, 1, 2))
    place = np.stack([np.arange(n) % 3, np.arange(n) // 3], 1) * [52, 62]
    return np.concatenate([xy + place[:, None], np.full((n, k, 1), 2.0)], 2).astype(np.float32)


@given(seed=st.integers(0, 999), n=st.integers(1, 6))
def test_decoding_boxes_gives_the_boxes(seed, n):
    batch = batch_of([on_a_grid(seed, n), on_a_grid(seed + 1, 1)], SIZE)
    found = boxes_of_points(perfect(targets(batch, SIZE))["points"])
    for boxes, truth, count in zip(found, batch.boxes, (n, 1), strict=True):
        sure = boxes[boxes[:, 4] > 0.999, :4]
        away = (truth[:count, None] - sure[None]).abs().amax(2)
        assert away.amin(1).max() < 1e-3
        assert (boxes[:, 4].diff() <= 0).all()


@given(seed=st.integers(0, 999), n=st.integers(1, 6))
def test_decoding_targets_gives_the_people(without_cnn, seed, n):
    people, method = on_a_grid(seed, n), without_cnn
    batch = batch_of([people], SIZE)
    found = method.decode(perfect(method.targets(batch, SIZE)), SIZE)[0]
    areas = (batch.boxes[0, :, 2:] - batch.boxes[0, :, :2]).prod(1).numpy()
    alike = oks(found.keypoints, people[..., :2], people[..., 2] > 0, areas, method.skeleton.sigmas)
    # Of a person one joint in several may be hidden by a neighbour's in the same map; nobody is missed and nobody is invented.
    assert alike.max(0).min() > 0.8
    assert sorted(alike[:n].argmax(1)) == list(range(n))
    alone = np.abs(people[None, ..., :2] - people[:, None, ..., :2]).max(-1) + 99 * np.eye(n)[..., None] > 32  # no neighbour in reach
    for i, who in enumerate(alike[:n].argmax(1)):
        away = np.abs(found.keypoints[i] - people[who, :, :2]).max(1)
        assert (away[alone[who].all(0)] < 0.5).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_result_does_not_depend_on_the_batch(method, seed):
    batch = batch_of([on_a_grid(seed + i, 3) for i in range(2)], SIZE)
    with torch.no_grad():
        maps = perfect(method.targets(batch, SIZE))
        both = method.decode(maps, SIZE)
        for i in range(2):
            alone = method.decode({k: v[i : i + 1] for k, v in maps.items()}, SIZE)[0]
            assert np.allclose(alone.keypoints, both[i].keypoints, atol=1e-3)
            assert np.allclose(alone.scores, both[i].scores, atol=1e-5)


def test_points_of_a_box():
    found = points_of(torch.tensor([[[10.0, 20, 30, 60]]]))
    assert {k: v.flatten().tolist() for k, v in found.items()} == {"centre": [20, 40], "top_left": [10, 20], "bottom_right": [30, 60]}


def test_a_box_is_cut_at_the_edge_and_a_sliver_is_left_out():
    people = np.concatenate([on_a_grid(0, 2), np.full((1, 17, 3), 2.0)]).astype(np.float32)
    people[2, :, :2] = [[5, 5]]  # a person of one point
    people[0, 0, :2] = [-30, 20]
    made = targets(batch_of([people], SIZE), SIZE)
    assert made["boxed"].tolist() == [[True, True, False]]
    assert made["box"][0, 0, 0] == -0.5
    assert not made["tagged"][0, 0, 0]
    assert all((made[p] == 1).sum() == 2 for p in POINTS)


@given(w=st.floats(3, 100), h=st.floats(3, 100))
def test_a_larger_box_has_a_wider_bump(w, h):
    small, large = bump_radius(torch.tensor([[w, h], [1.5 * w, 1.5 * h]], dtype=torch.float64))
    assert 0 < small < large
    assert float(large) == pytest.approx(1.5 * float(small))


def test_bumps_of_several_people_are_the_higher_one():
    cells, there = torch.tensor([[[5.0, 5.0], [8.0, 5.0]]]), torch.ones(1, 2, dtype=torch.bool)
    both = bumps(cells, there, torch.tensor([[4.0, 2.0]]), (16, 16))
    each = [bumps(cells[:, i : i + 1], there[:, :1], torch.tensor([[r]]), (16, 16)) for i, r in enumerate((4.0, 2.0))]
    assert torch.equal(both, torch.maximum(*each))
    assert not bumps(cells, ~there, torch.tensor([[4.0, 2.0]]), (16, 16)).any()


@given(x=st.floats(0, 50), y=st.floats(0, 50), w=st.floats(10, 400), h=st.floats(10, 400))
def test_the_central_region(x, y, w, h):
    region = central(torch.tensor([x, y, x + w, y + h], dtype=torch.float64))
    part = 3 if w * h <= 150**2 else 5
    assert float(region[2] - region[0]) == pytest.approx(w / part)
    assert float(region[1] + region[3]) == pytest.approx(2 * y + h)


def test_boxes_whose_middle_is_empty_are_dropped():
    """Two people side by side: their corners make four boxes, of which one spans both and has no centre in its middle."""
    people = on_a_grid(3, 2)
    points = perfect(targets(batch_of([people], SIZE), SIZE))["points"]
    assert (boxes_of_points(points)[0, :, 4] > 0).sum() == 2
    points[:, 0, 7, 12] = 1.0  # a centre between the two
    assert (boxes_of_points(points)[0, :, 4] > 0).sum() >= 3


def test_corner_tags_part_wrong_pairs():
    people = on_a_grid(3, 3)
    points = perfect(targets(batch_of([people], SIZE), SIZE))["points"]
    right = torch.arange(3.0)[None]
    tags = torch.zeros(1, 2, 32, 40)
    made = targets(batch_of([people], SIZE), SIZE)
    for i, corner in enumerate(("top_left", "bottom_right")):
        tags[:, i].flatten(1).scatter_(1, made[f"{corner}_cell"], right)
    untagged, tagged = boxes_of_points(points)[0], boxes_of_points(torch.cat([points, tags], 1))[0]
    assert (untagged[:, 4] > 0).sum() == 4  # of the first person's and the third's corners, around the second
    assert (tagged[:, 4] > 0).sum() == 3
    with pytest.raises(ValueError, match="need 9 maps, or 11"):
        boxes_of_points(points[:, :8])


def test_a_cell_counts_where_more_than_half_of_it_does():
    mask = np.ones((1, 1, *SIZE), np.uint8)
    mask[..., :1], mask[..., 4:6] = 0, 0  # a quarter of the first column of cells, half of the second
    made = targets(batch_of([on_a_grid(0, 2)], SIZE, mask), SIZE)["mask"]
    assert (made[..., 0] == 1).all()
    assert (made[..., 1] == 0).all()


def test_a_masked_cell_does_not_count():
    people = random_people(1, 2, SIZE)
    mask = np.ones((1, 1, *SIZE), np.uint8)
    mask[..., 80:] = 0
    made = targets(batch_of([people], SIZE, mask), SIZE)
    out = {"pose": torch.randn(1, 17, 32, 40)}
    for p in POINTS:
        out |= {p: torch.randn(1, 1, 32, 40), f"{p}_offset": torch.zeros(1, 2, 32, 40)}
    plain = simple_loss(out, made)
    for name in ("pose", *POINTS):
        free = (made["mask"] == 0) & (made[name] < 1)
        out[name] = torch.where(free, out[name] + 3, out[name])
    assert all(torch.equal(v, plain[k]) for k, v in simple_loss(out, made).items())


def test_alpha_scales_detection_alone():
    made = targets(batch_of([random_people(2, 2, SIZE)], SIZE), SIZE)
    out = {"pose": torch.randn(1, 17, 32, 40)}
    for p in POINTS:
        out |= {p: torch.randn(1, 1, 32, 40), f"{p}_offset": torch.randn(1, 2, 32, 40)}
    one, two = simple_loss(out, made), simple_loss(out, made, alpha=2.0)
    assert {k: round(float(two[k] / one[k]), 4) for k in one} == {"pose": 1.0, "points": 2.0, "offsets": 2.0}


def test_predicted_points_know_their_owners(method):
    people = on_a_grid(7, 4)
    batch = batch_of([people], SIZE)
    made = method.targets(batch, SIZE)
    pose = made["pose"].clone().requires_grad_()
    assert method.grouping is not None
    seen = owned_peaks(pose, made, method.grouping, jitter=0.0, most=2)
    assert len(seen.rois) == 2
    assert not seen.rois.requires_grad
    # In the RoI a point is its person's exactly where it lies on the person's own joint.
    for r in range(2):
        mine = seen.roi == r
        at = [method.grouping.points(batch.keypoints[0, n, :, :2][None], made["box"][0, n][None])[0] for n in range(4)]
        own = [(seen.cells[mine & seen.own] - a[seen.joint[mine & seen.own]]).abs().max() for a in at]
        assert min(own) < 1.2 < sorted(own)[1]  # within half a cell of the pose map, which is 2 pixels
        assert (mine & seen.own).sum() >= 12


def test_without_people_there_is_still_something_to_compute():
    nobody = np.zeros((0, 17, 3), np.float32)
    method = SIMPLE(**SMALL)
    made = method.targets(batch_of([nobody], (64, 64)), (64, 64))
    out = method.network(torch.randn(1, 3, 64, 64))
    losses = method.loss(out, made)
    torch.stack(list(losses.values())).sum().backward()
    assert all(v.isfinite() for v in losses.values())
    assert all(p.grad is not None for p in method.parameters())
