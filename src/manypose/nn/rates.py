"""Parameters that start at random numbers beside others that are trained already: they learn faster.

`manypose.training.optimizers.RelativeAdam` reads the rates.
"""

from collections.abc import Iterable

from torch import nn

__all__ = ["RATE", "faster", "rate_of"]

RATE = 10.0
"""How many times larger the steps of new parameters are."""


def faster(parameters: Iterable[nn.Parameter], rate: float = RATE) -> None:
    """Give parameters steps that are `rate` times larger."""
    for parameter in parameters:
        parameter.rate = rate  # type: ignore[attr-defined]


def rate_of(parameter: nn.Parameter) -> float | None:
    """The rate that `faster` gave a parameter; None: none."""
    return getattr(parameter, "rate", None)
