"""An optimizer for networks with folded batch norms, whose tensors differ in magnitude by three orders."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from manypose.nn.rates import rate_of

__all__ = ["RelativeAdam"]


class RelativeAdam(Optimizer):
    """Adam (Kingma and Ba, 2015) with steps relative to the root mean square of each tensor.

    Randomly initialized parameters may have larger steps (`manypose.nn.rates.faster`).

    Args:
        params: parameters to train.
        lr: largest step as a fraction of a tensor's root mean square.
        betas: decays of the running means of the gradient and its square.
        floor: smallest root mean square used, for tensors such as zeros.
        floor_of_new: the same for randomly initialized parameters.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 7e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        floor: float = 1e-3,
        floor_of_new: float = 1e-3,
    ) -> None:
        if lr < 0 or floor <= 0 or not all(0 <= b < 1 for b in betas):
            raise ValueError(f"RelativeAdam needs lr >= 0, floor > 0 and betas from 0 to below 1, got {lr}, {floor}, {betas}")
        super().__init__(params, {"lr": lr, "betas": betas, "floor": floor, "floor_of_new": floor_of_new})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; tensors without a gradient are unchanged."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in (p for p in group["params"] if p.grad is not None):
                state = self.state[p]
                if not state:
                    state.update(step=0, mean=torch.zeros_like(p), square=torch.zeros_like(p))
                state["step"] += 1
                mean, square = state["mean"].lerp_(p.grad, 1 - b1), state["square"].mul_(b2).addcmul_(p.grad, p.grad, value=1 - b2)
                deviation = (square / (1 - b2 ** state["step"])).sqrt_().add_(1e-12)
                rate = rate_of(p)
                size = max(float(p.square().mean().sqrt()), group["floor" if rate is None else "floor_of_new"])
                p.addcdiv_(mean, deviation, value=-group["lr"] * (1.0 if rate is None else rate) * size / (1 - b1 ** state["step"]))
        return loss
