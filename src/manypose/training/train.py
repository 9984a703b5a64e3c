"""Training of a method: ``manypose train``; on N GPUs ``torchrun --nproc-per-node N -m manypose.cli train --config FILE.yaml``."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from manypose.data.loading import Loader
from manypose.methods.catalog import MODELS, build
from manypose.methods.method import module_of
from manypose.nn.rates import faster
from manypose.poses.skeleton import Skeleton, named
from manypose.training.facts import Facts, describe, described_data
from manypose.training.first_batch import draw_batch
from manypose.training.loop import Job, Precision, Saving, Tracker, accelerator, precision_on, run
from manypose.training.schedule import Schedule
from manypose.training.state import set_random_seed
from manypose.training.step import Step, batches
from manypose.training.validation import Validation
from manypose.weights import files

__all__ = ["ParameterGroup", "Saving", "train"]


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters with their own learning rate or weight decay.

    Args:
        match: pattern of parameter names, such as ``trunk.*`` or ``*.bias``; a parameter belongs to the first group that matches.
        lr_factor: factor of the learning rate; a lower one changes pretrained parts more slowly.
        weight_decay: their weight decay; by default the optimizer's.
    """

    match: str
    lr_factor: float = 1.0
    weight_decay: float | None = None


def train(
    model: str,
    data: Loader,
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
    schedule: Schedule,
    out: Path,
    *,
    model_args: dict[str, Any] | None = None,
    skeleton: str | dict[str, Any] = "coco",
    init: str | Path | None = None,
    precision: Precision = "auto",
    accumulate: int | None = None,
    global_batch: int | None = None,
    clip_norm: float | None = None,
    ema: float | None = None,
    channels_last: bool = False,
    sync_batchnorm: bool = False,
    parameter_groups: list[ParameterGroup] | None = None,
    saving: Saving = Saving(),  # noqa: B008 - frozen
    max_minutes: float | None = None,
    validation: Validation | None = None,
    log: Tracker = "tensorboard",
    device: str = "auto",
    seed: int = 0,
) -> Path:
    """Train a model, or resume an interrupted training; returns the weights file.

    Args:
        model: a model's name, such as ``fast``; `manypose models` lists them.
        data: batches of samples, which the processes share: the total batch size is that of `data` × processes × `accumulate`. On the
            command line also the YAML file of your own data set; the other options then have suitable defaults.
        optimizer: a class of `torch.optim` with its arguments; its ``lr`` is the full learning rate.
        schedule: the learning rate over the epochs.
        out: folder for checkpoints, curves and the weights.
        model_args: arguments of the model that override its defaults.
        skeleton: ``coco``, ``crowdpose``, ``mpii``, ``posetrack``, a skeleton YAML, or its content.
        init: weights to start from (fine-tuning): a file, or a bundled model such as ``fast``. Tensors that do not fit, such as those of
            other joints, keep their initial values.
        precision: precision of the network; losses and weights are always float32. ``auto``: bfloat16 if it is faster on the device.
        accumulate: number of batches in one optimizer step; by default 1, or as `global_batch` requires.
        global_batch: number of samples in one optimizer step over all processes; it determines `accumulate`.
        clip_norm: largest 2-norm of the gradient.
        ema: decay of the moving average of the weights, which is saved instead of them; at the start (1 + step) / (10 + step) at most.
        channels_last: use the channels-last memory layout, which is faster on GPUs with half precision.
        sync_batchnorm: normalize over the batches of all GPUs.
        parameter_groups: parameters with their own learning rate or weight decay.
        saving: settings of checkpoints and the weights file.
        max_minutes: stop with a checkpoint after this time; the same command resumes.
        validation: evaluation of the weights during training; keeps the best in ``best.safetensors``, and can stop the training early.
        log: the logger; all except ``none`` also write ``curves.csv`` and, at the end, ``curves.png``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``, ``xpu``, ``mps``.
        seed: seed of the initial weights; the data have their own.

    Raises:
        ValueError: incompatible arguments, or checkpoints in `out` that belong to another training.
        FloatingPointError: a loss is not finite; the last checkpoint is kept.
        OSError: a file cannot be written.
    """
    if ema is not None and not 0 <= ema < 1:
        raise ValueError(f"ema is a decay between 0 and 1 such as 0.999, got {ema}")
    model = files.CHOICES.get(model, model)
    if model in MODELS and (reason := MODELS[model].untrainable):
        raise ValueError(f"model {model!r}: {reason}")
    joints = named(skeleton) if isinstance(skeleton, str) else Skeleton.from_mapping(skeleton, "skeleton")
    acc = accelerator("fp16" if precision == "fp16" else "no", accumulate or 1, device, out, log)
    used, why = precision_on(precision, acc.device)
    if why:
        acc.print(why)
    steps_of = _accumulated(accumulate, global_batch, data.batch_size or 1, acc.num_processes)
    acc.gradient_accumulation_steps = steps_of
    per_epoch = len(data) // (acc.num_processes * steps_of)
    if per_epoch < 1:
        raise ValueError(f"an epoch of {len(data)} batches is less than one step of {acc.num_processes} processes × {steps_of} batches")
    schedule = schedule.in_epochs(per_epoch)
    set_random_seed(seed)
    method, started = _start(model, joints, model_args or {}, init)
    acc.print(started, end="\n" if started else "")
    if sync_batchnorm and acc.num_processes > 1:
        method = nn.SyncBatchNorm.convert_sync_batchnorm(method)
    if channels_last:
        method.to(memory_format=torch.channels_last)
    network = Step(method.to(acc.device), channels_last, used == "bf16")
    chosen = optimizer(_grouped(method, parameter_groups or []))  # type: ignore[arg-type]
    for group in chosen.param_groups:
        group["lr"] *= group.pop("lr_factor", 1.0)
    total = max(1, round(schedule.epochs * per_epoch))

    def write(trained: nn.Module, path: Path, step: int) -> Path:
        about = {"step": step, "steps": total, "note": saving.note}
        result: Any = trained.method
        return files.save(result, path, name=model, kwargs=model_args, dtype=saving.dtype, **about)

    fixed = {
        "model": model, "model_args": describe(model_args or {}), "skeleton": joints.to_mapping(), "processes": acc.num_processes,
        "accumulate": steps_of, "data": described_data(data), "optimizer": type(chosen).__name__, "ema": ema is not None,
        "parameter_groups": [g.match for g in parameter_groups or []],
    }  # fmt: skip
    dataset: Any = data.dataset
    free = {
        "optimizer": [{k: describe(v) for k, v in g.items() if k != "params"} for g in chosen.param_groups], "schedule": describe(schedule),
        "augment": describe(dataset.augment), "views": describe(dataset.views), "ema": ema, "clip_norm": clip_norm, "precision": used,
        "channels_last": channels_last, "seed": seed,
    }  # fmt: skip

    def show(batch: Any) -> None:
        draw_batch(batch, network.method, joints, out / "first_batch.jpg")

    job = Job(
        network, chosen, lambda start, process, processes: batches(data, joints, start, process, processes), total, per_epoch,
        lambda step: schedule.at(step / per_epoch), write, out / f"{model}.safetensors", Facts(fixed, free), count=lambda b: len(b.images),
        shown=show, accumulate=steps_of, clip_norm=clip_norm,
        ema=ema, saving=saving, max_minutes=max_minutes, validation=validation, tracker=log, plateau=schedule.plateau,
    )  # fmt: skip
    return run(acc, job, out)


# ── helpers ──


def _accumulated(accumulate: int | None, global_batch: int | None, batch: int, processes: int) -> int:
    """The number of batches per step."""
    if accumulate is not None and accumulate < 1:
        raise ValueError(f"accumulate must be at least 1, got {accumulate}")
    if global_batch is None:
        return accumulate or 1
    steps, rest = divmod(global_batch, batch * processes)
    if rest or steps < 1 or accumulate not in (None, steps):
        given = f" and accumulate {accumulate}" if accumulate is not None else ""
        raise ValueError(
            f"global_batch {global_batch} is no whole number of batches of {batch} samples on {processes} processes{given}; "
            "change data.batch_size, so that batch_size × processes × accumulate is the global batch"
        )
    return steps


def _start(model: str, skeleton: Skeleton, args: dict[str, Any], init: str | Path | None) -> tuple[nn.Module, str]:
    try:
        method = build(model, skeleton=skeleton, **args)
    except (TypeError, RuntimeError) as e:
        raise ValueError(f"model {model!r} cannot be built with {sorted(args)}: {e}") from None
    network = module_of(method)
    if init is None:
        return network, ""
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    started = files.transfer(method, _initial(init), model)
    faster(
        p for name, p in network.named_parameters() if torch.equal(p, before[name])
    )  # the file lacks them, such as those of other joints
    return network, started


def _initial(init: str | Path) -> Path:
    """A weights file, by path or by the name of a bundled model."""
    name = files.CHOICES.get(str(init), str(init))
    return (files.bundled(name) if name in MODELS else None) or Path(init)


def _grouped(method: nn.Module, groups: Sequence[ParameterGroup]) -> Any:
    """The parameter groups of the optimizer.

    Raises:
        ValueError: a group has no parameter.
    """
    if not groups:
        return method.parameters()
    every = [*groups, ParameterGroup("*")]
    found: list[list[nn.Parameter]] = [[] for _ in every]
    for name, parameter in method.named_parameters():
        found[next(i for i, g in enumerate(every) if fnmatchcase(name, g.match))].append(parameter)
    for group, parameters in zip(groups, found, strict=False):
        if not parameters:
            names = ", ".join(dict.fromkeys(n.split(".")[0] for n, _ in method.named_parameters()))
            raise ValueError(f"parameter_groups: no parameter is left for {group.match!r}; the model's parts are {names}")
    return [
        {"params": p, "lr_factor": g.lr_factor, **({} if g.weight_decay is None else {"weight_decay": g.weight_decay})}
        for g, p in zip(every, found, strict=True)
        if p
    ]
