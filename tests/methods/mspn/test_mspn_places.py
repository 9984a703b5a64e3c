"""Decoding the targets gives the people back, whatever the labels, decoder, size, kernel and mirror: one value places both."""

import numpy as np
import pytest
import torch
from tiny_people import batch_of

from manypose.inference.test_time_augmentation import outputs
from manypose.methods.catalog import build
from manypose.methods.mspn.targets import FIRST_CELL
from manypose.poses.skeleton import COCO

MIRROR = list(COCO.mirror)


def crops_of(size: tuple[int, int], n: int = 16) -> list[np.ndarray]:
    """One person a view, away from the edge; over all views a joint has every phase of a 4 × 4 cell."""
    g = np.random.default_rng(0)
    h, w = size
    base = g.integers(4, np.array([w, h]) // 4 - 4, (n, 17, 2)) * 4
    phase = (np.arange(n)[:, None] * np.array([1, 5]) + np.arange(17)[:, None, None] * np.array([3, 7])).transpose(1, 0, 2) % n
    xy = base + 4 * (phase + 0.5) / n - 2
    return [np.concatenate([p, np.full((17, 1), 2.0)], 1)[None].astype(np.float32) for p in xy]


def mirrored(people: list[np.ndarray], width: int) -> list[np.ndarray]:
    return [np.concatenate([width - 1 - p[..., :1], p[..., 1:]], 2)[:, MIRROR] for p in people]


def errors(method, people: list[np.ndarray], flip: bool) -> np.ndarray:
    """(views, joints, 2): what is decoded less what was drawn, where the network's output is its target."""
    size = method.input_size
    last = f"heat{len(method.ladders) - 1}_3" if hasattr(method, "ladders") else "heat"

    def network(images):
        turned = bool(images[0, 0, 0, 0] < images[0, 0, 0, -1])
        made = method.targets(batch_of(mirrored(people, size[1]) if turned else people, size), size)
        label = f"label{method.ladders[-1][-1]}" if hasattr(method, "ladders") else "heat"
        return {last: made[label]}

    method.network = network
    image = torch.zeros(len(people), *size, 3, dtype=torch.uint8)
    image[:, :, : size[1] // 2] = 255  # a view tells whether it is mirrored
    maps = outputs(method, [image], [1.0], 0, flip=flip)
    found = method.decode(maps, size)
    return np.stack([f.keypoints[0] - p[0, :, :2] for f, p in zip(found, people, strict=True)])


SMALL = {"stages": 1, "trunk": "tiny", "width": 16}


@pytest.mark.parametrize("flip", [False, True], ids=["", "flip"])
@pytest.mark.parametrize("size", [(256, 192), (128, 96), (256, 256)], ids=str)
@pytest.mark.parametrize("arguments", [{}, {"decoding": "dark"}, {"post_filter": 0.0}, {"kernels": [7]}, {"peak": 12.0}], ids=str)
def test_01_our_targets_are_decoded_to_a_tenth_of_a_pixel(arguments, size, flip):
    method = build("mspn-1", **SMALL, input_size=list(size), **arguments)
    assert np.abs(errors(method, crops_of(size), flip)).max() < 0.1


@pytest.mark.parametrize("flip", [False, True], ids=["", "flip"])
@pytest.mark.parametrize("decoding", ["gaussian", "dark"])
@pytest.mark.parametrize("size", [(256, 192), (384, 288)], ids=str)
def test_hrnets_too(size, decoding, flip):
    method = build("hrnet-w32", trunk="hrnet_w18_small", input_size=list(size), decoding=decoding)
    assert np.abs(errors(method, crops_of(size), flip)).max() < 0.1


@pytest.mark.parametrize("flip", [False, True], ids=["", "flip"])
@pytest.mark.parametrize("decoding", ["gaussian", "dark"])
def test_joints_in_whole_cells_are_right_in_the_mean(decoding, flip):
    """The authors cut joints to cells of four pixels: each is off by up to two, all together by nothing."""
    method = build("mspn-1", **SMALL, labels="published", decoding=decoding)
    off = errors(method, crops_of((256, 192)), flip)
    assert np.abs(off).max() < 2.1
    assert np.abs(off.mean((0, 1))).max() < 0.1


@pytest.mark.parametrize(("labels", "bound"), [("published", 2.1), ("ours", 2.6)])
def test_the_published_decoder_goes_up_where_two_cells_tie(labels, bound):
    """A quarter of a cell towards the second highest: on labels in whole cells that is a tie, which goes to the upper cell."""
    method = build("mspn-1", **SMALL, labels=labels, decoding="published")
    off = errors(method, crops_of((256, 192)), False)
    assert np.abs(off.mean((0, 1)) - ([0, -1] if labels == "published" else [0, 0])).max() < 0.15
    assert np.abs(off + ([0, 1] if labels == "published" else [0, 0])).max() < bound


def test_hrnets_published_targets_and_decoder_belong_together():
    method = build("hrnet-w32", trunk="hrnet_w18_small", decoding="published")
    off = errors(method, crops_of((256, 192)), False)
    assert np.abs(off).max() < 2.1
    assert np.abs(off.mean((0, 1))).max() < 0.1


def test_the_three_places_differ():
    assert FIRST_CELL == {"ours": 1.5, "mspn": 2.0, "hrnet": 0.0}
