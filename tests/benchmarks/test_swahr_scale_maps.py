"""Figure 5 of SWAHR: scale maps are read at the places of people."""

import importlib.util
import json

import cv2
import numpy as np
import pytest
import torch
from shared import REPOSITORY


@pytest.fixture(scope="module")
def figure():
    spec = importlib.util.spec_from_file_location("swahr_scale_maps", REPOSITORY / "benchmarks/swahr_scale_maps.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Ramp(torch.nn.Module):
    """1/s is 1 plus the part of the picture's width to the left of a cell."""

    size, stride = 64, 32

    def prepare(self, images: torch.Tensor) -> torch.Tensor:
        return images.permute(0, 3, 1, 2).float()

    def network(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        h, w = images.shape[2:]
        return {f"scale{s}": ((torch.arange(w // s) + 0.5) / (w // s)).expand(1, 3, h // s, w // s) for s in (4, 2)}


def test_14_figure_5_reads_scale_maps_at_the_joints_of_people(figure, tmp_path):
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((64, 128, 3), np.uint8))
    people = []
    for i, (x, area) in enumerate(((31.5, 16.0**2), (95.5, 32.0**2))):
        flat = [v for _ in range(3) for v in (x, 30, 2)] + [0] * 42
        people.append({"id": i, "image_id": 1, "category_id": 1, "bbox": [x - 9, 20, 20, 20], "area": area, "keypoints": flat})
    images = [{"id": 1, "file_name": "1.png", "height": 64, "width": 128}]
    (tmp_path / "people.json").write_text(json.dumps({"images": images, "annotations": people}))
    size, inverse = figure.by_size(Ramp(), tmp_path, tmp_path / "people.json", 5).T
    assert size.tolist() == [0.25, 0.5]
    assert inverse.tolist() == pytest.approx([1.25, 1.75], abs=0.01)


def test_a_model_without_scale_maps_is_told(figure):
    class Plain(Ramp):
        def network(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
            return {}

    with pytest.raises(ValueError, match="no scale branch"):
        figure.scale_map(Plain(), np.zeros((64, 64, 3), np.uint8))
