"""Claims of the paper, one by one, with numbers worked out by hand."""

import pytest
import torch
from tiny_people import batch_of, random_people

from manypose.methods.simple import SIMPLE
from manypose.methods.simple.boxes_from_points import boxes_of_points
from manypose.methods.simple.loss import pose_loss, simple_loss
from manypose.methods.simple.targets import targets
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
