"""SIMPLE as a whole: the network, then points, boxes, RoIs, grouping CNN and people; milliseconds by the clock, the middle of nine.

    python benchmarks/simple_whole.py [--model simple-w18,simple-w32] [--batch-size 1,16] [--size 512] [--device cuda] [--half]

Photos are noise; a model whose weights come with the package may find people in it, an untrained one finds nobody: the number is printed.
"""

import argparse
import time
from typing import Any

import torch

from manypose.methods.catalog import build
from manypose.weights import files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="simple-w18,simple-w32")
    parser.add_argument("--batch-size", default="1,16")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--half", action="store_true", help="bfloat16 where PyTorch thinks it safe")
    given = parser.parse_args()
    torch.manual_seed(0)
    for name in given.model.split(","):
        bundled = (files.BUNDLED / f"{name}.safetensors").is_file()
        method: Any = files.load(name, device=given.device) if bundled else build(name).to(given.device).eval()  # type: ignore[attr-defined]
        method.to(memory_format=torch.channels_last)
        for batch in map(int, given.batch_size.split(",")):
            photos = torch.randint(0, 256, (batch, given.size, given.size, 3), dtype=torch.uint8, device=given.device)
            with torch.inference_mode(), torch.autocast(torch.device(given.device).type, torch.bfloat16, enabled=given.half):
                runs = [once(method, photos) for _ in range(12)][3:]
            network, after = (sorted(r[i] for r in runs)[len(runs) // 2] for i in (0, 1))
            state = "" if bundled else " (untrained)"
            times = f"network {1e3 * network:.1f} ms, after it {1e3 * after:.1f} ms"
            print(f"{name}{state}, batch {batch}: {times}, {runs[0][2]} people", flush=True)


def once(method: Any, photos: torch.Tensor) -> tuple[float, float, int]:
    began = now(photos)
    outputs = method.readout(method.network(method.prepare(photos)))
    between = now(photos)
    people = method.decode(outputs, tuple(photos.shape[1:3]))
    return between - began, now(photos) - between, sum(map(len, people))


def now(photos: torch.Tensor) -> float:
    if photos.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    main()
