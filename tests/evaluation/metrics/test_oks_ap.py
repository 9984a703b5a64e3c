"""COCO AP and AR: equal to pycocotools, by faster-coco-eval and by the matching of the error analysis."""

import contextlib
import copy
import io
import json
import warnings

import numpy as np
import pytest
from fake_coco import fake_coco
from shared import shared

from manypose.evaluation.metrics.annotations import read_results, read_truth
from manypose.evaluation.metrics.matching import match, pair_up, precision_curves, ranks
from manypose.evaluation.metrics.oks_ap import KEYPOINT_FIGURES, oks_ap
from manypose.poses.skeleton import COCO, CROWDPOSE, Skeleton


def by_pycocotools(content: dict, found: list, sigmas: tuple[float, ...], kind: str = "keypoints") -> np.ndarray:
    from pycocotools.coco import COCO as Api
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        truth = Api()
        truth.dataset = copy.deepcopy(content)
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(copy.deepcopy(found)), kind)
        if kind == "keypoints":
            run.params.kpt_oks_sigmas = np.array(sigmas)
        run.evaluate()
        run.accumulate()
        run.summarize()
    return np.where(np.array(run.stats) > -1, run.stats, np.nan)


@pytest.mark.parametrize("seed", range(24))
def test_equals_pycocotools(seed: int) -> None:
    skeleton = (COCO, CROWDPOSE)[seed % 2]
    content, found = fake_coco(seed, skeleton=skeleton, most=(6, 14)[seed % 3 == 0], extra=(3, 30)[seed % 5 == 0], ties=seed % 4 != 3)
    truth = read_truth(content)
    figures = oks_ap(truth, read_results(found, truth))
    expected = by_pycocotools(content, found, skeleton.sigmas)
    assert list(figures) == list(KEYPOINT_FIGURES)
    np.testing.assert_allclose(list(figures.values()), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(24))
def test_the_analysis_matches_alike(seed: int) -> None:
    content, found = fake_coco(100 + seed, most=(5, 40)[seed % 4 == 0])
    truth = read_truth(content)
    results = read_results(found, truth)
    curves = precision_curves(truth, results)
    expected = by_pycocotools(content, found, COCO.sigmas)
    np.testing.assert_allclose([curves.mean(), curves[0].mean(), curves[5].mean()], expected[:3], rtol=0, atol=1e-12)


def test_results_with_boxes_take_their_size_from_them() -> None:
    content, found = fake_coco(3)
    for i, row in enumerate(found):
        row["bbox"] = [0, 0, 30 + 7 * (i % 20), 50]
    truth = read_truth(content)
    figures = oks_ap(truth, read_results(found, truth))
    np.testing.assert_allclose(list(figures.values()), by_pycocotools(content, found, COCO.sigmas), atol=1e-12)


def test_fake_100() -> None:
    folder = shared("data", "eval_fixtures", "coco_fake100")
    truth = read_truth(folder / "gt_val2014_first100_persons.json")
    results = read_results(folder / "dt.json", truth)
    figures = oks_ap(truth, results)
    expected = json.loads((folder / "expected.json").read_text())
    assert {name: round(value, 3) for name, value in figures.items()} == {name: expected[name] for name in KEYPOINT_FIGURES}
    assert precision_curves(truth, results).mean() == pytest.approx(figures["AP"], abs=1e-12)


def test_nobody_to_find_is_nan_and_nothing_found_is_zero() -> None:
    content, found = fake_coco(5)
    truth = read_truth(content)
    assert oks_ap(truth, read_results([], truth))["AP"] == 0
    assert precision_curves(truth, read_results([], truth)).mean() == 0
    alone = read_truth({**content, "annotations": []})
    assert np.isnan(oks_ap(alone, read_results(found, alone))["AP"])
    assert np.isnan(precision_curves(alone, read_results(found, alone))).all()


def test_an_annotation_may_have_the_id_0() -> None:
    dot = Skeleton.build("dot", ["middle"], [], [0.1])
    person = {"id": 0, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 81, "keypoints": [4, 4, 2]}
    truth = read_truth({"images": [{"id": 1}], "annotations": [person]}, dot)
    found = read_results([{"image_id": 1, "category_id": 1, "keypoints": [4, 4, 1], "score": 1.0}], truth)
    assert oks_ap(truth, found)["AP"] == pytest.approx(1)


@pytest.mark.parametrize("seed", range(8))
def test_the_order_of_images_and_results_does_not_matter(seed: int) -> None:
    content, found = fake_coco(seed, ties=False)
    for i, row in enumerate(found):
        row["score"] += 1e-9 * i  # no two alike: ties go by the file's order
    truth, other = read_truth(content), read_truth({**content, "images": content["images"][::-1]})
    a, b = (precision_curves(t, read_results(f, t)).mean() for t, f in ((truth, found), (other, found[::-1])))
    assert a == pytest.approx(b, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("seed", range(8))
def test_matching_is_one_to_one_above_the_threshold_and_only_a_crowd_twice(seed: int) -> None:
    content, found = fake_coco(seed)
    truth = read_truth(content)
    results = read_results(found, truth)
    pairs, levels = pair_up(truth, results), np.array([0.1, 0.5, 0.9])
    table = {(f, p): oks for f, p, oks in zip(pairs.found.tolist(), pairs.person.tolist(), pairs.oks.tolist(), strict=True)}
    for level, people in zip(levels, match(truth, results.image, pairs, ranks(truth, results), levels), strict=True):
        mine = people[people >= 0]
        single = mine[~truth.crowd[mine]]
        assert len(set(single.tolist())) == len(single)
        assert all(table[f, people[f]] >= level for f in np.flatnonzero(people >= 0))


def test_only_the_best_20_of_an_image_count() -> None:
    content, found = fake_coco(8, images=1, extra=30)
    truth = read_truth(content)
    results = read_results(found, truth)
    rank = ranks(truth, results)
    assert (rank >= 0).sum() == min(20, len(found))
    assert results.scores[rank >= 0].min() >= results.scores[rank < 0].max(initial=0)
