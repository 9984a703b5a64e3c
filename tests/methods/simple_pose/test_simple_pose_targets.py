"""Targets against their definitions, written out plainly; against mirror images; and their speed."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_people import batch_of, random_people

from manypose.geometry import Warp
from manypose.methods.simple_pose.body import body_of
from manypose.methods.simple_pose.targets import heat_maps, paint_fields, part_maps, pyramid, targets
from manypose.skeleton import COCO

BODY = body_of(COCO)
SIZE = (64, 96)
GRID = (16, 24)


def plain(people: np.ndarray, grid: tuple[int, int], sigma_k=9.0, sigma_p=7.0, thre=0.01) -> tuple[np.ndarray, np.ndarray]:
    """Parts and joints of painted joints (n, 18, 3), one person and one map after another (Equation 1)."""
    y, x = np.mgrid[0 : grid[0], 0 : grid[1]] * 4 + 1.5  # where cells lie in the input
    heat, part = np.zeros((18, *grid)), np.zeros((30, *grid))
    for person in people.astype(np.float64):
        for j, (px, py, v) in enumerate(person):
            if v > 0:
                bell = np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * sigma_k**2))
                heat[j] = np.maximum(heat[j], np.where(bell > thre, bell, 0))
        for i, (a, b) in enumerate(BODY.parts):
            (ax, ay, va), (bx, by, vb) = person[a], person[b]
            if va > 0 and vb > 0 and (ax, ay) != (bx, by):
                large = (np.hypot(x - ax, y - ay) + np.hypot(x - bx, y - by)) / 2  # half axes of the ellipse through each cell
                small2 = np.maximum(large**2 - ((bx - ax) ** 2 + (by - ay) ** 2) / 4, 0)
                bell = np.exp(-small2 / (2 * sigma_p**2))
                part[i] = np.maximum(part[i], np.where(bell > thre, bell, 0))
    return part, heat


def painted(people: np.ndarray) -> np.ndarray:
    return BODY.joints(torch.from_numpy(people)[None])[0].numpy()


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_maps_are_their_definition(seed, n):
    people = [random_people(seed, n, SIZE), random_people(seed + 1, 1, SIZE)]
    ours = targets(batch_of(people, SIZE), SIZE, BODY)["scale0"]
    assert ours.shape == (2, 50, *GRID)
    for maps, image in zip(ours.numpy(), people, strict=True):
        part, heat = plain(painted(image), GRID)
        for mine, theirs in ((maps[:30], part), (maps[30:48], heat)):
            difference = np.abs(mine - theirs)
            # A value beside the threshold may fall on its other side in single precision.
            assert (difference[np.abs(theirs - 0.01) > 1e-4] < 2e-5).all() or (difference > 2e-5).sum() <= 2
            assert (difference > 2e-5).sum() <= 2
        assert np.array_equal(maps[49], maps[30:48].max(0))


@given(st.integers(0, 10_000), st.booleans())
def test_mirrored_people_have_mirrored_maps(seed, fields):
    people = random_people(seed, 3, SIZE)
    mirrored = Warp.scaling(1.0, SIZE).mirror().joints(people, COCO.mirror)
    ours, theirs = (targets(batch_of([p], SIZE), SIZE, BODY, fields=fields)["scale0"] for p in (people, mirrored))
    parts = 60 if fields else 30
    order = [parts + j for j in BODY.mirror_joints]
    assert torch.allclose(ours[:, order].flip(-1), theirs[:, parts : parts + 18], atol=1e-4)
    if not fields:
        # Cells at the very edge of a part may fall on the other side of the threshold.
        assert ((ours[:, list(BODY.mirror_parts)].flip(-1) - theirs[:, :30]).abs() > 1e-3).sum() <= 4


def test_fields_point_along_parts():
    people = np.zeros((1, 17, 3), np.float32)
    people[0, 6], people[0, 8] = (20, 20, 2), (20, 50, 2)  # right upper arm: straight down
    joints = torch.from_numpy(painted(people))[None]
    fields = paint_fields(joints[..., :2], joints[..., 2] > 0, BODY, GRID)
    x, y = fields[0, 10], fields[0, 40]
    assert torch.all(x == 0)
    assert y[8, 5] == 1
    assert set(y.unique().tolist()) == {0, 1}
    assert not fields[0, [i for i in range(60) if i != 40]].any()


@given(st.integers(0, 10_000))
def test_published_floor_and_average(seed):
    """In the box around a part nothing is below 0.01, and two people on one another average."""
    people = random_people(seed, 1, SIZE)
    joints = torch.from_numpy(painted(people))[None]
    drawn = joints[..., 2] > 0
    one = part_maps(joints[..., :2], drawn, BODY, GRID, published=True)
    two = part_maps(joints[..., :2].repeat(1, 2, 1, 1), drawn.repeat(1, 2, 1), BODY, GRID, published=True)
    assert torch.allclose(one, two)
    assert torch.all((one == 0) | (one >= 0.0099))


def test_padding_unlabelled_and_nobody():
    people = random_people(3, 2, SIZE)
    alone = targets(batch_of([people], SIZE), SIZE, BODY)
    batch = batch_of([people, random_people(4, 5, SIZE)], SIZE)
    keypoints = batch.keypoints.clone()
    keypoints[0, 2] = torch.tensor([30.0, 30.0, 2.0])  # a row of padding, in spite of all
    keypoints[0, 3, :, :2], keypoints[0, 3, :, 2] = float("nan"), 0
    there = batch.there.clone()
    there[0, 3] = True  # a person none of whose joints is known
    there[0, 4] = True  # a person beside the picture
    keypoints[0, 4] = torch.tensor([SIZE[1] + 60.0, -90.0, 2.0])
    padded = targets(replace(batch, keypoints=keypoints, there=there), SIZE, BODY)
    for i in range(5):
        assert torch.equal(padded[f"scale{i}"][0], alone[f"scale{i}"][0])
    for how in ({}, {"published": True}, {"fields": True}):
        nobody = targets(batch_of([np.zeros((0, 17, 3))], SIZE), SIZE, BODY, **how)
        assert not nobody["scale0"].any()


def test_a_part_of_no_length_is_no_part():
    people = np.zeros((1, 17, 3), np.float32)
    people[0, 6], people[0, 8] = (20, 20, 2), (20, 20, 2)
    for published in (False, True):
        maps = targets(batch_of([people], SIZE), SIZE, BODY, published=published)["scale0"]
        assert not maps[0, 10].any()
        assert maps.isfinite().all()


def test_pyramid_averages_and_masks():
    maps, mask = torch.rand(1, 2, 16, 16), torch.ones(1, 1, 16, 16)
    mask[..., :4] = 0
    out = pyramid(maps, mask)
    assert [tuple(out[f"scale{i}"].shape[2:]) for i in range(5)] == [(16, 16), (8, 8), (4, 4), (2, 2), (1, 1)]
    assert torch.allclose(out["scale4"][0, :, 0, 0], maps[0].mean((1, 2)))
    assert torch.equal(out["mask2"][0, 0, 0], torch.tensor([0.0, 1, 1, 1]))
    assert set(torch.cat([out[f"mask{i}"].flatten() for i in range(4)]).tolist()) == {0, 0.5, 1}  # half and more counts as much


def test_masks_of_joints_and_unknown_people():
    """A part may be looked at where both of its ends may; the mask of people where it is known."""
    people = random_people(1, 1, SIZE)
    planes = np.ones((1, 17, *SIZE), np.uint8)
    planes[:, 8] = 0  # the right elbow is not annotated in this picture
    batch = batch_of([people], SIZE, planes)
    segmentation = torch.zeros_like(batch.segmentation)
    segmentation[:, :32], segmentation[:, 32:48] = 255, 1
    out = targets(replace(batch, segmentation=segmentation), SIZE, BODY)
    looked = out["mask0"][0].flatten(1).any(1)
    assert [i for i in range(30) if not looked[i]] == [10, 11]
    assert [i - 30 for i in range(30, 48) if not looked[i]] == [3]
    assert not out["mask0"][0, 48].any()  # one joint's annotation is missing: nothing is known of the largest of all, nor of people
    plain = targets(replace(batch_of([people], SIZE), segmentation=segmentation), SIZE, BODY)
    assert not plain["mask0"][0, 48, :8].any()
    assert plain["mask0"][0, 48, 8:].all()
    # Eroded by one cell, as published.
    assert plain["scale0"][0, 48, :, 3].tolist() == [0.0] * 9 + [1.0] * 2 + [0.0] * 5


@pytest.mark.parametrize("published", [False, True])
def test_painting_together_is_much_faster_than_one_by_one(published):
    """Ten people on 128 × 128 cells, one thread, processor time."""
    random = np.random.default_rng(0)
    place = BODY.place - [0, 0.6]
    middle, tall = random.uniform(80, 432, (10, 1, 2)), random.uniform(80, 250, (10, 1, 1))
    joints = np.concatenate([middle + place * tall / 2.2 + random.normal(0, 4, (10, 18, 2)), np.full((10, 18, 1), 2)], 2).astype(np.float32)
    xy, drawn = torch.from_numpy(joints[None, ..., :2]), torch.ones(1, 10, 18, dtype=torch.bool)

    def least(call, times):
        spent = []
        for _ in range(times):
            start = time.process_time()
            call()
            spent.append(time.process_time() - start)
        return min(spent)

    def ours():
        heat_maps(xy, drawn, (128, 128), published=published)
        part_maps(xy, drawn, BODY, (128, 128), published=published)

    ours()
    slow, fast = least(lambda: plain(joints, (128, 128)), 2), least(ours, 20)
    print(f"one by one {1e3 * slow:.1f} ms, together {1e3 * fast:.2f} ms: {slow / fast:.0f} times as fast")
    assert slow > 5 * fast  # some twenty times on a quiet machine; the figure is printed
