"""Reports of a training: progress bar, curves by one of accelerate's trackers, and the error where a loss is not finite."""

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
"""Every figure of a training, one a row: step, name, value. Written beside the tracker's own files unless the tracker is ``none``."""


def check_tracker(tracker: Tracker) -> None:
    """Raises `ValueError` where a tracker's package is not installed."""
    if tracker not in ("csv", "none") and find_spec(tracker) is None:
        raise ValueError(f"log {tracker} needs the package {tracker}: pip install {tracker}; or give csv, tensorboard or none")


class Log:
    """Collects losses on the device and reads them only now and then, since reading waits for the device.

    Args:
        accelerator: the processes; the main one reports.
        out: folder of the curves.
        step: where the training starts.
        total: where it ends.
        tracker: who draws the curves.
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
        with self._written() if kind is None else suppress(OSError):  # another error has come first
            if self.file is not None:
                self.file.close()
            for tracker in self.accelerator.trackers:
                tracker.finish()
        if kind is not None and issubclass(kind, OSError) and not self.shown > self.start:
            self._remove_events()  # nothing was trained: no file without content is left

    def _remove_events(self) -> None:
        for half in (self.out / "tensorboard").glob(f"events.*.{os.getpid()}.*"):
            half.unlink(missing_ok=True)

    @contextmanager
    def _written(self) -> Iterator[None]:
        """The system's errors of curves (a full disk) as one that names their folder; TensorBoard's half-written files are removed."""
        try:
            yield
        except OSError as e:
            self._remove_events()
            raise OSError(e.errno, f"curves cannot be written: {e.strerror or e}; give --log none to do without", str(self.out)) from None

    def add(self, step: int, losses: Mapping[str, Tensor], images: int) -> None:
        """The named losses of one batch."""
        self.names = list(losses)
        self.rows.append(torch.stack([v.detach().float() for v in losses.values()]))
        self.steps.append(step)
        self.images += images
        self.step = step

    def look(self, rate: float, stop: bool = False) -> bool:
        """Report the means since the last look, over all processes. All processes call this at the same step.

        Args:
            rate: the learning rate.
            stop: this process wants to stop.

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
        """Points of curves."""
        with self._written():
            if self.tracker not in ("csv", "none"):
                self.accelerator.log(dict(values), step=step)
            if self.file is not None:
                csv.writer(self.file).writerows((step, name, repr(float(value))) for name, value in values.items())
                self.file.flush()

    def say(self, line: str) -> None:
        """A line above the progress bar."""
        if self.accelerator.is_main_process:
            self.bar.write(line)


@contextmanager
def writers_hushed() -> Iterator[None]:
    """TensorBoard's thread raises an error of the system again in the thread that writes next: its own traceback is not printed too."""
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
    """Draw loss and validation figures of a `CURVES` file over the steps; None where matplotlib is not installed."""
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
    """The curves' file up to a step, open for more: later rows belong to a part of the training that was lost."""
    kept = [row for row in _rows(path) if row[0] <= step]
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("w", newline="")
    csv.writer(file).writerows([("step", "name", "value"), *((s, n, repr(v)) for s, n, v in kept)])
    file.flush()
    return file


def _rows(path: Path) -> list[tuple[int, str, float]]:
    """The rows of a curves file; the last one of a training that was killed may be incomplete and is left out."""
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
