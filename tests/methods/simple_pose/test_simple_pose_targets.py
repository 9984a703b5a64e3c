"""Targets against their definitions, written out plainly; against mirror images."""

import json
from dataclasses import replace

import numpy as np
import simple_pose_targets as plainly
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_people import batch_of, random_people

from manypose.methods.simple_pose.body import body_of
from manypose.methods.simple_pose.targets import paint_fields, part_maps, pyramid, targets
from manypose.poses.skeleton import COCO
from manypose.poses.warp import Warp

BODY = body_of(COCO)
SIZE = (64, 96)
GRID = (16, 24)


def painted(people: np.ndarray) -> np.ndarray:
    return BODY.joints(torch.from_numpy(people)[None])[0].numpy()


def assert_alike(one: np.ndarray, other: np.ndarray) -> None:
    """Equal but for rounding; a value beside the threshold (0.01) may be cut off in one of them."""
    differ = np.abs(one - other) > 5e-5
    assert np.abs(np.maximum(one, other)[differ] - 0.01).max(initial=0) < 1e-5


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_maps_are_their_definition(seed, n):
    people = [random_people(seed, n, SIZE), random_people(seed + 1, 1, SIZE)]
    ours = targets(batch_of(people, SIZE), SIZE, BODY)["scale0"]
    assert ours.shape == (2, 50, *GRID)
    for maps, image in zip(ours.numpy(), people, strict=True):
        part, heat = plainly.one_by_one(painted(image), GRID)
        for mine, theirs in ((maps[:30], part), (maps[30:48], heat)):
            assert_alike(mine, theirs)
        assert np.array_equal(maps[49], maps[30:48].max(0))


@given(st.integers(0, 10_000), st.booleans())
def test_mirrored_people_have_mirrored_maps(seed, fields):
    people = random_people(seed, 3, SIZE)
    mirrored = Warp.scaling(1.0, SIZE).mirror().joints(people, COCO.mirror)
    ours, theirs = (targets(batch_of([p], SIZE), SIZE, BODY, fields=fields)["scale0"] for p in (people, mirrored))
    parts = 60 if fields else 30
    order = [parts + j for j in BODY.mirror_joints]
    assert_alike(ours[:, order].flip(-1).numpy(), theirs[:, parts : parts + 18].numpy())
    if not fields:
        assert_alike(ours[:, list(BODY.mirror_parts)].flip(-1).numpy(), theirs[:, :30].numpy())


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


def test_the_benchmark_compares_equal_maps(tmp_path):
    rows = plainly.main(["--people", "1,3", "--repeats", "1", "--json", str(tmp_path / "rows.json")])
    assert [row["people"] for row in rows] == [1, 3]
    assert all(row["ratio"] > 0 for row in json.loads((tmp_path / "rows.json").read_text()))
