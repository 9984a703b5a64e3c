"""What prediction costs besides the network: ``python benchmarks/overhead.py [--people 5] [--repeats 30] [--json OUT.json]``.

A photo of 640 × 480 is predicted at 512 px by SWAHR, whose network is replaced by maps that are ready: what is left is reading, scaling,
preparing, decoding and mapping back. One CPU thread. Times are of the processor, so other programs on the machine matter little.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from manypose.inference.model import Model
from manypose.inference.views import views
from manypose.io import photos
from manypose.methods.catalog import build
from manypose.methods.swahr.example_maps import examples
from manypose.poses.drawing import draw


def milliseconds(call: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Tenth percentile and median of the processor's time."""
    call()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append((time.process_time() - start) * 1e3)
    low, middle = np.percentile(times, [10, 50])
    return round(float(low), 2), round(float(middle), 2)


def measure(people: int, repeats: int, folder: Path) -> dict[str, tuple[float, float]]:
    """Each stage, and all of them together through `Model.predict`."""
    method: Any = build("swahr-w18-small", size=512)
    maps = {name: m[:, :, :256, :352].contiguous() for name, m in examples(method.skeleton, people, 352, 0, tags=1).items()}
    maps["tag"] = maps["tag"][..., 0].contiguous()
    method.network, method.readout = (lambda images: {}), (lambda outputs: dict(maps))
    model = Model(method)
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    photo = np.repeat(np.repeat(noise, 10, 0), 10, 1)
    path = photos.write(folder / "photo.jpg", photo)
    (warp,) = views((480, 640), 512, method.stride)
    seen = torch.from_numpy(warp.image(photo))[None]
    poses = warp.back(method.decode({**maps, "tag": maps["tag"][..., None]}, warp.size)[0])
    stages: dict[str, Callable[[], Any]] = {
        "read a JPEG": lambda: photos.read(path),
        "scale and pad": lambda: warp.image(photo),
        "prepare (normalise)": lambda: method.prepare(seen).contiguous(memory_format=torch.channels_last),
        f"decode ({len(poses)} people)": lambda: method.decode(maps, warp.size),
        "back to the photo": lambda: warp.back(poses),
        "predict(array), no network": lambda: model.predict(photo),
        "predict(path), no network": lambda: model.predict(path),
        "draw": lambda: draw(photo, poses),
        "write a JPEG": lambda: photos.write(folder / "out.jpg", photo),
    }
    with torch.inference_mode():
        return {name: milliseconds(call, repeats) for name, call in stages.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--people", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(arguments.people, arguments.repeats, Path(folder))
    for name, (low, middle) in rows.items():
        print(f"{name:28} {low:7.2f} ms  (median {middle:.2f})")
    if arguments.json:
        arguments.json.write_text(json.dumps({name: {"p10_ms": low, "p50_ms": middle} for name, (low, middle) in rows.items()}, indent=1))


if __name__ == "__main__":
    main()
