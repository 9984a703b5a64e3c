"""One rule for the category, areas that are missing, OCHuman by name."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from manypose.data.datasets.custom import custom, describe
from manypose.evaluation.evaluate import evaluate
from manypose.evaluation.metrics.annotations import read_truth

JOINTS = ["nose", "tail", "left_paw", "right_paw"]
DOG = {"id": 2, "name": "dog", "keypoints": JOINTS, "skeleton": []}


def animal(number: int, category: int, x: int, joints: bool = True) -> dict:
    keypoints = [x, 50, 2, x + 40, 50, 2, x, 90, 1, x + 40, 90, 2]
    more = {"keypoints": keypoints, "num_keypoints": 4} if joints else {}
    return {"id": number, "image_id": 1, "category_id": category, "bbox": [x, 40, 60, 60], "area": 1800, "iscrowd": 0, **more}


@pytest.fixture
def write(tmp_path: Path):
    def make(categories: list, annotations: list, more: str = "") -> Path:
        (tmp_path / "im").mkdir(exist_ok=True)
        Image.new("RGB", (640, 480), (90, 90, 90)).save(tmp_path / "im" / "1.jpg")
        images = [{"id": 1, "file_name": "1.jpg", "height": 480, "width": 640}]
        (tmp_path / "a.json").write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
        (tmp_path / "set.yaml").write_text("images: im\nannotations: a.json\nsigmas: [0.05, 0.05, 0.05, 0.05]\n" + more)
        return tmp_path / "set.yaml"

    return make


@pytest.mark.parametrize(
    ("categories", "annotations", "more"),
    [
        ([DOG], [animal(1, 2, 100)], ""),
        ([DOG, {"id": 3, "name": "ball"}], [animal(1, 2, 100), animal(2, 3, 300, False)], ""),
        ([{"id": 1, "name": "person"}, DOG], [animal(1, 2, 100), animal(2, 1, 300, False)], ""),
        ([{"id": 1, "name": "person"}, DOG], [animal(1, 2, 100), animal(2, 1, 300)], ""),
        ([DOG, {"id": 3, "name": "toy"}], [animal(1, 2, 100), animal(2, 3, 300)], ""),
        ([], [animal(1, 2, 100)], f"skeleton: {{joints: {JOINTS}}}\n"),
        ([DOG, {"id": 3, "name": "cat", "keypoints": JOINTS}], [animal(1, 2, 100), animal(2, 3, 300)], "category: dog\n"),
    ],
)
def test_training_and_evaluation_take_the_same_category(write, categories, annotations, more):
    path = write(categories, annotations, more)
    sample = custom(path)[0]
    said = describe(path)
    truth = read_truth(said.annotations, said.skeleton, category=said.category if categories else None)
    assert sample.keypoints[:, 0, 0].tolist() == truth.keypoints[:, 0, 0].tolist() == [100]
    assert sample.mask.all()  # the others' boxes are no regions without a loss
    assert truth.chosen == ("dog" if len(categories) > 1 else "")


def test_several_categories_with_keypoints_are_an_error(write):
    path = write([DOG, {"id": 3, "name": "cat", "keypoints": JOINTS}], [animal(1, 2, 100)])
    for read in (describe, lambda p: read_truth(p.parent / "a.json")):
        with pytest.raises(ValueError, match="which category is meant? It has dog, cat; name one: --category NAME".replace("?", r"\?")):
            read(path)
    with pytest.raises(ValueError, match="0 categories are called 'cow'; it has dog, cat"):
        read_truth(path.parent / "a.json", category="cow")


def test_missing_areas_come_from_the_boxes_and_are_told(tmp_path: Path):
    keypoints = [v for j in range(17) for v in (100 + 3 * j, 100 + 5 * (j % 4), 2)]
    person = {"image_id": 1, "category_id": 1, "bbox": [90, 90, 80, 40], "keypoints": keypoints}
    content = {"images": [{"id": 1}], "annotations": [{**person, "id": 1}], "categories": [{"id": 1, "name": "person"}]}
    (tmp_path / "a.json").write_text(json.dumps(content))
    moved = [v + 2 if i % 3 == 0 else v for i, v in enumerate(keypoints)]
    (tmp_path / "r.json").write_text(json.dumps([{**person, "keypoints": moved, "score": 1.0}]))
    done = evaluate(annotations=tmp_path / "a.json", results=tmp_path / "r.json", quiet=True)
    assert "1 of 1 people have no 'area'; 0.53 of the box area is used instead" in done.notes
    asked = evaluate(annotations=tmp_path / "a.json", results=tmp_path / "r.json", area="box", quiet=True)
    assert asked.figures["AP"] == done.figures["AP"]
    content["annotations"][0]["area"] = 0.53 * 80 * 40
    (tmp_path / "a.json").write_text(json.dumps(content))
    given = evaluate(annotations=tmp_path / "a.json", results=tmp_path / "r.json", quiet=True)
    assert given.figures["AP"] == done.figures["AP"] > 0
    assert not any("area" in note for note in given.notes)
    assert np.isnan(given.figures["APl"])


def test_ochuman_by_name(tmp_path: Path):
    content = {"images": [{"id": 1}], "annotations": [], "categories": [{"id": 1, "name": "person"}]}
    (tmp_path / "o.json").write_text(json.dumps(content))
    (tmp_path / "r.json").write_text("[]")
    done = evaluate(dataset="OCHuman", annotations=tmp_path / "o.json", results=tmp_path / "r.json", quiet=True)
    assert "OCHuman (o.json)" in done.protocol
    assert any("who occlude one another" in note for note in done.notes)
