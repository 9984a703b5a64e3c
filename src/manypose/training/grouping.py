"""Training of SIMPLE's grouping CNN from annotated poses, without photos: ``manypose grouping train``."""

import math
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from manypose.data.datasets.coco import annotated_people
from manypose.methods.simple.grouping import GroupingCNN, grouping_loss
from manypose.methods.simple.grouping_file import load_grouping, save_grouping
from manypose.methods.simple.grouping_train import drawn_examples
from manypose.methods.simple.training_maps import Examples, Rendering
from manypose.training.facts import Facts, describe
from manypose.training.loop import Job, Precision, Saving, Tracker, accelerator, precision_on, run
from manypose.training.state import set_random_seed
from manypose.training.step import in_bf16

__all__ = ["train"]

NOTE = "people of COCO train2017 (annotations CC BY 4.0), no photos"


def train(
    annotations: Path,
    out: Path,
    *,
    steps: int = 2000,
    rois: int = 96,
    lr: float = 2e-3,
    warmup: int = 100,
    weight_decay: float = 1e-4,
    ema: float = 0.998,
    network: GroupingCNN | None = None,
    rendering: Rendering = Rendering(),  # noqa: B008 - frozen
    init: Path | None = None,
    precision: Precision = "auto",
    save_every: int = 200,
    max_minutes: float | None = None,
    log: Tracker = "csv",
    device: str = "auto",
    seed: int = 0,
) -> Path:
    """Train the grouping CNN on rendered heat maps, or resume an interrupted training; returns the weights file.

    Args:
        annotations: an archive of annotated people (``.npz``; see `manypose.data.datasets.coco.annotated_people`).
        out: folder for checkpoints, curves and the weights.
        steps: number of AdamW steps, with a linear warm-up and a cosine decay to 2 %.
        rois: number of people in a step (slightly more, since whole photos are used).
        lr: full learning rate.
        warmup: number of warm-up steps.
        weight_decay: weight decay of AdamW.
        ema: decay of the moving average of the weights, which is saved.
        network: the network to train (its weights are not used: see `init`); by default that of the bundled weights.
        rendering: settings of the rendered heat maps.
        init: weights to start from.
        precision: precision of the network; the loss is always in single precision. ``auto``: bfloat16 if it is faster on the device.
        save_every: number of steps between checkpoints.
        max_minutes: stop with a checkpoint after this time; the same command resumes.
        log: the logger.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``, ``xpu``, ``mps``.
        seed: seed of all random numbers.

    Raises:
        FileNotFoundError, ValueError: no annotations, or a checkpoint of another training.
        FloatingPointError: a loss that is not finite; the last checkpoint stays.
    """
    if min(steps, rois) < 1 or warmup < 0 or not (math.isfinite(lr) and lr > 0) or not 0 <= ema < 1:
        raise ValueError(
            f"needs steps and rois >= 1, warmup >= 0, lr > 0 and 0 <= ema < 1; got {steps}, {rois}, {warmup}, lr {lr}, ema {ema}"
        )
    images = list(annotated_people(annotations))
    set_random_seed(seed)
    cnn = GroupingCNN(**(network.arguments if network else {}))  # rebuilt, since that of a config was built before the seed was set
    if init is not None:
        cnn.load_state_dict(load_grouping(init).state_dict())
    acc = accelerator("fp16" if precision == "fp16" else "no", 1, device, out, log)
    used, why = precision_on(precision, acc.device)
    if why:
        acc.print(why)
    cnn.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    step_ = _Step(cnn.to(acc.device), used == "bf16")
    pool = torch.randn((cnn.joints, 512, 512), generator=torch.Generator().manual_seed(seed))

    def stream(start: int, process: int, processes: int) -> Iterator[Examples]:
        for step in count(start):
            rng = np.random.default_rng((seed, step, process) if processes > 1 else (seed, step))
            yield drawn_examples(images, cnn, rendering, rois, rng, pool)

    def rate(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.02 + 0.98 * (1 + math.cos(math.pi * (step - warmup) / max(steps - warmup, 1))) / 2

    def write(trained: nn.Module, path: Path, step: int) -> Path:
        result: Any = trained.cnn
        return save_grouping(result, path, note=f"{NOTE}; step {step} of {steps}", step=step)

    people = sum(len(i.boxes) for i in images)
    fixed = {"network": describe(cnn.arguments), "rois": rois, "seed": seed, "images": len(images), "people": people}
    free = {"steps": steps, "lr": lr, "warmup": warmup, "weight_decay": weight_decay, "ema": ema, "rendering": describe(rendering)}
    job = Job(
        step_, torch.optim.AdamW(step_.parameters(), lr=lr, weight_decay=weight_decay), stream, steps, steps, rate, write,
        out / "grouping.safetensors", Facts(fixed, {**free, "precision": used}), count=lambda e: len(e.rois), ema=ema,
        saving=Saving(save_every, look=50), max_minutes=max_minutes, tracker=log,
    )  # fmt: skip
    return run(acc, job, out)


class _Step(nn.Module):
    def __init__(self, cnn: GroupingCNN, bf16: bool):
        super().__init__()
        self.cnn, self.bf16 = cnn, bf16

    def forward(self, examples: Examples) -> dict[str, Tensor]:
        with in_bf16(examples.rois.device, self.bf16):
            logits = self.cnn.logits(examples.rois.contiguous(memory_format=torch.channels_last))
        return grouping_loss(logits.float(), examples.roi, examples.joint, examples.cells, examples.own)
