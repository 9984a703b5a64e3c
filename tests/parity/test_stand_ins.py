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

from manypose.data.sample import Batch
from manypose.inference.test_time_augmentation import outputs
from manypose.inference.views import published_views
from manypose.methods.method import Field
from manypose.methods.mspn.decode import published_hrnet, published_mspn
from manypose.methods.mspn.hrnet import HRNetwork
from manypose.methods.mspn.loss import hrnet_loss, mspn_loss
from manypose.methods.mspn.network import MSPNet
from manypose.methods.mspn.targets import FIRST_CELL, KERNELS, ladders, published_labels
from manypose.methods.mspn.targets import targets as person_targets
from manypose.methods.multiposenet import MultiPoseNet
from manypose.methods.multiposenet.published_prn import PublishedPRN
from manypose.methods.simple.boxes_from_points import find, pairs
from manypose.methods.simple.corner_pooling import PointPool
from manypose.methods.simple.loss import corner_tags, focal, offsets
from manypose.methods.simple.targets import SPREAD, bump_radius, bumps
from manypose.methods.simple_pose.body import body_of
from manypose.methods.simple_pose.loss import simple_pose_loss
from manypose.methods.simple_pose.network import IMHN
from manypose.methods.simple_pose.published_decode import decode_published
from manypose.methods.simple_pose.targets import heat_maps, part_maps, pyramid
from manypose.methods.swahr.loss import swahr_loss
from manypose.methods.swahr.network import HigherHRNet, read
from manypose.methods.swahr.targets import targets
from manypose.nn.associative_embedding.decode import published_grouping
from manypose.nn.heatmaps import gather
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
    """CenterNet's poolings and losses; its bumps; boxes from corners with tags."""
    x = numbers("pool", 1, 16, 12, 14)
    with torch.no_grad():
        pools = {kind: filled(PointPool(16, kind, inner=8))(x) for kind in ("top_left", "bottom_right", "centre")}
    logits, goal = numbers("logits", 2, 1, 16, 16), numbers("goal", 2, 1, 16, 16).clamp(min=0)
    goal[:, :, 5, 6] = 1
    move, wanted = numbers("move", 2, 3, 2), numbers("wanted", 2, 3, 2)
    there = torch.ones(2, 3, dtype=torch.bool)
    pull, push = corner_tags(2 * numbers("first", 2, 3), 2 * numbers("second", 2, 3), there)
    radii = bump_radius(20 + 15 * numbers("sides", 3, 2))
    cells = torch.tensor([[[5.0, 6.0], [11.0, 3.0], [8.0, 12.0]]])
    drawn = {f"bumps {s}": bumps(cells, there[:1], radii.floor()[None], (16, 16), s) for s in SPREAD.values()}
    found = [find(numbers(c, 1, 1, 16, 16).sigmoid(), numbers(f"{c} offset", 1, 2, 16, 16), 9, 0.0) for c in ("top left", "bottom right")]
    tags = [gather(numbers(f"tag {i}", 1, 1, 16, 16), f[2])[:, 0] for i, f in enumerate(found)]
    boxes, means = pairs(found[0][1], found[0][0], found[1][1], found[1][0], tags, 0.5)
    best = means[0].argsort(descending=True, stable=True)[:8]
    made = {**pools, "focal": focal(logits, goal), "offsets": offsets(move, wanted, there), "pull": pull, "push": push, "radii": radii}
    return {**made, **drawn, "boxes": boxes[0, best], "means": means[0, best]}


def hrnet() -> Outputs:
    """The single person's network, its published targets, loss and decoder."""
    with torch.no_grad():
        maps = filled(HRNetwork("hrnet_w32", 17))(numbers("hrnet", 1, 3, 64, 64))
    goal = person_targets(batch_of([people("hrnet")[:1]], SIZE), SIZE, {"heat": 2.0}, 1.0, FIRST_CELL["hrnet"])
    heat = goal["heat"] + 0.02 * numbers("hrnet noise", *goal["heat"].shape)
    xy, scores = published_hrnet(heat, SIZE)
    return {"maps": maps, "target": goal["heat"], "loss": hrnet_loss(heat, goal), "xy": xy, "scores": scores}


def multiposenet() -> Outputs:
    """Trunk, person subnet and the maps of K2, where a third party's program has the paper's definition."""
    net = filled(MultiPoseNet("resnet50", prn=None))
    with torch.no_grad():
        trunk = net.backbone(numbers("photo", 1, 3, 64, 64))  # type: ignore[operator]
        persons, maps = net.persons(trunk[1:]), net.keypoints.train()(trunk)  # type: ignore[operator]
    return {"person": persons["person"], "shift": persons["shift"], "heat2": maps["heat2"]}


class Views(nn.Module):
    """A method of one convolution: what is done with maps of several views is all that is seen."""

    stride, size, skeleton, training_only = 64, 64, COCO, ()

    def __init__(self) -> None:
        super().__init__()
        self.fields = {"heat": Field(COCO.mirror), "tag": Field(COCO.mirror, "stack", "base")}
        self.net = filled(nn.Conv2d(3, 51, 5, padding=2))

    def prepare(self, images: torch.Tensor) -> torch.Tensor:
        return images.permute(0, 3, 1, 2).float() / 255 - 0.5

    def network(self, images: torch.Tensor) -> Outputs:
        maps = self.net(images)
        quarter, half = (nn.functional.avg_pool2d(maps, n) for n in (4, 2))
        return {"heat4": quarter[:, :17], "tag4": quarter[:, 17:34], "heat2": half[:, 34:]}

    def readout(self, outputs: Outputs) -> Outputs:
        return read(outputs)

    def targets(self, people: Batch, size: tuple[int, int]) -> Outputs:
        raise NotImplementedError

    def loss(self, outputs: Outputs, targets: Outputs) -> Outputs:
        raise NotImplementedError

    def decode(self, outputs: Outputs, size: tuple[int, int]) -> list:
        raise NotImplementedError


def views() -> Outputs:
    """HigherHRNet's merging of scales and mirrored views, on the input's grid and on the largest."""
    made = {}
    for scales in ((1.0,), (0.5, 1.0, 2.0)):
        warps = published_views((96, 150), 64, scales)
        images = [torch.from_numpy(np.random.RandomState(i).randint(0, 255, (1, *w.size, 3), np.uint8)) for i, w in enumerate(warps)]
        base = scales.index(1.0)
        zooms = [image.shape[1] / images[base].shape[1] for image in images]
        made |= {f"view {len(scales)} {i}": torch.tensor([*w.size, *w.matrix.ravel()]) for i, w in enumerate(warps)}
        for flip, grid in ((False, "input"), (True, "input"), (True, "largest")):
            with torch.no_grad():
                maps = outputs(Views(), images, zooms, base, flip=flip, grid=grid)  # type: ignore[arg-type]
            made |= {f"{name} {len(scales)} {flip} {grid}": m for name, m in maps.items()}
    return made


def networks() -> Outputs:
    """Published networks on small pictures."""
    image = numbers("image", 1, 3, 64, 64)
    with torch.no_grad():
        out = {f"swahr {n}": m for n, m in filled(HigherHRNet("hrnet_w32", 17, True))(image).items()}
        out |= {f"mspn {s} {i}": m for s, stage in enumerate(filled(MSPNet(1, 17))(image, True)) for i, m in enumerate(stage)}
        out |= {f"imhn {i}": m for i, m in enumerate(filled(IMHN(50, 1, wiring="released"))(image)[0])}
        out["prn"] = filled(PublishedPRN()).maps(numbers("crop", 1, 17, 56, 36).clamp(min=0))  # type: ignore[operator]
    return out


CASES: dict[str, Callable[[], Outputs]] = {f.__name__: f for f in (swahr, mspn, simple_pose, simple, networks, hrnet, multiposenet, views)}


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
