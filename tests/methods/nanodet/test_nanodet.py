"""NanoDet against its published outputs; its decoding by hand; people found on a photo."""

import numpy as np
import pytest
import torch
from shared import REPOSITORY, shared

from manypose.inference.detectors import find_detector
from manypose.inference.options import PredictOptions
from manypose.inference.photos import PhotoInput
from manypose.inference.pipeline import detect
from manypose.io.photos import read
from manypose.methods.method import PersonDetector
from manypose.methods.nanodet import NanoDet
from manypose.methods.nanodet.decode import likeliest
from manypose.methods.nanodet.network import BINS


@pytest.mark.parity
@pytest.mark.slow
def test_the_grids_are_the_published_ones():
    method = NanoDet(zooms=(), pretrained=str(shared("pretrained") / "nanodet.safetensors")).eval()
    with np.load(shared("pretrained") / "nanodet.reference.npz") as z:
        stored = {name: torch.from_numpy(z[name]) for name in z}
    with torch.inference_mode():
        outputs = method.network(method.prepare(stored["input_uint8_rgb"][None]))
    for stride, cells in ((8, 2704), (16, 676), (32, 169)):
        grid = outputs[f"grid{stride}"][0].flatten(1).T
        scores, sides = (stored[f"{name}_{cells}"].reshape(cells, -1) for name in ("class_logits", "box_distribution"))
        assert (grid[:, 0].sigmoid() - scores[:, 0]).abs().max() < 1e-4
        assert (grid[:, 1:] - sides).abs().max() < 1e-4


def test_a_cell_gives_the_box_whose_distances_it_says():
    """One cell of stride 16, surely 2, 3, 4 and 5 strides from left, top, right and bottom."""
    grids = [torch.full((1, 1 + 4 * BINS, 8 // 2**i, 8 // 2**i), -20.0) for i in range(3)]
    row, column = 1, 2
    grids[1][0, 0, row, column] = 5.0
    for side, bins in enumerate((2, 3, 4, 5)):
        grids[1][0, 1 + side * BINS + bins, row, column] = 20.0
    x, y = (column + 0.5) * 16 - 0.5, (row + 0.5) * 16 - 0.5
    best = likeliest(grids, 3)[0, 0]
    expected = torch.tensor([x - 32, y - 48, x + 64, y + 80, torch.tensor(5.0).sigmoid()])
    torch.testing.assert_close(best, expected)


def test_both_zooms_mean_the_same_places():
    """Boxes of the smaller picture are in the pixels of the larger: with one cell set in each, they are the same box."""
    method = NanoDet(zooms=(0.5,))
    outputs = {}
    for i, cells in enumerate((16, 8)):
        for stride in (8, 16, 32):
            outputs[f"grid{stride}{'_1' if i else ''}"] = torch.full((1, 45, cells * 8 // stride, cells * 8 // stride), -20.0)
        grid = outputs["grid8_1" if i else "grid16"]  # a cell of 16 pixels of the large picture in both
        grid[0, 0, 3, 3] = 5.0
        grid[0, [1 + side * BINS + 2 for side in range(4)], 3, 3] = 20.0
    boxes = method.detect(method.readout(outputs), (128, 128))[0]
    assert len(boxes) == 1  # the other is the same and falls to NMS
    np.testing.assert_allclose(boxes[0, :4], [55.5 - 32, 55.5 - 32, 55.5 + 32, 55.5 + 32], atol=1e-3)


def test_the_bundled_detectors_find_people_on_the_example_photo():
    photo = read(REPOSITORY / "docs" / "example.jpg")
    for name in ("nanodet", "nanodet-fast"):
        detector = find_detector(name, device="cpu", runtime="torch")
        assert isinstance(detector, PersonDetector)
        found = next(iter(detect(detector, [PhotoInput(photo)], PredictOptions(detector_threshold=0.3)))).boxes
        assert found is not None
        assert len(found) >= 1
        assert (found[:, 2:4] > found[:, :2]).all()


def test_it_says_that_it_is_not_trained_here():
    with pytest.raises(ValueError, match="published weights"):
        NanoDet().loss({}, {})
