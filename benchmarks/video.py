"""CPU milliseconds a frame of a tracked video, by step: ``OMP_NUM_THREADS=1 python benchmarks/video.py CLIP [--detect-every 5]``.

The steps of ``manypose predict CLIP --track --no-pictures --runtime onnx`` run one after the other, so that each can be measured; the
command itself runs them beside one another.
"""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import cv2
import numpy as np

from manypose.inference.model import load
from manypose.inference.options import PredictOptions
from manypose.inference.photos import PhotoInput
from manypose.inference.pipeline import detect, look_into_boxes, pose
from manypose.io import photos, videos
from manypose.poses.formats.result_files import Entry, ResultFiles
from manypose.tracking.tracker import Tracker, TrackOptions


class Clock:
    """CPU time by step; the time of a step inside another counts for the inner one alone."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)
        self.open: list[str] = []
        self.since = process_time()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Everything within belongs to the step `name`."""
        self._stop()
        self.open.append(name)
        yield
        self._stop()
        self.open.pop()

    def _stop(self) -> None:
        now = process_time()
        if self.open:
            self.spent[self.open[-1]] += now - self.since
        self.since = now

    def network(self, model: Any) -> Any:
        """The model of a graph, its network measured as a step of its own."""

        def run(images: np.ndarray) -> Any:
            with self.step(f"{self.open[-1]}: network"):
                return model.run(images)

        return replace(model, run=run)


def measure(clip: Path, name: str, every: int, frames: int | None, out: Path) -> dict[str, Any]:
    """Milliseconds of each step a frame, and what was found."""
    model, clock = load(name, runtime="onnx"), Clock()
    finder, method = clock.network(model.finder()), clock.network(model.method)
    options, counts = PredictOptions(turned=False), Counter[str]()

    def look(frame: np.ndarray, boxes: np.ndarray) -> Any:
        counts["boxes looked at again"] += len(boxes)
        with clock.step("second look"):
            return look_into_boxes(method, frame, boxes)

    tracker, results = Tracker(TrackOptions(detect_every=every), look), ResultFiles(out, ("coco",))
    stream = videos.read(clip)
    for i in range(frames or 10**9):
        with clock.step("read"):
            frame = next(stream, None)
        if frame is None:
            break
        item = PhotoInput(frame.pixels, np.zeros((0, 5), np.float32) if i % every else None, keep=False, pixels=frame.pixels)
        with clock.step("detect"):
            item = next(iter(detect(finder, [item], options)))
        with clock.step("pose"):
            result = next(iter(pose(method, [item], options)))
        assert result.poses is not None
        assert item.boxes is not None
        with clock.step("flow"):
            moved = tracker.step(frame.pixels)
        with clock.step("track"):
            poses = tracker.update(result.poses, frame.pixels, moved)
            poses = poses[poses.scores >= options.threshold]
        with clock.step("write"):
            results.add(Entry(clip.name, f"{clip.stem}_{i}", i + 1, result.size or (0, 0), poses, i, frame.time))
        counts["frames"] += 1
        counts["boxes"] += len(item.boxes)
        counts["people"] += len(poses)
    number = counts.pop("frames")
    steps = {step: 1000 * seconds / number for step, seconds in clock.spent.items()}
    return {"frames": number, **{k: v / number for k, v in counts.items()}, "ms": steps, "whole": sum(steps.values())}


def panned(photo: Path, out: Path, frames: int = 150) -> Path:
    """A clip of 1280 × 720 pixels, 25 frames a second, in which a camera moves over a photo, to and fro."""
    picture = photos.read(photo)
    h, w = picture.shape[:2]
    side = 0.9 * min(w / 16, h / 9)  # the camera sees nine tenths of the photo's width or height
    size = np.array([16 * side, 9 * side])
    with videos.writer(out, Fraction(25)) as add:
        for i in range(frames):
            x, y = (np.array([w, h]) - size) * (0.5 + 0.5 * np.sin(2 * np.pi * i / np.array([100, 160])))
            to = 1280 / size[0]
            matrix = np.array([[to, 0, (0.5 - x) * to - 0.5], [0, to, (0.5 - y) * to - 0.5]])
            add(cv2.warpAffine(picture, matrix, (1280, 720), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))
    return out


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--model", default="fast")
    parser.add_argument("--detect-every", type=int, default=1)
    parser.add_argument("--frames", type=int, help="only the first N")
    parser.add_argument("--pan", type=Path, metavar="PHOTO", help="first write the clip: a camera that moves over this photo")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        clip = given.clip if given.pan is None else panned(given.pan, given.clip)
        found = measure(clip, given.model, given.detect_every, given.frames, Path(folder))
    print(", ".join(f"{k} {v:.1f}" for k, v in found.items() if not isinstance(v, dict)))
    for step, spent in sorted(found["ms"].items(), key=lambda kv: -kv[1]):
        print(f"{step:24} {spent:7.2f} ms {100 * spent / found['whole']:5.1f} %")
    if given.json is not None:
        given.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
