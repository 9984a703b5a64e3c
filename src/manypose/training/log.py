"""Log of a training: progress bar, curves by a tracker of accelerate, and the error for a loss that is not finite."""

import csv
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

__all__ = ["CURE", "CURVES", "Log", "Tracker", "check_tracker", "plot", "writers_hushed"]

CURE = "Lower the learning rate, clip gradients (clip_norm), or give precision bf16 or no"

Tracker = Literal["tensorboard", "wandb", "mlflow", "csv", "none"]

CURVES = "curves.csv"
"""File of all figures of a training, one per row: step, name, value. Written for all trackers except ``none``."""


def check_tracker(tracker: Tracker) -> None:
    """Raise `ValueError` if a tracker's package is not installed."""
    if tracker not in ("csv", "none") and find_spec(tracker) is None:
        raise ValueError(f"log {tracker} needs the package {tracker}: pip install {tracker}; or give csv, tensorboard or none")


class Log:
    """The log of a training. Losses are collected on the device and read at intervals, since reading synchronizes.

    Args:
        accelerator: the processes; the main one reports.
        out: folder of the curves.
        step: first step.
        total: last step.
        tracker: the tracker of the curves.
    """

    def __init__(self, accelerator: Accelerator, out: Path, step: int, total: int, tracker: Tracker = "tensorboard"):
        self.accelerator, self.tracker, self.out = accelerator, tracker, out
        self.start = self.step = self.shown = step
        main = accelerator.is_main_process
        if tracker not in ("csv", "none"):
            options = {"tensorboard": {"purge_step": step + 1}} if tracker == "tensorboard" else {}
            with self._written():
                accelerator.init_trackers("tensorboard" if tracker == "tensorboard" else "manypose", init_kwargs=options)
        self.file = _begun(out / CURVES, step) if main and tracker != "none" else None
        self.bar = tqdm(total=total, initial=step, unit="step", disable=not main, dynamic_ncols=True)
        self.names: list[str] = []
        self.rows: list[Tensor] = []
        self.steps: list[int] = []
        self.images, self.since = 0, time.monotonic()

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.bar.close()
        with self._written() if kind is None else suppress(OSError):  # do not hide an earlier error
            if self.file is not None:
                self.file.close()
            for tracker in self.accelerator.trackers:
                tracker.finish()
        if kind is not None and issubclass(kind, OSError) and not self.shown > self.start:
            self._remove_events()  # nothing was trained: leave no empty file

    def _remove_events(self) -> None:
        for half in (self.out / "tensorboard").glob(f"events.*.{os.getpid()}.*"):
            half.unlink(missing_ok=True)

    @contextmanager
    def _written(self) -> Iterator[None]:
        """Turns write errors (a full disk) into one that names the folder, and removes TensorBoard's incomplete files."""
        try:
            yield
        except OSError as e:
            self._remove_events()
            raise OSError(e.errno, f"curves cannot be written: {e.strerror or e}; give --log none to do without", str(self.out)) from None

    def add(self, step: int, losses: Mapping[str, Tensor], images: int) -> None:
        """Add the named losses of one batch."""
        self.names = list(losses)
        self.rows.append(torch.stack([v.detach().float() for v in losses.values()]))
        self.steps.append(step)
        self.images += images
        self.step = step

    def look(self, rate: float, stop: bool = False) -> bool:
        """Report the means over all processes since the last call. All processes call this at the same step.

        Args:
            rate: the learning rate.
            stop: whether this process wants to stop.

        Returns:
            whether any process wants to stop.

        Raises:
            FloatingPointError: a loss was not finite.
        """
        rows = torch.cat([torch.stack(self.rows), torch.full((len(self.rows), 1), float(stop), device=self.rows[0].device)], 1)
        reduced: Any = self.accelerator.reduce(rows, "mean")
        rows = reduced.cpu()
        stop = bool(rows[-1, -1] > 0)
        rows = rows[:, :-1]
        bad = (~rows.isfinite()).nonzero()
        if len(bad):
            row, loss = bad[0].tolist()
            raise FloatingPointError(
                f"the loss {self.names[loss]!r} is not finite ({rows[row, loss]}) at step {self.steps[row]}; the last checkpoint stays. "
                f"{CURE}"
            )
        seconds = max(time.monotonic() - self.since, 1e-9)
        speed = self.images * self.accelerator.num_processes / seconds
        means = dict(zip(self.names, rows.mean(0).tolist(), strict=True))
        curves = {f"loss/{k}": v for k, v in means.items()}
        self.figures(self.step, {**curves, "loss/sum": sum(means.values()), "lr": rate, "images_per_second": speed})
        self.bar.update(self.step - self.shown)
        self.bar.set_postfix_str(" ".join([*(f"{k} {v:.3g}" for k, v in means.items()), f"{speed:.0f} img/s"]))
        self.rows, self.steps, self.images, self.since, self.shown = [], [], 0, time.monotonic(), self.step
        return stop

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        """Add points to the curves."""
        with self._written():
            if self.tracker not in ("csv", "none"):
                self.accelerator.log(dict(values), step=step)
            if self.file is not None:
                csv.writer(self.file).writerows((step, name, repr(float(value))) for name, value in values.items())
                self.file.flush()

    def say(self, line: str) -> None:
        """Print a line above the progress bar."""
        if self.accelerator.is_main_process:
            self.bar.write(line)


@contextmanager
def writers_hushed() -> Iterator[None]:
    """Suppress tracebacks of TensorBoard's writer thread, whose errors are raised again in the calling thread."""
    before = threading.excepthook

    def hook(failed: threading.ExceptHookArgs) -> None:
        if not (isinstance(failed.exc_value, OSError) and type(failed.thread).__module__.startswith("tensorboard")):
            before(failed)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before


def plot(curves: Path, picture: Path) -> Path | None:
    """Draw loss and validation figures of a `CURVES` file over the steps; None if matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        return None
    from matplotlib.figure import Figure

    found: dict[str, list[tuple[int, float]]] = {}
    for step, name, value in _rows(curves):
        found.setdefault(name, []).append((step, value))
    losses = {k: v for k, v in found.items() if k.startswith("loss/")}
    figures = {k: v for k, v in found.items() if k not in losses and k not in ("lr", "images_per_second")}
    panels = [("loss", losses), *([("validation", figures)] if figures else [])]
    figure = Figure(figsize=(6 * len(panels), 4), layout="constrained")
    for axes, (title, lines) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for name, points in lines.items():
            axes.plot(*zip(*points, strict=True), label=name, marker="." if title == "validation" else None)
        axes.set_title(title)
        axes.set_xlabel("step")
        axes.legend()
    figure.savefig(picture)
    return picture


def _begun(path: Path, step: int) -> Any:
    """The curves file, truncated after a step (later rows belong to a lost part of the training) and open for appending."""
    kept = [row for row in _rows(path) if row[0] <= step]
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("w", newline="")
    csv.writer(file).writerows([("step", "name", "value"), *((s, n, repr(v)) for s, n, v in kept)])
    file.flush()
    return file


def _rows(path: Path) -> list[tuple[int, str, float]]:
    """The rows of a curves file, without an incomplete last one."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        rows = [row for row in csv.reader(file) if len(row) == 3 and row[0].isdecimal()]
    found = []
    for step, name, value in rows:
        try:
            found.append((int(step), name, float(value)))
        except ValueError:
            continue
    return found
