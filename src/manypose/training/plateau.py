"""The rate falls when the loss gets no better ("in plateaux": MultiPoseNet, Section 3.5). What was seen is part of a checkpoint."""

from dataclasses import asdict, dataclass, replace
from typing import Any

__all__ = ["Level", "Plateau"]


@dataclass(frozen=True)
class Plateau:
    """When the rate falls, and how far.

    Args:
        factor: of the rate at each fall.
        patience: epochs without a better mean loss after which it falls; more waits longer.
        lowest: share of the full rate below which it does not fall.
        least: part by which a mean loss must be lower than the best to count as better.
    """

    factor: float = 0.1
    patience: int = 5
    lowest: float = 0.0
    least: float = 1e-3

    def share(self, level: "Level") -> float:
        """The share of the full rate."""
        return max(self.factor**level.falls, self.lowest)


@dataclass(frozen=True)
class Level:
    """What a training's losses have come to.

    Args:
        best: the lowest mean loss of an epoch; None before the first epoch's end.
        since: epochs since then, or since the last fall.
        falls: of the rate.
        total: sum of the losses of this epoch's steps.
        steps: how many those are.
    """

    best: float | None = None
    since: int = 0
    falls: int = 0
    total: float = 0.0
    steps: int = 0

    def plus(self, total: float, steps: int) -> "Level":
        """With more steps of the epoch."""
        return replace(self, total=self.total + total, steps=self.steps + steps)

    def ended(self, rule: Plateau) -> "Level":
        """At the end of an epoch."""
        mean = self.total / max(self.steps, 1)
        if self.best is None or mean < self.best * (1 - rule.least):
            return Level(mean, 0, self.falls)
        if self.since + 1 < rule.patience:
            return Level(self.best, self.since + 1, self.falls)
        return Level(self.best, 0, self.falls + 1)

    def to_json(self) -> dict[str, Any]:
        """As a checkpoint stores it."""
        return asdict(self)
