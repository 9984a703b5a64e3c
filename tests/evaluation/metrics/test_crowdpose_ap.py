"""CrowdPose's AP against a plain implementation of its definition, on the complete val annotations."""

import json
from bisect import bisect_left
from collections import defaultdict
from math import exp, isnan

import numpy as np
import pytest
from shared import shared

from manypose.evaluation.metrics.annotations import read_results, read_truth
from manypose.evaluation.metrics.crowdpose import PAPER_LEVELS, TOOL_LEVELS, crowd_index, crowding, crowdpose_ap, subset
from manypose.evaluation.metrics.oks_ap import oks_ap
from manypose.poses.skeleton import CROWDPOSE

SIGMAS = [.79, .79, .72, .72, .62, .62, 1.07, 1.07, .87, .87, .89, .89, .79, .79]  # fmt: skip


@pytest.fixture(scope="module")
def content() -> dict:
    return json.loads(shared("data", "eval_fixtures", "crowdpose", "crowdpose_val.json").read_text())


@pytest.fixture(scope="module")
def found(content: dict) -> list:
    """Noisy, mirrored, missing, doubled and invented people; scores have ties."""
    rng = np.random.default_rng(7)
    out = []
    for a in content["annotations"]:
        joints = np.array(a["keypoints"], float).reshape(14, 3)
        size = np.sqrt(0.53 * a["bbox"][2] * a["bbox"][3])
        for _ in range(rng.choice(3, p=[0.15, 0.7, 0.15])):
            guess = joints.copy()
            guess[:, :2] += rng.normal(0, size * rng.choice([0.02, 0.06, 0.2]), (14, 2))
            guess = guess[list(CROWDPOSE.mirror)] if rng.random() < 0.05 else guess
            out.append(
                {"image_id": a["image_id"], "category_id": 1, "keypoints": guess.ravel().round(2).tolist(), "score": round(rng.random(), 2)}
            )
    for image in content["images"][::3]:
        guess = np.concatenate([rng.uniform(0, 500, (14, 2)), np.ones((14, 1))], 1)
        out.append(
            {"image_id": image["id"], "category_id": 1, "keypoints": guess.ravel().round(2).tolist(), "score": round(rng.random(), 2)}
        )
    return out


def similar(person: dict, guess: dict) -> float:
    """OKS as CrowdPose defines it; a person without labelled joints is as near as the box doubled on every side."""
    x0, y0, w, h = person["bbox"]
    true, seen = person["keypoints"], [v > 0 for v in person["keypoints"][2::3]]
    total, count = 0.0, 0
    for j in range(14):
        x, y = guess["keypoints"][3 * j : 3 * j + 2]
        if any(seen):
            if not seen[j]:
                continue
            dx, dy = x - true[3 * j], y - true[3 * j + 1]
        else:
            dx, dy = max(0, x0 - w - x) + max(0, x - x0 - 2 * w), max(0, y0 - h - y) + max(0, y - y0 - 2 * h)
        total += exp(-(dx * dx + dy * dy) / (2 * 0.53 * w * h * (2 * SIGMAS[j] / 10) ** 2))
        count += 1
    return total / count


def plain_ap(images: set, people: dict, guesses: dict) -> float:
    """AP by the definition: match by falling score at ten thresholds, then the mean interpolated precision at 101 recalls."""
    precisions = []
    tables = {}
    for i in images:
        best = sorted(guesses[i], key=lambda g: -g["score"])[:20]
        tables[i] = best, [[similar(p, g) for p in people[i]] for g in best]
    for threshold in np.linspace(0.5, 0.95, 10):
        marks, total = [], 0
        for i in sorted(images):
            ignored = [p["num_keypoints"] == 0 or p["iscrowd"] for p in people[i]]
            total += ignored.count(False)
            taken = set()
            for g, row in zip(*tables[i], strict=True):
                chosen = None
                for wanted in (False, True):  # people who count first, ignored ones only where none of those is near enough
                    if chosen is None:
                        near = [(s, n) for n, s in enumerate(row) if ignored[n] == wanted and s >= min(threshold, 1 - 1e-10)]
                        near = [(s, n) for s, n in near if n not in taken or people[i][n]["iscrowd"]]
                        chosen = max(near)[1] if near else None
                if chosen is not None:
                    taken.add(chosen)
                if chosen is None or not ignored[chosen]:
                    marks.append((g["score"], chosen is not None))
        marks.sort(key=lambda m: -m[0])
        hits, recall, precision = 0, [], []
        for n, (_, right) in enumerate(marks, 1):
            hits += right
            recall.append(hits / total)
            precision.append(hits / n)
        for n in range(len(precision) - 2, -1, -1):
            precision[n] = max(precision[n], precision[n + 1])
        places = [bisect_left(recall, r) for r in np.linspace(0, 1, 101)]
        precisions += [precision[p] if p < len(precision) else 0.0 for p in places]
    return float(np.mean(precisions))


@pytest.mark.slow
def test_equals_the_definition_on_all_of_val(content: dict, found: list) -> None:
    truth = read_truth(content, CROWDPOSE, area="box")
    assert (len(truth.image_ids), len(truth.ids), truth.people) == (2000, 8527, 7074)
    people, guesses = defaultdict(list), defaultdict(list)
    for a in content["annotations"]:
        people[a["image_id"]].append(a)
    for g in found:
        guesses[g["image_id"]].append(g)
    index = {i["id"]: i["crowdIndex"] for i in content["images"]}
    results = read_results(found, truth)
    figures, notes = crowdpose_ap(truth, results)
    low, high = TOOL_LEVELS
    parts = {
        "AP": set(index),
        "APeasy": {i for i, c in index.items() if c < low},
        "APmedium": {i for i, c in index.items() if low <= c < high},
        "APhard": {i for i, c in index.items() if c >= high},
    }
    assert {name: len(images) for name, images in parts.items()} == {"AP": 2000, "APeasy": 411, "APmedium": 1240, "APhard": 349}
    for name, images in parts.items():
        expected = plain_ap(images, people, guesses)
        assert 0.2 < expected < 0.9
        assert figures[name] == pytest.approx(expected, abs=1e-9), name
    assert notes == []
    by_paper, _ = crowdpose_ap(truth, results, PAPER_LEVELS)
    easy = {i for i, c in index.items() if c < 0.1}
    assert by_paper["APeasy"] == pytest.approx(plain_ap(easy, people, guesses), abs=1e-9)
    assert by_paper["APhard"] == figures["APhard"]


def test_crowd_index_distribution_and_its_computation(content: dict) -> None:
    truth = read_truth(content, CROWDPOSE, area="box")
    crowd = crowding(truth)
    assert "411 easy, 1240 medium, 349 hard" in str(crowd)
    assert sum(int(line.split()[3] if "–" in line else line.split()[2]) for line in str(crowd).splitlines()[1:]) == 2000
    apart = np.abs(crowd_index(truth) - truth.crowd_index)
    assert (apart < 0.0051).mean() > 0.79  # the file's figures are rounded to two decimals
    assert apart.mean() < 0.036


def test_levels_without_people_give_a_reason(content: dict) -> None:
    hard = [i["id"] for i in content["images"] if i["crowdIndex"] >= 0.8][:5]
    truth = read_truth(content, CROWDPOSE, area="box", images=hard)
    figures, notes = crowdpose_ap(truth, read_results([], truth))
    assert isnan(figures["APeasy"])
    assert isnan(figures["APmedium"])
    assert figures["APhard"] == 0
    assert [n.split(":")[0] for n in notes] == ["APeasy is not defined", "APmedium is not defined", "APhard is 0"]
    easy, most = TOOL_LEVELS
    ranges = [f"below {easy:g}", f"from {easy:g} to below {most:g}", f"of {most:g} or more"]
    assert all(f"crowd index {given}" in note for note, given in zip(notes, ranges, strict=True))


def test_a_file_without_crowd_indices_says_that_they_were_computed(content: dict) -> None:
    bare = {**content, "images": [{k: v for k, v in i.items() if k != "crowdIndex"} for i in content["images"][:50]]}
    ids = {i["id"] for i in bare["images"]}
    bare["annotations"] = [a for a in content["annotations"] if a["image_id"] in ids]
    truth = read_truth(bare, CROWDPOSE, area="box")
    figures, notes = crowdpose_ap(truth, read_results([], truth))
    assert notes[-1] == "the file gives no crowdIndex for 50 of 50 images; it was computed from boxes and joints"
    assert figures["APhard"] == 0


@pytest.mark.slow
def test_a_subset_is_evaluated_like_a_file_with_these_images_only(content: dict, found: list) -> None:
    truth = read_truth(content, CROWDPOSE, area="box")
    some = np.arange(2000) % 3 == 0
    a = oks_ap(*subset(truth, read_results(found, truth), some))
    alone = read_truth(content, CROWDPOSE, area="box", images=truth.image_ids[some].tolist())
    assert a == oks_ap(alone, read_results(found, alone))


def test_the_example_of_the_tool() -> None:
    folder = shared("data", "eval_fixtures", "xtcoco_examples")
    truth = read_truth(folder / "annotations__example_crowdpose_val.json", CROWDPOSE, area="box")
    figures, _ = crowdpose_ap(truth, read_results(folder / "annotations__example_crowdpose_preds.json", truth))
    assert 0.5 < figures["AP"] <= 1


def test_18_the_crowd_index_by_hand():
    """The mean over people of (others' labelled joints in the box) / (own labelled joints): (1 / 4 + 2 / 2 + 0 / 1) / 3."""
    places = [[(10, 10), (20, 10), (10, 20), (20, 20)], [(20, 15), (40, 15)], [(90, 90)]]
    boxes = [[5, 5, 20, 20], [15, 5, 30, 20], [80, 80, 30, 30]]
    people = []
    for i, (joints, box) in enumerate(zip(places, boxes, strict=True)):
        flat = np.zeros((14, 3))
        flat[: len(joints)] = [(*xy, 2) for xy in joints]
        people.append({"id": i + 1, "image_id": 1, "category_id": 1, "bbox": box, "keypoints": flat.ravel().tolist()})
    crowd = {"id": 9, "image_id": 1, "category_id": 1, "bbox": [0, 0, 99, 99], "keypoints": [15, 15, 2] * 14, "iscrowd": 1}
    truth = read_truth({"images": [{"id": 1}, {"id": 2}], "annotations": [*people, crowd]}, CROWDPOSE, area="box")
    assert crowd_index(truth).tolist() == pytest.approx([1.25 / 3, 0])
    with pytest.raises(ValueError, match="rise from 0"):
        crowding(truth, (0.5, 0.5))
    with pytest.raises(ValueError, match="rise from 0"):
        crowding(truth, (0.0, 0.5))
