import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from manypose.data.sample import Sample, collate, warp
from manypose.poses.skeleton import COCO
from manypose.poses.warp import Warp


def sample(n: int, planes: int = 1, size: tuple[int, int] = (40, 50), known: bool = True) -> Sample:
    rng = np.random.default_rng(n)
    h, w = size
    keypoints = np.concatenate([rng.uniform(0, 1, (n, 17, 2)) * (w - 1, h - 1), np.full((n, 17, 1), 2)], -1).astype(np.float32)
    boxes = np.concatenate([keypoints[..., :2].min(1), keypoints[..., :2].max(1)], 1).astype(np.float32)
    image = rng.integers(0, 256, (h, w, 3)).astype(np.uint8)
    mask = rng.integers(0, 2, (planes, h, w)).astype(np.uint8)
    return Sample(
        COCO, image, keypoints, boxes, np.full(n, 50, np.float32), mask, rng.integers(0, 2, (h, w)).astype(np.uint8) if known else None
    )


def test_collate_pads_people_planes_and_segmentation():
    samples = [sample(0), sample(3, planes=17), sample(1, known=False)]
    batch = collate(samples)
    assert batch.images.shape == (3, 40, 50, 3)
    assert batch.keypoints.shape == (3, 3, 17, 3)
    assert batch.there.tolist() == [[False] * 3, [True] * 3, [True, False, False]]
    assert batch.mask.shape == (3, 17, 40, 50)
    assert torch.equal(batch.mask[0, 3], torch.from_numpy(samples[0].mask[0]))
    assert torch.equal(batch.mask[1], torch.from_numpy(samples[1].mask))
    assert (batch.segmentation[2] == 255).all()
    assert not batch.keypoints[~batch.there].any()
    assert torch.equal(batch.keypoints[1], torch.from_numpy(samples[1].keypoints))
    assert not batch.areas[0].any()


@pytest.mark.parametrize("n", [0, 1])
def test_a_batch_of_nobody_still_has_a_row(n):
    batch = collate([sample(0)] * (n + 1))
    assert batch.keypoints.shape == (n + 1, 1, 17, 3)
    assert not batch.there.any()


def test_samples_of_different_sizes_are_no_batch():
    with pytest.raises(ValueError, match="one size"):
        collate([sample(1), sample(1, size=(41, 50))])


def test_batches_move_whole():
    batch = collate([sample(2)]).to("cpu")
    assert batch.there.any()
    assert batch.to(torch.device("meta")).images.device.type == "meta"


@given(st.integers(0, 10**6))
def test_planes_that_are_alike_are_mapped_like_all_others(seed):
    rng = np.random.default_rng(seed)
    one = sample(1, planes=17)
    one.mask[3:9], one.mask[12] = one.mask[2], 0
    w = Warp.similarity((25.0, 20.0), rng.uniform(20, 70), (32, 32), rng.uniform(-40, 40), bool(rng.integers(2)))
    out = warp(one, w)
    order = COCO.mirror if w.mirrored else range(17)
    for plane, source in zip(out.mask, order, strict=True):
        assert np.array_equal(plane, w.mask(one.mask[source]))


@given(st.integers(0, 10**6))
def test_warping_there_and_back_keeps_joints_that_stayed_inside(seed):
    rng = np.random.default_rng(seed)
    one = sample(2)
    w = Warp.similarity((25.0, 20.0), rng.uniform(20, 70), (64, 64), rng.uniform(-40, 40), bool(rng.integers(2)))
    out = warp(one, w)
    inverse = Warp(w.inverse, (40, 50), w.mirrored)
    back = inverse.joints(out.keypoints, COCO.mirror)
    inside = back[..., 2] > 0
    assert np.abs(back[inside] - one.keypoints[inside]).max(initial=0) < 1e-2
    assert not out.keypoints[out.keypoints[..., 2] == 0].any()
    assert out.areas == pytest.approx(one.areas * w.scale**2)
