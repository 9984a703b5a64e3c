"""One model or an ensemble, as given on the command line. Needs PyTorch only for ensembles."""

from collections.abc import Sequence
from pathlib import Path

from manypose.inference.loading import RuntimeName
from manypose.inference.model import Model, load

__all__ = ["one_or_several"]


def one_or_several(
    name: str | Path | None, others: Sequence[str], weights: Path | None = None, device: str = "auto", runtime: RuntimeName = "auto"
) -> Model:
    """The model `name` (see `load`), or with `others` an ensemble of all, on PyTorch.

    Raises:
        ValueError: the models are incompatible, or another runtime was requested.
    """
    if not others:
        return load(name, weights=weights, device=device, runtime=runtime)
    if runtime not in ("auto", "torch"):
        raise ValueError(f"an ensemble runs on PyTorch; leave out --runtime {runtime}")
    from manypose.inference.ensemble import together

    first = load(name, weights=weights, device=device, runtime="torch")
    return together([first, *(load(other, device=device, runtime="torch") for other in others)])
