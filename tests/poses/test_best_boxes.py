"""Boxes of a detector of several categories: MSPN's rule of the best 100."""

import json

import pytest

from manypose.poses.boxes import read_boxes


def detection(image: int, category: int, score: float) -> dict:
    return {"image_id": image, "category_id": category, "bbox": [0, 0, 10, 20], "score": score}


@pytest.mark.parametrize("others", [0, 50, 99, 120])
def test_people_below_the_best_100_boxes_of_all_categories_are_left_out(tmp_path, others):
    """MSPN, Section 4.2: "Only human boxes out of the best 100 ones of all categories"."""
    rows = [detection(1, 1, 0.5), detection(1, 1, 0.1), *(detection(1, 2, 0.3) for _ in range(others)), detection(2, 1, 0.01)]
    (tmp_path / "boxes.json").write_text(json.dumps(rows))
    found = read_boxes(tmp_path / "boxes.json")
    assert [round(float(s), 2) for s in found["1"][:, 4]] == ([0.5, 0.1] if others < 99 else [0.5])
    assert len(found["2"]) == 1  # each photo by itself


def test_a_file_of_people_alone_is_taken_whole(tmp_path):
    (tmp_path / "boxes.json").write_text(json.dumps([detection(1, 1, 0.5) for _ in range(150)]))
    assert len(read_boxes(tmp_path / "boxes.json")["1"]) == 150
