"""The result type, OKS against the COCO evaluators, and OKS-NMS."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manypose.poses.boxes import boxes_around
from manypose.poses.oks import oks, oks_nms
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO, CROWDPOSE, MPII, Skeleton


def people(n: int, skeleton: Skeleton = COCO, seed: int = 0, missing: float = 0.2, **more) -> Poses:
    rng = np.random.default_rng(seed)
    k = len(skeleton)
    scores = rng.uniform(0.05, 1, (n, k)).astype(np.float32)
    scores[rng.uniform(size=(n, k)) < missing] = 0
    middle = rng.uniform(100, 500, (n, 1, 2))
    keypoints = (middle + rng.normal(0, 40, (n, k, 2))).astype(np.float32) * (scores > 0)[..., None]
    return Poses(skeleton, keypoints, scores, rng.uniform(0, 1, n).astype(np.float32), **more)


@pytest.mark.usefixtures("untyped")
def test_lengths_must_agree():
    good = people(3)
    with pytest.raises(ValueError, match=r"keypoints \(n,14,2\)"):
        Poses(CROWDPOSE, good.keypoints, good.keypoint_scores, good.scores)
    with pytest.raises(ValueError, match="3 people but 2 ids"):
        Poses(COCO, good.keypoints, good.keypoint_scores, good.scores, ids=np.arange(2))
    with pytest.raises(ValueError, match="3 people but 4 boxes"):
        Poses(COCO, good.keypoints, good.keypoint_scores, good.scores, boxes=np.zeros((4, 4), np.float32))


@pytest.mark.parametrize("which", [slice(1, 3), [2, 0], np.array([True, False, True, False]), np.array([3]), slice(0, 0)])
def test_a_selection_keeps_rows_together(which):
    full = people(4, ids=np.arange(4), masks=np.random.default_rng(1).uniform(size=(4, 6, 8)) > 0.5)
    some = full[which]
    for field in ("keypoints", "keypoint_scores", "scores", "boxes", "masks", "ids"):
        np.testing.assert_array_equal(getattr(some, field), getattr(full, field)[which])
    assert some.skeleton is COCO


def test_nobody():
    for skeleton in (COCO, MPII):
        nobody = Poses.empty(skeleton)
        assert len(nobody) == 0
        assert nobody.boxes.shape == (0, 4)
        assert len(oks_nms(nobody)) == 0
        assert len(nobody.to(CROWDPOSE)) == 0


def test_boxes_are_those_of_the_joints_that_are_there():
    poses = people(5)
    for i in range(5):
        there = poses.keypoints[i][poses.keypoint_scores[i] > 0]
        np.testing.assert_array_equal(poses.boxes[i], [*there.min(0), *there.max(0)])
    jointless = boxes_around(np.ones((1, 17, 2), np.float32), np.zeros((1, 17), bool))
    np.testing.assert_array_equal(jointless, np.zeros((1, 4)))


def test_another_skeleton_keeps_joints_of_the_same_name():
    poses = people(3, missing=0, ids=np.arange(3))
    other = poses.to(CROWDPOSE)
    for j, name in enumerate(CROWDPOSE.joints):
        if name in COCO.joints:
            np.testing.assert_array_equal(other.keypoints[:, j], poses.keypoints[:, COCO.index(name)])
            np.testing.assert_array_equal(other.keypoint_scores[:, j], poses.keypoint_scores[:, COCO.index(name)])
        else:
            assert not other.keypoint_scores[:, j].any()
            assert not other.keypoints[:, j].any()
    np.testing.assert_array_equal(other.ids, poses.ids)
    np.testing.assert_array_equal(other.boxes, poses.boxes)


# ── OKS ──


def coco_files(found: Poses, truth: Poses, visible: np.ndarray, areas: np.ndarray) -> tuple[dict, list[dict]]:
    """Ground truth and results of one image, as COCO writes them."""
    annotations = []
    for i in range(len(truth)):
        x0, y0, x1, y1 = truth.boxes[i].tolist()
        keypoints = np.concatenate([truth.keypoints[i], visible[i, :, None] * 2], 1).ravel().tolist()
        annotations.append(
            {"id": i + 1, "image_id": 1, "category_id": 1, "keypoints": keypoints, "num_keypoints": int(visible[i].sum()),
             "bbox": [x0, y0, x1 - x0, y1 - y0], "area": float(areas[i]), "iscrowd": 0}
        )  # fmt: skip
    results = [
        {"image_id": 1, "category_id": 1, "score": float(found.scores[i]),
         "keypoints": np.concatenate([found.keypoints[i], found.keypoint_scores[i, :, None]], 1).ravel().tolist()}
        for i in range(len(found))
    ]  # fmt: skip
    truth_file = {
        "info": {}, "licenses": [], "images": [{"id": 1, "width": 640, "height": 640}], "annotations": annotations,
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO.joints), "skeleton": []}],
    }  # fmt: skip
    return truth_file, results


@pytest.mark.parametrize("seed", range(6))
def test_oks_is_that_of_pycocotools(seed: int):
    pycocotools = pytest.importorskip("pycocotools")
    from pycocotools.coco import COCO as Annotations
    from pycocotools.cocoeval import COCOeval

    assert pycocotools
    rng = np.random.default_rng(seed)
    truth = people(5, seed=seed)
    visible = truth.keypoint_scores > 0
    areas = rng.uniform(500, 40_000, 5)
    moved = truth.keypoints + rng.normal(0, 6, truth.keypoints.shape).astype(np.float32)
    order = np.argsort(-truth.scores, kind="stable")
    found = Poses(COCO, moved[order], np.ones((5, 17), np.float32), truth.scores[order])
    truth_file, results = coco_files(found, truth, visible, areas)
    annotations = Annotations()
    annotations.dataset = truth_file
    annotations.createIndex()
    evaluation = COCOeval(annotations, annotations.loadRes(results), "keypoints")
    evaluation._prepare()
    theirs = evaluation.computeOks(1, 1)
    ours = oks(found.keypoints, truth.keypoints, visible, areas, COCO.sigmas)
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_oks_decides_as_faster_coco_eval_does(seed: int):
    """AP of one pair at each of its ten thresholds: a match exactly where our OKS reaches it."""
    evaluator = pytest.importorskip("faster_coco_eval")
    rng = np.random.default_rng(seed)
    truth = people(1, seed=seed)
    visible, areas = truth.keypoint_scores > 0, np.array([9000.0])
    for noise in (1, 3, 6, 9, 14):
        moved = truth.keypoints + rng.normal(0, noise, truth.keypoints.shape).astype(np.float32)
        found = Poses(COCO, moved, np.ones((1, 17), np.float32), truth.scores)
        truth_file, results = coco_files(found, truth, visible, areas)
        annotations = evaluator.COCO(truth_file)
        evaluation = evaluator.COCOeval_faster(annotations, annotations.loadRes(results), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        matched = evaluation.eval["precision"][:, 0, 0, 0, 0]
        ours = oks(found.keypoints, truth.keypoints, visible, areas, COCO.sigmas)[0, 0]
        np.testing.assert_array_equal(matched > 0.5, ours >= np.arange(0.5, 1, 0.05))


@given(st.integers(0, 1000), st.floats(0.1, 10), st.floats(-500, 500))
def test_oks_does_not_depend_on_scale_and_place(seed: int, scale: float, shift: float):
    truth = people(3, seed=seed)
    found = truth.keypoints + np.random.default_rng(seed).normal(0, 5, truth.keypoints.shape).astype(np.float32)
    labelled, areas = truth.keypoint_scores > 0, np.array([800.0, 5000, 30_000])
    first = oks(found, truth.keypoints, labelled, areas, COCO.sigmas)
    second = oks(
        found.astype(np.float64) * scale + shift,
        truth.keypoints.astype(np.float64) * scale + shift,
        labelled,
        areas * scale**2,
        COCO.sigmas,
    )
    np.testing.assert_allclose(first, second, atol=1e-6)
    assert ((first >= 0) & (first <= 1)).all()


def test_oks_of_a_perfect_pose_is_one_and_of_an_unlabelled_person_zero():
    truth = people(3)
    labelled = truth.keypoint_scores > 0
    labelled[2] = False
    similar = oks(truth.keypoints, truth.keypoints, labelled, np.full(3, 1000.0), COCO.sigmas)
    np.testing.assert_allclose(np.diag(similar), [1, 1, 0])
    assert similar[:2, 2].max() == 0


def test_one_sigma_away_is_worth_what_coco_says():
    """At a distance of k·s, where k = 2 sigma and s² is the area, a joint counts exp(-1/2)."""
    truth = np.zeros((1, 17, 2))
    area = 2500.0
    found = truth.copy()
    found[0, :, 0] = 2 * np.array(COCO.sigmas) * np.sqrt(area)
    assert oks(found, truth, np.ones((1, 17), bool), np.array([area]), COCO.sigmas)[0, 0] == pytest.approx(np.exp(-0.5))


# ── OKS-NMS ──


def crowd(seed: int) -> Poses:
    """A few people, each found several times."""
    rng = np.random.default_rng(seed)
    some = people(rng.integers(1, 5), seed=seed, missing=0.1)
    which = rng.integers(0, len(some), rng.integers(1, 12))
    moved = some.keypoints[which] + rng.normal(0, rng.uniform(0.1, 15), (len(which), 17, 2)).astype(np.float32)
    return Poses(COCO, moved, some.keypoint_scores[which], rng.uniform(0, 1, len(which)).astype(np.float32))


@given(st.integers(0, 10_000), st.floats(0.1, 0.95))
def test_nms_keeps_the_best_and_nobody_twice(seed: int, threshold: float):
    poses = crowd(seed)
    kept = oks_nms(poses, threshold)
    assert 1 <= len(kept) <= len(poses)
    assert kept.scores[0] == poses.scores.max()
    assert (np.diff(kept.scores) <= 0).all()
    # Doing it again drops nobody, and a higher threshold keeps at least as many of the best.
    np.testing.assert_array_equal(oks_nms(kept, threshold).keypoints, kept.keypoints)
    assert len(oks_nms(poses, 1.0)) == len(poses)
    # Whoever was dropped resembles one who was kept with at least its score.
    sizes = np.maximum(kept.boxes[:, 2:] - kept.boxes[:, :2], 1).prod(1)
    similar = oks(poses.keypoints, kept.keypoints, kept.keypoint_scores > 0, sizes, COCO.sigmas)
    for i in range(len(poses)):
        dropped = not (kept.keypoints == poses.keypoints[i]).all((1, 2)).any()
        assert not dropped or similar[i, kept.scores >= poses.scores[i]].max() > threshold


@given(st.integers(0, 1000))
def test_nms_does_not_depend_on_the_order(seed: int):
    poses = crowd(seed)
    shuffled = poses[np.random.default_rng(seed).permutation(len(poses))]
    np.testing.assert_array_equal(oks_nms(poses, 0.7).keypoints, oks_nms(shuffled, 0.7).keypoints)


def test_nms_of_the_same_person_twice_and_of_two_far_apart():
    one = people(1, missing=0)
    twice = Poses(COCO, np.repeat(one.keypoints, 2, 0), np.repeat(one.keypoint_scores, 2, 0), np.array([0.2, 0.9], np.float32))
    assert oks_nms(twice).scores.tolist() == [np.float32(0.9)]
    apart = Poses(COCO, twice.keypoints + np.array([0, 400], np.float32)[:, None, None], twice.keypoint_scores, twice.scores)
    assert len(oks_nms(apart)) == 2
