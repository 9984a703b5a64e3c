"""Broken annotation and result files: one clear line each, by id."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from fake_coco import fake_coco

from manypose.evaluation.metrics.annotations import read_results, read_truth
from manypose.poses.skeleton import COCO, CROWDPOSE

CONTENT, FOUND = fake_coco(1, images=4)
POSED = next(i for i, a in enumerate(CONTENT["annotations"]) if a["num_keypoints"])
ID, IMAGE = CONTENT["annotations"][POSED]["id"], FOUND[2]["image_id"]
KEEP = object()


def broken_result(key: str, value: object) -> list:
    rows = copy.deepcopy(FOUND)
    if value is KEEP:
        del rows[2][key]
    else:
        rows[2][key] = value
    return rows


RESULTS = [
    ("image_id", KEEP, "result 2 (counted from 0): 'image_id' is missing"),
    ("keypoints", KEEP, f"result 2 (counted from 0, image_id {IMAGE}): 'keypoints' is missing"),
    ("score", KEEP, "'score' is missing"),
    ("category_id", KEEP, "'category_id' is missing"),
    ("image_id", 999, "result 2 (counted from 0, image_id 999): the annotation file has no image with id 999"),
    ("image_id", "cam3", "has no image with id 'cam3', which is text: write the number without quotes"),
    ("image_id", 2**63, "the annotation file has no image with id 9223372036854775808"),
    ("score", 10**400, "its score is 1000"),
    ("keypoints", [10**400] + [1.0] * 50, "keypoints has 1000"),
    ("image_id", True, "has no image with id True"),
    ("category_id", 0, "category_id is 0, but people are category 1 in the annotation file"),
    ("score", "0.9", "its score is '0.9', which is text: write the number without quotes"),
    ("score", float("nan"), "its score is nan; a score is a finite number"),
    ("score", [0.5], "its score is [0.5]; a score is a finite number"),
    ("keypoints", [1.0] * 54, "keypoints has 54 numbers, it must have 51 (17 joints)"),
    ("keypoints", [1.0] * 42, "keypoints has 42 numbers, it must have 51 (17 joints)"),
    ("keypoints", [float("nan")] + [1.0] * 50, "keypoints has nan in it; all must be finite numbers"),
    ("keypoints", ["1"] * 51, "keypoints has '1', which is text: write the number without quotes in it"),
    ("keypoints", [None] + [1.0] * 50, "keypoints has None in it"),
    ("keypoints", "1 2 3", "keypoints is '1 2 3', which is text"),
]


@pytest.mark.parametrize(("key", "value", "message"), RESULTS, ids=[f"{k}-{str(v)[:12]}" for k, v, _ in RESULTS])
def test_broken_results(tmp_path: Path, key: str, value: object, message: str) -> None:
    path = tmp_path / "found.json"
    path.write_text(json.dumps(broken_result(key, value)))
    with pytest.raises(ValueError, match=r"found\.json: ") as e:
        read_results(path, read_truth(CONTENT))
    assert message in str(e.value)
    assert "\n" not in str(e.value)


def test_several_broken_results_are_counted() -> None:
    rows = [{**r, "score": str(r["score"])} for r in FOUND]
    with pytest.raises(ValueError, match=rf"result 0 .*\({len(rows)} of {len(rows)} entries are wrong\)"):
        read_results(rows, read_truth(CONTENT))


def test_result_ids_used_twice() -> None:
    rows = [{**r, "id": i % 3} for i, r in enumerate(FOUND)]
    with pytest.raises(ValueError, match="result id 0 is used twice"):
        read_results(rows, read_truth(CONTENT))


@pytest.mark.parametrize("given", [{"annotations": []}, {}, 3])
def test_result_files_of_another_kind(tmp_path: Path, given: object) -> None:
    path = tmp_path / "found.json"
    path.write_text(json.dumps(given))
    with pytest.raises(ValueError, match=r"found\.json: a result file is a JSON list"):
        read_results(path, read_truth(CONTENT))


@pytest.mark.parametrize("text", ["", "{", "[1, 2"])
def test_files_that_are_not_json(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"broken\.json: not a JSON file"):
        read_truth(path)
    with pytest.raises(ValueError, match=r"broken\.json: not a JSON file"):
        read_results(path, read_truth(CONTENT))


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.json: no such annotation file"):
        read_truth(tmp_path / "none.json")
    with pytest.raises(FileNotFoundError, match=r"none\.json: no such result file"):
        read_results(tmp_path / "none.json", read_truth(CONTENT))


ANNOTATIONS = [
    ("id", KEEP, "counted from 0, without id): 'id' is missing"),
    ("image_id", KEEP, f"annotation {ID}: 'image_id' is missing"),
    ("keypoints", KEEP, f"annotation {ID}: 'keypoints' is missing"),
    ("bbox", KEEP, f"annotation {ID}: 'bbox' is missing"),
    ("id", "a7", "annotation a7: its id is 'a7', which is text"),
    ("id", 2**63, "annotation 9223372036854775808: its id is 9223372036854775808; ids are whole numbers below 2^63"),
    ("area", 10**400, f"annotation {ID}: its area is 1000"),
    ("image_id", 999, f"annotation {ID}: there is no image with id 999"),
    ("keypoints", [0, 0, 0], f"annotation {ID}: keypoints has 3 numbers, it must have 51 (17 joints)"),
    ("keypoints", [float("inf"), 1, 2] + [0] * 48, f"annotation {ID}: keypoints has inf in it"),
    ("keypoints", [1, 1, 3] + [0] * 48, f"annotation {ID}: a visibility is 0, 1 or 2, got [0, 3]"),
    ("bbox", [0, 0, 5], f"annotation {ID}: bbox has 3 numbers, it must have 4"),
    ("bbox", [0, 0, 5, float("nan")], f"annotation {ID}: bbox has nan in it"),
    ("area", "200", f"annotation {ID}: its area is '200', which is text"),
    ("area", 0, f"annotation {ID}: its area is 0; OKS needs a positive area"),
    ("num_keypoints", "5", f"annotation {ID}: num_keypoints is '5', which is text"),
]


@pytest.mark.parametrize(("key", "value", "message"), ANNOTATIONS, ids=[f"{k}-{str(v)[:12]}" for k, v, _ in ANNOTATIONS])
def test_broken_annotations(tmp_path: Path, key: str, value: object, message: str) -> None:
    content = copy.deepcopy(CONTENT)
    if value is KEEP:
        del content["annotations"][POSED][key]
    else:
        content["annotations"][POSED][key] = value
    path = tmp_path / "people.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"people\.json: ") as e:
        read_truth(path)
    assert message in str(e.value)
    assert "\n" not in str(e.value)


def test_ids_used_twice() -> None:
    content = {**CONTENT, "annotations": [{**a, "id": 5} for a in CONTENT["annotations"]]}
    with pytest.raises(ValueError, match="annotation id 5 is used twice"):
        read_truth(content)
    with pytest.raises(ValueError, match="image id 1 is used twice"):
        read_truth({**CONTENT, "images": [{"id": 1}, {"id": 1}]})


def test_images_without_use() -> None:
    for images, message in (
        ([], "the list 'images' is empty"),
        ([{"file_name": "a.jpg"}], "an image needs an 'id'"),
        ([{"id": "cam1"}], "image cam1: its id is 'cam1', which is text"),
        ([{"id": None}], "an image needs an 'id'"),
        ([{"id": 2**63}], "ids are whole numbers below 2"),
        ([{"id": 1, "width": "wide"}], "image 1: its width is 'wide', which is text"),
        ([{"id": 1, "crowdIndex": "0.1"}], "image 1: its crowdIndex is '0.1', which is text"),
    ):
        with pytest.raises(ValueError, match=message):
            read_truth({**CONTENT, "images": images, "annotations": []})


def test_the_skeleton_must_fit() -> None:
    with pytest.raises(ValueError, match="its people have 17 joints, but skeleton 'crowdpose' has 14"):
        read_truth(CONTENT, CROWDPOSE)
    unknown = {**CONTENT, "categories": [{"id": 1, "name": "person", "keypoints": ["nose", "tail"]}]}
    with pytest.raises(ValueError, match="no built-in skeleton and no sigmas are given"):
        read_truth(unknown)
    two = {**CONTENT, "categories": [{"id": 1, "name": "cat", "keypoints": ["a"]}, {"id": 2, "name": "dog", "keypoints": ["b"]}]}
    with pytest.raises(ValueError, match="which category is meant"):
        read_truth(two)


def test_what_a_file_may_leave_out() -> None:
    content = copy.deepcopy(CONTENT)
    for a in content["annotations"]:
        del a["iscrowd"], a["area"]
        if a["num_keypoints"]:
            del a["num_keypoints"]  # public tools then count nobody, and print -1
    del content["categories"]
    truth = read_truth(content, area="box")
    assert truth.skeleton == COCO
    assert truth.people == sum(any(v > 0 for v in a["keypoints"][2::3]) for a in CONTENT["annotations"])
    np.testing.assert_allclose(truth.areas, 0.53 * truth.boxes[:, 2] * truth.boxes[:, 3])


def test_16_ids_as_text_and_as_floats_are_read() -> None:
    """As pycocotools reads them, except that 7 and "7" are one id."""
    content, found = copy.deepcopy(CONTENT), copy.deepcopy(FOUND)
    for i, entry in enumerate(content["images"]):
        entry["id"] = str(entry["id"]) if i % 2 else float(entry["id"])
    for a in content["annotations"]:
        a["image_id"] = str(a["image_id"])
    for r in found:
        r["image_id"] = float(r["image_id"])
    truth = read_truth(content)
    assert truth.image_ids.tolist() == read_truth(CONTENT).image_ids.tolist()
    assert read_results(found, truth).image.tolist() == read_results(FOUND, read_truth(CONTENT)).image.tolist()


def test_16_a_missing_area_is_taken_from_the_box_and_counted() -> None:
    content = copy.deepcopy(CONTENT)
    del content["annotations"][POSED]["area"]
    truth = read_truth(content)
    at = truth.ids.tolist().index(ID)
    assert truth.areas[at] == pytest.approx(0.53 * truth.boxes[at, 2] * truth.boxes[at, 3])
    assert truth.without_area == 1
    assert read_truth(CONTENT).without_area == 0


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(CONTENT).encode())
    assert read_truth(tmp_path / "a.json").people == read_truth(CONTENT).people


def test_images_with_people_only() -> None:
    content, found = fake_coco(2, images=30)
    every, some = read_truth(content), read_truth(content, images="people")
    assert 0 < every.with_people.sum() == len(some.image_ids) < len(every.image_ids)
    assert some.people == every.people
    assert len(read_results(found, some)) < len(read_results(found, every)) == len(found)
    chosen = read_truth(content, images=[3, 5])
    assert chosen.image_ids.tolist() == [3, 5]
    with pytest.raises(ValueError, match="has no image with id 99"):
        read_truth(content, images=[99])


def test_other_categories_are_passed_over() -> None:
    content = copy.deepcopy(CONTENT)
    content["categories"].append({"id": 2, "name": "bicycle"})
    content["annotations"].append({"id": 999, "image_id": 1, "category_id": 2, "bbox": [0, 0, 1, 1]})
    assert read_truth(content).people == read_truth(CONTENT).people
