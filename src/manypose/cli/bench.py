"""Timing: ``manypose bench decode | network | train``. Each returns a list of rows, prints a table and can write JSON."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module, util
from pathlib import Path
from typing import Any

import numpy as np
import torch

from manypose.data.sample import Batch
from manypose.io.files import write_json
from manypose.methods.catalog import MODELS, build, no_model
from manypose.methods.method import Method, TopDownMethod, module_of
from manypose.nn.device import choose_device
from manypose.training.step import Step

__all__ = ["Measuring", "decode", "network", "train"]

Row = dict[str, Any]


def _positive(**numbers: Sequence[int]) -> None:
    for name, values in numbers.items():
        if not values or min(values) < 1:
            raise ValueError(f"{name.replace('_', ' ')} must be 1 or more, got {', '.join(map(str, values)) or 'nothing'}")


def decode(
    *,
    method: str | None = None,
    model: str | None = None,
    people: list[int] = [1, 10, 30],  # noqa: B006 - shown by --help, never changed
    size: list[int] | None = None,
    cases: int = 10,
    repeats: int = 3,
    threads: int = 1,
    device: str = "auto",
    json: Path | None = None,
) -> list[Row]:
    """Measure the time from heat maps to poses, by the number of people. No network runs.

    Args:
        method: a method, such as swahr; its default model is measured.
        model: a named model instead of a method.
        people: number of people in the heat maps; for top-down models, the number of crops decoded at once.
        size: side of the network's input in pixels; default 512. For top-down models the height of a crop; default the model's own.
        cases: number of different sets of heat maps.
        repeats: number of measured repetitions, after one warm-up.
        threads: number of CPU threads.
        device: device of the heat maps: cpu, cuda or auto.
        json: file to write the rows to.

    Returns:
        A row for each size and number of people: ``method, people, size, p50_ms, p95_ms, cpu_p50_ms`` (CPU time, which depends less on
        other programs on the machine) and the settings of the measurement.

    Raises:
        ValueError: no such method, or a number is out of range.
    """
    name, examples = _examples(method, model)
    _positive(people=people, size=size or [1], cases=[cases], repeats=[repeats], threads=[threads])
    where, rows = choose_device("cpu" if device == "auto" else device), []
    decoder = build(name)
    module_of(decoder).to(where).eval()  # the PRN and the grouping CNN decode with weights
    with _threads(threads), torch.inference_mode():
        for side in size or [decoder.input_size[0] if isinstance(decoder, TopDownMethod) else 512]:
            shape = _shape(side, decoder)
            for n in people:
                times = []
                for seed in range(cases):
                    maps = {k: v.to(where) for k, v in examples(decoder.skeleton, n, side, seed).items()}
                    times += _times(lambda m=maps, s=shape: decoder.decode(m, s), repeats, where)
                how = {"cases": cases, "repeats": repeats, "threads": threads, "device": str(where)}
                rows.append({"method": _room(name), "people": n, "size": side, **_summary(times), **how})
    return _report(rows, ("method", "people", "size", "p50_ms", "p95_ms", "cpu_p50_ms"), json)


@dataclass(frozen=True)
class Measuring:
    """Settings of `network` and `train`.

    Args:
        size: side of the square input in pixels, or the height of a top-down model's crop; default: the model's own.
        batch_size: photos, or crops of people, in one forward pass.
        repeats: number of measured repetitions, after one warm-up.
        threads: number of CPU threads.
        device: device of the network: cpu, cuda or auto.
        json: file to write the rows to.
    """

    size: tuple[int, ...] | None = None
    batch_size: tuple[int, ...] = (1,)
    repeats: int = 10
    threads: int = 1
    device: str = "auto"
    json: Path | None = None

    def __post_init__(self) -> None:
        _positive(batch_size=self.batch_size, size=self.size or [1], repeats=[self.repeats], threads=[self.threads])


def network(*, model: str, how: Measuring = Measuring()) -> list[Row]:
    """Measure the forward pass of a model's network, without decoding.

    Args:
        model: a named model.
        how: see `Measuring`.

    Returns:
        A row for each size and batch size: ``model, size, batch_size, ms_per_image, cpu_ms_per_image, images_per_s``; CPU time
        depends less on other programs on the machine.

    Raises:
        ValueError: no such model or device, or a number is out of range.
    """
    net, where = build(model), choose_device(how.device)
    module_of(net).to(where).eval()

    def one(shape: tuple[int, int], n: int) -> Row:
        images = net.prepare(torch.randint(256, (n, *shape, 3), dtype=torch.uint8, device=where))
        with torch.inference_mode():
            ms, busy = np.median(_times(lambda: net.network(images), how.repeats, where), 0).tolist()
        return {"ms_per_image": round(ms / n, 3), "cpu_ms_per_image": round(busy / n, 3), "images_per_s": round(1e3 * n / ms, 3)}

    return _each(model, net, where, how, one)


def train(*, model: str, people: int = 3, how: Measuring = Measuring()) -> list[Row]:
    """Measure a training step: targets, network, loss, gradients and Adam, without loading photos.

    Args:
        model: a named model.
        people: number of people in each photo.
        how: see `Measuring`.

    Returns:
        A row for each size and batch size: ``model, size, batch_size, ms_per_step, images_per_s``.

    Raises:
        ValueError: no such model or device, or a number is out of range.
    """
    _positive(people=[people])
    net, where = build(model), choose_device(how.device)
    module = module_of(net).to(where).train()
    step, optimizer = Step(module), torch.optim.Adam(module.parameters(), lr=1e-4)

    def one(shape: tuple[int, int], n: int) -> Row:
        batch = _batch(n, people, shape, net).to(where)
        ms = float(np.median(_times(lambda: _one_step(step, optimizer, batch), how.repeats, where), 0)[0])
        return {"ms_per_step": round(ms, 3), "images_per_s": round(1e3 * n / ms, 3)}

    return _each(model, net, where, how, one)


def _each(model: str, net: Any, where: torch.device, how: Measuring, one: Callable[[tuple[int, int], int], Row]) -> list[Row]:
    """A row for each size and batch size, printed as a table and written to a file if one is named."""
    rows: list[Row] = []
    with _threads(how.threads):
        for side in how.size or [_own(net)]:
            shape = _fits(_shape(side, net), net)
            for n in how.batch_size:
                row = {"model": model, "size": side, "batch_size": n, **one(shape, n)}
                rows.append({**row, "repeats": how.repeats, "threads": how.threads, "device": str(where)})
    return _report(rows, tuple(name for name in rows[0] if name not in ("repeats", "threads", "device")), how.json)


# ── what is measured ──


def _room(model: str) -> str:
    return MODELS[model].factory.partition(":")[0].rpartition(".")[2]


def _examples(method: str | None, model: str | None) -> tuple[str, Callable[..., dict[str, torch.Tensor]]]:
    """A named model, and its method's ``example_maps.examples(skeleton, people, size, seed)``, which makes heat maps."""
    if (method is None) == (model is None):
        raise ValueError("give a method or a model, such as --method swahr")
    rooms = sorted({_room(name) for name in MODELS})
    if method is not None and method not in rooms:
        raise ValueError(f"no method {method!r}; there are {', '.join(rooms)}")
    if model is not None and model not in MODELS:
        raise ValueError(no_model(model))
    name = model or next(name for name in MODELS if _room(name) == method)
    module = f"{MODELS[name].factory.partition(':')[0]}.example_maps"
    if util.find_spec(module) is None:
        raise ValueError(f"the method {_room(name)!r} has no example maps to decode")
    return name, import_module(module).examples


def _own(net: Method) -> int:
    """The model's own input size: the side of a square, or the height of a person's crop."""
    return net.input_size[0] if isinstance(net, TopDownMethod) else net.size


def _shape(side: int, net: Method) -> tuple[int, int]:
    """Height and width of an input: a square, or a crop with the model's aspect ratio."""
    height, width = net.input_size if isinstance(net, TopDownMethod) else (1, 1)
    return side, round(side * width / height)


def _fits(shape: tuple[int, int], net: Method) -> tuple[int, int]:
    if any(s % net.stride for s in shape):
        given = shape[0] if shape[0] == shape[1] else f"{shape[0]} ({shape[0]} x {shape[1]})"
        raise ValueError(f"the size must be a multiple of the model's stride {net.stride}, got {given}")
    return shape


def _batch(n: int, people: int, size: tuple[int, int], net: Method) -> Batch:
    """A batch of noise images with random people."""
    random = torch.Generator().manual_seed(0)
    height, width = size
    keypoints = torch.rand((n, people, len(net.skeleton), 3), generator=random) * torch.tensor([width - 1, height - 1, 1])
    keypoints[..., 2] = 2
    low, high = keypoints[..., :2].amin(2), keypoints[..., :2].amax(2)
    return Batch(
        images=torch.randint(256, (n, height, width, 3), dtype=torch.uint8, generator=random),
        keypoints=keypoints,
        boxes=torch.cat([low, high], -1),
        areas=(high - low).prod(-1),
        there=torch.ones(n, people, dtype=torch.bool),
        mask=torch.ones(n, 1, height, width, dtype=torch.uint8),
        segmentation=torch.full((n, height, width), 255, dtype=torch.uint8),
    )


def _one_step(step: Step, optimizer: torch.optim.Optimizer, batch: Batch) -> None:
    optimizer.zero_grad(set_to_none=True)
    torch.stack(list(step(batch).values())).sum().backward()
    optimizer.step()


# ── measuring and telling ──


@contextmanager
def _threads(n: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _times(call: Callable[[], Any], repeats: int, device: torch.device) -> list[tuple[float, float]]:
    """Wall and CPU milliseconds of each repetition, after one warm-up."""
    out = []
    for _ in range(repeats + 1):
        start, busy = time.perf_counter(), time.process_time()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        out.append(((time.perf_counter() - start) * 1e3, (time.process_time() - busy) * 1e3))
    return out[1:]


def _summary(times: list[tuple[float, float]]) -> Row:
    clock, processor = np.transpose(times)
    p50, p95, busy = (*np.percentile(clock, [50, 95]), np.median(processor))
    return {"p50_ms": round(float(p50), 3), "p95_ms": round(float(p95), 3), "cpu_p50_ms": round(float(busy), 3)}


def _report(rows: list[Row], columns: tuple[str, ...], json: Path | None) -> list[Row]:
    """Print the rows as a table, and write them if a file is named."""
    table = [columns, *(tuple(f"{row[c]:.1f}" if isinstance(row[c], float) else str(row[c]) for c in columns) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))
    if json is not None:
        write_json(json, rows)
    return rows
