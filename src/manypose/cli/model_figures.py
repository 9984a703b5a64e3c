"""Counts of the models' parameters and multiply-adds, from the built networks; `models` reads the stored counts.

``python -m manypose.cli.model_figures`` rewrites the stored file; a test compares it with the networks.
"""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from manypose.cli.models import FIGURES, Line
from manypose.io.files import write_json
from manypose.methods.catalog import MODELS, build
from manypose.methods.method import TopDownMethod, module_of
from manypose.weights.names import CHOICES

__all__ = ["count", "multiply_adds"]


def count(name: str) -> Line:
    """The counts of one model. Nothing is downloaded, and the weights take no memory."""
    with torch.device("meta"):
        method = build(name)
    network = module_of(method)
    crop = (method.input_size[0], method.input_size[1]) if isinstance(method, TopDownMethod) else None
    choice = next((choice for choice, named in CHOICES.items() if named == name), "")
    spec = MODELS[name]
    adds, parameters = multiply_adds(network, crop or method.size), sum(p.numel() for p in network.parameters())
    return Line(name, spec.summary, parameters, method.size, adds, crop, choice, spec.published, spec.weights)


def multiply_adds(method: nn.Module, size: int | tuple[int, int]) -> int:
    """Multiply-adds (see `manypose.cli.models.COUNTING`) for a square input of side `size`, or of that height and width; on any device."""
    height, width = (size, size) if isinstance(size, int) else size
    image = torch.zeros(1, 3, height, width, device=next(method.parameters()).device)
    training = method.training
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        method.eval()
        method.network(image)  # type: ignore[operator]
    method.train(training)
    return counter.get_total_flops() // 2


if __name__ == "__main__":
    write_json(FIGURES, [vars(count(name)) for name in MODELS])
