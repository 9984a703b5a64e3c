"""The measure of weak networks."""

import joints_in_boxes
import numpy as np
import torch


def test_the_highest_cell_within_each_box():
    heat = torch.zeros(2, 8, 10)
    heat[0, 2, 3], heat[0, 6, 8] = 0.5, 0.9
    heat[1, 6, 7] = 0.4
    boxes = np.array([[4.0, 4, 20, 16], [24, 16, 39, 31], [-50, -50, 500, 500]])
    found = joints_in_boxes.highest(heat, boxes, np.array([4.0, 4]))
    at = lambda x, y: [4 * x + 1.5, 4 * y + 1.5]  # noqa: E731
    assert found[0, 0].tolist() == at(3, 2)
    assert found[1].tolist() == [at(8, 6), at(7, 6)]
    assert found[2].tolist() == [at(8, 6), at(7, 6)]


def test_a_box_beside_the_picture_is_its_border():
    found = joints_in_boxes.highest(torch.rand(1, 4, 4), np.array([[100.0, 100, 120, 120]]), np.array([4.0, 4]))
    assert found[0, 0].tolist() == [13.5, 13.5]
