"""Training of the PRN (MultiPoseNet, Section 3.5) from annotations, without photos: ``manypose prn train``."""

import math
from collections.abc import Iterator
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from manypose.methods.multiposenet.baselines import UCR, prior
from manypose.methods.multiposenet.prn_data import People, batches, order, read_people
from manypose.methods.multiposenet.prn_file import save_prn
from manypose.methods.multiposenet.prn_networks import PrnNetwork, prn_network
from manypose.methods.multiposenet.prn_train import PersonBatch, PrnTrainingConfig, drawn, loss_of, sees_whole_images
from manypose.methods.multiposenet.region_maps import SIZE
from manypose.poses.skeleton import COCO
from manypose.training.facts import Facts, describe
from manypose.training.loop import Job, Saving, Tracker, accelerator, run
from manypose.training.state import set_random_seed

__all__ = ["fit", "train"]


def train(
    data: Path,
    out: Path,
    *,
    network: Literal["perceptron", "dense", "attention", "ucr"] = "perceptron",
    size: list[int] | None = None,
    nodes: int | None = None,
    layers: int | None = None,
    dropout: float | None = None,
    residual: bool = True,
    margin: float | None = None,
    extend: float | None = None,
    epochs: float = 8.0,
    batch_size: int = 512,
    lr: float = 2e-3,
    jitter: float = 0.03,
    lost: float = 0.0,
    curriculum: Literal["sorted", "none"] = "none",
    min_joints: int = 2,
    skip: int = 0,
    dtype: Literal["float32", "float16"] = "float32",
    note: str = "",
    save_every: int = 1000,
    max_minutes: float | None = None,
    log: Tracker = "csv",
    seed: int = 0,
) -> Path:
    """Train a Pose Residual Network on annotations alone, on one CPU thread, or resume an interrupted training.

    Args:
        data: annotated persons: an archive of COCO's annotations (.npz).
        out: folder for the weights (prn.safetensors), checkpoints and curves.
        network: the paper's perceptron, evaluated only at the candidates (perceptron) or on whole maps (dense); attention among candidates
            and among boxes; or ucr: the prior of Eq. 2, without a network and without training.
        size: height and width of a region in cells; the paper's 56 36.
        nodes: width of a hidden layer (perceptron) or of a token (attention).
        layers: number of hidden layers, or of attention layers.
        dropout: dropout after each hidden layer.
        residual: whether the input is added to the output (Eq. 1); only the perceptron works without (Eq. 3).
        margin: distance outside a box up to which candidates are used, as a fraction of its sides.
        extend: distance outside a box that the region covers, as a fraction of its sides.
        epochs: passes over the persons; a higher number resumes a finished training.
        batch_size: number of persons in a step.
        lr: full learning rate of Adam.
        jitter: standard deviation of the noise on box edges, as a fraction of the box's sides.
        lost: probability that a candidate is missing, in every second image.
        curriculum: sorted: easy persons first in every epoch; none: shuffled.
        min_joints: smallest number of labelled joints of a person.
        skip: number of images at the start of the data that are held out for evaluation.
        dtype: precision of the weights file.
        note: a note for the weights file: training data and licence.
        save_every: number of steps between checkpoints.
        max_minutes: stop after this time; the same command resumes.
        log: the logger.
        seed: seed of all random numbers.

    Returns:
        the weights file.

    Raises:
        FileNotFoundError: no such data.
        ValueError: the data or a number is invalid, or checkpoints in `out` belong to another training.
    """
    if size is not None and (len(size) != 2 or min(size) < 2):
        raise ValueError(f"size is height and width of a region, at least 2 cells each; got {size}")
    given: dict[str, Any] = {"size": size, "layers": layers, "dropout": dropout, "margin": margin, "extend": extend}
    given |= {"width" if network == "attention" else "nodes": nodes}
    if network != "attention":
        given["residual"] = residual
    elif not residual:
        raise ValueError("attention is residual; residual False is for the perceptrons")
    if network == "dense" and given.pop("extend") is not None:
        raise ValueError("a dense network's region is the box: leave out extend")
    given = {name: value for name, value in given.items() if value is not None}
    course = PrnTrainingConfig(
        epochs=epochs, batch_size=batch_size, lr=lr, jitter=jitter, lost=lost, curriculum=curriculum, least=min_joints, skip=skip, seed=seed
    )
    people = read_people(data)
    if network == "ucr":
        region = {name: value for name, value in given.items() if name in ("size", "margin")}
        return save_prn(UCR(prior=prior(people, tuple(region.get("size", SIZE))), **region), out / "prn.safetensors", dtype, note)
    set_random_seed(seed)
    prn = prn_network(COCO, {"perceptron": "PRN", "dense": "DensePRN", "attention": "AttentionPRN"}[network], **given)
    return fit(prn, people, course, out, Saving(save_every, look=50, dtype=dtype, note=note), max_minutes, log)


def fit(
    prn: PrnNetwork,
    people: People,
    course: PrnTrainingConfig,
    out: Path,
    saving: Saving = Saving(look=50),  # noqa: B008 - frozen
    max_minutes: float | None = None,
    log: Tracker = "csv",
) -> Path:
    """Train a network, or resume its training; returns the weights file. Arguments as of `train`."""
    easy_first = order(people, course.least)
    easy_first = easy_first[people.image[easy_first] >= course.skip]
    each = len(_epoch(prn, people, easy_first, course, 0))
    if not each:
        raise ValueError(f"{len(easy_first)} persons to learn from make no batch of {course.batch_size}; give a smaller batch_size")
    total = max(1, round(course.epochs * each))

    def stream(start: int, process: int, processes: int) -> Iterator[PersonBatch]:
        epoch, made = -1, []
        for step in count(start):
            if step // each != epoch:
                epoch = step // each
                made = _epoch(prn, people, easy_first, course, epoch)
            yield drawn(prn, people, made[step % each % len(made)], course, step)

    def rate(step: int) -> float:
        return min(1.0, (step + 1) / 50) * (0.01 + 0.99 * (1 + math.cos(math.pi * step / total)) / 2)

    def write(trained: nn.Module, path: Path, step: int) -> Path:
        network: Any = trained.prn
        return save_prn(network, path, saving.dtype, saving.note, step=step)

    settings = {k: v for k, v in asdict(course).items() if k not in ("epochs", "lr")}
    content = [float(people.boxes.double().sum()), float(people.keypoints.double().sum())]
    fixed = {"network": type(prn).__name__, **describe(prn.arguments), **settings, "persons": len(people), "content": content}
    acc = accelerator("no", 1, "cpu", out, log)
    job = Job(
        _Step(prn), torch.optim.Adam(prn.parameters(), lr=course.lr, fused=True), stream, total, each, rate, write,
        out / "prn.safetensors", Facts(fixed, {"lr": course.lr, "epochs": course.epochs}), saving=saving, max_minutes=max_minutes,
        tracker=log,
    )  # fmt: skip
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the same order of summation on every machine
    try:
        return run(acc, job, out)
    finally:
        torch.set_num_threads(threads)


class _Step(nn.Module):
    def __init__(self, prn: PrnNetwork):
        super().__init__()
        self.prn = prn

    def forward(self, batch: PersonBatch) -> dict[str, Tensor]:
        return {"prn": loss_of(self.prn, batch.points, len(batch))}


def _epoch(prn: PrnNetwork, people: People, easy_first: Tensor, course: PrnTrainingConfig, epoch: int) -> list[Tensor]:
    return batches(people, easy_first, course.batch_size, epoch, course.seed, course.curriculum, sees_whole_images(prn))
