"""Threads, forked processes and devices: results are those of one thread in one process, or the call is refused."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from dots import Dots, photo_of

import manypose
from manypose.inference.model import Model
from manypose.io import photos
from manypose.io.sources import example_photo
from manypose.methods.method import module_of
from manypose.poses.poses import Poses


def assert_same(a: Poses, b: Poses) -> None:
    np.testing.assert_array_equal(a.keypoints, b.keypoints)
    np.testing.assert_array_equal(a.scores, b.scores)


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    pytest.importorskip("skimage")
    whole = photos.read(example_photo())
    return [whole[20 * i : 400 + 20 * i, 10 * i : 420 + 10 * i].copy() for i in range(4)]


@pytest.fixture(scope="module", params=["torch", "onnx"])
def fast(request: pytest.FixtureRequest) -> Model:
    return manypose.load("fast", device="cpu", runtime=request.param)


def test_four_threads_on_one_model(fast: Model, pictures: list[np.ndarray]):
    serial = [fast.predict(p) for p in pictures]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(fast.predict, pictures * 2))
    assert any(len(people) for people in serial)
    for found, expected in zip(together, serial * 2, strict=True):
        assert_same(found, expected)


def test_two_models_in_two_threads(fast: Model, pictures: list[np.ndarray]):
    dots, fly = Model(Dots()), photo_of((120, 160), np.array([[40.0, 30], [100, 30], [70, 90]]))
    expected, wings = fast.predict(pictures[0]), dots.predict(fly)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(lambda: [fast.predict(pictures[0]) for _ in range(3)]), pool.submit(dots.predict, [fly] * 20)
        for people in first.result():
            assert_same(people, expected)
        for people in second.result():
            assert_same(people, wings)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_fork_after_loading(fast: Model, pictures: list[np.ndarray]):
    """With the threads of OpenMP at work before, which a forked process does not have."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = fast.predict(pictures[0])
        torch.set_num_threads(2)
        fast.predict(pictures[0])
        child = os.fork()
        if not child:
            same = False
            signal.alarm(900)  # a child that waits for ever is ended, and fails
            try:
                found = fast.predict(pictures[0])
                same = np.array_equal(found.keypoints, expected.keypoints) and np.array_equal(found.scores, expected.scores)
            finally:
                os._exit(0 if same and torch.get_num_threads() == 1 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert torch.get_num_threads() == 2, "the parent keeps its threads"
    finally:
        torch.set_num_threads(threads)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_fork_after_opencv_has_worked_on_several_threads():
    """As a data loader's worker is forked: OpenCV's threads are not there, and the new process must not wait for them."""
    threads, picture = cv2.getNumThreads(), np.zeros((2000, 2000, 3), np.uint8)
    try:
        cv2.setNumThreads(2)
        cv2.GaussianBlur(picture, (31, 31), 9)
        child = os.fork()
        if not child:
            signal.alarm(60)
            try:
                cv2.GaussianBlur(picture, (31, 31), 9)
            finally:
                os._exit(0 if cv2.getNumThreads() == 1 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert cv2.getNumThreads() == 2, "the parent keeps its threads"
    finally:
        cv2.setNumThreads(threads)


def test_a_device_that_is_not_there_leaves_the_model_as_it_was(fast: Model, pictures: list[np.ndarray]):
    expected = fast.predict(pictures[1])
    with pytest.raises(ValueError, match="gpu"):
        fast.to("gpu")
    assert_same(fast.to("cpu").predict(pictures[1]), expected)


def test_a_model_without_weights_is_refused():
    """Of which PyTorch's device ``meta`` keeps the shapes alone."""
    dots: Any = Dots()
    module_of(dots).to("meta")
    with pytest.raises(ValueError, match=r"'meta'.*load the model again"):
        Model(dots).predict(np.zeros((120, 160, 3), np.uint8))


@pytest.mark.parametrize("name", ["fast", "simple-pose-mobile", "multiposenet-mobile", "swahr-mobile", "simple-mobile"])
def test_all_of_a_network_moves_with_it(name: str):
    """A tensor that stayed behind would meet those of the other device: ``meta`` stands for a GPU, whose arithmetic it checks alone."""
    method: Any = manypose.load(name, device="cpu", runtime="torch").method
    module_of(method).to("meta")
    with torch.inference_mode():
        images = method.prepare(torch.zeros(1, 256, 192, 3, dtype=torch.uint8, device="meta"))
        found = method.network(images)
    tensors = [value for value in (found.values() if isinstance(found, dict) else [found]) if isinstance(value, torch.Tensor)]
    assert all(value.device.type == "meta" for value in (images, *tensors))
