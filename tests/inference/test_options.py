"""`PredictOptions`: one definition, one default, the same people by every door; wrong values are refused in one line."""

import json
import subprocess
import sys

import numpy as np
import pytest
from dots import FLY, BoxDots, photo_of

from manypose.cli.predict_into import predict_to
from manypose.evaluation.evaluate import evaluate
from manypose.inference.model import Model
from manypose.inference.options import EVALUATION, PredictOptions, changed
from manypose.io import photos as media
from manypose.poses import formats
from manypose.training.new_annotations import LabelOptions
from manypose.training.self_training import labelled

HERE = np.array([[30.0, 40.0], [65.0, 50.0], [40.0, 80.0]])
BOXES = [[[15, 25, 80, 95, 0.95], [125, 45, 190, 115, 0.5], [17, 27, 82, 97, 0.19], [125, 45, 190, 115, 0.15]]]


def finder(photos):
    """Two people, one of them fainter, and each once more with a box below the detector's threshold."""
    return BOXES * len(photos)


@pytest.fixture
def photo(tmp_path):
    picture = photo_of((140, 220), HERE).astype(int) + photo_of((140, 220), HERE + np.array([110, 20])) - 60
    return media.write(tmp_path / "photos" / "1.png", np.clip(picture, 0, 255).astype(np.uint8))


def by_scores(keypoints, scores):
    return sorted((round(float(s), 4), np.round(k, 1).tolist()) for k, s in zip(keypoints, scores, strict=True))


@pytest.mark.parametrize("options", [PredictOptions(), PredictOptions(threshold=0.6, flip=True), PredictOptions(detector_threshold=0.6)])
def test_every_door_gives_the_same_people(photo, tmp_path, options, monkeypatch):
    model = Model(BoxDots())
    direct = model.predict(photo, detector=finder, options=options)
    expected = by_scores(direct.keypoints, direct.scores)
    assert len(direct) == (2 if options.threshold == 0.17 and options.detector_threshold == 0.3 else 1)

    predict_to([photo], model, tmp_path / "out", finder=lambda: finder, options=options, formats=("jsonl",), drawing=None)
    ((_, lines),) = formats.from_jsonl((tmp_path / "out" / "poses.jsonl").read_text().splitlines())
    assert [s for s, _ in by_scores(lines.keypoints, lines.scores)] == pytest.approx([s for s, _ in expected], abs=1e-3)

    given = {"images": [{"id": 1, "file_name": "1.png", "height": 140, "width": 220, "all_persons_labelled": False}], "annotations": []}
    done, _ = labelled(given | {"categories": []}, photo.parent, model, finder, options, LabelOptions(0, 0, 0, 1), "t")
    assert sorted(r["score"] for r in done["annotations"]) == pytest.approx([s for s, _ in expected], abs=1e-3)

    truth = given | {"categories": [{"id": 1, "name": "person", "keypoints": list(FLY.joints), "skeleton": []}]}
    rows = [{"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [15, 25, 65, 70], "area": 2000, "num_keypoints": 3,
             "keypoints": np.column_stack([HERE, [2, 2, 2]]).ravel().tolist()}]  # fmt: skip
    (tmp_path / "truth.json").write_text(json.dumps(truth | {"annotations": rows}))
    (tmp_path / "set.yaml").write_text(
        f"annotations: {tmp_path / 'truth.json'}\nimages: {photo.parent}\n"
        "skeleton: {joints: [left_wing, right_wing, head], sigmas: [0.05, 0.05, 0.05]}\n"
    )
    monkeypatch.setattr("manypose.evaluation.evaluate.find_detector", lambda name, **_: finder)
    values = {n: getattr(options, n) for n in ("flip", "threshold", "detector_threshold", "joint_threshold")}
    found = tmp_path / "found.json"
    evaluation = evaluate(model=model, dataset=str(tmp_path / "set.yaml"), detector="x", results_out=found, quiet=True, **values)
    assert sorted(r["score"] for r in json.loads(found.read_text())) == pytest.approx([s for s, _ in expected], abs=1e-3)
    assert f"people from score {options.threshold:g}" in evaluation.protocol


def test_evaluation_has_one_named_preset():
    assert (EVALUATION.threshold, EVALUATION.detector_threshold) == (0.0, 0.1)
    assert changed(EVALUATION, threshold=0.17, detector_threshold=0.3) == PredictOptions()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 2}, "threshold must be a number from 0 to 1, got 2"),
        ({"threshold": float("nan")}, "threshold must"),
        ({"threshold": 10**400}, "threshold must"),
        ({"threshold": "high"}, "threshold must"),
        ({"joint_threshold": -0.1}, "joint_threshold must"),
        ({"detector_threshold": True}, "detector_threshold must"),
        ({"flip": "yes"}, "flip must be True or False, got 'yes'"),
        ({"mixed": 1}, "mixed must"),
        ({"published": None}, "published must"),
        ({"scales": ()}, "scales must"),
        ({"scales": 2}, "scales must"),
        ({"scales": "big"}, "scales must"),
        ({"scales": [1, 1]}, "scales must"),
        ({"size": 5}, "size must"),
        ({"size": 512.5}, "size must"),
        ({"batch_size": 0}, "batch_size must"),
        ({"batch_size": 2.5}, "batch_size must"),
    ],
)
def test_wrong_values_are_refused(options, message, untyped):
    with pytest.raises(ValueError, match=message) as caught:
        Model(BoxDots()).predict(np.zeros((50, 60, 3), np.uint8), boxes=[], **options)
    assert "\n" not in str(caught.value)


def test_unknown_options_get_a_suggestion():
    with pytest.raises(TypeError, match=r"no option 'treshold'; did you mean threshold\?"):
        Model(BoxDots()).predict(np.zeros((50, 60, 3), np.uint8), boxes=[], treshold=0.5)


def test_joints_below_their_threshold_are_left_out(photo):
    model = Model(BoxDots())
    all_joints = model.predict(photo, boxes=BOXES[0][:1])
    limit = float(np.sort(all_joints.keypoint_scores[0])[1])
    some = model.predict(photo, boxes=BOXES[0][:1], joint_threshold=limit)
    assert np.array_equal(some.keypoint_scores[0] > 0, all_joints.keypoint_scores[0] >= limit)
    assert np.array_equal(some.scores, all_joints.scores)


@pytest.mark.parametrize("module", ["inference.options", "inference.views", "inference.photos", "inference.inputs", "tracking.tracker"])
def test_the_lower_floors_and_the_numpy_half_need_no_torch(module):
    code = f"import sys, manypose.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
