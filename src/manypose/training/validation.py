"""Validation during training: evaluation, selection of the best weights, and early stopping."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn

__all__ = ["Progress", "Validation", "validated"]


@dataclass(frozen=True)
class Validation:
    """Evaluation during training.

    Args:
        measure: a function from a method to named figures, such as `manypose.evaluation.validation.OnDataset`.
        every: epochs between evaluations; the last step is always evaluated.
        figure: the figure that selects the best weights (higher is better); by default the first one.
        patience: stop after this many evaluations without improvement. Raising it finds later gains and takes longer.

    Raises:
        ValueError: `every` or `patience` is not positive.
    """

    measure: Callable[[Any], Mapping[str, float]]
    every: float = 1.0
    figure: str | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.every) and self.every > 0) or (self.patience is not None and self.patience < 1):
            raise ValueError(f"validation needs every > 0 and patience >= 1, got every {self.every}, patience {self.patience}")


@dataclass(frozen=True)
class Progress:
    """The best evaluation so far, stored in checkpoints.

    Args:
        figure: name of the deciding figure.
        best: its highest value, None before the first evaluation.
        best_step: the step of `best`.
        since: evaluations since then.
    """

    figure: str = ""
    best: float | None = None
    best_step: int = 0
    since: int = 0

    def after(self, validation: Validation, figures: Mapping[str, float], step: int) -> tuple["Progress", bool]:
        """The progress after an evaluation, and whether it is the best yet (never for NaN).

        Raises:
            ValueError: the evaluation lacks the deciding figure.
        """
        name = validation.figure or next(iter(figures), "")
        if name not in figures:
            raise ValueError(f"validation gives no figure {name!r}; it gives {', '.join(figures) or 'none'}")
        value = float(figures[name])
        if not math.isnan(value) and (self.best is None or value > self.best):
            return Progress(name, value, step, 0), True
        return replace(self, figure=name, since=self.since + 1), False

    def exhausted(self, validation: Validation | None) -> bool:
        """Whether the training stops early."""
        return validation is not None and validation.patience is not None and self.since >= validation.patience

    def to_json(self) -> dict[str, Any]:
        """The value stored in a checkpoint."""
        return asdict(self)


def validated(validation: Validation, network: nn.Module) -> dict[str, float]:
    """The figures of a step's method in eval mode; restores the mode and PyTorch's random generators."""
    method: Any = network.method
    training = network.training
    network.eval()
    try:
        with torch.random.fork_rng(), torch.no_grad():
            return {k: float(v) for k, v in validation.measure(method).items()}
    finally:
        network.train(training)
