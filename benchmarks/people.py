"""People a second of a top-down model: one by one and in batches, in the same run: ``python benchmarks/people.py [--model mspn-small]``.

A photo of noise with so many boxes is predicted whole: crops, network, decoding, and back to the photo. Rounds of all batch sizes take
turns, so that what else the machine does falls on all of them alike; the figure is the median of the rounds.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from manypose.inference.model import Model
from manypose.io.files import write_json
from manypose.methods.catalog import build


def measure(model: Model, people: int, batches: list[int], rounds: int, flip: bool) -> list[dict[str, Any]]:
    """People a second by the clock and by processor time, for each batch size; `over_one` is against the first."""
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 255, (480, 640, 3), np.uint8)
    corners = rng.uniform(0, 300, (people, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(60, 170, (people, 2))], 1)
    clock, busy = np.zeros((2, rounds, len(batches)))
    for i in range(-1, rounds):  # the first round warms up
        for j, batch in enumerate(batches):
            start, cpu = time.perf_counter(), time.process_time()
            model.predict(photo, boxes=boxes, batch_size=batch, flip=flip)
            if model.device.type == "cuda":
                torch.cuda.synchronize()
            if i >= 0:
                clock[i, j], busy[i, j] = time.perf_counter() - start, time.process_time() - cpu
    rates, cpu_rates = people / np.median(clock, 0), people / np.median(busy, 0)
    return [
        {
            "batch_size": n,
            "people_per_s": round(float(r), 2),
            "over_one": round(float(r / rates[0]), 2),
            "people_per_cpu_s": round(float(c), 2),
            "over_one_cpu": round(float(c / cpu_rates[0]), 2),
        }
        for n, r, c in zip(batches, rates, cpu_rates, strict=True)
    ]


def main(argv: list[str] | None = None) -> list[dict[str, Any]]:
    """The command line; gives what it wrote."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default="mspn-small")
    parser.add_argument("--people", type=int, default=32)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--flip", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(argv)
    if min(given.people, given.rounds, given.threads, *given.batches) < 1:
        parser.error("people, batches, rounds and threads are 1 or more")
    torch.set_num_threads(given.threads)
    model = Model(build(given.model)).to(given.device)  # the weights' values change no time
    rows = measure(model, given.people, given.batches, given.rounds, given.flip)
    print(f"{given.model}, {given.people} people in a photo, {given.threads} threads, {given.device}, median of {given.rounds} rounds")
    for row in rows:
        print("  ".join(f"{k} {v}" for k, v in row.items()))
    if given.json:
        write_json(given.json, rows)
    return rows


if __name__ == "__main__":
    main()
