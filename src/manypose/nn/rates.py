"""Relative learning rates of new parameters beside pretrained ones, read by `manypose.training.optimizers.RelativeAdam`."""

from collections.abc import Iterable

from torch import nn

__all__ = ["RATE", "faster", "rate_of"]

RATE = 10.0
"""Factor of the learning rate of new parameters."""


def faster(parameters: Iterable[nn.Parameter], rate: float = RATE) -> None:
    """Set the factor of the learning rate of parameters."""
    for parameter in parameters:
        parameter.rate = rate  # type: ignore[attr-defined]


def rate_of(parameter: nn.Parameter) -> float | None:
    """The factor set by `faster`; None if not set."""
    return getattr(parameter, "rate", None)
