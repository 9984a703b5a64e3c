"""Scores of parts and people, from the paper's Section "Keypoint Assignment Algorithm": each number by hand."""

import numpy as np
import pytest
import torch

from manypose.methods.simple_pose import SimplePose
from manypose.methods.simple_pose.assembly import assemble
from manypose.methods.simple_pose.body import body_of
from manypose.methods.simple_pose.candidates import Links, find_joints, score_parts
from manypose.methods.simple_pose.decode import decode
from manypose.methods.simple_pose.published_decode import _meet, _Person
from manypose.methods.simple_pose.targets import heat_maps, part_maps
from manypose.poses.skeleton import COCO, Skeleton

BODY = body_of(COCO)
ELBOW, WRIST = 3, 4
FOREARM = BODY.parts.index((ELBOW, WRIST))


def scene(xy: dict[int, tuple[float, float]], gain: dict[int, float], size: int = 256) -> tuple[torch.Tensor, torch.Tensor]:
    """Maps of one person with these painted joints, whose peaks are so high."""
    joints = torch.zeros(1, 1, 18, 2)
    drawn = torch.zeros(1, 1, 18, dtype=torch.bool)
    for j, place in xy.items():
        joints[0, 0, j], drawn[0, 0, j] = torch.tensor(place), True
    heat = heat_maps(joints, drawn, (size // 4, size // 4))
    for j, height in gain.items():
        heat[:, j] *= height
    return part_maps(joints, drawn, BODY, (size // 4, size // 4)), heat


def test_18_a_persons_score_is_the_mean_over_all_joints():
    """People are sorted "according to their scores in heatmaps": one high joint makes no good person."""
    xy = {2: (60.0, 60.0), ELBOW: (60.0, 100.0), WRIST: (60.0, 140.0)}
    part, heat = scene(xy, {2: 0.9, ELBOW: 0.4, WRIST: 0.5})
    person = decode(part, heat, BODY, (256, 256))[0]
    assert len(person) == 1
    # Smoothing takes a little of a peak's height, the same share of each.
    share = float(person.keypoint_scores.max()) / 0.9
    assert share == pytest.approx(0.87, abs=0.05)
    assert float(person.scores[0]) == pytest.approx(share * (0.9 + 0.4 + 0.5) / 17, rel=1e-3)


@pytest.mark.parametrize("length", [24, 40, 56])
def test_18_parts_longer_than_half_the_map_lose_score(length):
    """The score is the mean along the part, and (h / 2) / length - 1 where the part is longer than half the map's height h."""
    heat = torch.zeros(1, 18, 64, 64)
    heat[0, ELBOW, 4, 10], heat[0, WRIST, 4 + length, 10] = 1.0, 1.0
    links = score_parts(torch.full((1, 30, 64, 64), 0.8), find_joints(heat, smoothing=0), BODY)
    assert links.part.tolist() == [FOREARM]
    assert links.score[0] == pytest.approx(0.8 + min(32 / length - 1, 0), abs=1e-5)


@pytest.mark.parametrize(("heights", "chosen"), [((0.9, 0.3), 0), ((0.3, 0.9), 1)])
def test_18_parts_are_sorted_by_their_score_and_their_joints(heights, chosen):
    """Two forearms share an elbow; the weaker part has the much better wrist, and the weighted score of parts and joints decides."""
    joint, score = np.array([ELBOW, WRIST, WRIST]), np.array([0.8, *heights])
    part_scores = np.array([0.5, 0.5])
    part_scores[chosen] -= 0.1
    links = Links(np.array([0, 0]), np.array([1, 2]), np.array([FOREARM, FOREARM]), part_scores)
    people = assemble(links, joint, score, BODY)
    together = next(person for person in people if ELBOW in person)
    assert together[WRIST] == 1 + chosen


def test_13_every_decoder_finds_the_people():
    """The authors' program moves peaks along x by what it found along y, up to half a cell of the enlarged map."""
    xy = {j: (60.0 + 3 * j, 50.0 + 8 * j) for j in range(18)}
    part, heat = scene(xy, {})
    for decoder, within in (("ours", 0.1), ("paper", 0.6), ("published", 1.0)):
        method = SimplePose(stages=1, c=16, n=16, decoder=decoder)
        people = method.decode({"part": part, "heat": heat}, (256, 256))[0]
        assert len(people) == 1
        truth = np.array([xy[j] for j in BODY.back])
        assert np.abs(people.keypoints[0] - truth).max() < within
    with pytest.raises(ValueError, match="decoder paper reads body parts"):
        SimplePose(stages=1, c=16, n=16, decoder="paper", encoding="fields")


def test_of_parts_that_share_a_joint_the_weaker_loses_it():
    """ "The assembled body parts having lower scores are removed by the body parts having higher scores"; the program keeps both."""
    people = []
    for paper in (False, True):
        one, other = _Person(), _Person()
        score = np.array([0.9, 0.8, 0.7, 0.6])
        one.joints, one.total = {ELBOW: (0, 0.5), 2: (1, 0.5)}, 2.7
        other.joints, other.total = {WRIST: (2, 0.8), 2: (3, 0.8)}, 2.9
        _meet([one, other], one, other, (ELBOW, WRIST), 0.7, 10.0, score, paper)
        people.append((set(one.joints), set(other.joints), one.total))
    assert people[0] == ({ELBOW, 2}, {WRIST, 2}, 2.7)
    assert people[1][:2] == ({2}, {WRIST, 2})
    assert people[1][2] == pytest.approx(2.7 - 0.9 - 0.5)


def test_a_skeleton_of_one_joint_is_refused():
    with pytest.raises(ValueError, match="'ball' has one joint and no limb"):
        body_of(Skeleton.build("ball", ["middle"], [], [0.05]))
