"""Memory, handles and threads over a long run: ``python benchmarks/endurance.py [--frames 10000] [--photos 5000] [--model fast]``.

A stream of made-up frames in which people come and go, then photos from a folder one after the other. After a warm-up of a tenth, the
slope of the resident memory must stay below 2 MB per 1,000, and the numbers of open files and threads must not change. Prints a table
for docs/reliability.md; the exit code is 1 where one of them grows. ``--model simulated`` takes a method of the tests that finds coloured
dots: the pipeline without the time of a network.
"""

import argparse
import os
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

import manypose
from manypose.inference.model import Model
from manypose.io import photos
from manypose.io.sources import example_photo

MOST = 2.0
"""MB of memory per 1,000 photos or frames."""


def measured() -> tuple[float, int, int]:
    """Resident memory (MB), open files and threads of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6, len(os.listdir("/proc/self/fd")), threading.active_count()


def frames(n: int, person: np.ndarray) -> Iterator[np.ndarray]:
    """Frames of one size; in every second stretch of 50 frames there is a person, in every 500th frame alone too."""
    empty = np.full_like(person, 60)
    return (person if (i // 50) % 2 or i % 500 == 0 else empty for i in range(n))


def follow(name: str, results: Iterator[object], n: int) -> bool:
    """Print the row of a run; whether memory, files and threads stay as they are after the warm-up."""
    rows = []
    every = max(1, n // 50)
    for i, _ in enumerate(results):
        if i % every == 0:
            rows.append((i, *measured()))
    after = np.array([row for row in rows if row[0] >= n / 10], float)
    slope = 1000 * np.polyfit(after[:, 0], after[:, 1], 1)[0]
    grown = [int(after[-1, column] - after[0, column]) for column in (2, 3)]
    print(f"| {name} | {n:,} | {after[0, 1]:.0f} | {after[-1, 1]:.0f} | {slope:+.2f} | {grown[0]:+d} | {grown[1]:+d} |", flush=True)
    return slope <= MOST and grown == [0, 0]


def simulated() -> Model:
    """A model without a network."""
    sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
    from dots import Dots

    method = Dots()
    method.seen = deque(maxlen=1)  # type: ignore[assignment] - what it remembers for tests would grow
    return Model(method)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--photos", type=int, default=5_000)
    parser.add_argument("--model", default="fast")
    given = parser.parse_args()
    torch.set_num_threads(1)
    model = simulated() if given.model == "simulated" else manypose.load(given.model, device="cpu")
    whole = photos.read(example_photo())
    if given.model == "simulated":
        whole[40:56, 200:216], whole[40:56, 300:316], whole[140:156, 250:266] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    print("| run | pictures | MB after warm-up | MB at the end | MB per 1,000 | open files | threads |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    well = follow("frames of a stream, tracked", model.predict(frames(given.frames, whole[:240, 100:420]), track=True), given.frames)
    with tempfile.TemporaryDirectory() as folder:
        kinds = [photos.write(Path(folder) / f"{i}.jpg", whole[: 300 + 20 * i, : 400 + 10 * i].copy()) for i in range(6)]
        one_by_one = (model.predict(kinds[i % len(kinds)]) for i in range(given.photos))
        well &= follow("photos of six sizes", one_by_one, given.photos)
    return int(not well)


if __name__ == "__main__":
    sys.exit(main())
