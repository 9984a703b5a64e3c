"""``manypose bench pipeline``: the time of each step of prediction, from a photo file to poses. Needs no PyTorch."""

import copy
import os
import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any, Literal

import cv2
import numpy as np

from manypose.inference.detectors import find_detector
from manypose.inference.graph_files import cores, threads_of_cpu
from manypose.inference.model import Model, load
from manypose.inference.options import PredictOptions
from manypose.inference.photos import PhotoInput
from manypose.inference.pipeline import detect
from manypose.inference.running import Graphs, runner
from manypose.io.extras import need_torch
from manypose.io.files import write_json
from manypose.io.photos import read
from manypose.io.sources import example_photo

__all__ = ["STEPS", "pipeline"]

STEPS = ("read", "detect", "crop", "network", "decode")

Seconds = tuple[float, float]
"""CPU time of all threads, and wall time."""


def pipeline(
    *,
    model: str = "default",
    runtime: list[Literal["onnx", "openvino", "torch"]] | None = None,
    photo: Path | None = None,
    people: list[int] | None = None,
    threads: list[int] | None = None,
    repeats: int = 10,
    flip: bool = False,
    resnet50: bool = False,
    json: Path | None = None,
) -> None:
    """Measure each step of prediction, from a photo file to poses.

    The steps are read (the file), detect (find the boxes), crop, network and decode (the poses in the boxes). The box of the first person
    is repeated to reach the number of people. Figures are medians.

    Args:
        model: a top-down model with a detector: a name, a weights file or an ONNX graph.
        runtime: the library that runs the networks; default onnx.
        photo: a photo with at least one person; by default the example photo of manypose.
        people: numbers of people; default 1, 5 and 20.
        threads: numbers of threads; default 1, and all cores.
        repeats: number of repetitions of each step.
        flip: also run the network on the mirrored photo.
        resnet50: also measure a forward pass of torchvision's ResNet-50 at 224 x 224, interleaved with the others, as a reference for
            comparing machines; needs PyTorch.
        json: also write the figures to this file.
    """
    if repeats < 1 or min(people or [1]) < 1 or min(threads or [1]) < 1:
        raise ValueError("repeats, people and threads must be whole numbers of at least 1")
    path, rows = photo or example_photo(), []
    for number in threads or sorted({1, cores()}):
        with _Threads(number):
            reference = _resnet50(number) if resnet50 else None
            for name in runtime or ["onnx"]:
                loaded = load(model, device="cpu", runtime=name)
                if name == "torch":
                    import torch

                    torch.set_num_threads(number)
                rows += [
                    _measured(loaded, path, n, repeats, flip, reference) | {"runtime": name, "threads": number}
                    for n in people or [1, 5, 20]
                ]
    print(_text(rows))
    if json is not None:
        machine = f"{platform.machine()}, {_processor()}, {platform.system()}"
        write_json(json, {"model": model, "photo": path.name, "machine": machine, "unit": "seconds: CPU, wall", "rows": rows})


class _Threads:
    """A context in which the libraries use `number` threads."""

    def __init__(self, number: int) -> None:
        self.number, self.before = number, (os.environ.get("OMP_NUM_THREADS"), cv2.getNumThreads())

    def __enter__(self) -> None:
        os.environ["OMP_NUM_THREADS"] = str(self.number)
        cv2.setNumThreads(self.number)
        assert threads_of_cpu() == self.number

    def __exit__(self, *_: object) -> None:
        said, number = self.before
        os.environ.pop("OMP_NUM_THREADS") if said is None else os.environ.update(OMP_NUM_THREADS=said)
        cv2.setNumThreads(number)


def _measured(model: Model, path: Path, people: int, repeats: int, flip: bool, reference: Callable[[], Any] | None) -> dict[str, Any]:
    """The row of one model, runtime and number of people, measured."""
    if not model.detector:
        raise ValueError("bench pipeline needs a top-down model with a detector, such as default or fast")
    finder: Any = find_detector(model.detector, device="cpu", runtime="torch" if model.runtime == "torch" else "auto")
    options, spent = PredictOptions(flip=flip), _Decoding()
    driver, times = runner(spent.watch(model.method)), {step: [] for step in (*STEPS, "whole", *(["resnet50"] if reference else []))}
    for i in range(repeats + 1):  # the first one warms up
        began: dict[str, Seconds] = {}
        began["read"], pixels = _timed(lambda: read(path))
        item = PhotoInput(pixels, pixels=pixels)
        began["detect"], found = _timed(lambda one=item: next(iter(detect(finder, [one], options))))
        if found.boxes is None or not len(found.boxes):
            raise ValueError(f"{path}: no person was found in this photo")
        boxes = np.repeat(found.boxes[:1], people, 0)
        began["crop"], warps = _timed(lambda p=pixels, b=boxes: driver.people(p, b[:, :4]))
        cut, images = _timed(lambda w=warps, p=pixels: np.stack([one.image(p) for one in w]))
        began["crop"] = (began["crop"][0] + cut[0], began["crop"][1] + cut[1])
        spent.seconds = (0.0, 0.0)
        views = [images[j : j + options.batch_size] for j in range(0, people, options.batch_size)]
        both, _ = _timed(lambda v=views, w=warps: [driver.found([one], w[:1], options, "people") for one in v])
        inner = spent.seconds
        outer = (both[0] - inner[0], both[1] - inner[1])
        began["network"], began["decode"] = (inner, outer) if isinstance(driver, Graphs) else (outer, inner)
        began["whole"], _ = _timed(lambda: model.predict(path, detector=Model(finder), options=options))
        if reference is not None:
            began["resnet50"], _ = _timed(reference)
        for step, seconds in began.items() if i else ():
            times[step].append(seconds)
    return {"people": people, "flip": flip, **{s: [median(t[k] for t in found_) for k in (0, 1)] for s, found_ in times.items()}}


def _timed(call: Callable[[], Any]) -> tuple[Seconds, Any]:
    cpu, wall = process_time(), perf_counter()
    result = call()
    return (process_time() - cpu, perf_counter() - wall), result


class _Decoding:
    """Measures one step of `Runner.found`: the network of a graph, or the decoding of a `Method`."""

    def __init__(self) -> None:
        self.seconds: Seconds = (0.0, 0.0)

    def watch(self, model: Any) -> Any:
        """The same model, with its calls measured."""
        if isinstance(model, Graphs):
            return replace(model, run=self._counted(model.run))
        twin = copy.copy(model)
        twin.decode = self._counted(model.decode)
        return twin

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*words: Any) -> Any:
            seconds, result = _timed(lambda: call(*words))
            self.seconds = (self.seconds[0] + seconds[0], self.seconds[1] + seconds[1])
            return result

        return counted


def _resnet50(threads: int) -> Callable[[], Any]:
    need_torch("resnet50")
    import torch
    from torchvision.models import resnet50

    torch.set_num_threads(threads)
    network, image = resnet50().eval().to(memory_format=torch.channels_last), torch.zeros(1, 3, 224, 224)  # type: ignore[call-overload]
    image = image.contiguous(memory_format=torch.channels_last)

    def forward() -> Any:
        with torch.inference_mode():
            return network(image)

    return forward


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())


def _text(rows: list[dict[str, Any]]) -> str:
    """A table: CPU and wall milliseconds of each step."""
    steps = [key for key, value in rows[0].items() if isinstance(value, list)]
    lines = [["runtime", "threads", "people", *steps]]
    lines += [
        [r["runtime"], str(r["threads"]), str(r["people"]), *(f"{1000 * r[s][0]:.1f} / {1000 * r[s][1]:.1f}" for s in steps)] for r in rows
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return f"{table}\nmilliseconds, CPU / wall; whole: the unchanged photo, from file to poses"
