"""From maps to people: places, groups, what is mended, and what must not matter."""

from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from manypose.methods.simple_pose.assembly import assemble
from manypose.methods.simple_pose.body import body_of
from manypose.methods.simple_pose.candidates import Links, find_joints, score_parts
from manypose.methods.simple_pose.decode import decode
from manypose.methods.simple_pose.example_maps import examples
from manypose.methods.simple_pose.follow_limbs import follow
from manypose.methods.simple_pose.people_in_progress import Groups
from manypose.methods.simple_pose.targets import heat_maps, paint_fields, part_maps
from manypose.poses.skeleton import COCO, CROWDPOSE, MPII, Skeleton
from manypose.poses.warp import Warp

BODY = body_of(COCO)
SIZE = (256, 256)


def person(x: float, y: float, tall: float, without: tuple[int, ...] = ()) -> np.ndarray:
    """An upright person (18, 3) of painted joints about (x, y)."""
    xy = np.array([x, y]) + (BODY.place - [0, 0.6]) * tall / 2.2
    shown = np.ones(18)
    shown[list(without)] = 0
    return np.concatenate([xy, shown[:, None]], 1).astype(np.float32)


def maps_of(people: list[np.ndarray], body=BODY, size=SIZE, **keep) -> tuple[torch.Tensor, torch.Tensor]:
    joints = torch.from_numpy(np.stack(people))[None] if people else torch.zeros(1, 0, len(body.sources), 3)
    xy, shown, grid = joints[..., :2], joints[..., 2] > 0, (size[0] // 4, size[1] // 4)
    heat = heat_maps(xy, shown & keep.pop("joints", torch.tensor(True)), grid)
    return part_maps(xy, shown, body, grid, **keep), heat


def coco(painted: np.ndarray) -> np.ndarray:
    return painted[list(BODY.back)]


def assert_found(poses, people: list[np.ndarray], within: float = 0.1) -> None:
    """Exactly these people, each complete and nothing else, in any order."""
    assert len(poses) == len(people)
    left = list(range(len(poses)))
    for painted in people:
        true = coco(painted)
        shown = true[:, 2] > 0
        away = [
            np.abs(poses.keypoints[i] - true[:, :2])[shown].max() if ((poses.keypoint_scores[i] > 0) == shown).all() else np.inf
            for i in left
        ]
        assert min(away) < within
        left.pop(int(np.argmin(away)))


def test_clean_people_are_found_to_a_tenth_of_a_pixel():
    people = [person(60.3, 120.7, 180), person(190.2, 130.1, 200)]
    assert_found(decode(*maps_of(people), BODY, SIZE)[0], people)


@given(st.integers(0, 100_000))
def test_joints_anywhere_even_at_the_edge(seed):
    """Sub-pixel places on clean maps; the picture's edge makes no difference."""
    xy = np.random.default_rng(seed).uniform(-0.4, [191.4, 127.4], (20, 2)).astype(np.float32)
    heat = heat_maps(torch.from_numpy(xy)[:, None, None], torch.ones(20, 1, 1, dtype=torch.bool), (32, 48))
    found = find_joints(heat)
    assert found.image.tolist() == list(range(20))
    assert np.abs(found.xy * 4 + 1.5 - xy).max() < 0.1


def test_published_targets_too():
    """Peaks in their square window, parts in their boxes with a floor of 0.01."""
    people = [person(60.3, 120.7, 180), person(190.2, 130.1, 200)]
    joints = torch.from_numpy(np.stack(people))[None]
    xy, shown = joints[..., :2], joints[..., 2] > 0
    heat, part = heat_maps(xy, shown, (64, 64), published=True), part_maps(xy, shown, BODY, (64, 64), published=True)
    assert_found(decode(part, heat, BODY, SIZE)[0], people)


def test_equal_cells_make_one_joint():
    """A joint in the middle between cells has two or four highest cells."""
    people = [person(128, 128, 200)]
    people[0][4, :2], people[0][7, :2] = (100 - 0.5, 140 - 0.5), (160 - 0.5, 141.5)
    assert_found(decode(*maps_of(people), BODY, SIZE)[0], people)


# ── what the published program gets wrong ──


def test_first_ends_are_attached():
    """An ear that only the ear-shoulder part reaches, and a nose that only the nose-shoulder part reaches, belong to their person."""
    for alone, gone in ((16, (0, 1, 14, 15, 17)), (0, (1, 14, 15, 16, 17))):
        people = [person(128, 128, 200, without=gone)]
        assert people[0][alone, 2] == 1
        assert_found(decode(*maps_of(people), BODY, SIZE)[0], people)


@pytest.mark.parametrize("gone", [(1,), (2, 5), (1, 2, 5), (8, 11), (3, 6, 9, 12), (1, 2, 3, 8)])
def test_hidden_joints_do_not_break_people(gone):
    """Parts need both ends, so fewer joints leave gaps; no fragments come out."""
    people = [person(70, 128, 200, gone), person(190, 120, 180)]
    assert_found(decode(*maps_of(people), BODY, SIZE)[0], people)


def test_the_weaker_of_two_parts_gives_way():
    """Two wrists near one elbow: the better part has it, the other wrist is not the person's."""
    people = [person(128, 128, 200)]
    part, heat = maps_of(people)
    other = heat_maps(torch.tensor([[[[170.0, 60.0]]]]), torch.ones(1, 1, 1, dtype=torch.bool), (64, 64), gain=torch.full((1, 1, 1), 0.5))
    heat[:, 4] = heat[:, 4].maximum(other[:, 0])
    poses = decode(part, heat, BODY, SIZE)[0]
    assert_found(poses, people)


def test_groups_exchange_joints():
    """Two people whose shoulders were mixed up by one strong part get them back through the parts around them."""
    kinds = [1, 1, 5, 5, 0, 0, 17, 17]  # necks, left shoulders, noses, left ears of persons 0 and 1
    right = [(0, 2), (1, 3), (4, 2), (5, 3), (6, 2), (7, 3), (0, 4), (1, 5), (0, 6), (1, 7)]
    pairs = {frozenset(p): i for i, p in enumerate(BODY.parts)}
    rows = [(a, b, 0.9) for a, b in right] + [(1, 2, 0.99)]  # the neck of person 1 and the shoulder of person 0: on one line by chance
    rows = [(a, b, s) if (kinds[a], kinds[b]) in BODY.parts else (b, a, s) for a, b, s in rows]
    a, b, score = (np.array(c) for c in zip(*rows, strict=True))
    part = np.array([pairs[frozenset((kinds[i], kinds[j]))] for i, j in zip(a, b, strict=True)])
    people = assemble(Links(a, b, part, score.astype(np.float64)), np.array(kinds), np.full(8, 0.9), BODY)
    assert sorted(sorted(p.values()) for p in people) == [[0, 2, 4, 6], [1, 3, 5, 7]]


def test_a_spanning_tree_alone_breaks_where_redundant_parts_hold():
    """Experiment 12: without neck and one hip nothing of the tree joins legs to arms; with redundant parts all is one."""
    people = [person(128, 128, 200, without=(1,))]
    part, heat = maps_of(people)
    how = {"build": {"limit": 0.0}, "lone": 2.0}  # no other help
    assert_found(decode(part, heat, BODY, SIZE, **how)[0], people)
    broken = decode(part, heat, BODY, SIZE, redundant=False, **how)[0]
    assert len(broken) > 1
    tree = body_of(COCO, redundant=False)
    own = [BODY.parts.index(p) for p in tree.parts]
    alone = decode(part[:, own], heat, tree, SIZE, **how)[0]
    assert np.array_equal(alone.keypoints, broken.keypoints)
    fields = torch.cat([part] * 4, 1)
    assert len(decode(fields, heat, BODY, SIZE, redundant=False)) == 1


# ── what the maps tell without a peak ──


@pytest.mark.parametrize("joint", [3, 6, 9, 12, 2, 4, 13])
def test_a_joint_without_a_peak_is_where_its_parts_end(joint):
    """Inner joints and ends of limbs, to a cell or two."""
    people = [person(128, 128, 220)]
    peaks = torch.ones(1, 1, 18, dtype=torch.bool)
    peaks[..., joint] = False
    poses = decode(*maps_of(people, joints=peaks), BODY, SIZE)[0]
    assert len(poses) == 1
    k = list(BODY.back).index(joint)
    assert 0 < poses.keypoint_scores[0, k] < 0.5  # less sure than a peak
    assert np.linalg.norm(poses.keypoints[0, k] - people[0][joint, :2]) < 8
    others = [i for i in range(17) if i != k]
    assert np.abs(poses.keypoints[0, others] - coco(people[0])[others, :2]).max() < 0.1


def test_ridges_are_not_made_up():
    """No part, no joint: an arm that is not shown stays away."""
    people = [person(128, 128, 220, without=(3, 4))]
    poses = decode(*maps_of(people), BODY, SIZE)[0]
    assert (poses.keypoint_scores[0] > 0).sum() == 15


@given(st.floats(0, 6.28), st.floats(6, 25), st.booleans())
def test_a_ridge_is_followed_to_its_end(angle, length, published):
    start = np.array([30.0, 30.0])
    end = start + length * np.array([np.cos(angle), np.sin(angle)])
    joints = np.zeros((18, 3), np.float32)
    joints[2], joints[3] = (*(start * 4 + 1.5), 2), (*(end * 4 + 1.5), 2)
    part, _ = maps_of([joints], published=published)
    for back, (a, b) in ((False, (start, end)), (True, (end, start))):
        beyond = 1.0 if published else -0.5
        found, score, run = follow(part, np.zeros(1, int), np.array([10]), np.array([back]), a[None], 30, beyond=beyond)
        assert np.linalg.norm(found[0] - b) < 3.5
        assert score[0] > 0.6
        assert run[0] > 0


@given(st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_reading_few_cells_first_changes_no_ridge(short, seed):
    """The cells around an end, and the first `short` cells of a ridge, only tell which ridges need not be read at all, or whole."""
    draw = np.random.default_rng(seed)
    part = draw.choice(np.array([0, 0.2, 0.9], np.float32), (1, 30, 24, 32), p=[0.8, 0.1, 0.1])
    image, kind, back = np.zeros(40, int), draw.integers(30, size=40), draw.random(40) < 0.5
    case = (torch.from_numpy(part), image, kind, back, draw.uniform([-2, -2], [34, 26], (40, 2)), 30)
    few = follow(*case, steps=10, short=short)
    with patch("manypose.methods.simple_pose.follow_limbs._high_around", lambda part, plane, *_: plane >= 0):
        whole = follow(*case, steps=10, short=10)
    for one, other in zip(few, whole, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_hand_without_an_arm_joins_its_person():
    """Between two people, the one whose build it fits."""
    people = [person(70, 128, 200, without=(3, 6)), person(190, 128, 200, without=(3, 6))]
    assert_found(decode(*maps_of(people), BODY, SIZE)[0], people)


def test_single_joints():
    """One alone is a person if its peak is high, and a false peak if not; two that fit are one."""
    nose = person(128, 128, 200, without=tuple(range(1, 18)))
    assert_found(decode(*maps_of([nose]), BODY, SIZE)[0], [nose])
    part, heat = maps_of([nose])
    assert len(decode(part, heat * 0.5, BODY, SIZE)[0]) == 0
    ankles = person(128, 128, 200, without=tuple(j for j in range(18) if j not in (10, 13)))
    assert_found(decode(*maps_of([ankles]), BODY, SIZE)[0], [ankles])
    assert len(decode(*maps_of([ankles]), BODY, SIZE, largest=0.0)[0]) == 2
    neck = person(128, 128, 200, without=tuple(j for j in range(18) if j != 1))
    assert len(decode(*maps_of([neck]), BODY, SIZE)[0]) == 0  # a joint that the skeleton does not have


# ── what must not matter ──


def mirrored(seed, n):
    """People in the maps, and those of them that are found in the mirrored maps too, each joint within half a pixel."""
    maps = examples(COCO, n, 256, seed)
    there = decode(**maps, body=BODY, size=SIZE)[0]
    part, heat = maps["part"].flip(3)[:, list(BODY.mirror_parts)], maps["heat"].flip(3)[:, list(BODY.mirror_joints)]
    back = Warp.scaling(1.0, SIZE).mirror().back(decode(part, heat, BODY, SIZE)[0])
    return len(there), sum(bool((np.abs(back.keypoints - p).max((1, 2)) < 0.5).any()) for p in there.keypoints)


@pytest.mark.slow
def test_mirrored_maps_give_mirrored_people():
    """Directions and equal scores are not tried in a mirrored order, so a crowded person may differ: of all, hardly any."""
    there, same = np.sum([mirrored(seed, n) for seed in range(0, 60, 4) for n in (1, 3, 6, 12)], axis=0)
    assert same >= 0.94 * there


def test_the_batch_does_not_matter():
    alone = [examples(COCO, n, 256, n) for n in (1, 7, 3)]
    empty = {name: torch.zeros_like(m) for name, m in alone[0].items()}
    images = [alone[0], empty, *alone[1:]]
    together = decode(torch.cat([m["part"] for m in images]), torch.cat([m["heat"] for m in images]), BODY, SIZE)
    for maps, found in zip(images, together, strict=True):
        single = decode(**maps, body=BODY, size=SIZE)[0]
        assert np.array_equal(single.keypoints, found.keypoints)
        assert np.array_equal(single.scores, found.scores)
    assert len(together[1]) == 0


def test_memory_order_and_kind_do_not_matter():
    maps = examples(COCO, 5, 256, 1)
    plain = decode(**maps, body=BODY, size=SIZE)[0]
    whole = torch.cat([maps["part"], maps["heat"]], 1).contiguous(memory_format=torch.channels_last)
    other = decode(whole[:, :30].double(), whole[:, 30:].double(), BODY, SIZE)[0]
    assert np.array_equal(plain.keypoints, other.keypoints)


def test_finer_maps_give_the_same_people():
    """Test-time augmentation may give maps of the input's size."""
    people = [person(60.3, 120.7, 180), person(190.2, 130.1, 200)]
    part, heat = maps_of(people)
    fine = [torch.nn.functional.interpolate(m, SIZE, mode="bilinear", align_corners=False) for m in (part, heat)]
    assert_found(decode(*fine, BODY, SIZE)[0], people, within=1.0)


@pytest.mark.slow
def test_nobody_and_nonsense():
    for fill in (0.0, 1.0, float("nan"), float("inf"), -1.0):
        poses = decode(torch.full((2, 30, 16, 16), fill), torch.full((2, 18, 16, 16), fill), BODY, (64, 64))
        assert len(poses) == 2
    assert len(decode(torch.zeros(0, 30, 16, 16), torch.zeros(0, 18, 16, 16), BODY, (64, 64))) == 0
    noise = torch.rand(1, 48, 64, 64, generator=torch.Generator().manual_seed(0))
    decode(noise[:, :30], noise[:, 30:], BODY, SIZE)


@pytest.mark.parametrize(("part", "heat"), [((1, 30, 8, 8), (1, 17, 8, 8)), ((1, 29, 8, 8), (1, 18, 8, 8)), ((1, 30, 8, 4), (1, 18, 8, 8))])
def test_shapes_that_do_not_fit_are_told(part, heat, untyped):
    with pytest.raises(ValueError, match=r"'coco' needs heat \(b,18,h,w\) and part \(b,30,h,w\)"):
        decode(torch.zeros(part), torch.zeros(heat), BODY, (32, 32))


def test_part_affinity_fields_group_too():
    people = [person(60.3, 120.7, 180), person(190.2, 130.1, 200)]
    joints = torch.from_numpy(np.stack(people))[None]
    fields = paint_fields(joints[..., :2], joints[..., 2] > 0, BODY, (64, 64))
    _, heat = maps_of(people)
    assert_found(decode(torch.cat([fields, -fields], 1), heat, BODY, SIZE)[0], people)
    # Fields that point the other way join nothing.
    assert len(score_parts(torch.cat([fields, -fields], 1), find_joints(heat), BODY).a) >= 60
    assert len(score_parts(torch.cat([-fields, fields], 1), find_joints(heat), BODY).a) < 10


@pytest.mark.parametrize("skeleton", [CROWDPOSE, MPII], ids=lambda s: s.name)
def test_other_skeletons(skeleton):
    body = body_of(skeleton)
    found = [len(decode(**examples(skeleton, 6, 512, seed), body=body, size=(512, 512))[0]) for seed in range(4)]
    assert all(abs(n - 6) <= 2 for n in found)


def test_joints_of_no_known_build_are_grouped_by_parts():
    stick = Skeleton.build("stick", ["left_end", "middle", "right_end"], [["left_end", "middle"], ["middle", "right_end"]], [0.1] * 3)
    body = body_of(stick)
    people = [
        np.array([[40, 40, 2], [70, 60, 2], [110, 50, 2]], np.float32),
        np.array([[40, 150, 2], [90, 160, 2], [140, 190, 2]], np.float32),
    ]
    poses = decode(*maps_of(people, body), body, SIZE)[0]
    assert len(poses) == 2
    assert sorted(np.round(poses.keypoints[:, 0, 1]).tolist()) == [40, 150]


# ── groups ──


def test_groups_merge_what_has_no_joint_in_common():
    xy, score = np.zeros((3, 4, 2)), np.zeros((3, 4))
    score[0, :2], score[1, 2], score[2, 1:3] = 1, 1, 1
    xy[1, 2] = 7
    groups = Groups(xy, score, score > 0)
    now = groups.merge([(0, 1), (0, 2)])
    assert now == {0: 0, 1: 0, 2: 1}
    assert groups.there.tolist() == [[True, True, True, False], [False, True, True, False]]
    assert groups.xy[0, 2].tolist() == [7, 7]
