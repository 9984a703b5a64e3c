"""Line 19: parity for those who have not the authors' numbers. Inputs and weights are generated; of each output `stand_ins.json` holds a
digest, written at a commit at which the tests beside this one agreed with the authors' programs. It is written again, after these pass, by

    PYTHONPATH=src:tests python tests/parity/test_stand_ins.py
"""

import json
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from manypose.methods.mspn.decode import published_mspn
from manypose.methods.mspn.loss import mspn_loss
from manypose.methods.mspn.network import MSPNet
from manypose.methods.mspn.targets import KERNELS, ladders, published_labels
from manypose.methods.multiposenet.published_prn import PublishedPRN
from manypose.methods.simple.corner_pooling import PointPool
from manypose.methods.simple.loss import focal, offsets
from manypose.methods.simple_pose.body import body_of
from manypose.methods.simple_pose.loss import simple_pose_loss
from manypose.methods.simple_pose.network import IMHN
from manypose.methods.simple_pose.published_decode import decode_published
from manypose.methods.simple_pose.targets import heat_maps, part_maps, pyramid
from manypose.methods.swahr.loss import swahr_loss
from manypose.methods.swahr.network import HigherHRNet
from manypose.methods.swahr.targets import targets
from manypose.nn.associative_embedding.decode import published_grouping
from manypose.poses.skeleton import COCO

sys.path.insert(0, str(Path(__file__).parent.parent))
from tiny_people import batch_of

FILE = Path(__file__).with_name("stand_ins.json")
SIZE = (128, 160)


def numbers(name: str, *shape: int) -> torch.Tensor:
    """Numbers from -1 to 1 that depend on a name alone; this generator of NumPy is frozen."""
    return torch.from_numpy(np.random.RandomState(zlib.crc32(name.encode())).random_sample(shape) * 2 - 1).float()


def filled(net: nn.Module) -> nn.Module:
    """A network with weights that depend on the parameters' names and shapes, in eval mode."""
    for name, value in (*net.named_parameters(), *net.named_buffers()):
        if value.dtype.is_floating_point:
            spread = (3 / max(value[0].numel(), 1)) ** 0.5 if value.ndim > 1 else 0.1
            centre = 1.0 if value.ndim == 1 and name.endswith(("weight", "running_var")) else 0.0
            value.data.copy_(centre + spread * numbers(name, *value.shape))
    return net.eval()


def people(seed: str) -> np.ndarray:
    """Two people side by side with all joints, (2, 17, 3)."""
    xy = (numbers(seed, 2, 17, 2).numpy() * 0.5 + 0.5) * [60, 110] + [[[8, 8]], [[84, 8]]]
    return np.concatenate([xy, np.full((2, 17, 1), 2.0)], 2).astype(np.float32)


Outputs = dict[str, torch.Tensor]


def swahr() -> Outputs:
    """Targets, losses and gradients."""
    goal = targets(batch_of([people("swahr")], SIZE), SIZE, published=True)
    maps = {f"{kind}{level}": 0.5 * numbers(f"{kind}{level}", 1, 17, 2 * 16 * 4 // int(level), 2 * 20 * 4 // int(level))
            for kind, level in (("heat", "4"), ("scale", "4"), ("tag", "4"), ("heat", "2"), ("scale", "2"))}  # fmt: skip
    for m in maps.values():
        m.requires_grad_()
    parts = swahr_loss(maps, goal, scale_adaptive=True, weight_adaptive=True)
    torch.stack([p.mean() for p in parts.values()]).sum().backward()
    heat = goal["heat4"].float()
    found = published_grouping(heat, 0.02 * numbers("tags", *heat.shape)[..., None], COCO, SIZE)[0]
    grads = {f"gradient of {n}": m.grad for n, m in maps.items() if m.grad is not None}
    made = {f"target {n}": goal[n] for n in ("heat4", "heat2", "cell")}
    return {**made, **parts, **grads, "joints": torch.from_numpy(found.keypoints), "scores": torch.from_numpy(found.scores)}


def mspn() -> Outputs:
    """Labels, losses and the published decoder."""
    cells = torch.from_numpy(people("mspn")[:1, :, :2] / 4).long()
    there = torch.ones(1, 17, dtype=torch.bool)
    labels = {f"label{k}": published_labels(cells, there, (32, 40), k).double() for k in KERNELS}
    goal = {**labels, "visible": torch.ones(1, 17).double(), "known": torch.ones(1, 17).double()}
    outputs = [[100 * numbers(f"level{s}{i}", 1, 17, 32, 40).double() for i in range(4)] for s in range(2)]
    parts = mspn_loss(outputs, goal, ladders(2))
    xy, scores = published_mspn(labels[f"label{KERNELS[0]}"].float() / 255 + 0.01 * numbers("noise", 1, 17, 32, 40), SIZE, 5)
    return {**labels, "losses": torch.stack([p.mean() for row in parts for p in row]), "xy": xy, "scores": scores}


def simple_pose() -> Outputs:
    """Targets, the program's loss, and its decoder."""
    body, who = body_of(COCO), torch.from_numpy(people("simple pose"))
    joints = torch.stack([who[:, s] if isinstance(s, int) else (who[:, 5] + who[:, 6]) / 2 for s in body.sources], 1)[None]
    drawn = torch.ones(1, 2, 18, dtype=torch.bool)
    heat = heat_maps(joints[..., :2], drawn, (32, 40), 9.0, 0.01, published=True)
    part = part_maps(joints[..., :2], drawn, body, (32, 40), 7.0, 0.1, published=True)
    goal = pyramid(torch.cat([part, heat], 1), torch.ones(1, 1, 32, 40))
    outputs = {f"stage0_scale{i}": 0.5 * numbers(f"scale{i}", *goal[f"scale{i}"].shape) for i in range(5)}
    factor = {"alpha": 0.0, "beta": 0.0, "power": 1.0, "inclusive": True}
    loss = simple_pose_loss(outputs, goal, [1.0] * 48, [1.0] * 48, (0.1, 0.2, 0.4, 1.6, 6.4), "mean", **factor)
    found = decode_published(part, heat, body, SIZE)[0]
    return {"heat": heat, "part": part, **loss, "scores": torch.from_numpy(np.sort(found.scores))}


def simple() -> Outputs:
    """CenterNet's poolings and losses."""
    x = numbers("pool", 1, 16, 12, 14)
    with torch.no_grad():
        pools = {kind: filled(PointPool(16, kind, inner=8))(x) for kind in ("top_left", "bottom_right", "centre")}
    logits, goal = numbers("logits", 2, 1, 16, 16), numbers("goal", 2, 1, 16, 16).clamp(min=0)
    goal[:, :, 5, 6] = 1
    move, wanted = numbers("move", 2, 3, 2), numbers("wanted", 2, 3, 2)
    return {**pools, "focal": focal(logits, goal), "offsets": offsets(move, wanted, torch.ones(2, 3, dtype=torch.bool))}


def networks() -> Outputs:
    """Published networks on small pictures."""
    image = numbers("image", 1, 3, 64, 64)
    with torch.no_grad():
        out = {f"swahr {n}": m for n, m in filled(HigherHRNet("hrnet_w32", 17, True))(image).items()}
        out |= {f"mspn {s} {i}": m for s, stage in enumerate(filled(MSPNet(1, 17))(image, True)) for i, m in enumerate(stage)}
        out |= {f"imhn {i}": m for i, m in enumerate(filled(IMHN(50, 1, wiring="released"))(image)[0])}
        out["prn"] = filled(PublishedPRN()).maps(numbers("crop", 1, 17, 56, 36).clamp(min=0))  # type: ignore[operator]
    return out


CASES: dict[str, Callable[[], Outputs]] = {f.__name__: f for f in (swahr, mspn, simple_pose, simple, networks)}


def digest(output: torch.Tensor) -> list[float]:
    """Numbers in an output, its mean, its mean size, and 24 of its values, spread over it."""
    flat = output.detach().double().flatten().numpy()
    some = flat[np.linspace(0, len(flat) - 1, 24).round().astype(int)]
    return [float(f"{v:.7g}") for v in (len(flat), flat.mean(), np.abs(flat).mean(), *some)]


@pytest.mark.parametrize("case", CASES)
def test_19_outputs_are_those_that_agreed_with_the_authors(case):
    stored, made = json.loads(FILE.read_text())[case], CASES[case]()
    assert made.keys() == stored.keys()
    for name, output in made.items():
        ours, theirs = np.array(digest(output)), np.array(stored[name])
        assert ours[0] == theirs[0], name
        assert ours == pytest.approx(theirs, rel=1e-3, abs=2e-4 * max(theirs[2], 1e-6)), name


def test_19_stand_ins_notice_a_change():
    """A digest is no constant: half a percent more, or a cell further on, is noticed."""
    heat = mspn()["label5"]
    for other in (1.005 * heat, heat.roll(1, -1)):
        assert digest(other) != pytest.approx(digest(heat), rel=1e-3, abs=2e-4 * float(heat.abs().mean()))


if __name__ == "__main__":
    FILE.write_text(json.dumps({case: {n: digest(m) for n, m in make().items()} for case, make in CASES.items()}, indent=0) + "\n")
