"""A very small method and data set, and a training of them as a program: ``python tests/tiny_training.py OUT JSON …``."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from manypose.data.loading import Source, loader
from manypose.data.sample import Batch, Sample
from manypose.methods.catalog import MODELS, ModelSpec
from manypose.methods.method import Field
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO, CROWDPOSE, Skeleton


class Tiny(nn.Module):
    """One heat map a joint at a quarter of 32 pixels; dropout makes the random state matter, and `norm` the buffers."""

    stride, size, training_only = 4, 32, ()

    def __init__(self, skeleton: Skeleton = COCO, width: int = 4, dropout: float = 0.2, norm: bool = True, pretrained: bool = False):
        super().__init__()
        self.skeleton = skeleton
        self.fields = {"heat": Field(skeleton.mirror)}
        self.trunk = nn.Sequential(
            nn.Conv2d(3, width, 3, 2, 1), nn.BatchNorm2d(width) if norm else nn.Identity(), nn.ReLU(), nn.Conv2d(width, width, 3, 2, 1)
        )
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Conv2d(width, len(skeleton), 1))

    def prepare(self, images):
        return images.permute(0, 3, 1, 2).float() / 255 - 0.5

    def network(self, images):
        return {"heat": self.head(self.trunk(images))}

    def targets(self, people: Batch, size: tuple[int, int]):
        heat = torch.zeros(len(people.images), len(self.skeleton), size[0] // 4, size[1] // 4, device=people.images.device)
        for b, n, k in (people.keypoints[..., 2] > 0).nonzero().tolist():
            x, y = (people.keypoints[b, n, k, :2] / 4).long().tolist()
            heat[b, k, y, x] = 1
        return {"heat": heat}

    def loss(self, outputs, targets):
        return {"heat": (outputs["heat"] - targets["heat"]).pow(2).mean(), "size": 1e-3 * outputs["heat"].abs().mean()}

    def readout(self, outputs):
        return outputs

    def decode(self, outputs, size):
        return [Poses.empty(self.skeleton) for _ in outputs["heat"]]


class Noise:
    """Random pictures with one random person each."""

    def __init__(self, skeleton: Skeleton = COCO, first: int = 0):
        self.skeleton, self.first = skeleton, first

    def __len__(self) -> int:
        return 24

    def __getitem__(self, i: int) -> Sample:
        rng, k = np.random.default_rng(i + self.first), len(self.skeleton)
        keypoints = np.concatenate([rng.uniform(0, 31, (1, k, 2)), np.full((1, k, 1), 2)], 2).astype(np.float32)
        image = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        boxes = np.array([[0, 0, 31, 31]], np.float32)
        return Sample(self.skeleton, image, keypoints, boxes, np.array([900], np.float32), np.ones((1, 32, 32), np.uint8), image_id=i)


def slow(sample: Sample, rng: np.random.Generator) -> Sample:
    """An augmentation that depends on `rng`, and takes a while if the environment says so (for the test that kills)."""
    time.sleep(float(os.environ.get("TINY_SLEEP", "0")))
    noise = rng.integers(0, 32, sample.image.shape, dtype=np.uint8)
    return Sample(sample.skeleton, sample.image // 2 + noise, sample.keypoints, sample.boxes, sample.areas, sample.mask)


MODELS["tiny"] = ModelSpec("tiny_training:Tiny", {}, "for tests")


def run(
    out: Path, *, batch=4, epochs=2.0, workers=0, lr=1e-2, sgd=False, every=3, joints=17, data_seed=3, others=False, optimizer_args=None,
    schedule_decay="linear", warmup_steps=0, **more,
) -> Path:  # fmt: skip
    """24 samples an epoch: 6 steps of 4."""
    from manypose.training.schedule import Schedule
    from manypose.training.train import Saving, train

    data = loader([Source(Noise({17: COCO, 14: CROWDPOSE}[joints], 99 * others))], slow, batch, length=24, seed=data_seed, workers=workers)

    def optimizer(parameters):
        return (torch.optim.SGD if sgd else torch.optim.Adam)(parameters, lr, **(optimizer_args or {}))

    warmup = 0.0 if schedule_decay == "constant" else min(0.5, epochs / 2)
    schedule = more.pop("schedule", None) or Schedule(epochs, warmup=warmup, decay=schedule_decay, warmup_steps=warmup_steps)
    return train("tiny", data, optimizer, schedule, out, device="cpu", saving=Saving(every=every, look=2), **more)


if __name__ == "__main__":
    signal.alarm(180)  # a test that hangs ends
    torch.set_num_threads(1)
    for settings in sys.argv[2:]:
        run(Path(sys.argv[1]), **json.loads(settings))
