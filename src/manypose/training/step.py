"""One training step of any method."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import count, islice
from typing import Any

import torch
from torch import Tensor, nn

from manypose.data.loading import Loader
from manypose.data.sample import Batch
from manypose.poses.skeleton import Skeleton

__all__ = ["Step", "batches", "in_bf16"]


def in_bf16(device: torch.device, wanted: bool) -> AbstractContextManager[Any]:
    """A context in which networks compute in bfloat16, if wanted."""
    return torch.autocast(device.type, torch.bfloat16) if wanted else nullcontext()


class Step(nn.Module):
    """A method's training step as a module for data-parallel training: named losses of a batch.

    Args:
        method: a `Method`.
        channels_last: memory layout of the images.
        bf16: whether the network computes in bfloat16; losses and weights are always float32.
    """

    def __init__(self, method: nn.Module, channels_last: bool = False, bf16: bool = False):
        super().__init__()
        self.method, self.bf16 = method, bf16
        self.layout = torch.channels_last if channels_last else torch.contiguous_format

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The losses, in single precision."""
        method: Any = self.method
        images = method.prepare(batch.images).contiguous(memory_format=self.layout)
        with in_bf16(images.device, self.bf16):
            outputs = method.network(images)
        h, w = batch.images.shape[1:3]
        with torch.autocast(images.device.type, enabled=False):
            outputs = {k: v.float() if v.dtype in (torch.float16, torch.bfloat16) else v for k, v in outputs.items()}
            return method.loss(outputs, method.targets(batch, (h, w)))


def batches(data: Loader, skeleton: Skeleton, start: int, process: int, processes: int) -> Iterator[Batch]:
    """This process's endless batches from index `start`; a remainder of an epoch for some processes only is dropped."""
    each = len(data) // processes
    data.generator = torch.Generator()  # iterators draw a seed, not from the generator in checkpoints
    for epoch in count(start // each):
        skipped = start % each if epoch == start // each else 0
        data.set_epoch(epoch, skipped * processes, process, processes)
        for batch in islice(data, each - skipped):
            if batch.keypoints.shape[2] != len(skeleton):
                raise ValueError(
                    f"the data have {batch.keypoints.shape[2]} joints, the model's skeleton {skeleton.name!r} has {len(skeleton)}"
                )
            yield batch
