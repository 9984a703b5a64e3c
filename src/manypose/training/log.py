"""What a training says: progress bar, TensorBoard's curves, and the error where a loss is not finite."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

__all__ = ["CURE", "Log"]

CURE = "Lower the learning rate, clip gradients (clip_norm), or give precision bf16 or no"


class Log:
    """Collects losses on the device and looks at them only now and then, since every look waits for the device.

    Args:
        accelerator: the processes that take part; the main one speaks.
        folder: TensorBoard's.
        step: where the training starts.
        total: where it ends.
    """

    def __init__(self, accelerator: Accelerator, folder: Path, step: int, total: int):
        self.accelerator, self.step, self.shown = accelerator, step, step
        main = accelerator.is_main_process
        self.writer = SummaryWriter(str(folder), purge_step=step + 1) if main else None
        self.bar = tqdm(total=total, initial=step, unit="step", disable=not main, dynamic_ncols=True)
        self.names: list[str] = []
        self.rows: list[Tensor] = []
        self.steps: list[int] = []
        self.images, self.since = 0, time.monotonic()

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()
        if self.writer is not None:
            self.writer.close()

    def add(self, step: int, losses: Mapping[str, Tensor], images: int) -> None:
        """The named losses of one batch."""
        self.names = list(losses)
        self.rows.append(torch.stack([v.detach().float() for v in losses.values()]))
        self.steps.append(step)
        self.images += images
        self.step = step

    def look(self, rate: float, stop: bool = False) -> bool:
        """Show the mean of what was added since the last look, over all processes. To be called by all of them at the same step.

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
        """Curves of TensorBoard."""
        if self.writer is not None:
            for name, value in values.items():
                self.writer.add_scalar(name, value, step)
            self.writer.flush()

    def say(self, line: str) -> None:
        """A line above the progress bar."""
        if self.accelerator.is_main_process:
            self.bar.write(line)
