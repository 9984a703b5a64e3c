"""What the PRN learns from, and that it learns: curriculum, resuming, and the published table's set."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from manypose.methods.multiposenet.baselines import prior
from manypose.methods.multiposenet.prn_data import batches, order, points, ranges
from manypose.poses.skeleton import COCO


@given(st.lists(st.integers(0, 5)), st.integers(0, 2**32 - 1))
def test_ranges(count, seed):
    first = np.random.default_rng(seed).integers(0, 100, len(count))
    wanted = [f + i for f, c in zip(first.tolist(), count, strict=True) for i in range(c)]
    assert ranges(torch.from_numpy(first), torch.tensor(count, dtype=torch.long)).tolist() == wanted


@pytest.mark.parametrize("margin", [0.0, 0.21, 1.0])
def test_points_are_the_joints_near_a_box(people, margin):
    chosen = torch.tensor([5, 0, 17, 30])
    got = points(people, chosen, margin=margin)
    found = set(zip(got.row.tolist(), got.joint.tolist(), got.candidate.tolist(), got.own.tolist(), got.seen.tolist(), strict=True))
    wanted = set()
    for row, me in enumerate(chosen.tolist()):
        x0, y0, x1, y1 = people.boxes[me].tolist()
        for other in (people.image == people.image[me]).nonzero()[:, 0].tolist():
            for joint, (x, y, v) in enumerate(people.keypoints[other].tolist()):
                across, down = (x - x0) / (x1 - x0), (y - y0) / (y1 - y0)
                seen = -margin < across < 1 + margin and -margin < down < 1 + margin
                if v > 0 and (seen or other == me):
                    wanted.add((row, joint, other * 17 + joint, other == me, seen))
    assert found == wanted
    assert (got.row.diff() >= 0).all()


def test_a_mirrored_region_swaps_sides(people):
    chosen = torch.tensor([3, 4])
    plain, seen = points(people, chosen), points(people, chosen, mirrored=torch.tensor([True, False]))
    swapped = plain.row == 0
    assert torch.equal(seen.joint, torch.where(swapped, torch.tensor(COCO.mirror)[plain.joint], plain.joint))
    torch.testing.assert_close(seen.place[:, 0], torch.where(swapped, 1 - plain.place[:, 0], plain.place[:, 0]))
    assert torch.equal(seen.place[:, 1], plain.place[:, 1])


def test_the_curriculum_is_in_effect(people):
    easy = order(people, least=10)
    labelled, size = (people.keypoints[..., 2] > 0).sum(1), (people.boxes[:, 2:] - people.boxes[:, :2]).prod(1)
    assert labelled[easy].min() >= 10
    assert len(easy) == int((labelled >= 10).sum())
    keys = list(zip(labelled[easy].tolist(), size[easy].tolist(), strict=True))
    assert keys == sorted(keys, reverse=True)
    mean = [float(labelled[b].float().mean()) for b in batches(people, easy, 16, 0, 0, "sorted")]
    assert mean == sorted(mean, reverse=True)
    assert mean[0] > mean[-1] + 2
    shuffled = [float(labelled[b].float().mean()) for b in batches(people, easy, 16, 0, 0, "none")]
    assert max(shuffled) - min(shuffled) < mean[0] - mean[-1]


@pytest.mark.parametrize("curriculum", ["sorted", "none"])
def test_batches_come_again_and_epochs_differ(people, curriculum):
    easy = order(people)
    for whole in (False, True):
        one, again, next_one = (batches(people, easy, 16, e, 0, curriculum, whole) for e in (0, 0, 1))
        assert all(map(torch.equal, one, again))
        rows = torch.cat(one)
        assert len(rows.unique()) == len(rows)
        if curriculum == "none":
            assert not all(map(torch.equal, one, next_one))
        if whole:
            for b in one:
                images = people.image[b].unique()
                assert sorted(b.tolist()) == torch.isin(people.image, images).nonzero()[:, 0].tolist()


def test_the_prior_is_where_joints_are(people):
    maps = prior(people)
    torch.testing.assert_close(maps.sum((1, 2)), torch.ones(17))
    place = points(people, torch.arange(len(people)))
    for j in range(17):
        mine = place.place[place.own & (place.joint == j)].mean(0)
        y, x = divmod(int(maps[j].argmax()), 36)
        assert abs((x + 0.5) / 36 - float(mine[0])) < 0.1
        assert abs((y + 0.5) / 56 - float(mine[1])) < 0.1
