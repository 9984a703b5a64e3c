"""Exports of labelling programs: the same two people by each format give the same COCO content."""

import json

import cv2
import numpy as np
import pytest
import yaml

from manypose.data.datasets.custom import custom, describe
from manypose.data.datasets.labelling_tools import read_annotations
from manypose.evaluation.metrics.annotations import read_truth

W, H = 200, 100
JOINTS = ("nose", "left_eye", "right_eye")
PEOPLE = [((10, 20, 60, 90), [(30, 40, 2), (34, 36, 2), (26, 36, 2)]), ((100, 10, 180, 90), [(140, 30, 2), (146, 24, 2), (0, 0, 0)])]


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("a.jpg", "empty.jpg"):
        cv2.imwrite(str(tmp_path / "images" / name), np.zeros((H, W, 3), np.uint8))
    return tmp_path / "images"


def yolo(root):
    (root / "labels").mkdir()
    lines = []
    for (x0, y0, x1, y1), joints in PEOPLE:
        box = ((x0 + x1) / 2 / W, (y0 + y1) / 2 / H, (x1 - x0) / W, (y1 - y0) / H)
        lines.append(" ".join(map(str, (0, *box, *(v for x, y, s in joints for v in (x / W, y / H, s))))))
    (root / "labels" / "a.txt").write_text("\n".join(lines) + "\n")
    return root / "labels"


def label_studio(root, parent=True):
    results = []
    for i, ((x0, y0, x1, y1), joints) in enumerate(PEOPLE):
        value = {"x": 100 * x0 / W, "y": 100 * y0 / H, "width": 100 * (x1 - x0) / W, "height": 100 * (y1 - y0) / H, "rotation": 0}
        common = {"original_width": W, "original_height": H}
        results.append({"id": f"b{i}", "type": "rectanglelabels", "value": {**value, "rectanglelabels": ["person"]}, **common})
        for joint, (x, y, seen) in zip(JOINTS, joints, strict=True):
            if seen:
                value = {"x": 100 * x / W, "y": 100 * y / H, "width": 0.5, "keypointlabels": [joint]}
                more = {"parentID": f"b{i}"} if parent else {}
                results.append({"id": f"{joint}{i}", "type": "keypointlabels", "value": value, **common, **more})
    task = {"id": 5, "data": {"image": "/data/upload/1/0a1b2c3d-a.jpg"}, "annotations": [{"was_cancelled": False, "result": results}]}
    (root / "tasks.json").write_text(json.dumps([task, {"id": 6, "data": {"image": "/data/upload/1/empty.jpg"}, "annotations": []}]))
    return root / "tasks.json"


def cvat(root):
    people = ""
    for i, ((x0, y0, x1, y1), joints) in enumerate(PEOPLE, 1):
        points = "".join(
            f'<points label="{j}" outside="{int(not s)}" occluded="0" points="{x},{y}"></points>'
            for j, (x, y, s) in zip(JOINTS, joints, strict=True)
        )
        people += f'<box label="person" xtl="{x0}" ytl="{y0}" xbr="{x1}" ybr="{y1}" group_id="{i}"></box>'
        people += f'<skeleton label="person" group_id="{i}">{points}</skeleton>'
    labels = "".join(f"<label><name>{j}</name><type>points</type><parent>person</parent></label>" for j in JOINTS)
    text = f'<annotations><version>1.1</version><meta><job><labels>{labels}</labels></job></meta><image id="0" name="a.jpg" '
    (root / "task.xml").write_text(f'{text}width="{W}" height="{H}">{people}</image></annotations>')
    return root / "task.xml"


@pytest.mark.parametrize("write", [yolo, label_studio, lambda root: label_studio(root, parent=False), cvat])
def test_issue_17_line_9_the_same_people_from_every_program(write, photos, tmp_path):
    given = read_annotations(write(tmp_path), photos, JOINTS)
    assert tuple(given["images"][0][key] for key in ("file_name", "width", "height")) == ("a.jpg", W, H)
    assert given["categories"] == [{"id": 1, "name": "person", "keypoints": list(JOINTS)}]
    for row, ((x0, y0, x1, y1), joints) in zip(given["annotations"], PEOPLE, strict=True):
        assert row["bbox"] == pytest.approx([x0, y0, x1 - x0, y1 - y0])
        assert np.reshape(row["keypoints"], (-1, 3)) == pytest.approx(np.array(joints, float))
        assert (row["image_id"], row["num_keypoints"]) == (1, sum(j[2] > 0 for j in joints))


@pytest.mark.parametrize("write", [yolo, label_studio, cvat])
def test_a_data_set_of_each_program_trains_and_is_evaluated(write, photos, tmp_path):
    skeleton = {"joints": list(JOINTS), "sigmas": [0.03] * 3}
    part = {"images": "images", "annotations": write(tmp_path).name}
    (tmp_path / "set.yaml").write_text(yaml.safe_dump({"train": part, "val": part, "skeleton": skeleton}))
    assert custom(tmp_path / "set.yaml")[0].keypoints.shape == (2, 3, 3)
    said = describe(tmp_path / "set.yaml", "val")
    assert read_truth(said.content, said.skeleton, name="set").people == 2


def test_yolos_own_description(photos, tmp_path):
    for part in ("train", "val"):
        (tmp_path / "set/images" / part).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "set/images" / part / "a.jpg"), np.zeros((H, W, 3), np.uint8))
        (tmp_path / "set/labels" / part).mkdir(parents=True)
        (tmp_path / "set/labels" / part / "a.txt").write_text(yolo(tmp_path).joinpath("a.txt").read_text() if part == "train" else "")
    given = {"path": "set", "train": "images/train", "val": "images/val", "kpt_shape": [3, 3], "flip_idx": [0, 2, 1], "names": {0: "cat"}}
    (tmp_path / "data.yaml").write_text(yaml.safe_dump({**given, "sigmas": 0.05}))
    said = describe(tmp_path / "data.yaml")
    assert (said.category, said.parts, said.skeleton.sigmas, said.skeleton.mirror) == ("cat", ("train", "val"), (0.05,) * 3, (0, 2, 1))
    assert not said.skeleton.of_people
    with pytest.raises(ValueError, match=r"labels.*val: nothing in it is labelled"):
        describe(tmp_path / "data.yaml", "val")


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("labels/a.txt", lambda t: t.replace("0 ", "x ", 1), r"a\.txt:1: expected a class, a box and 3 joints as numbers"),
        ("labels/a.txt", lambda t: t.splitlines()[0][:-4], r"a\.txt:1: 8 numbers after the box; 3 joints have 9"),
        ("tasks.json", lambda t: t.replace("a.jpg", "b.jpg"), r"tasks\.json: task 5: its photo .* is not in "),
        ("tasks.json", lambda t: t.replace("left_eye", "nose"), r"tasks\.json: task 5: two nose belong to one instance"),
        ("tasks.json", lambda t: t.replace("original_width", "w"), r"tasks\.json: task 5: not Label Studio's JSON"),
        ("task.xml", lambda t: t[:-5], r"task\.xml: not an XML file 'CVAT for images 1.1'"),
        ("task.xml", lambda t: "<!DOCTYPE x [<!ENTITY a 'b'>]>" + t, r"task\.xml: an XML file with entities is not read"),
        ("task.xml", lambda t: t.replace('label="nose"', 'label="nase"'), r"task\.xml: a\.jpg: 'nase' is no joint"),
    ],
)
def test_what_cannot_be_read_is_named(name, change, says, photos, tmp_path):
    path = {"labels": yolo, "tasks.json": label_studio, "task.xml": cvat}[name.split("/")[0]](tmp_path)
    file = tmp_path / name
    file.write_text(change(file.read_text()))
    with pytest.raises(ValueError, match=says):
        read_annotations(path, photos, JOINTS)
