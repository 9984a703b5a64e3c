"""Optical flow follows what moves."""

import cv2
import numpy as np
import pytest

from manypose.tracking.optical_flow import Flow


def texture(h: int, w: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 1, (h, w, 3)).astype(np.float32)
    smooth = sum(cv2.GaussianBlur(noise, (0, 0), s) * s for s in (2, 5, 11))
    return np.clip(128 + 60 * smooth / smooth.std(), 0, 255).astype(np.uint8)  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["dis", "farneback"])
@pytest.mark.parametrize(("size", "way"), [((200, 300), (3, -2)), ((300, 200), (-4, 1)), ((700, 1100), (9, 6))])
def test_a_moved_picture(kind, size, way):
    h, w = size
    scene = texture(h + 40, w + 40)
    first, second = (scene[20 - y : 20 - y + h, 20 - x : 20 - x + w] for x, y in ((0, 0), way))
    flow = Flow(kind)
    points = np.random.default_rng(1).uniform(0.2, 0.8, (3, 17, 2)) * (w, h)
    assert np.array_equal(flow.step(first)(points), np.zeros_like(points))
    moved = flow.step(second)(points)
    assert moved.shape == points.shape
    assert np.abs(np.median(moved, axis=(0, 1)) - way).max() < 0.3
    assert np.abs(moved - way).max() < 1.5
    assert np.abs(flow.step(second)(points)).max() < 0.1  # nothing moved


def test_points_outside_and_small_pictures():
    flow = Flow()
    scene = texture(40, 60)
    flow.step(scene[:, :-2])
    moved = flow.step(scene[:, 2:])(np.array([[-1e6, 5.0], [1e6, 1e6], [29.0, 20.0]]))
    assert np.isfinite(moved).all()
    assert moved[2, 0] == pytest.approx(-2, abs=0.5)
    tiny = Flow()
    tiny.step(scene[:3, :5])
    assert np.isfinite(tiny.step(scene[1:4, :5])(np.array([[1.0, 1.0]]))).all()


def test_the_same_every_time():
    frames = [texture(120, 160, s) for s in range(3)]
    points = np.random.default_rng(0).uniform(0, 120, (20, 2))
    runs = [[flow.step(f)(points) for f in frames] for flow in (Flow(), Flow())]
    assert all(np.array_equal(a, b) for a, b in zip(*runs, strict=True))


def test_bad_use(untyped):
    with pytest.raises(ValueError, match="dis or farneback, got 'raft'"):
        Flow("raft")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="32 pixels"):
        Flow(side=8)
    flow = Flow()
    flow.step(texture(40, 60))
    with pytest.raises(ValueError, match="a frame of 60x50 follows one of 60x40"):
        flow.step(texture(50, 60))
    flow.step(texture(40, 60))
