"""Whether ``torch.compile`` makes prediction faster on a CPU: ``OMP_NUM_THREADS=1 python benchmarks/compiled.py [MODEL …]``.

CPU milliseconds of the network for one input of the model's own size (eight crops for top-down models), uncompiled and compiled, in turn;
the time of compilation, which each process pays again for each input size; and the largest difference of the outputs. Needs a C++ compiler.
"""

import sys
from time import perf_counter, process_time
from typing import Any

import torch

from manypose.inference.model import load
from manypose.methods.method import TopDownMethod, module_of


def main(names: list[str]) -> None:
    """Print a line for each model."""
    torch.set_num_threads(1)
    for name in names:
        method: Any = load(name, runtime="torch", device="cpu").method
        size = method.input_size if isinstance(method, TopDownMethod) else (method.size, method.size)
        images = torch.randint(256, (8 if isinstance(method, TopDownMethod) else 1, *size, 3), dtype=torch.uint8)
        compiled = torch.compile(method.network)
        with torch.inference_mode():
            ready = method.prepare(images).contiguous(memory_format=torch.channels_last)
            began = perf_counter()
            found = compiled(ready)
            seconds, expected = perf_counter() - began, method.network(ready)
            away = max(float((found[k] - expected[k]).abs().max()) for k in expected)
            best = [float("inf"), float("inf")]
            for _ in range(15):
                for i, call in enumerate((method.network, compiled)):
                    start = process_time()
                    call(ready)
                    best[i] = min(best[i], process_time() - start)
        per = [1000 * b / len(images) for b in best]
        parameters = sum(p.numel() for p in module_of(method).parameters()) / 1e6
        print(
            f"{name} ({parameters:.1f} M): {per[0]:.1f} ms, compiled {per[1]:.1f} ms, ratio {per[1] / per[0]:.2f}; "
            f"compiled in {seconds:.0f} s; outputs differ by {away:.1e}"
        )


if __name__ == "__main__":
    main(sys.argv[1:] or ["fast"])
