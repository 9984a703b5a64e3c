"""People out to other formats and back."""

import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import shared

from manypose.poses import formats
from manypose.poses.arrays import PoseArrays
from manypose.poses.boxes import read_boxes
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO, CROWDPOSE, MPII, POSETRACK, Skeleton

FLY = Skeleton.build("fly", ["head", "left_wing", "right_wing"], [(0, 1), (0, 2)], [0.05] * 3)


@st.composite
def people(draw, skeletons=(COCO, CROWDPOSE, MPII, POSETRACK, FLY), least=0, joint_each=False):
    """Any people: some joints missing, with or without track ids."""
    skeleton = draw(st.sampled_from(skeletons))
    n, k = draw(st.integers(least, 4)), len(skeleton)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scores = (rng.random((n, k)) * (rng.random((n, k)) < 0.7)).astype(np.float32)
    if joint_each:
        scores[:, 0] = 0.5
    xy = np.where(scores[..., None] > 0, rng.uniform(-50, 5000, (n, k, 2)), 0).astype(np.float32)
    ids = rng.permutation(100)[:n] if draw(st.booleans()) else None
    return Poses(skeleton, xy, scores, rng.random(n).astype(np.float32), ids=ids)


def alike(arrays: PoseArrays, b: Poses, scores=True, boxes=True, ids=True) -> None:
    a = Poses.of(arrays)
    assert a.skeleton == b.skeleton
    assert np.abs(a.keypoints - b.keypoints).max(initial=0) < 1e-3
    assert np.allclose(a.keypoint_scores, b.keypoint_scores, rtol=1e-5)
    assert not scores or np.allclose(a.scores, b.scores, rtol=1e-5)
    assert not boxes or np.abs(a.boxes - b.boxes).max(initial=0) < 3e-3
    if ids and len(a):
        assert (a.ids is None) == (b.ids is None)
        assert a.ids is None or np.array_equal(a.ids, b.ids)


def through_json(thing):
    return json.loads(json.dumps(thing, allow_nan=False))


@settings(max_examples=40, deadline=None)
@given(people(least=1))
def test_coco_results_round_trip(poses):
    rows = through_json(poses.to_coco(image_id=7))
    assert all(len(r["keypoints"]) == 3 * len(poses.skeleton) and r["category_id"] == 1 for r in rows)
    alike(formats.from_coco(rows, poses.skeleton)[7], poses)


@settings(max_examples=20, deadline=None)
@given(st.lists(people((COCO,)), max_size=3))
def test_coco_annotations_round_trip(several):
    given_ = [(f"{i}.jpg", (480, 640), p) for i, p in enumerate(several)]
    content = through_json(formats.coco_annotations(given_, COCO))
    back = formats.from_coco_annotations(content)
    assert list(back) == [name for name, _, _ in given_]
    for (_, _, p), b in zip(given_, back.values(), strict=True):
        assert np.array_equal(b.keypoint_scores, (p.keypoint_scores > 0).astype(np.float32))
        assert np.abs(b.keypoints - p.keypoints).max(initial=0) < 1e-3


def test_coco_annotations_are_read_by_the_official_tools(tmp_path):
    official = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    rng = np.random.default_rng(0)
    poses = Poses(COCO, rng.uniform(0, 400, (2, 17, 2)).astype(np.float32), np.ones((2, 17), np.float32), np.ones(2, np.float32))
    path = tmp_path / "a.json"
    path.write_text(json.dumps(formats.coco_annotations([("a.jpg", (480, 640), poses)], COCO)))
    truth = official.COCO(str(path))
    assert len(truth.loadAnns(truth.getAnnIds(1))) == 2
    results = truth.loadRes(poses.to_coco(image_id=1))
    evaluation = pytest.importorskip("pycocotools.cocoeval").COCOeval(truth, results, "keypoints")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1)


def test_published_coco_results_are_read():
    rows = json.loads(shared("data", "eval_fixtures", "coco_fake100", "dt.json").read_text())
    images = formats.from_coco(rows)
    assert sum(len(p) for p in images.values()) == len(rows)
    back = [r for i, p in images.items() for r in formats.to_coco(p, i)]
    assert np.allclose(sorted(r["score"] for r in back), sorted(r["score"] for r in rows), rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(people((COCO,)), st.sampled_from(["body_25", "coco_18"]))
def test_openpose_round_trip(poses, order):
    content = through_json(poses.to_openpose(order))
    assert content["version"] == 1.3
    assert all(len(p["pose_keypoints_2d"]) == {"body_25": 75, "coco_18": 54}[order] for p in content["people"])
    alike(formats.from_openpose(content), poses, scores=False)


def test_openpose_middles_and_order():
    xy = np.arange(34, dtype=np.float32).reshape(1, 17, 2) * 3
    scores = np.linspace(0.2, 1, 17, dtype=np.float32)[None]
    poses = Poses(COCO, xy, scores, np.ones(1, np.float32))
    body = np.reshape(poses.to_openpose()["people"][0]["pose_keypoints_2d"], (25, 3))
    at = COCO.index
    assert np.allclose(body[1, :2], (xy[0, at("left_shoulder")] + xy[0, at("right_shoulder")]) / 2)
    assert np.allclose(body[8, :2], (xy[0, at("left_hip")] + xy[0, at("right_hip")]) / 2)
    assert np.allclose(body[1, 2], scores[0, at("left_shoulder")])
    # Points 2, 9, 15 and 18 of OpenPose's BODY_25: right shoulder, right hip, right eye, left ear; 19 … 24 are the feet.
    points = {0: "nose", 2: "right_shoulder", 7: "left_wrist", 9: "right_hip", 14: "left_ankle", 15: "right_eye", 18: "left_ear"}
    for i, joint in points.items():
        assert np.allclose(body[i, :2], xy[0, at(joint)]), joint
    assert not body[19:].any()
    gone = scores.copy()
    gone[0, at("left_hip")] = 0
    body = np.reshape(Poses(COCO, xy, gone, np.ones(1, np.float32)).to_openpose()["people"][0]["pose_keypoints_2d"], (25, 3))
    assert not body[8].any()
    neck = Poses(CROWDPOSE, xy[:, :14], scores[:, :14], np.ones(1, np.float32))
    eighteen = np.reshape(neck.to_openpose("coco_18")["people"][0]["pose_keypoints_2d"], (18, 3))
    assert np.allclose(eighteen[1, :2], xy[0, CROWDPOSE.index("neck")])


@settings(max_examples=40, deadline=None)
@given(people(least=1, joint_each=True))
def test_csv_round_trip(poses):
    text = formats.to_csv([("a, b.jpg", poses), ("empty.jpg", Poses.empty(poses.skeleton))])
    assert text.splitlines()[0] == "image,person,joint,x,y,score,id"
    assert len(text.splitlines()) == 1 + (poses.keypoint_scores > 0).sum() + 1
    back = formats.from_csv(io.StringIO(text), poses.skeleton)
    assert [(name, len(found)) for name, found in back.items()] == [("a, b.jpg", len(poses)), ("empty.jpg", 0)]
    alike(back["a, b.jpg"], poses, scores=False)


@settings(max_examples=40, deadline=None)
@given(st.lists(people(), max_size=3))
def test_jsonl_round_trip(several):
    lines = [formats.to_jsonl(p, f"ä{i}.jpg", (3, 4), frame=i) for i, p in enumerate(several)]
    assert all("\n" not in line for line in lines)
    back = list(formats.from_jsonl([*lines, "\n"]))
    assert [name for name, _ in back] == [f"ä{i}.jpg" for i in range(len(several))]
    for (_, b), p in zip(back, several, strict=True):
        alike(b, p)


@settings(max_examples=20, deadline=None)
@given(people((COCO, CROWDPOSE)))
def test_supervision_round_trip(poses):
    sv = pytest.importorskip("supervision", reason="the extra 'interop' is not installed")
    points = poses.to_supervision()
    assert isinstance(points, sv.KeyPoints)
    assert len(points) == len(poses)
    alike(formats.from_supervision(points, poses.skeleton), poses, boxes=False)


def test_people_that_are_not_finite_are_never_written():
    xy = np.full((1, 17, 2), np.nan, np.float32)
    poses = Poses(COCO, xy, np.ones((1, 17), np.float32), np.ones(1, np.float32), boxes=np.zeros((1, 4), np.float32))
    for write in (lambda: poses.to_coco(1), poses.to_openpose, poses.to_csv_rows, lambda: formats.to_jsonl(poses)):
        with pytest.raises(ValueError, match="not finite"):
            write()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"image_id": 1, "score": 1}], "result 0: needs"),
        ([{"image_id": 1, "keypoints": [0] * 51, "score": 1}, {"image_id": 1, "keypoints": [0] * 50, "score": 1}], "result 1: 50 keypoint"),
        ([{"image_id": 1, "keypoints": [float("nan")] * 51, "score": 1}], "result 0: .* not finite"),
        ([{"image_id": 1, "keypoints": ["x"] * 51, "score": 1}], "."),
        ([{"image_id": 1, "keypoints": 5, "score": 1}], "result 0"),
        (["text"], "result 0: needs"),
    ],
)
def test_bad_coco_results(rows, message):
    with pytest.raises(ValueError, match=message):
        formats.from_coco(rows)


@pytest.mark.parametrize(
    ("content", "message"),
    [({}, "people"), ([], "people"), ({"people": [{"pose_keypoints_2d": [0] * 10}]}, "person 0: 10 values")],
)
def test_bad_openpose(content, message):
    with pytest.raises(ValueError, match=message):
        formats.from_openpose(content)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1"),
        ("a,b\n", "line 1"),
        ("image,person,joint,x,y,score\na,0,nose,1,2\n", "line 2"),
        ("image,person,joint,x,y,score\na,0,tail,1,2,1\n", "line 2: .*no joint 'tail'"),
        ("image,person,joint,x,y,score\na,0,nose,1,2,1\na,0,nose,one,2,1\n", "line 3"),
    ],
)
def test_bad_csv(text, message):
    with pytest.raises(ValueError, match=message):
        formats.from_csv(io.StringIO(text))


PERSON_WITHOUT_JOINTS = '{"image": "a", "skeleton": "coco", "people": [{}]}'


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"image": "a", "skeleton": "tree", "people": []}', PERSON_WITHOUT_JOINTS])
def test_bad_jsonl(line):
    good = formats.to_jsonl(Poses.empty(COCO), "a.jpg")
    with pytest.raises(ValueError, match="line 2: not a line of people"):
        list(formats.from_jsonl([good, line]))


# ── boxes files ──


def test_both_forms_of_a_boxes_file(tmp_path):
    path = tmp_path / "boxes.json"
    path.write_text('{"a.jpg": [[1, 2, 30, 40], [5, 6, 70, 80, 0.5]], "b.jpg": []}')
    boxes = read_boxes(path)
    assert boxes["a.jpg"].tolist() == [[1, 2, 30, 40, 1], [5, 6, 70, 80, 0.5]]
    assert boxes["b.jpg"].shape == (0, 5)
    rows = [
        {"image_id": 785, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.25},
        {"image_id": 785, "category_id": 3, "bbox": [0, 0, 1, 1], "score": 1},
    ]
    path.write_text(json.dumps(rows))
    assert read_boxes(path)["785"].tolist() == [[1, 2, 4, 6, 0.25]]


def test_published_detections_are_read():
    path = shared("data", "format_samples", "coco", "test_coco_det_AP_H_56.json")
    rows = json.loads(path.read_text())
    assert sum(len(b) for b in read_boxes(path).values()) == sum(r["category_id"] == 1 for r in rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("5", "not a boxes file"),
        ('{"a.jpg": [[1, 2, 3]]}', "not a boxes file"),
        ('[{"image_id": 1}]', "not a boxes file"),
    ],
)
def test_bad_boxes(tmp_path, text, message):
    path = tmp_path / "boxes.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_boxes(path)
    assert "boxes.json" in str(caught.value)
    with pytest.raises(FileNotFoundError, match="no such boxes file"):
        read_boxes(tmp_path / "none.json")
