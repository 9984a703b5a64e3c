"""Claims of the paper, one by one, with numbers worked out by hand."""

import math

import pytest
import torch
from tiny_people import batch_of, random_people

from manypose.methods.simple import SIMPLE
from manypose.methods.simple.boxes_from_points import boxes_of_points
from manypose.methods.simple.corner_pooling import POINTS
from manypose.methods.simple.loss import corner_tags, focal, offsets, point_losses, pose_loss, simple_loss
from manypose.methods.simple.targets import bump_radius, targets
from manypose.nn.associative_embedding import associative_embedding

SMALL = {"trunk": "hrnet_w18_small", "size": 64, "channels": 16, "inner": 8, "cnn": {"size": (32, 32), "widths": (8, 8, 8, 8)}}
SIZE = (64, 96)


@pytest.mark.parametrize("side", [4, 16])
def test_18_the_pose_loss_is_a_sum_over_cells_and_a_mean_over_joints(side):
    """Equation 8: 1/K Σ ‖Ĥ_k - H_k‖²: errors of 3 and 1 in two cells of one of two joints cost (9 + 1) / 2, however large the map."""
    pred = torch.zeros(1, 2, side, side)
    pred[0, 1, 1, 2], pred[0, 1, 3, 3] = 3.0, 1.0
    assert float(pose_loss(pred, torch.zeros_like(pred), torch.ones(1, 1, side, side))) == pytest.approx(5.0)


def test_18_a_boxes_score_is_the_mean_of_its_three_points():
    """Section 4.1: "The confidence score of the bounding box is defined as the average scores of the three points"."""
    points = torch.zeros(1, 9, 32, 32)
    points[0, 0, 15, 15], points[0, 1, 5, 5], points[0, 2, 25, 25] = 0.3, 0.9, 0.6
    found = boxes_of_points(points)[0]
    assert found[0].tolist() == pytest.approx([4 * 5 + 1.5] * 2 + [4 * 25 + 1.5] * 2 + [(0.3 + 0.9 + 0.6) / 3])
    assert not found[1:].any()
    points[0, 0, 15, 15], points[0, 0, 8, 8] = 0.0, 0.3  # no centre in its central region: no box
    assert not boxes_of_points(points).any()


@pytest.fixture(scope="module")
def people():
    return batch_of([random_people(1, 3, SIZE)], SIZE)


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_18_the_groupings_loss_has_its_weight(people, factor):
    torch.manual_seed(0)
    method = SIMPLE(**SMALL, group=factor).eval()
    made = method.targets(people, SIZE)
    outputs = {k: v.detach() for k, v in method.network(torch.rand(1, 3, *SIZE)).items()} | {"pose": made["pose"]}
    parts = []
    for group in (1.0, factor):
        torch.manual_seed(1)  # which people, and how their boxes are moved
        parts.append(simple_loss(outputs, made, method.grouping, group=group))
    for name in ("own", "choice"):
        assert float(parts[1][name]) == pytest.approx(factor * float(parts[0][name]))
        assert float(parts[0][name]) > 0
    torch.manual_seed(1)
    assert float(method.loss(outputs, made)["own"]) == pytest.approx(float(parts[1]["own"]))
    assert not {"own", "choice"} & simple_loss(outputs, made, method.grouping, group=0.0).keys()


def test_18_push_and_pull_weigh_a_thousandth(people):
    """Table 2 (a) groups as AE, with HigherHRNet's factors."""
    torch.manual_seed(0)
    method = SIMPLE(**{k: v for k, v in SMALL.items() if k != "cnn"}, detector="none", grouping="ae").eval()
    made = method.targets(people, SIZE)
    outputs = method.network(torch.rand(1, 3, *SIZE))
    apart, together = associative_embedding(outputs["tag"], made["cell"], made["tagged"])
    parts = method.loss(outputs, made)
    assert float(parts["push"]) == pytest.approx(1e-3 * float(apart.mean()))
    assert float(parts["pull"]) == pytest.approx(1e-3 * float(together.mean()))


def test_05_a_person_without_labelled_joints_is_learnt_as_a_box():
    """Each person with a box is one of the N of Equation 3, with or without labelled joints; a box that the view cuts is learnt cut."""
    people = batch_of([random_people(4, 2, SIZE)], SIZE)
    people.keypoints[0, 1] = 0
    people.boxes[0, 1] = torch.tensor([40.0, -20, 80, 40])
    made = targets(people, SIZE)
    assert made["boxed"][0].tolist() == [True, True]
    assert made["box"][0, 1].tolist() == [40.0, -0.5, 80, 40]
    x, y = divmod(int(made["centre_cell"][0, 1]), SIZE[1] // 4)[::-1]
    assert float(made["centre"][0, 0, y, x]) == 1.0
    assert (x, y) == (round((60 - 1.5) / 4), round((19.75 - 1.5) / 4))
    assert not made["tagged"][0, 1].any()


@pytest.mark.parametrize("iou", [0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("sides", [(10.0, 10.0), (3.0, 40.0), (25.0, 8.0)])
def test_18_the_radius_is_the_smallest_of_cornernets_three(sides, iou):
    """For corners that err both alike, inwards and outwards; the coefficients a, b, c of its program, and its (b + √(b² - 4ac)) / 2."""
    w, h = sides
    coefficients = [
        (1, h + w, w * h * (1 - iou) / (1 + iou)),
        (4, 2 * (h + w), (1 - iou) * w * h),
        (4 * iou, -2 * iou * (h + w), (iou - 1) * w * h),
    ]
    wanted = min((b + (b**2 - 4 * a * c) ** 0.5) / 2 for a, b, c in coefficients)
    assert float(bump_radius(torch.tensor([w, h], dtype=torch.float64), iou)) == pytest.approx(wanted)
    assert float(bump_radius(torch.tensor([10.0, 10.0]))) == pytest.approx(2.733, abs=1e-3)  # overlaps by 0.7


def one_box(x0: float, y0: float, x1: float, y1: float):
    batch = batch_of([random_people(4, 1, SIZE)], SIZE)
    batch.boxes[0, 0] = torch.tensor([x0, y0, x1, y1])
    return targets(batch, SIZE)


def test_18_bumps_have_cornernets_spread():
    """At a distance of one cell: exp(-1 / 2σ²), σ = (2 r + 1) / 6 at corners and / 5 at centres; 0 beyond the radius r."""
    made = one_box(17.5, 1.5, 61.5, 45.5)  # 11 cells a side: r = 3
    for point, spread in (("centre", 5), ("top_left", 6), ("bottom_right", 6)):
        y, x = divmod(int(made[f"{point}_cell"][0, 0]), SIZE[1] // 4)
        bump = made[point][0, 0, y]
        assert float(bump[x + 1]) == pytest.approx(math.exp(-0.5 * (spread / 7) ** 2), rel=1e-5)
        assert (float(bump[x]), bool(bump[x + 3]), float(bump[x + 4])) == (1.0, True, 0.0)


def test_18_a_box_of_two_cells_is_learnt_and_a_smaller_one_is_not():
    boxed = [bool(one_box(10, 10, 10 + w, 10 + h)["boxed"][0, 0]) for w, h in ((8, 8), (7.9, 30), (30, 7.9))]
    assert boxed == [True, False, False]


def test_18_points_lie_on_the_nearest_cell_of_the_map_and_an_offset_from_it():
    made = one_box(-20, -20, 200, 200)  # cut to the picture, whose corners lie 0.375 cells outside the cells' centres
    w, h = SIZE[1] // 4, SIZE[0] // 4
    assert made["box"][0, 0].tolist() == [-0.5, -0.5, SIZE[1] - 0.5, SIZE[0] - 0.5]
    assert int(made["top_left_cell"][0, 0]) == 0
    assert int(made["bottom_right_cell"][0, 0]) == h * w - 1
    assert made["top_left_offset"][0, 0].tolist() == [-0.5, -0.5]
    assert made["bottom_right_offset"][0, 0].tolist() == [0.5, 0.5]


def test_18_a_joint_counts_to_the_edge_of_the_outermost_pixels():
    batch = batch_of([random_people(4, 1, SIZE)], SIZE)
    batch.keypoints[0, 0, :8] = torch.tensor(
        [[-0.5, 30, 2], [30, -0.5, 2], [95.49, 30, 2], [30, 63.49, 2], [-0.51, 30, 2], [30, -0.51, 2], [95.5, 30, 2], [30, 63.5, 2]]
    )
    assert targets(batch, SIZE)["tagged"][0, 0, :8].tolist() == [True] * 4 + [False] * 4
    batch.mask[..., :2] = 0  # half of the first column's cells: not trusted
    assert not targets(batch, SIZE)["mask"][..., 0].any()


def test_18_cornernets_focal_loss_by_hand():
    """A point with p = 1/2, a cell of target 0.5 with p = 1/2, a masked cell: (¼ ln 2 + ½⁴ ¼ ln 2) / 1 point; the clamp is 1e-4."""
    logits, target = torch.zeros(1, 1, 1, 3), torch.tensor([[[[1.0, 0.5, 0.0]]]])
    mask = torch.tensor([[[[1.0, 1.0, 0.0]]]])
    assert float(focal(logits, target, mask)) == pytest.approx(math.log(2) * (0.25 + 0.25 / 16), rel=1e-5)
    sure = torch.full((1, 1, 1, 1), 30.0)
    assert float(focal(sure, torch.zeros_like(sure))) == pytest.approx(-math.log(1e-4) * (1 - 1e-4) ** 2, rel=1e-2)
    assert float(focal(-sure, torch.ones_like(sure))) == pytest.approx(-math.log(1e-4), rel=1e-2)
    two = focal(torch.zeros(1, 1, 1, 2), torch.ones(1, 1, 1, 2))
    assert float(two) == pytest.approx(math.log(2) / 4, rel=1e-5)  # a mean over points


def test_18_offsets_are_a_mean_over_the_points_that_are_there():
    pred, there = torch.tensor([[[0.5, 2.0], [9.0, 9.0]]]), torch.tensor([[True, False]])
    assert float(offsets(pred, torch.zeros_like(pred), there)) == pytest.approx((0.125 + 1.5) / 1.0001, rel=1e-6)


def test_18_corner_tags_are_pulled_together_and_boxes_apart():
    """CornerNet's Equations 4 and 5 with its 1e-4 in the denominators."""
    first, second, there = torch.tensor([[1.0, 2.0, 8.0]]), torch.tensor([[2.0, 2.0, 9.0]]), torch.tensor([[True, True, False]])
    pull, push = corner_tags(first, second, there)
    assert float(pull) == pytest.approx(0.5 / 2.0001, rel=1e-5)
    apart = 1 - 0.5  # mean tags 1.5 and 2
    assert float(push) == pytest.approx((2 * 1 + 2 * apart - 4 / 2.0001) / 2.0001, rel=1e-4)
    outputs, made = {}, {"mask": torch.ones(1, 1, 2, 2), "boxed": there}
    for p in POINTS:
        outputs |= {p: torch.zeros(1, 1, 2, 2), f"{p}_offset": torch.zeros(1, 2, 2, 2)}
        made |= {p: torch.zeros(1, 1, 2, 2), f"{p}_cell": torch.tensor([[0, 1, 2]]), f"{p}_offset": torch.zeros(1, 3, 2)}
    outputs |= {"top_left_tag": torch.tensor([[[[1.0, 2.0], [8.0, 0.0]]]]), "bottom_right_tag": torch.tensor([[[[2.0, 2.0], [9.0, 0.0]]]])}
    assert float(point_losses(outputs, made)["corner_tags"]) == pytest.approx(0.1 * float(pull + push), rel=1e-5)


def corners(tl: float, br: float, centre: float) -> torch.Tensor:
    """Points of one box of 80 pixels with these heights."""
    points = torch.zeros(1, 9, 32, 32)
    points[0, 0, 15, 15], points[0, 1, 5, 5], points[0, 2, 25, 25] = centre, tl, br
    return points


@pytest.mark.parametrize("weak", range(3))
def test_18_all_three_points_are_above_the_threshold_of_a_twentieth(weak):
    heights = [0.5, 0.5, 0.5]
    heights[weak] = 0.06
    assert boxes_of_points(corners(*heights))[0, 0, 4] > 0
    heights[weak] = 0.05
    assert not boxes_of_points(corners(*heights)).any()


@pytest.mark.parametrize(("far", "count"), [(0.5, 1), (0.51, 0)])
def test_18_corners_whose_tags_differ_by_more_than_a_half_are_no_box(far, count):
    tags = torch.zeros(1, 2, 32, 32)
    tags[0, 1] = far
    assert int((boxes_of_points(torch.cat([corners(0.5, 0.5, 0.5), tags], 1))[0, :, 4] > 0).sum()) == count


def test_18_a_box_has_its_corners_in_order():
    points = corners(0.5, 0.5, 0.5)
    assert not boxes_of_points(points[:, [0, 2, 1, *range(3, 9)]]).any()
