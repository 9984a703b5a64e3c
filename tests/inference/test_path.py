"""The path of one photo through prediction: few calls, one decoding; and streams: bounded look-ahead, flat memory."""

import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from dots import BoxDots, Dots, photo_of

import manypose
from manypose.inference.model import Model
from manypose.inference.options import PredictOptions
from manypose.inference.photos import AHEAD, PhotoInput, by_a_thread, read_ahead
from manypose.inference.pipeline import detect, pose
from manypose.io import photos as media

ROOT = Path(manypose.__file__).parent
JOINTS = np.array([[30.0, 40.0], [65.0, 50.0], [40.0, 80.0]])


def photo(size=(96, 128)) -> np.ndarray:
    return photo_of(size, JOINTS)


def hops(call) -> list[str]:
    """The calls of functions of prediction and of reading, without those inside a method's room and without geometry on arrays."""
    seen = []

    def watch(frame, event, _):
        code = frame.f_code
        folder = Path(code.co_filename).parent
        checks = code.co_filename.endswith("options.py")  # of values
        if event == "call" and folder in (ROOT / "inference", ROOT / "io") and not code.co_name.startswith("<") and not checks:
            seen.append(f"{Path(code.co_filename).name}:{code.co_name}")

    sys.setprofile(watch)
    try:
        call()
    finally:
        sys.setprofile(None)
    return seen


def test_one_photo_takes_few_hops():
    model, top_down, picture = Model(Dots()), Model(BoxDots()), photo()
    path = hops(lambda: model.predict(picture))
    assert path[0] == "model.py:predict"
    assert "pipeline.py:pose" in path
    assert len(path) <= 36, path  # four look for BGR and turned photos, two for a device without memory
    path = hops(lambda: top_down.predict(picture, boxes=[[15, 25, 80, 95]]))
    assert len(path) <= 36, path  # four look for BGR and turned photos, two for a device without memory


def test_a_photo_is_decoded_once(tmp_path, monkeypatch):
    path, read = media.write(tmp_path / "a.png", photo()), []
    real = media.read
    monkeypatch.setattr(media, "read", lambda *a: (read.append(a), real(*a))[1])
    Model(BoxDots()).predict(path, detector=Model(Dots()), threshold=0.0)
    Model(Dots()).predict([path, path], track=True)
    assert len(read) == 3


PATTERNS = {
    "one person": lambda i: [[15, 25, 80, 95]],
    "nobody": lambda i: [],
    "only in the first": lambda i: [[15, 25, 80, 95]] * (i == 0),
    "every 50th": lambda i: [[15, 25, 80, 95]] * (i % 50 == 0),
    "many": lambda i: [[15, 25, 80, 95]] * (i % 9),
}


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("track", [False, True])
def test_a_stream_gives_results_within_three_batches(pattern, track):
    read = 0

    def frames():
        nonlocal read
        for _ in range(120):
            read += 1
            yield photo()

    boxes = (PATTERNS[pattern](i) for i in range(120))
    late = [read - i - 1 for i, _ in enumerate(Model(BoxDots()).predict(frames(), boxes=boxes, track=track, batch_size=4))]
    assert len(late) == 120
    assert max(late) <= 3 * 4 + 3 * AHEAD


def test_a_stream_of_changing_sizes_with_a_detector_is_bounded_too():
    read = 0

    def frames():
        nonlocal read
        for i in range(90):
            read += 1
            yield photo((96 + 32 * (i % 5), 128 + 32 * (i % 3)))

    model = Model(BoxDots())
    late = [read - i - 1 for i, _ in enumerate(model.predict(frames(), detector=Model(Dots()), batch_size=4))]
    assert max(late) <= 3 * 4 + 3 * AHEAD


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["only in the first", "nobody", "every 50th"])
def test_memory_does_not_grow_with_a_stream(pattern):
    model = Model(BoxDots())

    def peak(count: int) -> int:
        frames, boxes = (photo((240, 320)) for _ in range(count)), (PATTERNS[pattern](i) for i in range(count))
        tracemalloc.start()
        for _ in model.predict(frames, boxes=boxes):
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(300) < 1.2 * peak(60) + 1e6


def test_the_two_steps_carry_the_photo_along():
    options = PredictOptions(batch_size=2)
    items = [PhotoInput(photo(), name=str(i)) for i in range(5)]
    found = list(detect(Dots(), read_ahead(items, 2), options))
    assert all(f.pixels is not None and len(f.boxes) == 1 for f in found)  # type: ignore[arg-type]
    results = list(pose(BoxDots(), found, options))
    assert [r.item.pixels is f.pixels for r, f in zip(results, found, strict=True)] == [True] * 5
    assert all(np.abs(r.poses.keypoints[0] - JOINTS).max() < 1.5 for r in results if r.poses is not None)


def test_a_step_runs_ahead_in_order_and_passes_its_failure_on():
    made = []

    def items():
        for i in range(5):
            made.append(i)
            yield i
        raise ValueError("no more")

    for depth in (0, 1, 3, 9):
        made.clear()
        stream = by_a_thread(items(), depth)
        for i in range(5):
            assert next(stream) == i
            assert len(made) <= i + 1 + depth
        with pytest.raises(ValueError, match="no more"):
            next(stream)
    assert list(by_a_thread([], 3)) == []
    stopped = by_a_thread(items(), 2)
    assert next(stopped) == 0
    stopped.close()  # no thread is left waiting
