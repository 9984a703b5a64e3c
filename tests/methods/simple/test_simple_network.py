"""SIMPLE's networks: pools, the fused 1 × 1 convolution, outputs, and the ablations."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_people import batch_of, random_people
from torch.nn.functional import conv2d

from manypose.inference.test_time_augmentation import outputs
from manypose.methods.catalog import MODELS, build
from manypose.methods.simple import SIMPLE
from manypose.methods.simple.corner_pooling import PointPool, running_max
from manypose.methods.simple.network import Fuse, concatenated
from manypose.training.step import Step

SMALL = {"trunk": "hrnet_w18_small", "size": 64, "channels": 16, "inner": 8, "cnn": {"size": (32, 32), "widths": (8, 8, 8, 8)}}
ABLATIONS = [
    {},
    {"corner_tags": True, "features": True},
    {"grouping": "max", "channels": None},
    {"detector": "regression"},
    {"detector": "none", "grouping": "ae"},
]


@given(seed=st.integers(0, 99), h=st.integers(1, 17), w=st.integers(1, 17))
def test_running_maxima(seed, h, w):
    x = torch.randn(2, 3, h, w, generator=torch.Generator().manual_seed(seed)).round(decimals=1)
    down, right = np.maximum.accumulate(x.numpy(), 2), np.maximum.accumulate(x.numpy(), 3)
    for learning in (False, True):
        y = x.clone().requires_grad_(learning)
        assert np.array_equal(running_max(y, "down").detach().numpy(), down)
        assert np.array_equal(running_max(y, "right").detach().numpy(), right)
        assert torch.equal(running_max(y, "up"), running_max(y.flip(2), "down").flip(2))
        assert torch.equal(running_max(y, "left"), running_max(y.flip(3), "right").flip(3))


def test_gradients_go_to_the_maxima():
    x = torch.tensor([[[[1.0, 3.0, 2.0, 5.0]]]], requires_grad=True)
    running_max(x, "right").sum().backward()
    assert x.grad is not None
    assert x.grad.flatten().tolist() == [1, 2, 0, 1]
    (grad,) = torch.autograd.grad(running_max(x, "left").sum(), x)
    assert grad.flatten().tolist() == [0, 0, 0, 4]


def test_a_centre_sees_its_row_and_column_and_no_more():
    pool = PointPool(4, "centre", 4).eval()
    x = torch.randn(1, 4, 24, 24, generator=torch.Generator().manual_seed(0)).requires_grad_()
    pool(x)[0, :, 12, 12].sum().backward()
    assert x.grad is not None
    seen = x.grad.abs().sum((0, 1)) > 0
    far = torch.ones(24, 24, dtype=torch.bool)
    far[8:17], far[:, 8:17] = False, False  # four 3 × 3 convolutions widen what is seen
    assert seen[12, 0:8].any() or seen[0:8, 12].any()
    assert not seen[far].any()


def test_fuse_is_the_convolution_of_the_concatenation():
    branches = [torch.randn(2, 4 * 2**i, 16 // 2**i, 24 // 2**i) for i in range(4)]
    fuse = Fuse([b.shape[1] for b in branches], 6).eval()
    torch.nn.init.uniform_(fuse.bn.running_mean)
    assert torch.allclose(fuse(branches), fuse.bn(conv2d(concatenated(branches), fuse.conv.weight)).relu(), atol=1e-5)


@pytest.mark.parametrize("change", ABLATIONS)
def test_every_part_learns_and_every_view_merges(change):
    method = SIMPLE(**{**SMALL, **change})
    batch = batch_of([random_people(i, 2, (64, 64)) for i in range(2)], (64, 64))
    losses = Step(method)(batch)
    assert all(v.isfinite() and v.ndim == 0 for v in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    still = {n for n, p in method.named_parameters() if p.grad is None}
    assert still == set()
    method.eval()
    images = [torch.randint(256, (2, s, s, 3), dtype=torch.uint8) for s in (64, 96)]
    with torch.no_grad():
        merged = outputs(method, images, [1.0, 1.5], 0, flip=True)
        poses = method.decode(merged, (64, 64))
    assert merged["pose"].shape == (2, 17, 16, 16)
    assert len(poses) == 2
    assert set(merged) == set(method.fields)


def test_boxes_of_the_mirrored_picture_are_the_mirrored_boxes():
    torch.manual_seed(0)
    method = SIMPLE(**SMALL).eval()
    images = torch.randint(256, (1, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        plain = method.readout(method.network(method.prepare(images.flip(2))))["boxes"][0]
        both = outputs(method, [images], [1.0], 0, flip=True)["boxes"][0]
    back = plain[plain[:, 4] > 0]
    assert len(back)
    back = torch.stack([63 - back[:, 2], back[:, 1], 63 - back[:, 0], back[:, 3], back[:, 4]], 1)
    away = (both[:, None] - back).abs().amax(2).amin(0)
    assert away.max() < 1e-4


@pytest.mark.parametrize("change", [{"detector": "none"}, {"grouping": "ae"}, {"detector": "regression", "grouping": "ae"}])
def test_what_does_not_fit_together_is_an_error(change):
    with pytest.raises(ValueError, match="grouping ae goes with detector none"):
        SIMPLE(**{**SMALL, **change})


def test_named_models_have_the_papers_shapes():
    with torch.device("meta"):
        for name, width in (("simple-w18", 18), ("simple-w32", 32)):
            net = build(name, channels=None).net
            assert net.pose.in_channels == 15 * width
            assert net.points["centre"].pool.conv1.in_channels == 15 * width
    assert MODELS["simple-w32"].published.startswith("AP 69.6")
