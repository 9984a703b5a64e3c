"""Training views of one person at a time, from data sets through the loader to what the network learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from shared import shared

from manypose.data.augmentation.person_crops import EachPerson, PersonView, lower_body
from manypose.data.datasets.coco import coco
from manypose.data.loading import Source, loader
from manypose.data.sample import Sample
from manypose.methods.catalog import build
from manypose.poses.crops import crop
from manypose.poses.skeleton import COCO
from manypose.training.step import Step

SIZE = (64, 64)


def people(seed: int, n: int, labelled: int = 17) -> Sample:
    """Each person's first joint has its number as visibility's stand-in: x says who it is."""
    rng = np.random.default_rng(seed)
    keypoints = np.zeros((n, 17, 3), np.float32)
    keypoints[:, :labelled, :2] = rng.uniform(20, 100, (n, labelled, 2))
    keypoints[:, :labelled, 2] = 2
    boxes = np.tile(np.float32([15, 15, 105, 105]), (n, 1))
    image = np.full((120, 120, 3), seed, np.uint8)
    return Sample(COCO, image, keypoints, boxes, np.full(n, 8000, np.float32), np.ones((1, 120, 120), np.uint8), None, seed)


def still(**options) -> PersonView:
    return PersonView(**{"size": SIZE, "rotated": 0.0, "flip": 0.0, "half_body": 0.0, "scale": (1.0, 1.0), **options})


def test_everybody_is_seen_once_an_epoch_and_alone():
    data = [people(i, n) for i, n in enumerate((2, 0, 3, 1))]
    each = EachPerson(data)  # pyright: ignore[reportArgumentType]
    batches = list(loader([Source(each)], still(), 2, length=6, seed=0))
    assert [b.keypoints.shape for b in batches] == [(2, 1, 17, 3)] * 3
    photos = sorted(int(image[0, 0, 0]) for b in batches for image in b.images[:, 32:, 32:])
    assert photos == [0, 0, 2, 2, 2, 3]
    seen = {tuple(k[0].flatten().tolist()) for b in batches for k in b.keypoints}
    assert len(seen) == 6


def test_an_epoch_can_be_entered_anywhere():
    each = EachPerson([people(i, 3) for i in range(8)])  # pyright: ignore[reportArgumentType]
    data = loader([Source(each)], PersonView(SIZE), 4, length=24, seed=3)
    whole = list(data)
    data.set_epoch(0, 4)
    for late, same in zip(data, whole[4:], strict=True):
        assert torch.equal(late.images, same.images)
        assert torch.equal(late.keypoints, same.keypoints)


def test_people_with_too_few_joints_are_left_out():
    data = [people(0, 2), people(1, 2, labelled=2)]
    assert len(EachPerson(data, least=3)) == 2  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="no person in the 2 photos has 18 labelled joints"):
        EachPerson(data, least=18)  # pyright: ignore[reportArgumentType]


@given(st.integers(0, 10_000), st.sampled_from([(64, 64), (128, 96), (96, 128)]), st.sampled_from([1.0, 1.25, 1.6]))
def test_without_chance_training_sees_what_prediction_sees(seed, size, factor):
    sample = people(seed % 200, 1)
    view = still(size=size, extend=(factor, factor))(sample, np.random.default_rng(seed))
    warp = crop(sample.boxes[0].astype(np.float64), size, (factor, factor))
    expected = warp.points(sample.keypoints[0, :, :2].astype(np.float64))
    inside = view.keypoints[0, :, 2] > 0
    assert np.abs(view.keypoints[0, inside, :2] - expected[inside]).max(initial=0) < 1e-3
    beyond = (expected < -0.5).any(1) | (expected > np.array(size[::-1]) - 0.5).any(1)
    assert (inside == ~beyond).all()


@given(st.integers(0, 10_000), st.floats(0, 45), st.booleans())
def test_joints_move_with_the_picture(seed, degrees, mirrored):
    """A dot painted at a joint in the middle of a person is there in every view, with the joint of its side."""
    joint = COCO.joints.index("left_knee")
    image = np.zeros((120, 120, 3), np.uint8)
    sample = people(seed % 100, 1)
    x, y = (int(v) for v in (sample.boxes[0, :2] + sample.boxes[0, 2:]) / 2)
    image[y - 2 : y + 3, x - 2 : x + 3] = 255
    sample = replace(sample, image=image)
    sample.keypoints[0, joint, :2] = x, y
    view = PersonView((128, 96), (1.25, 1.25), rotation=degrees, rotated=1.0, flip=float(mirrored), shift=0.05)
    seen = view(sample, np.random.default_rng(seed))
    name = COCO.joints.index("right_knee") if mirrored else joint
    place = seen.keypoints[0, name]
    dot = seen.image[..., 0].astype(np.float64)
    assert place[2] == sample.keypoints[0, joint, 2] > 0
    rows, columns = np.mgrid[:128, :96]
    assert np.hypot((dot * columns).sum() / dot.sum() - place[0], (dot * rows).sum() / dot.sum() - place[1]) < 0.5


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_a_view_placed_as_published_has_the_box_half_a_pixel_off_its_centre(flip):
    sample = people(1, 1)
    plain, published = (still(size=(128, 96), published=p, flip=flip)(sample, np.random.default_rng(0)) for p in (False, True))
    moved = published.keypoints[0] - plain.keypoints[0]
    seen = (published.keypoints[0, :, 2] > 0) & (plain.keypoints[0, :, 2] > 0)
    assert seen.any()
    np.testing.assert_allclose(moved[seen, :2], np.broadcast_to([-0.5 if flip else 0.5, 0.5], (int(seen.sum()), 2)), atol=1e-4)


def test_the_random_extension_grows_width_and_height_apart():
    sample, seen = people(2, 1), []
    for seed in range(40):
        view = still(size=(128, 96), random_extend=(0.0, 0.8))(sample, np.random.default_rng(seed))
        both = (view.keypoints[0, :, 2] > 0) & (sample.keypoints[0, :, 2] > 0)
        there = np.flatnonzero(both)[:2]
        if len(there) == 2:
            seen.append(
                np.hypot(*np.diff(view.keypoints[0, there, :2], axis=0)[0]) / np.hypot(*np.diff(sample.keypoints[0, there, :2], axis=0)[0])
            )
    assert len(seen) > 20
    assert max(seen) / min(seen) > 1.2  # of another size each time
    assert max(seen) / min(seen) <= 1.81


def test_half_bodies_are_halves():
    lower = lower_body(COCO)
    assert lower.sum() == 6
    sample = people(0, 1)
    sample.keypoints[0, :, 1] = np.where(lower, 90, 20) + np.arange(17) % 5
    sample.keypoints[0, :, 0] = 30 + 3 * np.arange(17)
    halves = set()
    for seed in range(20):
        view = still(size=(128, 96), half_body=1.0, extend=(1.0, 1.0))(sample, np.random.default_rng(seed))
        seen = view.keypoints[0, :, 2] > 0
        assert (seen[lower].all() and not seen[~lower].all()) or (seen[~lower].all() and not seen[lower].all())
        halves.add(bool(seen[lower].all()))
    assert halves == {True, False}


def test_photos_of_two_data_sets_are_learnt_from():
    """As the configs have it: COCO's people and sports people without face points, through the loader into a training step."""
    folder = shared("data")
    sets = [
        coco(folder / "coco_photos/train2017", folder / "coco_photos/person_keypoints_train.json"),
        coco(folder / "lspet_photos/images", folder / "lspet_photos/person_keypoints.json"),
    ]
    data = loader([Source(EachPerson(s, least=3)) for s in sets], PersonView((128, 96)), 8, length=16, seed=0)
    method = build("mspn-small")
    for batch in data:
        assert batch.images.shape == (8, 128, 96, 3)
        assert batch.keypoints.shape[1] == 1
        targets = method.targets(batch, (128, 96))
        assert set(targets["known"].sum(1).tolist()) <= {12.0, 17.0}
        losses = Step(method)(batch)  # pyright: ignore[reportArgumentType]
        torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in method.parameters())  # pyright: ignore
