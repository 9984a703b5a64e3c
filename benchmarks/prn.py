"""What the PRN costs: ``python benchmarks/prn.py [--people 1 5 20] [--weights FILE]``: one CPU thread, all persons of a photo in one call.

Processor time of `assign`, from candidates and boxes to poses; time to load the weights and memory they take. The people are drawn by
chance on a photo of 640 × 480, 100 to 300 pixels tall; with ``--heap`` all on one place, so that every box sees every candidate.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from manypose.io.files import write_json
from manypose.methods.multiposenet.assign import Candidates, assign
from manypose.methods.multiposenet.prn import PRN
from manypose.methods.multiposenet.prn_file import BUNDLED, load_prn, save_prn


def photo(people: int, heap: bool, seed: int = 0) -> tuple[Candidates, torch.Tensor]:
    """All joints of all people, and their boxes."""
    g = np.random.default_rng(seed)
    tall = g.uniform(100, 300, people)
    size = np.stack([tall * g.uniform(0.3, 0.6, people), tall], 1)
    low = g.uniform(0, 1, (people, 2)) * (30 if heap else np.array([640, 480]) - size)
    xy = low[:, None] + g.uniform(0, 1, (people, 17, 2)) * size[:, None]
    joint = torch.arange(17).repeat(people)
    boxes = torch.from_numpy(np.concatenate([low, low + size], 1)).float()
    return Candidates(torch.from_numpy(xy.reshape(-1, 2)).float(), torch.ones(len(joint)), joint), boxes


def measure(path: Path, counts: list[int], repeats: int, heap: bool) -> list[dict]:
    """A row a number of people: milliseconds of processor time, median and 95th percentile."""
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    prn = load_prn(path)
    load, memory = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    rows = []
    for people in counts:
        times = []
        for i in range(repeats + 1):
            candidates, boxes = photo(people, heap, i)
            start = time.process_time()
            assign(prn, candidates, boxes)
            times.append((time.process_time() - start) * 1e3)
        row = {"people": people, "p50_ms": round(float(np.median(times[1:])), 2), "p95_ms": round(float(np.percentile(times[1:], 95)), 2)}
        rows.append(
            {**row, "load_s": round(load, 3), "peak_memory_grew_mb": round(memory / 1024), "file_mb": round(path.stat().st_size / 1e6, 1)}
        )
    return rows


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--people", type=int, nargs="+", default=[1, 5, 20])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--heap", action="store_true", help="everybody on one place")
    parser.add_argument("--weights", type=Path, help="default: the bundled PRN, then an untrained one of 1024 nodes and two layers (71 M)")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = [
        {"prn": str(given.weights or "bundled"), **r} for r in measure(given.weights or BUNDLED, given.people, given.repeats, given.heap)
    ]
    if given.weights is None:
        with tempfile.TemporaryDirectory() as folder:
            path = save_prn(PRN(nodes=1024, layers=2, margin=1.0), Path(folder, "large.safetensors"))
            rows += [{"prn": "1024 nodes, 2 layers", **r} for r in measure(path, given.people, given.repeats, given.heap)]
    for row in rows:
        print("  ".join(f"{k} {v}" for k, v in row.items()))
    if given.json:
        write_json(given.json, rows)


if __name__ == "__main__":
    main()
