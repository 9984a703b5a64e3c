"""Helpers that divide an evaluation or a prediction among the processes of ``torchrun``."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

__all__ = ["from_first", "gathered", "processes", "together"]

T = TypeVar("T")


@contextmanager
def processes() -> Iterator[tuple[int, int]]:
    """This process's rank and the number of processes; creates the process group under torchrun if there is none yet."""
    number = int(os.environ.get("WORLD_SIZE", "1"))
    if number == 1:
        yield 0, 1
        return
    import torch.distributed as dist

    own = not dist.is_initialized()
    if own:
        dist.init_process_group("gloo", timeout=timedelta(days=7))  # fast processes wait for slow ones
    try:
        yield dist.get_rank(), dist.get_world_size()
    finally:
        if own:
            dist.destroy_process_group()


def gathered(mine: T, number: int) -> list[T]:
    """The values of all processes in the first one; elsewhere this process's own."""
    if number == 1:
        return [mine]
    import torch.distributed as dist

    parts: list[Any] | None = [None] * number if dist.get_rank() == 0 else None
    dist.gather_object(mine, parts)
    return parts or [mine]


def from_first(value: T | None, number: int) -> T:
    """The first process's value in every process."""
    box: list[Any] = [value]
    if number > 1:
        import torch.distributed as dist

        dist.broadcast_object_list(box)
    return box[0]


def together() -> None:
    """Barrier: returns when all processes have called it."""
    import torch.distributed as dist

    if dist.is_initialized():
        dist.barrier()
