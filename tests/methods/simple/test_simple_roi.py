"""RoIAlign of pose maps is exact about where it looks."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from manypose.methods.catalog import build
from manypose.methods.simple.roi import enlarged, roi_align, to_roi
from manypose.methods.simple.teacher import crops_of
from manypose.nn.heatmaps import gaussians, subpixel
from manypose.poses.warp import Warp, cell_to_pixel


def ramps(h: int, w: int, stride: float) -> torch.Tensor:
    """Two maps (1, 2, h, w) whose values are the cells' x and y in pixels."""
    x, y = (cell_to_pixel(torch.arange(n, dtype=torch.float32), stride) for n in (w, h))
    return torch.stack([x[None].expand(h, w), y[:, None].expand(h, w)])[None]


@given(
    x=st.floats(-20, 60), y=st.floats(-20, 60), w=st.floats(20, 180), h=st.floats(20, 180), size=st.sampled_from([(256, 192), (128, 96)])
)
def test_student_and_teacher_see_the_same_area(x, y, w, h, size):
    """Each cell of the RoI lies where the same cell of a top-down map lies whose crop shows the box: to 0.1 pixels (in fact to 0.001)."""
    warp = Warp.crop(np.array([x, y, x + w, y + h]), size)
    grid = (size[0] // 4, size[1] // 4)
    corners = np.array([[-0.5, -0.5], [size[1] - 0.5, size[0] - 0.5]]) @ warp.inverse[:, :2].T + warp.inverse[:, 2]
    seen = roi_align(ramps(80, 80, 4), torch.tensor(corners.reshape(1, 4), dtype=torch.float32), torch.zeros(1, dtype=torch.long), grid)[0]
    columns, rows = (cell_to_pixel(np.arange(n, dtype=np.float64), 4) for n in (grid[1], grid[0]))
    teacher = np.stack(np.meshgrid(columns, rows), -1) @ warp.inverse[:, :2].T + warp.inverse[:, 2]
    reach = 2 * warp.inverse[0, 0] + 2  # beyond the middle of the map's last cell it is constant, and beyond that 0
    inside = ((teacher > 1.5 + reach) & (teacher < 4 * 80 - 2.5 - reach)).all(-1)
    assert np.abs(seen.permute(1, 2, 0).numpy() - teacher)[inside].max(initial=0) < 1e-3


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("mspn-1", {"trunk": "tiny", "width": 8}),
        ("mspn-1", {"trunk": "tiny", "width": 8, "decoding": "published"}),
        ("hrnet-w32", {"trunk": "hrnet_w18_small", "input_size": [128, 96]}),
    ],
)
def test_every_teachers_crop_is_seen(name, arguments):
    """The box that stands for a teacher's crop is that crop, by whatever rule the teacher cuts it."""
    teacher = build(name, **arguments)
    boxes = torch.tensor([[20.0, 30, 90, 150], [100, 40, 180, 70]])
    edges, image, person = crops_of(teacher, boxes, torch.tensor([0, 1]), torch.tensor([3, 5]), (200, 220))
    warps = teacher.people(np.zeros((200, 220, 3), np.uint8), boxes.double().numpy())  # type: ignore[attr-defined]
    photo = ramps(200, 220, 1)
    for edge, warp in zip(edges, warps, strict=True):
        crop = roi_align(photo, edge[None], torch.zeros(1, dtype=torch.long), warp.size, 1.0)[0].permute(1, 2, 0).numpy()
        xy = np.stack(np.meshgrid(np.arange(warp.size[1]), np.arange(warp.size[0])), -1) @ warp.inverse[:, :2].T + warp.inverse[:, 2]
        inside = ((xy > 2) & (xy < [217, 197])).all(-1)
        assert inside.mean() > 0.2
        assert np.abs(crop - xy)[inside].max() < 1e-2
    assert image.tolist() == [0, 1]
    assert person.tolist() == [3, 5]


@given(x=st.floats(40, 200), y=st.floats(40, 200))
def test_points_go_where_their_responses_go(x, y):
    cells = torch.tensor([[[[(x - 1.5) / 4, (y - 1.5) / 4]]]])
    heat = gaussians(cells, torch.ones(1, 1, 1, dtype=torch.bool), (64, 64))
    box = torch.tensor([[20.0, 10, 220, 240]])
    roi = roi_align(heat, box, torch.zeros(1, dtype=torch.long), (64, 48))
    flat = int(roi.flatten().argmax())
    top = subpixel(roi, torch.tensor([[[[flat % 48, flat // 48]]]]))[0, 0, 0]
    wanted = to_roi(torch.tensor([[x, y]]), box, (64, 48))[0]
    assert (top - wanted).abs().max() < 0.1


def test_gradient_is_that_of_reading():
    maps = torch.randn(1, 1, 12, 12, dtype=torch.float64, requires_grad=True)
    boxes, image = torch.tensor([[3.0, 5, 41, 40]], dtype=torch.float64), torch.zeros(1, dtype=torch.long)
    assert torch.autograd.gradcheck(lambda m: roi_align(m, boxes, image, (4, 3)), (maps,))


def test_boxes_grow_about_their_middles():
    grown = enlarged(torch.tensor([[10.0, 20, 30, 60], [5, 5, 5, 5]]), 2.0)
    assert grown.tolist() == [[0, 0, 40, 80], [-3, -3, 13, 13]]


def test_no_boxes_and_bad_boxes():
    maps = torch.zeros(1, 2, 8, 8)
    assert roi_align(maps, torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), (4, 4)).shape == (0, 2, 4, 4)
    for box in ([5.0, 5, 5, 9], [0, 0, float("nan"), 4]):
        with pytest.raises(ValueError, match="finite boxes with x1 > x0"):
            roi_align(maps, torch.tensor([box]), torch.zeros(1, dtype=torch.long), (4, 4))
