"""What the PRN learns from, and that it learns: curriculum, resuming, and the published table's set."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from prn_crowd import crowd
from torch.optim.optimizer import register_optimizer_step_pre_hook

from manypose.methods.multiposenet.attention import AttentionPRN
from manypose.methods.multiposenet.baselines import prior
from manypose.methods.multiposenet.prn import PRN
from manypose.methods.multiposenet.prn_data import People, batches, order, points, ranges, read_people
from manypose.methods.multiposenet.prn_train import PrnTrainingConfig, fit, train
from manypose.poses.skeleton import COCO


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("annotations") / "people.npz"
    np.savez(path, **crowd())
    return path


@pytest.fixture(scope="module")
def people(archive) -> People:
    return read_people(archive)


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


@pytest.mark.parametrize("kind", [PRN, AttentionPRN])
def test_training_that_is_stopped_ends_as_one_that_is_not(people, kind, tmp_path):
    def fresh():
        torch.manual_seed(0)
        return kind(**({"size": (8, 6), "nodes": 8} if kind is PRN else {"size": (4, 3), "width": 8, "layers": 1, "heads": 2})).train()

    course = PrnTrainingConfig(epochs=1.5, batch_size=32, lost=0.2)
    whole, parts = fresh(), fresh()
    assert fit(whole, people, course, tmp_path)
    runs = 0
    while not fit(parts, people, course, tmp_path, max_minutes=0.0):
        parts, runs = fresh(), runs + 1
        for p in parts.parameters():
            torch.nn.init.zeros_(p)  # all that counts is in the file
    assert runs >= 3
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), parts.parameters(), strict=True))
    assert not list(tmp_path.iterdir())


def mirrored(people: People) -> People:
    """Everybody as in a mirror: x changes its sign, left and right joints change places."""
    x0, y0, x1, y1 = people.boxes.unbind(1)
    keypoints = people.keypoints[:, list(COCO.mirror)] * torch.tensor([-1.0, 1, 1])
    return replace(people, keypoints=keypoints, boxes=torch.stack([-x1, y0, -x0, y1], 1))


def test_training_shows_images_in_a_mirror(people, tmp_path):
    """With chance 1 it learns what it learns from mirrored annotations with chance 0, and with neither something else."""
    learnt = []
    for data, chance in ((people, 1.0), (mirrored(people), 0.0), (people, 0.0)):
        torch.manual_seed(0)
        net = PRN(size=(8, 6), nodes=8, dropout=0.0).train()
        assert fit(net, data, PrnTrainingConfig(epochs=10, batch_size=32, lr=1e-2, jitter=0.0, mirror=chance), tmp_path)
        learnt.append(net.last.detach())
    torch.testing.assert_close(learnt[0], learnt[1], atol=1e-3, rtol=1e-2)
    assert (learnt[0] - learnt[2]).abs().max() > 1e-2
    assert 0 < PrnTrainingConfig().mirror < 1


def test_the_rate_rises_at_the_start_and_falls_to_the_end(people, tmp_path):
    rates = []
    hook = register_optimizer_step_pre_hook(lambda optimizer, *_: rates.append(optimizer.param_groups[0]["lr"]))
    try:
        assert fit(PRN(size=(4, 3), nodes=4).train(), people, PrnTrainingConfig(epochs=100, batch_size=32, lr=1e-2), tmp_path)
    finally:
        hook.remove()
    top = int(np.argmax(rates))
    assert len(rates) > 100
    assert rates[0] < 0.2 * max(rates)
    assert max(rates) == pytest.approx(1e-2, rel=0.1)
    assert rates[-1] < 0.05 * max(rates)
    assert np.all(np.diff(rates[:top]) > 0)
    assert np.all(np.diff(rates[top:]) <= 0)


def test_a_training_goes_on_with_its_own_settings_alone(people, tmp_path):
    net = PRN(size=(4, 3), nodes=4)
    assert not fit(net, people, PrnTrainingConfig(epochs=2, batch_size=32), tmp_path, max_minutes=0.0)
    with pytest.raises(ValueError, match=r"last\.pt: is from a training with other settings"):
        fit(net, people, PrnTrainingConfig(epochs=2, batch_size=32, lr=1e-4), tmp_path)
    with pytest.raises(ValueError, match=r"last\.pt: is from the training of another network"):
        fit(PRN(size=(4, 3), nodes=5), people, PrnTrainingConfig(epochs=2, batch_size=32), tmp_path)


def test_the_prior_is_where_joints_are(people):
    maps = prior(people)
    torch.testing.assert_close(maps.sum((1, 2)), torch.ones(17))
    place = points(people, torch.arange(len(people)))
    for j in range(17):
        mine = place.place[place.own & (place.joint == j)].mean(0)
        y, x = divmod(int(maps[j].argmax()), 36)
        assert abs((x + 0.5) / 36 - float(mine[0])) < 0.1
        assert abs((y + 0.5) / 56 - float(mine[1])) < 0.1


def test_bad_input_is_one_clear_error(archive, tmp_path, untyped):
    for wrong in ({"epochs": 0}, {"batch_size": 0}, {"lost": 1.0}, {"size": [56]}):
        with pytest.raises(ValueError, match=r"must be|at least"):
            train(archive, tmp_path, **wrong)
    with pytest.raises(ValueError, match="attention is residual"):
        train(archive, tmp_path, network="attention", residual=False)
