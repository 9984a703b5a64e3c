"""The error analysis against a plain reading of the paper's definitions, joint by joint, and its properties."""

import json
from collections import Counter, defaultdict
from itertools import pairwise
from math import exp, log, sqrt

import numpy as np
import pytest
from fake_coco import fake_coco
from shared import shared

from manypose.evaluation.error_analysis.analysis import analyse, overlapping
from manypose.evaluation.error_analysis.costs import STEPS, best_scores, corrected, costs, scoring_errors
from manypose.evaluation.error_analysis.errors import KINDS, diagnose
from manypose.evaluation.metrics.annotations import read_results, read_truth
from manypose.evaluation.metrics.matching import pair_up, precision_curves, similarity
from manypose.evaluation.metrics.oks_ap import oks_ap
from manypose.poses.skeleton import COCO, Skeleton

MIRRORED = {1: 2, 2: 1, 3: 4, 4: 3, 5: 6, 6: 5, 7: 8, 8: 7, 9: 10, 10: 9, 11: 12, 12: 11, 13: 14, 14: 13, 15: 16, 16: 15}
SIGMAS = [.026, .025, .025, .035, .035, .079, .079, .072, .072, .062, .062, .107, .107, .087, .087, .089, .089]  # fmt: skip


# ── the definitions, told plainly ──


def ks(point: list, person: dict, joint: int) -> float:
    x, y, v = person["keypoints"][3 * joint : 3 * joint + 3]
    away = (point[0] - x) ** 2 + (point[1] - y) ** 2
    return exp(-away / (2 * person["area"] * (2 * SIGMAS[joint]) ** 2)) if v > 0 else 0.0


def oks(guess: dict, person: dict) -> float:
    seen = [j for j in range(17) if person["keypoints"][3 * j + 2] > 0]
    if seen:
        return sum(ks(guess["keypoints"][3 * j : 3 * j + 2], person, j) for j in seen) / len(seen)
    x0, y0, w, h = person["bbox"]
    total = 0.0
    for j in range(17):
        x, y = guess["keypoints"][3 * j : 3 * j + 2]
        dx, dy = max(0, x0 - w - x) + max(0, x - x0 - 2 * w), max(0, y0 - h - y) + max(0, y - y0 - 2 * h)
        total += exp(-(dx * dx + dy * dy) / (2 * person["area"] * (2 * SIGMAS[j]) ** 2))
    return total / 17


def pairs_from_oks(people: list, guesses: list, least: float) -> dict[int, int]:
    """Which guess (by its place) is matched to which person of an image."""
    ignored = [bool(p["iscrowd"] or p["num_keypoints"] == 0) for p in people]
    out: dict[int, int] = {}
    for g in sorted(range(len(guesses)), key=lambda i: -guesses[i]["score"])[:20]:
        for wanted in (False, True):
            near = [(oks(guesses[g], p), n) for n, p in enumerate(people) if ignored[n] == wanted]
            near = [(s, n) for s, n in near if s >= least and (n not in out.values() or people[n]["iscrowd"])]
            if near and g not in out:
                out[g] = max(near)[1]
    return out


def kind_of(joint: int, guess: dict, person: dict, others: list) -> str | None:
    point = guess["keypoints"][3 * joint : 3 * joint + 2]
    if person["keypoints"][3 * joint + 2] == 0:
        return None
    own = ks(point, person, joint)
    if own >= 0.85:
        return "good"
    if own >= 0.5:
        return "jitter"
    inverted = ks(point, person, MIRRORED[joint]) if joint in MIRRORED else 0
    swapped = max([ks(point, q, j) for q in others for j in (joint, MIRRORED.get(joint, joint))], default=0)
    if max(inverted, swapped) < 0.5:
        return "miss"
    return "inversion" if inverted >= swapped else "swap"


def plain_analysis(content: dict, found: list) -> dict:
    people, guesses = defaultdict(list), defaultdict(list)
    for a in content["annotations"]:
        people[a["image_id"]].append(a)
    for r in found:
        guesses[r["image_id"]].append(r)
    kinds, lost, nobody, double, by_joint = Counter(), 0, 0, 0, defaultdict(Counter)
    for image in content["images"]:
        here, mine = people[image["id"]], guesses[image["id"]]
        matched = pairs_from_oks(here, mine, 0.1)
        counted = [n for n, p in enumerate(here) if not p["iscrowd"] and p["num_keypoints"]]
        lost += len([n for n in counted if n not in matched.values()])
        top = sorted(range(len(mine)), key=lambda i: -mine[i]["score"])[:20]
        near = [g for g in top if any(oks(mine[g], p) >= 0.1 for p in here)]
        nobody += len(top) - len(near)
        perfect = [{**g, "score": max([oks(g, here[n]) for n in counted], default=0)} for g in mine]
        kept = pairs_from_oks(here, perfect, 0.1)
        double += len([g for g in near if g not in kept])
        for g, n in matched.items():
            if n in counted:
                others = [here[m] for m in counted if m != n]
                for joint in range(17):
                    kind = kind_of(joint, mine[g], here[n], others)
                    if kind:
                        kinds[kind] += 1
                        by_joint[COCO.joints[joint]][kind] += 1
    return {"kinds": kinds, "missed": lost, "background": nobody, "duplicates": double, "joints": by_joint}


def fake_100() -> tuple[dict, list]:
    folder = shared("data", "eval_fixtures", "coco_fake100")
    return json.loads((folder / "gt_val2014_first100_persons.json").read_text()), json.loads((folder / "dt.json").read_text())


@pytest.mark.parametrize("which", ["fake 100", *range(6)])
def test_equals_the_definitions(which: str | int) -> None:
    content, found = fake_100() if which == "fake 100" else fake_coco(int(which), images=20)
    truth = read_truth(content)
    analysis = analyse(truth, read_results(found, truth))
    expected = plain_analysis(content, found)
    total = sum(expected["kinds"].values())
    assert total > 100
    got = analysis.to_json()
    assert dict(zip(KINDS, analysis.everybody.kinds.sum(0).tolist(), strict=True)) == {k: expected["kinds"][k] for k in KINDS}
    assert got["shares"] == {k: round(expected["kinds"][k] / total, 4) for k in KINDS}
    assert got["keypoints"] == {j: {k: expected["joints"][j][k] for k in KINDS} for j in COCO.joints}
    assert {key: got[key] for key in ("missed", "background", "duplicates")} == {
        key: expected[key] for key in ("missed", "background", "duplicates")
    }
    if which == "fake 100":
        assert got["shares"] == {"good": 0.5221, "jitter": 0.2749, "inversion": 0.0297, "swap": 0.0028, "miss": 0.1706}
        assert (got["people"], got["missed"], got["background"]) == (139, 17, 2)
    else:
        assert sum(expected["kinds"][k] > 0 for k in KINDS) >= 4
        assert expected["duplicates"] > 0


# ── made errors are found as such ──

PERSON = Skeleton.build("stick", ["head", "left_hand", "right_hand"], [("head", "left_hand"), ("head", "right_hand")], [0.05] * 3)


def scene(*guesses: list[float]) -> tuple:
    """Two people of area 100², 300 px apart."""
    people = [
        {"id": n + 1, "image_id": 1, "category_id": 1, "area": 1e4, "bbox": [300 * n, 0, 100, 100], "iscrowd": 0,
         "keypoints": [300 * n + 50, 10, 2, 300 * n + 10, 80, 2, 300 * n + 90, 80, 1]}
        for n in range(2)
    ]  # fmt: skip
    truth = read_truth({"images": [{"id": 1, "width": 500, "height": 120}], "annotations": people}, PERSON)
    rows = [
        {"image_id": 1, "category_id": 1, "score": 0.9 - 0.1 * i, "keypoints": np.insert(np.reshape(g, (3, 2)), 2, 1, 1).ravel().tolist()}
        for i, g in enumerate(guesses)
    ]
    return truth, read_results(rows, truth)


RADIUS = {level: 10 * sqrt(-2 * log(level)) for level in (0.5, 0.85)}  # 100 px · 2 sigma = 10


@pytest.mark.parametrize(
    ("hand", "kind"),
    [
        ((10, 80), "good"),
        ((10 + RADIUS[0.85] - 0.01, 80), "good"),
        ((10 + RADIUS[0.85] + 0.01, 80), "jitter"),
        ((10, 80 + RADIUS[0.5] - 0.01), "jitter"),
        ((10, 80 + RADIUS[0.5] + 0.01), "miss"),
        ((90, 80), "inversion"),
        ((90, 80 - RADIUS[0.5] - 0.01), "miss"),
        ((310, 80), "swap"),
        ((390, 80), "swap"),  # the other person's other hand
        ((350, 10), "miss"),  # the other person's head is no hand
        ((0, 0), "miss"),
    ],
)
def test_each_kind(hand: tuple[float, float], kind: str) -> None:
    truth, results = scene([50, 10, *hand, 90, 80])
    found = diagnose(truth, results, pair_up(truth, results))
    assert [KINDS[k] for k in found.kind[0]] == ["good", kind, "good"]


def test_correction_moves_joints_to_the_stated_similarity() -> None:
    truth, results = scene([50, 10 + RADIUS[0.5] + 30, 10 + 9, 80, 12, 81], [350, 10, 50, 200, 305, 80])
    found = diagnose(truth, results, pair_up(truth, results))
    assert [[KINDS[k] for k in row] for row in found.kind] == [["miss", "jitter", "inversion"], ["good", "miss", "inversion"]]
    better = corrected(truth, results, found, set(STEPS))
    away = np.linalg.norm(better.keypoints[:, :, :2] - truth.keypoints[..., :2], axis=-1)
    wrong = sqrt((12 - 10) ** 2 + 1)
    np.testing.assert_allclose(away, [[RADIUS[0.5], RADIUS[0.85], wrong], [0, RADIUS[0.5], 5]], atol=1e-9)
    np.testing.assert_allclose((better.keypoints - truth.keypoints)[0, 0, :2], [0, RADIUS[0.5]], atol=1e-9)  # towards where it was found
    only = corrected(truth, results, found, {"jitter"})
    assert (only.keypoints != results.keypoints).any(-1).tolist() == [[False, True, False], [False, False, False]]


def test_scoring_errors() -> None:
    good, poor, other = [50, 10, 10, 80, 90, 80], [58, 10, 18, 80, 98, 80], [350, 10, 310, 80, 390, 80]
    for first, second, wrong in ((good, poor, 0), (poor, good, 1)):
        truth, results = scene(first, second, other)
        pairs = pair_up(truth, results)
        assert scoring_errors(truth, results, pairs, diagnose(truth, results, pairs)) == (1, wrong)
    assert best_scores(truth, results, pairs)[[1, 2]].tolist() == [1, 1]


# ── properties ──


@pytest.mark.parametrize("seed", range(5))
def test_the_truth_itself_has_no_errors(seed: int) -> None:
    content, _ = fake_coco(seed, images=15)
    found = [
        {"image_id": a["image_id"], "category_id": 1, "keypoints": a["keypoints"], "score": 1.0}
        for a in content["annotations"]
        if a["num_keypoints"]
    ]
    truth = read_truth(content)
    analysis = analyse(truth, read_results(found, truth))
    shares = analysis.to_json()["shares"]
    assert shares["good"] == 1
    assert (analysis.missed, analysis.background[0], analysis.loss.max()) == (0, 0, 0)
    assert analysis.worst(5) == []
    assert all(c.so_far.mean() == pytest.approx(1) for c in analysis.costs)


@pytest.mark.parametrize("seed", range(5))
def test_costs(seed: int) -> None:
    content, found = fake_coco(seed, images=30)
    truth = read_truth(content)
    results = read_results(found, truth)
    pairs = pair_up(truth, results)
    steps = costs(truth, results, pairs, diagnose(truth, results, pairs))
    assert [c.step for c in steps] == ["none", *STEPS]
    plain = oks_ap(truth, results)["AP"]
    assert steps[0].alone.mean() == pytest.approx(plain, abs=1e-12)
    assert all(c.alone.mean() >= plain - 0.02 for c in steps)  # a corrected person may take another's match, no more
    so_far = [c.so_far.mean() for c in steps]
    assert all(b >= a - 0.01 for a, b in pairwise(so_far))
    assert so_far[-1] > plain + 0.1
    assert steps[-1].so_far[0] > 0.97  # with all corrected, OKS is at least 0.5
    background = next(c for c in steps if c.step == "background")
    assert (background.alone >= steps[0].alone - 1e-12).all()  # such results can only be in the way


def test_corrected_results_evaluate_as_results_with_these_joints() -> None:
    content, found = fake_coco(4, images=30)
    truth = read_truth(content)
    results = read_results(found, truth)
    pairs = pair_up(truth, results)
    diagnosis = diagnose(truth, results, pairs)
    steps = {c.step: c for c in costs(truth, results, pairs, diagnosis)}
    for step in ("miss", "jitter"):
        alone = precision_curves(truth, corrected(truth, results, diagnosis, {step}))
        np.testing.assert_allclose(steps[step].alone, alone.mean(1), atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_groups_are_parts_of_the_whole(seed: int) -> None:
    content, found = fake_coco(seed, images=25)
    truth = read_truth(content)
    analysis = analyse(truth, read_results(found, truth))
    whole = analysis.everybody
    assert whole.people == truth.people
    assert whole.found + analysis.missed == whole.people
    for by, groups in analysis.groups.items():
        assert (np.sum([g.kinds for g in groups], 0) == whole.kinds).all(), by
        if by != "visibility":
            assert sum(g.people for g in groups) == whole.people
            assert sum(g.found for g in groups) == whole.found


def test_overlaps() -> None:
    content, _ = fake_coco(3, images=20, most=12)
    truth = read_truth(content)
    expected = np.zeros(len(truth.ids), int)
    for i in np.flatnonzero(~truth.ignored):
        for j in np.flatnonzero(~truth.ignored & (truth.image == truth.image[i])):
            (x, y, w, h), (u, v, a, b) = truth.boxes[i], truth.boxes[j]
            shared_part = max(0, min(x + w, u + a) - max(x, u)) * max(0, min(y + h, v + b) - max(y, v))
            expected[i] += i != j and shared_part / (w * h + a * b - shared_part) >= 0.1
    assert overlapping(truth).tolist() == expected.tolist()
    assert expected.max() > 2


def test_loss_ranks_images() -> None:
    content, found = fake_coco(6, images=30)
    truth = read_truth(content)
    analysis = analyse(truth, read_results(found, truth))
    worst = analysis.worst(10)
    assert analysis.loss[worst].tolist() == sorted(analysis.loss[worst], reverse=True)
    assert analysis.loss.max() == analysis.loss[worst[0]]


def test_similarity_of_crowds_is_by_their_box() -> None:
    truth = read_truth(
        {
            "images": [{"id": 1}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 1, "bbox": [100, 100, 50, 50], "area": 2500}],
        },
        PERSON,
    )
    inside = np.array([[[60.0, 120], [190, 190], [51, 199]]])
    assert similarity(truth, np.array([0]), inside)[0] == 1
    assert similarity(truth, np.array([0]), inside + 1000)[0] < 1e-9


def test_nobody_and_nothing() -> None:
    content, found = fake_coco(2)
    truth = read_truth(content)
    nothing = analyse(truth, read_results([], truth))
    assert nothing.missed == truth.people
    assert nothing.costs[0].alone.mean() == 0
    alone = read_truth({**content, "annotations": []})
    nobody = analyse(alone, read_results(found, alone))
    assert nobody.background[0] == nobody.background[1] > 0
    assert nobody.to_json()["costs"][0]["AP"] is None
    json.dumps(nobody.to_json(), allow_nan=False)
