"""The result type, OKS against the COCO evaluators, and OKS-NMS."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manypose.io.photos import write
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
    faint = poses.keypoint_scores.copy()
    keypoints = poses.keypoints.copy()
    faint[:, 0], keypoints[:, 0] = 0.0085, 5000  # a guess at a joint outside the photo
    rest = poses.keypoint_scores.copy()
    rest[:, 0] = 0
    np.testing.assert_array_equal(Poses(COCO, keypoints, faint, poses.scores).boxes, Poses(COCO, keypoints, rest, poses.scores).boxes)
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


# ── a person's score ──


def test_a_joint_belongs_to_one_person():
    with pytest.raises(TypeError, match=r"a joint of one person is poses\[0\]\['nose'\]"):
        Poses.empty(COCO)["nose"]  # type: ignore[call-overload]


def test_joints_that_cannot_be_seen_hardly_lower_a_persons_score():
    """Of whom three joints are seen well, and the others not at all, has about the score of who is seen whole; of one joint far less."""

    def score(seen: int, other: float = 0.02, **how) -> float:
        heights = np.full(17, other, np.float32)
        heights[:seen] = 0.8
        return float(Poses.of_joints(COCO, np.column_stack([np.ones((17, 2)), heights]), **how).scores[0])

    assert score(17) == pytest.approx(0.8)
    assert score(3) == pytest.approx((3 * 0.8 + 14 * 0.02) / 17)
    assert score(3, min_height=0.05) == pytest.approx(0.8)
    # one joint more above the limit, and the score collapses
    assert score(1, 0.06, min_height=0.05) == pytest.approx((0.8 + 16 * 0.06) / 17)
    assert score(3, joint_penalty=0.0) > 0.7
    assert score(17, joint_penalty=0.05) == pytest.approx(17 * 0.64 / (17 * 0.8 + 17 * 0.05))
    assert score(1, joint_penalty=0.05) < score(3, joint_penalty=0.05) < score(17, joint_penalty=0.05)
    assert abs(score(3, 0.04, joint_penalty=0.05) - score(3, 0.06, joint_penalty=0.05)) < 0.07


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


@pytest.mark.parametrize(("joints", "left"), [(3, 2), (8, 2), (9, 1)])
def test_a_fragment_does_not_remove_a_whole_person(joints: int, left: int):
    """Half of the joints are the border; the fragment scores higher."""
    whole = people(1, missing=0)
    keypoints, scores = np.repeat(whole.keypoints, 2, 0), np.repeat(whole.keypoint_scores, 2, 0)
    keypoints[1, joints:], scores[1, joints:] = 0, 0
    kept = oks_nms(Poses(COCO, keypoints, scores, np.array([0.5, 0.9], np.float32), boxes=np.repeat(whole.boxes, 2, 0)))
    assert len(kept) == left


def test_nms_of_many_people_is_that_of_a_few():
    """More than one block: every person is found three times, 40 px apart from the next."""
    one = people(1, missing=0)
    keypoints = np.concatenate([one.keypoints + np.float32([4000 * (i // 3), 0.1 * (i % 3)]) for i in range(300)])
    scores = np.random.default_rng(0).permutation(300).astype(np.float32)
    kept = oks_nms(Poses(COCO, keypoints, np.repeat(one.keypoint_scores, 300, 0), scores))
    assert sorted(kept.scores) == sorted(scores.reshape(100, 3).max(1))


# ── a collection of people ──


def test_iteration_gives_people():
    poses = people(3, ids=np.array([4, 5, 9]))
    assert [p.id for p in poses] == [4, 5, 9]
    assert [p.id for p in (poses[0], poses[-1], poses[np.int64(1)])] == [4, 9, 5]
    person = poses[1]
    i = COCO.index("left_wrist")
    assert person["left_wrist"] == (*poses.keypoints[1, i], poses.keypoint_scores[1, i])
    np.testing.assert_array_equal(person.box, poses.boxes[1])
    with pytest.raises(IndexError, match="no person 3: there are 3"):
        poses[3]
    with pytest.raises(KeyError, match="no joint 'tail'"):
        person["tail"]
    assert len(list(Poses.empty(COCO))) == 0


def test_the_detector_s_box_is_kept_beside_the_joints_box():
    poses = people(2, detections=np.array([[0, 0, 9, 9], [1, 2, 3, 5]], np.float32))
    assert poses.to_coco(1)[1]["bbox"] == [1, 2, 2, 3]
    np.testing.assert_array_equal(poses[1].box, [1, 2, 3, 5])
    assert not np.array_equal(poses.boxes[1], poses.detections[1])
    assert poses[:1].detections.shape == (1, 4)


def test_repr_and_summary_are_short():
    poses = people(7, ids=np.arange(7))
    assert len(repr(poses)) < 120
    assert "7 people" in repr(poses)
    assert len(repr(poses[0])) < 120
    assert [line.count("joints") for line in poses.summary().splitlines()] == [0] + [1] * 7
    assert repr(Poses.empty(COCO)) == "Poses(0 people of skeleton 'coco')"


@pytest.mark.parametrize("n", [0, 3])
def test_save_and_load(tmp_path, n: int):
    poses = people(n, MPII, detections=np.tile(np.float32([0, 0, 5, 7]), (n, 1)))
    poses.save(tmp_path / "p.json")
    back = Poses.load(tmp_path / "p.json")
    assert back.skeleton == MPII
    np.testing.assert_allclose(back.keypoints, poses.keypoints, atol=1e-3)
    np.testing.assert_allclose(back.scores, poses.scores, rtol=1e-5)
    np.testing.assert_allclose(back.boxes, np.reshape([0, 0, 5, 7] * n, (n, 4)))


def test_loaded_people_are_drawn_on_their_photo_while_it_exists(tmp_path):
    path = write(tmp_path / "a.png", np.zeros((40, 50, 3), np.uint8))
    people(1, photo=path).save(tmp_path / "p.json")
    assert Poses.load(tmp_path / "p.json").draw().shape == (40, 50, 3)
    path.unlink()
    assert Poses.load(tmp_path / "p.json").photo is None


def test_what_cannot_be_saved_or_loaded_is_said(tmp_path):
    masked = people(1, masks=np.ones((1, 4, 4), bool))
    with pytest.raises(ValueError, match=r"p\.json: the format holds no masks"):
        masked.save(tmp_path / "p.json")
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError, match="no such file"):
        Poses.load(tmp_path / "p.json")
    (tmp_path / "p.json").write_text('{"image": 1, "people": 7}')
    with pytest.raises(ValueError, match=r"p\.json: line 1"):
        Poses.load(tmp_path / "p.json")


def test_a_notebook_shows_a_picture():
    poses = people(2)
    assert poses._repr_png_() is None
    with_photo = people(2, photo=np.zeros((60, 80, 3), np.uint8))
    assert with_photo._repr_png_()[:4] == b"\x89PNG"


def test_a_table_has_a_row_for_each_joint():
    pytest.importorskip("pandas", reason="the extra 'interop' is not installed")
    poses = people(2, ids=np.array([3, 8]))
    table = poses.to_pandas("a.jpg")
    assert len(table) == (poses.keypoint_scores > 0).sum()
    assert table["id"].unique().tolist() == [3, 8]
    assert people(1).to_pandas()["id"].isna().all()
    assert len(Poses.empty(COCO).to_pandas()) == 0


def test_issue_17_line_2_show_opens_the_drawn_picture(monkeypatch):
    photo = np.full((60, 80, 3), 90, np.uint8)
    poses = Poses(COCO, np.full((1, 17, 2), 30, np.float32), np.ones((1, 17), np.float32), np.ones(1, np.float32), photo=photo)
    shown: list[np.ndarray] = []
    monkeypatch.setattr("PIL.Image.Image.show", lambda image: shown.append(np.asarray(image)))
    poses.show(boxes=True)
    assert np.array_equal(shown[0], poses.draw(boxes=True))
    assert not np.array_equal(shown[0], photo)
