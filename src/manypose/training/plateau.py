"""Reduction of the learning rate on plateaus of the loss (MultiPoseNet, Section 3.5), with a state stored in checkpoints."""

from dataclasses import asdict, dataclass, replace
from typing import Any

__all__ = ["Level", "Plateau"]


@dataclass(frozen=True)
class Plateau:
    """The rule of the reduction.

    Args:
        factor: factor of each reduction.
        patience: epochs without a lower mean loss before a reduction.
        lowest: smallest fraction of the full rate.
        min_decrease: relative decrease of the mean loss that counts as lower.
    """

    factor: float = 0.1
    patience: int = 5
    lowest: float = 0.0
    min_decrease: float = 1e-3

    def share(self, level: "Level") -> float:
        """The fraction of the full rate."""
        return max(self.factor**level.falls, self.lowest)


@dataclass(frozen=True)
class Level:
    """The state of the rule.

    Args:
        best: lowest mean loss of an epoch; None before the end of the first.
        since: epochs since then, or since the last reduction.
        falls: number of reductions.
        total: sum of the losses of this epoch's steps.
        steps: number of these steps.
    """

    best: float | None = None
    since: int = 0
    falls: int = 0
    total: float = 0.0
    steps: int = 0

    def plus(self, total: float, steps: int) -> "Level":
        """The state after more steps of the epoch."""
        return replace(self, total=self.total + total, steps=self.steps + steps)

    def ended(self, rule: Plateau) -> "Level":
        """The state after the end of an epoch."""
        mean = self.total / max(self.steps, 1)
        if self.best is None or mean < self.best * (1 - rule.min_decrease):
            return Level(mean, 0, self.falls)
        if self.since + 1 < rule.patience:
            return Level(self.best, self.since + 1, self.falls)
        return Level(self.best, 0, self.falls + 1)

    def to_json(self) -> dict[str, Any]:
        """The value stored in a checkpoint."""
        return asdict(self)
