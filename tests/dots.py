"""A method without a network, for tests: it finds a person drawn as coloured dots (head blue, left wing red, right wing green)."""

import numpy as np
import torch
from torch import Tensor

from manypose.data.sample import Batch
from manypose.methods.method import Field, Maps
from manypose.poses.poses import Poses
from manypose.poses.skeleton import Skeleton
from manypose.poses.warp import Warp, cell_to_pixel

FLY = Skeleton.build("fly", ["left_wing", "right_wing", "head"], [(0, 2), (1, 2)], [0.05, 0.05, 0.05])


class Dots(torch.nn.Module):
    """Heat is how much a cell's colour stands out; a tag map says where it is, so that views which must not be mixed can be told apart."""

    skeleton = FLY
    stride = 32
    size = 128
    training_only: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        # Colours do not change when a picture is mirrored, so neither do the channels.
        self.fields = {"heat": Field(None), "tag": Field(None, "stack", "base")}
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.seen: list[tuple[int, ...]] = []

    def prepare(self, images: Tensor) -> Tensor:
        return images.permute(0, 3, 1, 2).float() / 255

    def network(self, images: Tensor) -> Maps:
        self.seen.append(tuple(images.shape))
        excess = (images - (images.sum(1, keepdim=True) - images) / 2).clamp(min=0) * self.weight
        return {"heat": torch.nn.functional.avg_pool2d(excess, 4), "tag": torch.nn.functional.avg_pool2d(images, 4)}

    def readout(self, outputs: Maps) -> Maps:
        return outputs

    def targets(self, people: Batch, size: tuple[int, int]) -> Maps:
        raise NotImplementedError

    def loss(self, outputs: Maps, targets: Maps) -> dict[str, Tensor]:
        raise NotImplementedError

    def decode(self, outputs: Maps, size: tuple[int, int]) -> list[Poses]:
        return [_centroids(heat, size) for heat in outputs["heat"]]


class BoxDots(Dots):
    """The same, one person at a time in given boxes."""

    size = 64
    input_size = (96, 64)
    person_nms_oks = 0.9

    def people(self, photo: np.ndarray, boxes: np.ndarray) -> list[Warp]:
        return [Warp.crop(box, self.input_size) for box in boxes]


def _centroids(heat: Tensor, size: tuple[int, int]) -> Poses:
    stride = size[0] / heat.shape[1]
    y, x = (torch.arange(n, dtype=torch.float32) for n in heat.shape[1:])
    peak = heat.amax((1, 2))
    mass = (heat - 0.05 * peak[:, None, None]).clamp(min=0)
    total = mass.sum((1, 2)).clamp(min=1e-9)
    xy = torch.stack([(mass.sum(1) * x).sum(1), (mass.sum(2) * y).sum(1)], 1) / total[:, None]
    scores = torch.where(peak > 0.1, peak, 0)
    if not scores.any():
        return Poses.empty(FLY)
    xy = cell_to_pixel(xy, stride) * (scores > 0)[:, None]
    return Poses(FLY, xy.numpy()[None].astype(np.float32), scores.numpy()[None].astype(np.float32), np.float32([scores.mean()]))


def photo_of(size: tuple[int, int], joints: np.ndarray, radius: float = 5.0) -> np.ndarray:
    """A grey photo with a person's dots, antialiased: red, green, blue at `joints` (3, 2)."""
    y, x = np.mgrid[: size[0], : size[1]]
    photo = np.full((*size, 3), 60.0)
    for channel, (jx, jy) in enumerate(joints):
        cover = np.clip(radius + 0.5 - np.hypot(x - jx, y - jy), 0, 1)[..., None]
        colour = np.zeros(3)
        colour[channel] = 255
        photo = photo * (1 - cover) + colour * cover
    return photo.round().astype(np.uint8)
