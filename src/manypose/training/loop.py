"""The training loop on `accelerate`: steps, accumulation, weight averaging, checkpoints, validation and log.

It trains any network whose ``forward`` returns named losses for a batch: a method (`train`), the PRN (`prn`) and SIMPLE's grouping CNN
(`grouping`). A training that was stopped, even by ``kill -9``, resumes from its last checkpoint and ends with the same weights as without
interruption.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from manypose.io.safetensors import read_about
from manypose.nn.device import bf16_is_faster, choose_device
from manypose.training.checkpoints import Checkpoints
from manypose.training.facts import Facts
from manypose.training.plateau import Level, Plateau
from manypose.training.validation import Progress, Validation, validated

try:
    from accelerate import Accelerator
    from accelerate.utils import ProjectConfiguration

    from manypose.training.log import CURE, CURVES, Log, Tracker, check_tracker, plot, writers_hushed
except ImportError as e:
    raise ImportError(f"training needs the extra 'train': pip install 'manypose[train]' ({e.name} is missing)") from None

__all__ = ["BEST", "Job", "Precision", "Saving", "Tracker", "accelerator", "precision_on", "run"]

BEST = "best.safetensors"
"""File of the weights with the best validation figure."""

Precision = Literal["auto", "no", "bf16", "fp16"]


@dataclass(frozen=True)
class Saving:
    """Settings of checkpoints and the weights file.

    Args:
        every: number of steps between checkpoints.
        keep: number of checkpoints to keep; the oldest is removed first.
        look: number of steps between checks of the losses, which find a loss that is not finite.
        dtype: precision of the weights file: single, or half (half as large).
        note: a note for the weights file: training data and licence.
    """

    every: int = 1000
    keep: int = 2
    look: int = 20
    dtype: Literal["float32", "float16"] = "float32"
    note: str = ""

    def __post_init__(self) -> None:
        if min(self.every, self.keep, self.look) < 1:
            raise ValueError(f"every, keep and look must be at least 1, got {self.every}, {self.keep}, {self.look}")


@dataclass(frozen=True)
class Job:
    """A training: network, data, optimizer and settings.

    Args:
        network: returns named losses for a batch.
        optimizer: of the network's parameters, with the full learning rate of each group.
        stream: ``stream(start, process, processes)`` returns a process's endless batches from index `start`; batches have ``to(device)``.
        steps: length of the training.
        per_epoch: steps per epoch, for the validation.
        rate: fraction of the full learning rate at a step.
        plateau: rule that lowers the rate by the losses.
        write: ``write(network, path, step)`` writes the weights file with ``"step"`` in its description.
        file: the weights file.
        facts: the settings compared on resume.
        count: samples per batch, for the speed.
        shown: is called with the first batch of a new training, to draw it.
        accumulate: batches per optimizer step.
        clip_norm: largest 2-norm of the gradient.
        ema: decay of the moving average of the weights, which is saved instead of them; at the start (1 + step) / (10 + step) at most.
        saving: settings of checkpoints and the weights file.
        max_minutes: stop with a checkpoint after this time.
        validation: evaluation during training.
        tracker: the tracker of the curves.
    """

    network: nn.Module
    optimizer: Optimizer
    stream: Callable[[int, int, int], Iterator[Any]]
    steps: int
    per_epoch: int
    rate: Callable[[int], float]
    write: Callable[[nn.Module, Path, int], Path]
    file: Path
    facts: Facts
    count: Callable[[Any], int] = len
    shown: Callable[[Any], None] | None = None
    accumulate: int = 1
    clip_norm: float | None = None
    ema: float | None = None
    saving: Saving = Saving()
    max_minutes: float | None = None
    validation: Validation | None = None
    tracker: Tracker = "tensorboard"
    plateau: Plateau | None = None


def accelerator(precision: Literal["no", "bf16", "fp16"], accumulate: int, device: str, out: Path, tracker: Tracker) -> "Accelerator":
    """The accelerator (processes and device) of a training; bfloat16 is left to `manypose.training.step.Step`.

    Raises:
        ValueError: no such device or tracker, or an unsupported precision.
    """
    check_tracker(tracker)
    chosen = choose_device(device)
    if precision == "fp16" and chosen.type != "cuda":
        raise ValueError("precision fp16 needs a GPU; give bf16 or no")
    if chosen.index:
        getattr(torch, chosen.type).set_device(chosen)
    return Accelerator(
        mixed_precision="fp16" if precision == "fp16" else "no",
        gradient_accumulation_steps=accumulate,
        cpu=chosen.type == "cpu",
        log_with=None if tracker in ("csv", "none") else tracker,
        project_config=ProjectConfiguration(str(out), logging_dir=str(out)),
    )


def precision_on(precision: Precision, device: torch.device) -> tuple[Literal["no", "bf16", "fp16"], str]:
    """The precision for a device, and a message with the reason if it differs from the requested one."""
    fast = bf16_is_faster(device)
    if precision == "auto":
        return ("bf16" if fast else "no"), ""
    if precision == "bf16" and not fast:
        return "no", f"precision no: bfloat16 is slower than single precision on this {device.type}, which does not compute in it"
    return precision, ""


def run(acc: "Accelerator", job: Job, out: Path) -> Path:
    """Train, or resume a training; returns the weights file.

    Args:
        acc: from `accelerator`.
        job: the training.
        out: folder for checkpoints, curves and weights.

    Raises:
        ValueError: checkpoints in `out` belong to another training, or are damaged.
        FloatingPointError: a loss or weight is not finite; the last checkpoint is kept.
        OSError: a file cannot be written.
    """
    began, place = time.monotonic(), torch.device(acc.device)
    bare = job.network.to(place).train()
    average = AveragedModel(bare, use_buffers=True) if job.ema is not None else None
    full = [group["lr"] for group in job.optimizer.param_groups]
    network, optimizer = acc.prepare(bare, job.optimizer)
    parts: dict[str, Any] = {"optimizer": job.optimizer}
    if average is not None:
        parts["average"] = average
    if acc.scaler is not None:
        parts["scaler"] = acc.scaler
    checkpoints = Checkpoints(out / "checkpoints", acc, job.saving.keep, job.facts, bare, parts)
    step, stored = checkpoints.resume(acc.print)
    level = Level(**stored.pop("plateau", {}))
    progress = Progress(**stored)
    loss_sum, loss_steps = torch.zeros((), device=place), 0
    result: nn.Module = bare if average is None else average.module
    if step and acc.is_main_process and _step_of(job.file) != step:  # killed between a checkpoint and its weights file
        job.write(result, job.file, step)
    validate_after = 0 if job.validation is None else max(1, round(job.validation.every * job.per_epoch))

    stream = job.stream(step * job.accumulate, acc.process_index, acc.num_processes)
    stream = chain([next(stream)] if step < job.steps else [], stream)  # finds unusable data before any file is opened
    with writers_hushed(), Log(acc, out, step, job.steps, job.tracker) as log, _stop_signal() as signalled:
        while step < job.steps and not progress.exhausted(job.validation):
            share = job.rate(step) * (1.0 if job.plateau is None else job.plateau.share(level))
            for group, rate in zip(job.optimizer.param_groups, full, strict=True):
                group["lr"] = rate * share
            for batch in islice(stream, job.accumulate):
                if step == 0 and job.shown is not None and acc.is_main_process and not log.rows:
                    job.shown(batch)
                with acc.accumulate(network):
                    losses = network(batch.to(place))
                    loss = torch.stack(list(losses.values())).sum()
                    acc.backward(loss)
                    if acc.sync_gradients and job.clip_norm is not None:
                        acc.clip_grad_norm_(network.parameters(), job.clip_norm)
                    optimizer.step()
                    optimizer.zero_grad()
                log.add(step + 1, losses, job.count(batch))
                loss_sum = loss_sum + loss.detach() / job.accumulate
            step, loss_steps = step + 1, loss_steps + 1
            if job.plateau is not None and step % job.per_epoch == 0:
                level, loss_sum, loss_steps = _added(acc, level, loss_sum, loss_steps), torch.zeros_like(loss_sum), 0
                level = level.ended(job.plateau)
            if average is not None and job.ema is not None:
                average.multi_avg_fn = get_ema_multi_avg_fn(min(job.ema, (1 + step) / (10 + step)))
                average.update_parameters(bare)
            validate = bool(validate_after) and (step % validate_after == 0 or step == job.steps)
            due = step % job.saving.every == 0 or step == job.steps or validate
            stop = bool(signalled) or (job.max_minutes is not None and time.monotonic() - began > 60 * job.max_minutes)
            # Processes agree on stopping at the steps where all call `look`.
            if due or step % job.saving.look == 0 or (stop and acc.num_processes == 1):
                stop = log.look(share * full[0], stop)
                if due or stop:
                    _finite(bare, step)
                    if validate and job.validation is not None:
                        progress = _measured(acc, job, job.validation, result, progress, step, log, out)
                    more: dict[str, Any] = {}
                    if job.plateau is not None:
                        level, loss_sum, loss_steps = _added(acc, level, loss_sum, loss_steps), torch.zeros_like(loss_sum), 0
                        more = {"plateau": level.to_json()}
                    checkpoints.save(step, progress.to_json() | more)
                    if acc.is_main_process:
                        job.write(result, job.file, step)
                    log.say(f"step {step}: saved a checkpoint and {job.file}")
            else:
                stop = False
            if stop and step < job.steps:
                log.say(f"stopped at step {step} of {job.steps}; the same command resumes it")
                return job.file
    if acc.is_main_process:
        if progress.best_step and step < job.steps:
            acc.print(f"stopped at step {step}: no better {progress.figure} than that of step {progress.best_step}, see {out / BEST}")
        if job.tracker != "none":
            plot(out / CURVES, out / "curves.png")
    return job.file


def _added(acc: "Accelerator", level: Level, loss_sum: torch.Tensor, steps: int) -> Level:
    """Add the losses of the last steps (the mean over all processes) to those of the epoch."""
    total: Any = acc.reduce(loss_sum, "mean")
    return level.plus(float(total), steps)


def _measured(
    acc: "Accelerator", job: Job, validation: Validation, result: nn.Module, progress: Progress, step: int, log: Log, out: Path
) -> Progress:
    """Evaluate, log the figures, and save the weights if they are the best."""
    figures = validated(validation, result)
    log.figures(step, figures)
    progress, better = progress.after(validation, figures, step)
    log.say(f"step {step}: " + "  ".join(f"{k} {v:.4g}" for k, v in figures.items()) + ("  (best)" if better else ""))
    if better and acc.is_main_process:
        job.write(result, out / BEST, step)
    acc.wait_for_everyone()
    return progress


def _step_of(file: Path) -> Any:
    """The step stored in a weights file; None if there is no readable file."""
    try:
        return read_about(file).get("step")
    except (OSError, ValueError):
        return None


def _finite(network: nn.Module, step: int) -> None:
    """Refuse weights that are not finite, which a finite loss does not exclude, before they become the last checkpoint."""
    if not torch.stack([p.detach().isfinite().all() for p in network.parameters()]).all():
        raise FloatingPointError(f"the weights are not finite after step {step}; the last checkpoint stays. {CURE}")


@contextmanager
def _stop_signal() -> Iterator[list[int]]:
    """A list that is empty until SIGTERM is received."""
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    try:
        yield came
    finally:
        signal.signal(signal.SIGTERM, before)
