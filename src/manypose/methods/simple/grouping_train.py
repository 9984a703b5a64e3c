"""Training of the grouping CNN alone, from annotated poses: ``manypose grouping train``. No photo is needed.

Every step draws its own photos from (seed, step), so a training that was stopped goes on where its last checkpoint was and ends with the
weights of an undisturbed one.
"""

import math
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from manypose.data.datasets.coco import AnnotatedImage, annotated_people
from manypose.io.files import atomic
from manypose.methods.simple.grouping import GroupingCNN, grouping_loss
from manypose.methods.simple.grouping_file import save_grouping
from manypose.methods.simple.training_maps import Examples, Rendering, crowded, render
from manypose.nn.device import choose_device
from manypose.poses.skeleton import COCO

__all__ = ["drawn_examples", "train"]

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
    rendering: Rendering = Rendering(),  # noqa: B008
    init: Path | None = None,
    precision: Literal["no", "bf16"] = "no",
    save_every: int = 200,
    max_minutes: float | None = None,
    device: str = "auto",
    seed: int = 0,
) -> Path:
    """Train the grouping CNN on rendered pose maps, or go on with a training that was stopped; gives the file of its weights.

    Args:
        annotations: archive of annotated people (``.npz``; see `manypose.data.datasets.coco.annotated_people`).
        out: folder for the checkpoint and the weights.
        steps: of AdamW, with a linear warm-up and a cosine decay to 2 %.
        rois: people a step (a few more, as whole photos are taken).
        lr: full rate.
        warmup: steps.
        weight_decay: of AdamW.
        ema: decay of the running average of the weights, which is what is saved.
        network: what to train; default as published here.
        rendering: how maps are drawn.
        init: weights to start from.
        precision: of the network; the loss is single precision always.
        save_every: steps between checkpoints.
        max_minutes: stop with a checkpoint after this time; the same command then goes on.
        device: ``auto``, ``cpu``, ``cuda``.
        seed: of everything random.

    Raises:
        FileNotFoundError, ValueError: no annotations, or a checkpoint of another training.
        FloatingPointError: a loss that is not finite; the last checkpoint stays.
    """
    began, place = time.monotonic(), choose_device(device)
    images = list(annotated_people(annotations))
    torch.manual_seed(seed)
    cnn = (network or GroupingCNN()).to(place, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    if init is not None:
        from manypose.methods.simple.grouping_file import load_grouping

        cnn.load_state_dict(load_grouping(init).state_dict())
    average = AveragedModel(cnn, use_buffers=True)
    optimizer = torch.optim.AdamW(cnn.parameters(), lr=lr, weight_decay=weight_decay)
    checkpoint, file = out / "grouping.checkpoint.pt", out / "grouping.safetensors"
    parts: dict[str, Any] = {"cnn": cnn, "average": average, "optimizer": optimizer}
    same = {"steps": steps, "rois": rois, "lr": lr, "seed": seed}
    step = _resume(checkpoint, parts, same)
    pool = torch.randn((cnn.joints, 512, 512), generator=torch.Generator().manual_seed(seed))
    said: list[dict[str, float]] = []
    while step < steps:
        for group in optimizer.param_groups:
            group["lr"] = lr * _rate(step, steps, warmup)
        examples = drawn_examples(images, cnn, rendering, rois, np.random.default_rng((seed, step)), pool).to(place)
        with torch.autocast(place.type, torch.bfloat16, enabled=precision == "bf16"):
            logits = cnn.logits(examples.rois.contiguous(memory_format=torch.channels_last))
        losses = grouping_loss(logits.float(), examples.roi, examples.joint, examples.cells, examples.own)
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        average.multi_avg_fn = get_ema_multi_avg_fn(min(ema, (1 + step) / (10 + step)))
        average.update_parameters(cnn)
        said.append({name: float(value.detach()) for name, value in losses.items()})
        if not all(math.isfinite(v) for v in said[-1].values()):
            raise FloatingPointError(
                f"the loss is not finite at step {step}: {said[-1]}; the last checkpoint stays. Lower the learning rate"
            )
        stop = max_minutes is not None and time.monotonic() - began > 60 * max_minutes
        if step % 50 == 0 or step == steps:
            means = "  ".join(f"{name} {np.mean([s[name] for s in said]):.4f}" for name in losses)
            print(f"step {step}/{steps}  {means}  {time.monotonic() - began:.0f} s", flush=True)
            said.clear()
        if step % save_every == 0 or step == steps or stop:
            _save(checkpoint, parts, {"step": step, **same})
            save_grouping(average.module, file, note=f"{NOTE}; step {step} of {steps}")  # type: ignore[arg-type]
        if stop:
            break
    return file


def drawn_examples(
    images: list[AnnotatedImage],
    network: GroupingCNN,
    rule: Rendering,
    rois: int,
    rng: np.random.Generator,
    pool: torch.Tensor | None = None,
) -> Examples:
    """Random photos' people until there are at least so many RoIs.

    Raises:
        ValueError: nobody in the annotations has anything to learn from.
    """
    parts: list[Examples] = []
    count, tries = 0, 0
    while count < rois:
        image = images[int(rng.integers(len(images)))]
        people = crowded(image, network.extend) | (rng.random(len(image.boxes)) < rule.alone)
        examples = render(image, people, network, rule, COCO.mirror, rng, pool) if people.any() else None
        tries += 1
        if examples is not None:
            parts.append(examples)
            count += len(examples.rois)
        elif tries > 1000 and not parts:
            raise ValueError("nobody in the annotations has joints to learn from")
    return Examples.joined(parts)


def _rate(step: int, steps: int, warmup: int) -> float:
    if step < warmup:
        return (step + 1) / warmup
    return 0.02 + 0.98 * (1 + math.cos(math.pi * (step - warmup) / max(steps - warmup, 1))) / 2


def _save(path: Path, parts: dict[str, nn.Module], about: dict[str, Any]) -> None:
    with atomic(path) as temporary:
        torch.save({"about": about, **{name: part.state_dict() for name, part in parts.items()}}, temporary)


def _resume(path: Path, parts: dict[str, Any], same: dict[str, Any]) -> int:
    if not path.is_file():
        return 0
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        raise ValueError(f"{path}: damaged; delete it to begin again") from None
    for key, now in same.items():
        if state["about"].get(key) != now:
            raise ValueError(f"{path}: belongs to a training with {key} {state['about'].get(key)!r}, not {now!r}; give another folder")
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return int(state["about"]["step"])
