"""The learning rate schedule."""

import math
from dataclasses import dataclass, replace
from typing import Literal

from manypose.training.plateau import Plateau

__all__ = ["Schedule"]


@dataclass(frozen=True)
class Schedule:
    """The schedule of the learning rate: warm-up, then decay.

    Args:
        epochs: length of the training; may be a fraction.
        warmup: epochs of linear warm-up.
        warmup_from: fraction of the full rate at the first step.
        decay: decay from the end of the warm-up to the end of the training: ``linear`` or ``cosine`` down to `final`,
            ``steps``: times `factor` at every one of the `milestones`, ``plateau``: times `factor` whenever the mean loss of `patience`
            epochs has not fallen, down to `final`; or ``constant``.
        final: fraction of the full rate at the end of ``linear`` and ``cosine``.
        milestones: epochs of the ``steps`` decay.
        factor: see `decay`.
        patience: number of epochs that ``plateau`` waits.
        warmup_steps: length of the warm-up in optimizer steps instead of `warmup`; a longer one is gentler on new layers.

    Raises:
        ValueError: lengths are not positive, or the warm-up is longer than the training.
    """

    epochs: float
    warmup: float = 0.0
    warmup_from: float = 0.1
    decay: Literal["linear", "cosine", "steps", "plateau", "constant"] = "linear"
    final: float = 0.0
    milestones: tuple[float, ...] = ()
    factor: float = 0.1
    patience: int = 5
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.epochs) and self.epochs > 0 and 0 <= self.warmup < self.epochs):
            raise ValueError(f"a schedule needs epochs > 0 and 0 <= warmup < epochs, got epochs {self.epochs}, warmup {self.warmup}")
        if self.warmup_steps < 0 or (self.warmup_steps and self.warmup):
            raise ValueError(f"a schedule takes warmup (epochs) or warmup_steps, got {self.warmup} and {self.warmup_steps}")
        if self.decay == "plateau" and (self.patience < 1 or not 0 < self.factor < 1):
            raise ValueError(f"decay 'plateau' needs patience >= 1 and a factor between 0 and 1, got {self.patience} and {self.factor}")
        if self.decay == "steps" and not self.milestones:
            raise ValueError("decay 'steps' needs milestones: the epochs at which the rate falls")

    def in_epochs(self, per_epoch: int) -> "Schedule":
        """The schedule with its warm-up in epochs of `per_epoch` steps."""
        return replace(self, warmup=self.warmup_steps / per_epoch, warmup_steps=0) if self.warmup_steps else self

    @property
    def plateau(self) -> Plateau | None:
        """The rule of the ``plateau`` decay; None for others."""
        return Plateau(self.factor, self.patience, self.final) if self.decay == "plateau" else None

    def at(self, epoch: float) -> float:
        """The fraction of the full rate after a number of epochs."""
        if epoch < self.warmup:
            return self.warmup_from + (1 - self.warmup_from) * epoch / self.warmup
        if self.decay in ("constant", "plateau"):  # `plateau` lowers it by the losses
            return 1.0
        if self.decay == "steps":
            return self.factor ** sum(epoch >= m for m in self.milestones)
        done = min(1.0, (epoch - self.warmup) / (self.epochs - self.warmup))
        falling = 1 - done if self.decay == "linear" else (1 + math.cos(math.pi * done)) / 2
        return self.final + (1 - self.final) * falling
