"""Training of the PRN: ``manypose prn train``. No photo is needed, annotations are enough."""

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from manypose.io.files import atomic
from manypose.methods.multiposenet.attention import AttentionPRN
from manypose.methods.multiposenet.baselines import UCR, prior
from manypose.methods.multiposenet.dense_prn import DensePRN, dense_loss
from manypose.methods.multiposenet.prn import PRN, log_share
from manypose.methods.multiposenet.prn_data import People, Points, batches, order, points, read_people
from manypose.methods.multiposenet.prn_file import save_prn
from manypose.methods.multiposenet.prn_networks import PrnNetwork
from manypose.methods.multiposenet.region_maps import SIZE
from manypose.methods.multiposenet.roi import Regions

__all__ = ["PrnTrainingConfig", "fit", "loss_of", "train"]


@dataclass(frozen=True)
class PrnTrainingConfig:
    """How a PRN learns.

    Args:
        epochs: passes over the persons; may be a fraction.
        batch_size: persons in a step.
        lr: Adam's full rate, reached after 50 steps and lowered along half a cosine. The paper's is 1e-4, for batches of 8.
        jitter: each edge of a box moves by a normal part of the box's side with this deviation, as a detector's would.
        mirror: probability that an image is seen in a mirror.
        lost: probability that a candidate is missing, in every second image.
        curriculum: ``sorted``: easy persons first in every epoch (Section 3.5); ``none``: shuffled.
        least: labelled joints that a person must have (Section 3.5).
        skip: so many images of the data set are kept for measuring.
        seed: of everything.
    """

    epochs: float = 8.0
    batch_size: int = 512
    lr: float = 2e-3
    jitter: float = 0.03
    mirror: float = 0.5
    lost: float = 0.0
    curriculum: Literal["sorted", "none"] = "none"
    least: int = 2
    skip: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs <= 0 or self.batch_size < 1 or self.lr <= 0 or self.least < 1 or self.skip < 0:
            raise ValueError(f"epochs, batch_size, lr and least must be positive and skip not negative: {self}")
        if not 0 <= self.lost < 1 or self.jitter < 0:
            raise ValueError(f"lost must be in [0, 1) and jitter not negative, got {self.lost}, {self.jitter}")


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
    least: int = 2,
    skip: int = 0,
    dtype: Literal["float32", "float16"] = "float32",
    note: str = "",
    max_minutes: float | None = None,
    seed: int = 0,
) -> Path | None:
    """Train a Pose Residual Network on annotations alone, on one CPU thread, or go on with a training that was stopped.

    Args:
        data: annotated persons: an archive of COCO's annotations (.npz).
        out: folder for the weights (prn.safetensors) and for the state of a training that is not done.
        network: the paper's perceptron at the candidates alone, or dense: on maps; attention among candidates and among boxes; or ucr:
            no network, but the prior of Eq. 2, which takes no training.
        size: height and width of a region in cells; the paper's 56 36.
        nodes: of a hidden layer (perceptron) or width of a token (attention).
        layers: hidden layers, or layers of attention.
        dropout: after each hidden layer.
        residual: whether the input is added to the output (Eq. 1); the perceptron alone can do without (Eq. 3).
        margin: how far outside a box candidates are seen, as a part of its sides.
        extend: how far outside a box the region reaches.
        epochs: passes over the persons.
        batch_size: persons in a step.
        lr: Adam's full rate.
        jitter: deviation by which edges of boxes are moved, as a part of the box's sides.
        lost: probability that a candidate is missing, in every second image.
        curriculum: sorted: easy persons first in every epoch; none: shuffled.
        least: labelled joints that a person must have.
        skip: so many first images of the data are kept for measuring.
        dtype: of the weights file.
        note: for the weights file: on what it was trained, under which licence.
        max_minutes: stop then, and go on when the same command is run again.
        seed: of everything.

    Returns:
        the weights file, or None where the training is not done.

    Raises:
        FileNotFoundError: no such data.
        ValueError: the data or a number make no sense.
    """
    if size is not None and (len(size) != 2 or min(size) < 2):
        raise ValueError(f"size is height and width of a region, at least 2 cells each; got {size}")
    given = {"size": size, "layers": layers, "dropout": dropout, "margin": margin, "extend": extend}
    given |= {"width" if network == "attention" else "nodes": nodes}
    if network != "attention":
        given["residual"] = residual
    elif not residual:
        raise ValueError("attention is residual; residual False is for the perceptrons")
    if network == "dense" and given.pop("extend") is not None:
        raise ValueError("a dense network's region is the box: leave out extend")
    given = {name: value for name, value in given.items() if value is not None}
    people = read_people(data)
    if network == "ucr":
        region = {name: value for name, value in given.items() if name in ("size", "margin")}
        path = save_prn(UCR(prior=prior(people, tuple(region.get("size", SIZE))), **region), out / "prn.safetensors", dtype, note)
        print(f"wrote {path}")
        return path
    course = PrnTrainingConfig(
        epochs=epochs, batch_size=batch_size, lr=lr, jitter=jitter, lost=lost, curriculum=curriculum, least=least, skip=skip, seed=seed
    )
    torch.manual_seed(seed)
    prn = {"perceptron": PRN, "dense": DensePRN, "attention": AttentionPRN}[network](**given).train()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the same sums in the same order on every machine
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not fit(prn, people, course, out, max_minutes):
            print(f"stopped; the same command goes on from {out / 'last.pt'}")
            return None
    finally:
        torch.set_num_threads(threads)
    path = save_prn(prn, out / "prn.safetensors", dtype, note)
    print(f"wrote {path}")
    return path


def loss_of(prn: PrnNetwork, p: Points, n: int) -> Float[Tensor, ""]:
    """Cross-entropy of each joint's softmax over its region, mean over regions and joints.

    Of a joint whose annotated place is no candidate (not labelled, or too far outside) it is the cells without candidate that count. The
    paper's binary cross-entropy of all 2,016 cells differs by terms of p² alone.
    """
    if isinstance(prn, DensePRN):
        return dense_loss(prn, p, n)
    k = len(prn.skeleton)
    s = p.seen
    row, joint, own, candidate = p.row[s], p.joint[s], p.own[s], p.candidate[s]
    y = prn(Regions(n, row, joint, p.place[s], torch.ones_like(p.place[s][:, 0]), candidate))
    log, none = log_share(y, row, joint, (n, k))
    absent = torch.ones(n * k, dtype=torch.bool).index_fill(0, (row * k + joint)[own], False)
    total = log[own].sum() + none.flatten()[absent].sum()
    if isinstance(prn, AttentionPRN):  # it sees all boxes of a candidate, so these too are a softmax: whose is it?
        _, rival = candidate.unique(return_inverse=True)
        log, none = log_share(y, rival, torch.zeros_like(rival), (int(rival.max()) + 1, 1))
        nobody = torch.ones(len(none), dtype=torch.bool).index_fill(0, rival[own], False)
        total = total + log[own].sum() + none[nobody].sum()
    return -total / (n * k)


def fit(prn: PrnNetwork, people: People, course: PrnTrainingConfig, out: Path, max_minutes: float | None = None) -> bool:
    """Train, or go on with the training that was stopped; gives whether it is done. ``out/last.pt`` is where it stands."""
    easy_first = order(people, course.least)
    easy_first = easy_first[people.image[easy_first] >= course.skip]
    optimizer = torch.optim.Adam(prn.parameters(), lr=course.lr, fused=True)
    whole, step, started = isinstance(prn, AttentionPRN), 0, time.monotonic()
    each = len(batches(people, easy_first, course.batch_size, 0, course.seed, course.curriculum, whole))
    total = max(1, round(course.epochs * each))
    last = out / "last.pt"
    if last.is_file():
        step = _resume(last, prn, optimizer, course)
    lines, epoch, made = [], -1, []
    while step < total:
        if step // each != epoch:
            epoch = step // each
            made = batches(people, easy_first, course.batch_size, epoch, course.seed, course.curriculum, whole)
        lines.append(_step(prn, optimizer, people, made[step % each % len(made)], course, step, total))
        step += 1
        late = max_minutes is not None and time.monotonic() - started > 60 * max_minutes
        if step % 50 == 0 or step == total or late:
            print(f"step {step}/{total}  loss {sum(lines) / len(lines):.4f}  {time.monotonic() - started:.0f} s", flush=True)
            lines.clear()
        if late and step < total:
            with atomic(last) as temporary:
                torch.save(
                    {"step": step, "course": asdict(course), "prn": prn.state_dict(), "optimizer": optimizer.state_dict()}, temporary
                )
            return False
    last.unlink(missing_ok=True)
    return True


def _step(
    prn: PrnNetwork,
    optimizer: torch.optim.Optimizer,
    people: People,
    chosen: Tensor,
    course: PrnTrainingConfig,
    step: int,
    total: int,
) -> float:
    torch.manual_seed(course.seed * 1_000_003 + step)  # dropout's, and what follows: resuming needs nothing stored
    share = min(1.0, (step + 1) / 50) * (0.01 + 0.99 * (1 + math.cos(math.pi * step / total)) / 2)
    for group in optimizer.param_groups:
        group["lr"] = course.lr * share
    boxes = people.boxes[chosen]
    size = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    boxes = boxes + size * (torch.randn(boxes.shape) * course.jitter).clamp(-2 * course.jitter, 2 * course.jitter)
    mirrored = torch.rand(len(people.image_ids))[people.image[chosen]] < course.mirror
    p = points(people, chosen, boxes, mirrored, prn.skeleton.mirror, prn.margin)
    if course.lost:
        odd = (people.image[chosen] + step)[p.row] % 2 == 1
        p.seen[(torch.rand(people.keypoints.shape[:2].numel())[p.candidate] < course.lost) & odd] = False
        p.own[~p.seen] = False
    value = loss_of(prn, p, len(chosen))
    if not value.isfinite():
        raise ValueError(f"the loss is {value.item()} at step {step}; a smaller lr helps")
    optimizer.zero_grad(set_to_none=True)
    value.backward()
    optimizer.step()
    return value.item()


def _resume(last: Path, prn: PrnNetwork, optimizer: torch.optim.Optimizer, course: PrnTrainingConfig) -> int:
    saved = torch.load(last, weights_only=True, map_location="cpu")
    if saved["course"] != asdict(course):
        raise ValueError(f"{last}: is from a training with other settings; give another folder, or delete it")
    try:
        prn.load_state_dict(saved["prn"])
    except RuntimeError:
        raise ValueError(f"{last}: is from the training of another network; give another folder, or delete it") from None
    optimizer.load_state_dict(saved["optimizer"])
    print(f"going on at step {saved['step']}", flush=True)
    return saved["step"]
