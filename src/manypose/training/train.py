"""Training: one loop for every method, on `accelerate`.

``manypose train --config FILE.yaml`` calls `train`; on N GPUs ``torchrun --nproc-per-node N -m manypose.cli train --config FILE.yaml``.
A training that was stopped, even by ``kill -9``, goes on where its last checkpoint was when the same command is run again,
and ends with the very weights that an undisturbed run ends with.
"""

import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from manypose.data.loading import Loader
from manypose.methods.catalog import build
from manypose.methods.method import Method, module_of
from manypose.nn.device import choose_device
from manypose.poses.skeleton import Skeleton, named
from manypose.training.checkpoints import Checkpoints
from manypose.training.schedule import Schedule
from manypose.training.step import Step, batches
from manypose.weights import files

try:
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    from manypose.training.log import CURE, Log
except ImportError as e:
    raise ImportError(f"training needs the extra 'train': pip install 'manypose[train]' ({e.name} is missing)") from None

__all__ = ["Saving", "train"]


@dataclass(frozen=True)
class Saving:
    """When and how a training is saved.

    Args:
        every: steps between checkpoints.
        keep: how many checkpoints stay; the oldest goes first.
        look: steps between looks at the losses; a loss that is not finite is found then at the latest.
        dtype: of the weights file: single precision, or half (half as large).
        note: for the weights file: on what the model was trained, under which licence.
    """

    every: int = 1000
    keep: int = 2
    look: int = 20
    dtype: Literal["float32", "float16"] = "float32"
    note: str = ""

    def __post_init__(self) -> None:
        if min(self.every, self.keep, self.look) < 1:
            raise ValueError(f"every, keep and look must be at least 1, got {self.every}, {self.keep}, {self.look}")


def train(
    model: str,
    data: Loader,
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
    schedule: Schedule,
    out: Path,
    *,
    model_args: dict[str, Any] | None = None,
    skeleton: str = "coco",
    init: Path | None = None,
    precision: Literal["no", "bf16", "fp16"] = "no",
    accumulate: int = 1,
    clip_norm: float | None = None,
    ema: float | None = None,
    channels_last: bool = False,
    sync_batchnorm: bool = False,
    saving: Saving = Saving(),
    max_minutes: float | None = None,
    evaluate: Callable[[Method], Mapping[str, float]] | None = None,
    evaluate_every: float = 1.0,
    device: str = "auto",
    seed: int = 0,
) -> Path:
    """Train a model, or go on with a training that was stopped; gives the file of its weights.

    Args:
        model: a line of the table of models.
        data: batches of samples; each process takes its share of them, so the whole batch is that of `data` × processes × `accumulate`.
        optimizer: a class of `torch.optim` with its arguments; its ``lr`` is the full rate.
        schedule: the rate over the epochs.
        out: folder for checkpoints, TensorBoard's curves and the weights.
        model_args: arguments of the model that replace those of its line.
        skeleton: ``coco``, ``crowdpose``, ``mpii``, ``posetrack`` or a skeleton YAML.
        init: weights to start from (fine-tuning): tensors that do not fit, such as those of other joints, stay as they are.
        precision: of the network; losses and weights are float32 always.
        accumulate: batches whose gradients make one step.
        clip_norm: longest gradient (2-norm).
        ema: decay of the running average of the weights, which is then what is saved; faster at the start: (1 + step) / (10 + step).
        channels_last: memory layout; faster on GPUs with half precision.
        sync_batchnorm: normalise over the batches of all GPUs.
        saving: checkpoints and the weights file.
        max_minutes: stop cleanly with a checkpoint after this time; the same command then goes on.
        evaluate: gives named figures of a method, for TensorBoard.
        evaluate_every: epochs.
        device: ``auto``, ``cpu``, ``cuda``.
        seed: of the first weights; the data have their own.

    Raises:
        ValueError: arguments that do not fit one another, or checkpoints in `out` that belong to another training.
        FloatingPointError: a loss that is not finite; the last checkpoint stays.
    """
    began = time.monotonic()
    _check(accumulate, ema, precision, device)
    acc = _accelerator(precision, accumulate, device)
    torch.manual_seed(seed)
    joints = named(skeleton)
    method = _start(model, joints, model_args or {}, init, acc)
    if sync_batchnorm and acc.num_processes > 1:
        method = nn.SyncBatchNorm.convert_sync_batchnorm(method)
    place: Any = acc.device
    method.to(place).train()
    if channels_last:
        method.to(memory_format=torch.channels_last)
    average = AveragedModel(method, use_buffers=True) if ema is not None else None
    if average is not None:
        acc.register_for_checkpointing(average)
    network = Step(method, channels_last)
    chosen = optimizer(network.parameters())
    rates = [group["lr"] for group in chosen.param_groups]
    network, chosen = acc.prepare(network, chosen)

    per_epoch = len(data) // (acc.num_processes * accumulate)
    if per_epoch < 1:
        raise ValueError(f"an epoch of {len(data)} batches is less than one step of {acc.num_processes} processes × {accumulate} batches")
    total = max(1, round(schedule.epochs * per_epoch))
    same = {"model": model, "processes": acc.num_processes, "accumulate": accumulate, "batch": data.batch_size, "steps": total}
    checkpoints = Checkpoints(out / "checkpoints", acc, saving.keep, same)
    step = checkpoints.resume()
    result: Any = method if average is None else average.module
    final = out / f"{model}.safetensors"
    evaluate_after = max(1, round(evaluate_every * per_epoch))

    stream = batches(data, joints, step * accumulate, acc.process_index, acc.num_processes)
    with Log(acc, out / "tensorboard", step, total) as log, _stop_signal() as signalled:
        while step < total:
            rate = schedule.at(step / per_epoch)
            for group, full in zip(chosen.param_groups, rates, strict=True):
                group["lr"] = full * rate
            for batch in islice(stream, accumulate):
                with acc.accumulate(network):
                    losses = network(batch.to(place))
                    acc.backward(torch.stack(list(losses.values())).sum())
                    if acc.sync_gradients and clip_norm is not None:
                        acc.clip_grad_norm_(network.parameters(), clip_norm)
                    chosen.step()
                    chosen.zero_grad()
                log.add(step + 1, losses, len(batch.images))
            step += 1
            if average is not None and ema is not None:
                average.multi_avg_fn = get_ema_multi_avg_fn(min(ema, (1 + step) / (10 + step)))
                average.update_parameters(method)
            due = step % saving.every == 0 or step == total
            stop = bool(signalled) or (max_minutes is not None and time.monotonic() - began > 60 * max_minutes)
            # Several processes must agree on stopping, so they do it where they all look.
            if due or step % saving.look == 0 or (stop and acc.num_processes == 1):
                stop = log.look(rate * rates[0], stop)
                if due or stop:
                    _finite(network, step)
                    checkpoints.save(step)
                    if acc.is_main_process:
                        about = {"step": step, "steps": total, "note": saving.note}
                        files.save(result, final, name=model, kwargs=model_args, dtype=saving.dtype, **about)
                    log.say(f"step {step}: saved a checkpoint and {final.name}")
            else:
                stop = False
            if evaluate is not None and step % evaluate_after == 0:
                log.figures(step, _evaluated(evaluate, result, acc))
            if stop and step < total:
                log.say(f"stopped at step {step} of {total}; the same command goes on from here")
                break
    return final


# ── the parts ──


def _check(accumulate: int, ema: float | None, precision: str, device: str) -> None:
    if accumulate < 1:
        raise ValueError(f"accumulate must be at least 1, got {accumulate}")
    if ema is not None and not 0 <= ema < 1:
        raise ValueError(f"ema is a decay between 0 and 1 such as 0.999, got {ema}")
    if precision == "fp16" and choose_device(device).type == "cpu":
        raise ValueError("precision fp16 needs a GPU; give bf16 or no")


def _accelerator(precision: str, accumulate: int, device: str) -> "Accelerator":
    if not torch.distributed.is_initialized():
        AcceleratorState._reset_state(reset_partial_state=True)  # a second training in one process may differ in precision or device
    return Accelerator(mixed_precision=precision, gradient_accumulation_steps=accumulate, cpu=choose_device(device).type == "cpu")


def _start(model: str, skeleton: Skeleton, args: dict[str, Any], init: Path | None, acc: "Accelerator") -> nn.Module:
    try:
        method = build(model, skeleton=skeleton, **args)
    except TypeError as e:
        raise ValueError(f"model {model!r} cannot be built with {sorted(args)}: {e}") from None
    if init is not None:
        acc.print(files.transfer(method, init, model))
    return module_of(method)


def _finite(network: nn.Module, step: int) -> None:
    """A finite loss can have a gradient that is not: such weights must not become the last checkpoint."""
    if not torch.stack([p.detach().isfinite().all() for p in network.parameters()]).all():
        raise FloatingPointError(f"the weights are not finite after step {step}; the last checkpoint stays. {CURE}")


def _evaluated(evaluate: Callable[[Method], Mapping[str, float]], method: Any, acc: "Accelerator") -> Mapping[str, float]:
    figures: Mapping[str, float] = {}
    if acc.is_main_process:
        training = method.training
        with torch.random.fork_rng(), torch.no_grad():
            figures = evaluate(method.eval())
        method.train(training)
    acc.wait_for_everyone()
    return figures


@contextmanager
def _stop_signal() -> Iterator[list[int]]:
    """A list that is empty until SIGTERM comes."""
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    try:
        yield came
    finally:
        signal.signal(signal.SIGTERM, before)
