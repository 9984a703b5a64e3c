import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from tiny_people import batch_of

from manypose.methods.swahr.example_maps import examples
from manypose.methods.swahr.targets import cells_of, targets
from manypose.nn.associative_embedding.decode import decode, published_grouping
from manypose.nn.associative_embedding.matching import joint_order, match_strong, published_order
from manypose.nn.associative_embedding.refill import refill_evidence
from manypose.nn.heatmaps import gaussian_values, mirror
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO, CROWDPOSE, MPII, POSETRACK, Skeleton

SIZE = (192, 256)
TRIANGLE = Skeleton.build("triangle", ["a", "b", "c"], [("a", "b")], [0.1, 0.1, 0.1], [])


def crowd(seed: int, n: int, k: int = 17, size: tuple[int, int] = SIZE, apart: float = 14) -> np.ndarray:
    """People (n, k, 3) with joints anywhere, but those of one kind at least `apart` pixels from one another."""
    rng, out = np.random.default_rng(seed), np.zeros((n, k, 3), np.float32)
    for j in range(k):
        chosen: list[np.ndarray] = []
        while len(chosen) < n:
            xy = rng.uniform(0, 1, 2) * [size[1] - 1, size[0] - 1]
            if all(np.linalg.norm(xy - c) >= apart for c in chosen):
                chosen.append(xy)
        out[:, j, :2], out[:, j, 2] = chosen, rng.choice([0, 1, 2], n, p=[0.1, 0.3, 0.6])
    out[:, 0, 2] = 2
    return out


def painted(people: list[np.ndarray], size: tuple[int, int] = SIZE) -> tuple[torch.Tensor, torch.Tensor]:
    """What a perfect network would give, read out: heat from the targets, tag 2 (p + 1) where person p's Gaussian is the highest."""
    from manypose.methods.swahr.network import read

    batch = batch_of(people, size)
    goal = targets(batch, size)
    grid = (size[0] // 4, size[1] // 4)
    cells, drawn = cells_of(batch, 4, grid)
    names = 2.0 * torch.arange(1, cells.shape[1] + 1).expand(len(people), -1)
    maps = {"heat4": goal["heat4"], "heat2": goal["heat2"], "tag4": gaussian_values(cells, drawn, names, grid)}
    out = read(maps)
    return out["heat"], out["tag"]


def errors(found: Poses, people: np.ndarray) -> np.ndarray:
    """Distances of all labelled joints to those of the person found for theirs; as many people must be found."""
    people = people[(people[..., 2] > 0).any(1)]
    assert len(found) == len(people)
    there = people[..., 2] > 0
    distance = np.linalg.norm(found.keypoints[:, None] - people[None, ..., :2], axis=-1) * there
    rows, columns = linear_sum_assignment(distance.mean(-1))
    missing = found.keypoint_scores[rows] == 0
    assert not (missing & there[columns]).any()
    return distance[rows, columns][there[columns]]


def nearest(found: np.ndarray, person: np.ndarray, there: np.ndarray) -> int:
    """Which of the people found is this one, by the joints that are there."""
    return int(np.median(np.abs(found - person)[:, there], (1, 2)).argmin())


@settings(max_examples=4)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 6))
def test_decoding_targets_gives_the_people(seed, n):
    people = crowd(seed, n)
    off = errors(decode(*painted([people]), COCO, SIZE)[0], people)
    assert np.median(off) < 0.05
    assert off.max() < 2  # beside a neighbour, and at the edge, where the 1/4 map is enlarged without a neighbour
    # Where nothing is near, every joint is at its place.
    inner = crowd(seed, 2, apart=50)
    inner[..., :2] = inner[..., :2] * 0.8 + np.array([SIZE[1], SIZE[0]]) * 0.1
    assert errors(decode(*painted([inner]), COCO, SIZE)[0], inner).max() < 0.1


@pytest.mark.parametrize("skeleton", [CROWDPOSE, MPII, POSETRACK, TRIANGLE], ids=lambda s: s.name)
def test_any_skeleton(skeleton):
    people = crowd(5, 4, len(skeleton))
    found = decode(*painted([people]), skeleton, SIZE)[0]
    assert found.skeleton is skeleton
    assert np.median(errors(found, people)) < 0.1


def test_the_result_does_not_depend_on_the_batch():
    heat, tag = painted([crowd(1, 3), crowd(2, 1), crowd(3, 5)])
    noise = torch.Generator().manual_seed(0)
    heat = (heat + 0.02 * torch.randn(heat.shape, generator=noise)).clamp(0, 1)
    together = decode(heat, tag, COCO, SIZE)
    for i in range(3):
        alone = decode(heat[i : i + 1], tag[i : i + 1], COCO, SIZE)[0]
        for name in ("keypoints", "keypoint_scores", "scores", "boxes"):
            assert np.array_equal(getattr(alone, name), getattr(together[i], name)), name


def test_the_mirrored_picture_gives_the_mirrored_people():
    people = crowd(7, 4)
    heat, tag = painted([people])
    backwards = people[:, list(COCO.mirror)]
    backwards[..., 0] = SIZE[1] - 1 - backwards[..., 0]
    views = (heat, tag), (mirror(heat, COCO.mirror), mirror(tag, COCO.mirror))
    assert np.median(errors(decode(*views[1], COCO, SIZE)[0], backwards)) < 0.05
    plain, mirrored = (decode(*view, COCO, SIZE, refill="none")[0] for view in views)
    back = mirrored.keypoints[:, list(COCO.mirror)]
    back[..., 0] = SIZE[1] - 1 - back[..., 0]
    there = plain.keypoint_scores > 0
    order = [nearest(back, *both) for both in zip(plain.keypoints, there, strict=True)]
    assert sorted(order) == list(range(len(plain)))
    assert np.array_equal(mirrored.keypoint_scores[order][:, list(COCO.mirror)], plain.keypoint_scores)
    assert np.abs(back[order] - plain.keypoints)[there].max() < 0.01


@pytest.mark.parametrize("factor", [2, 3])
def test_twice_as_large_a_picture_gives_people_twice_as_large(factor):
    people = crowd(9, 3, apart=24)
    large = people.copy()
    large[..., :2] = (people[..., :2] + 0.5) * factor - 0.5
    size = (SIZE[0] * factor, SIZE[1] * factor)
    small = decode(*painted([people]), COCO, SIZE)[0]
    found = decode(*painted([large], size), COCO, size)[0]
    expected = (small.keypoints + 0.5) * factor - 0.5
    order = [nearest(found.keypoints, *both) for both in zip(expected, small.keypoint_scores > 0, strict=True)]
    both = (found.keypoint_scores[order] > 0) & (small.keypoint_scores > 0) & (people[..., 2] > 0).all(0)
    assert both.sum() > 20
    assert np.median(np.abs(found.keypoints[order] - expected)[both]) < 0.15 * factor


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_maps_of_any_resolution_give_network_pixels(stride):
    people = crowd(11, 3, apart=40)
    size = (256, 256)
    people[..., :2] *= [1, 256 / 192]
    heat, tag = (torch.nn.functional.interpolate(m, size=(256 // stride,) * 2, mode="bilinear") for m in painted([people], size))
    found = decode(heat, tag, COCO, size)[0]
    assert np.median(errors(found, people)) < 0.2


def test_nobody():
    found = decode(torch.zeros(2, 17, 32, 32), torch.zeros(2, 17, 32, 32), COCO, (64, 64))
    assert [len(p) for p in found] == [0, 0]
    assert [len(p) for p in published_grouping(torch.zeros(1, 17, 32, 32), torch.zeros(1, 17, 32, 32, 2), COCO, (64, 64))] == [0]


def test_scores_are_mean_heights_and_fall():
    people = crowd(13, 5)
    heat, tag = painted([people])
    heat[:, ::2] *= 0.6
    found = decode(heat, tag, COCO, SIZE, refill="none")[0]
    assert np.allclose(found.scores, found.keypoint_scores.mean(1))
    assert (np.diff(found.scores) <= 0).all()
    refilled = decode(heat, tag, COCO, SIZE)[0]
    assert np.array_equal(refilled.scores, found.scores)


@pytest.mark.parametrize("rule", ["evidence", "highest"])
def test_a_faint_joint_is_found_by_its_tag(rule):
    people = crowd(15, 2)
    people[..., 2] = 2
    heat, tag = painted([people])
    heat[:, 9] *= 0.08  # below the threshold
    without = decode(heat, tag, COCO, SIZE, refill="none")[0]
    assert not without.keypoint_scores[:, 9].any()
    off = errors(decode(heat, tag, COCO, SIZE, refill=rule)[0], people)
    assert off.max() < 3


def test_evidence_finds_the_middle_of_what_noise_has_left():
    random, off = torch.Generator().manual_seed(1), {"evidence": [], "highest": []}
    for seed in range(6):
        people = crowd(20 + seed, 3, apart=40)
        people[..., 2] = 2
        heat, tag = painted([people])
        heat[:, 10], tag[:, 10] = 0, 0
        for p, (x, y) in enumerate(people[:, 10, :2] / 2):  # only the tags are left, in 28 pixels around the joint
            tag[0, 10, max(0, round(y) - 7) : round(y) + 7, max(0, round(x) - 7) : round(x) + 7] = 2.0 * (p + 1)
        heat = (heat + 0.02 * torch.randn(heat.shape, generator=random)).clamp(0, 1)
        for rule, distances in off.items():
            found = decode(heat, tag, COCO, SIZE, refill=rule)[0]
            for person in people:
                same = nearest(found.keypoints, person[:, :2], np.arange(17) != 10)
                distances.append(np.linalg.norm(found.keypoints[same, 10] - person[10, :2]))
    assert np.median(off["evidence"]) < 3
    assert np.median(off["evidence"]) < 0.5 * np.median(off["highest"])


def test_people_with_too_little_evidence_are_not_refilled():
    people = crowd(17, 2)
    people[1, 1:, 2] = 0
    heat, tag = painted([people])
    tag[:, 5], heat[:, 5] = 4.0, heat[:, 5].clamp(max=0.09)  # a faint joint that has the second person's tag
    for least, joints in ((0.2, 2), (1.5, 1)):  # the second person's only peak is about 0.9 high
        found = decode(heat, tag, COCO, SIZE, least_evidence=least, tag_threshold=0.9)[0]
        seen = found.keypoint_scores[np.argmin(found.scores)] > 0
        assert seen[0]
        assert seen[[0, 5]].sum() == joints


def test_a_missing_joint_is_at_a_peak_above_a_fifth_else_where_most_evidence_is():
    for height, peak in ((0.25, True), (0.15, False)):
        heat, tag = torch.zeros(1, 48, 48), torch.ones(1, 48, 48, 1)
        heat[0, 20, 20], heat[0, 20, 23] = height, height - 0.02
        xy, found = refill_evidence(heat, tag, torch.tensor([0]), torch.tensor([[1.0]]), 4.0)
        assert found.item() == pytest.approx(height)
        assert (abs(xy[0, 0].item() - 20) < 0.5) == peak
        assert xy[0, 1].item() == pytest.approx(20, abs=0.1)


def test_a_missing_joint_is_found_in_the_last_maps_last_corner():
    heat, tag = torch.zeros(2, 40, 48), torch.ones(2, 40, 48, 1)
    heat[1, 39, 47] = 0.5
    xy, found = refill_evidence(heat, tag, torch.tensor([1]), torch.tensor([[1.0]]), 4.0)
    assert found.item() == 0.5
    assert (xy[0] - torch.tensor([47.0, 39.0])).abs().max() < 1


def test_shift_moves_people_and_leaves_absent_joints():
    heat, tag = painted([crowd(19, 2)])
    plain = decode(heat, tag, COCO, SIZE, refill="none")[0]
    moved = decode(heat, tag, COCO, SIZE, refill="none", shift=0.5)[0]
    there = plain.keypoint_scores > 0
    assert np.allclose(moved.keypoints[there], plain.keypoints[there] + 0.5)
    assert not moved.keypoints[~there].any()


def test_enlarging_first_gives_nearly_the_same():
    heat, tag = painted([crowd(21, 3)])
    a, b = (decode(heat, tag, COCO, SIZE, enlarge=e, refill="none")[0] for e in (False, True))
    order = [nearest(b.keypoints, *both) for both in zip(a.keypoints, a.keypoint_scores > 0, strict=True)]
    assert np.array_equal(a.keypoint_scores > 0, b.keypoint_scores[order] > 0)
    assert np.median(np.abs(a.keypoints - b.keypoints[order])) < 0.2


def test_two_tags_are_two_views_of_a_person():
    people = crowd(23, 3)
    heat, tag = painted([people])
    two = torch.stack([tag, -tag], -1)
    assert np.median(errors(decode(heat, two, COCO, SIZE)[0], people)) < 0.1


def test_half_precision_maps():
    people = crowd(25, 3)
    heat, tag = painted([people])
    assert np.median(errors(decode(heat.half(), tag.half(), COCO, SIZE)[0], people)) < 0.3


def test_a_weak_spurious_peak_takes_no_real_ones_place():
    """Two people; a false peak with the second's tag is seen before its own."""
    heights = np.array([[0.9, 0.15, 0.8], [0.9, 0.8, 0.0], [0.7, 0.9, 0.0]])
    tags = np.array([[0.0, 2.1, 2.0], [0.1, 2.0, 0.0], [0.0, 2.05, 0.0]])[..., None]
    people = match_strong(heights, tags, (0, 1, 2))
    assert people.tolist() == [[0, 0, 0], [1, -1, -1], [2, 1, 1]]


@given(seed=st.integers(0, 10**6), t=st.integers(1, 3))
def test_every_peak_has_exactly_one_person(seed, t):
    rng = np.random.default_rng(seed)
    heights = rng.uniform(0.1, 1, (5, 8)) * (rng.random((5, 8)) < 0.6)
    people = match_strong(heights, rng.normal(0, 2, (5, 8, t)), (4, 2, 0, 1, 3))
    for j in range(5):
        given_ = people[:, j][people[:, j] >= 0]
        assert sorted(given_) == np.flatnonzero(heights[j]).tolist()
    assert (people >= 0).any(1).all()


def test_orders():
    assert published_order(17) == (0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16)
    assert published_order(14) == (0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13)
    for skeleton in (COCO, CROWDPOSE, MPII, POSETRACK, TRIANGLE):
        k = len(skeleton)
        assert sorted(published_order(k)) == sorted(joint_order(skeleton)) == list(range(k))
    assert {COCO.joints[j] for j in joint_order(COCO)[:4]} == {"left_shoulder", "right_shoulder", "left_hip", "right_hip"}


@pytest.mark.parametrize(
    ("heat", "tag"), [((1, 14, 8, 8), (1, 14, 8, 8)), ((1, 17, 8, 8), (1, 17, 4, 4)), ((2, 17, 8, 8), (1, 17, 8, 8, 2))]
)
def test_maps_that_do_not_fit(heat, tag, untyped):
    with pytest.raises(ValueError, match=r"skeleton 'coco' needs heat \(b,17,h,w\) and tag"):
        decode(torch.zeros(heat), torch.zeros(tag), COCO, (16, 16))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"matching": "weak"}, "matching is one of strong, rounded; got 'weak'"),
        ({"refill": None}, "refill is one of evidence, highest, none; got None"),
        ({"order": "legs first"}, "order is one of torso first, published, or all joints from 0 to 16; got 'legs first'"),
        ({"order": [0, 1]}, r"all joints from 0 to 16; got \[0, 1\]"),
    ],
)
def test_choices_that_there_are_not(wrong, message, untyped):
    with pytest.raises(ValueError, match=message):
        decode(torch.zeros(1, 17, 8, 8), torch.zeros(1, 17, 8, 8), COCO, (16, 16), **wrong)


@pytest.mark.parametrize("people", [1, 7])
def test_examples_can_be_decoded(people):
    maps = examples(COCO, people, 128, 0)
    assert maps["heat"].shape == (1, 17, 128, 128)
    assert len(decode(maps["heat"], maps["tag"], COCO, (128, 128))[0]) == people
