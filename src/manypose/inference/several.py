"""One model or an ensemble, as the command line asks for them. Needs PyTorch for ensembles alone."""

from collections.abc import Sequence
from pathlib import Path

from manypose.inference.loading import RuntimeName
from manypose.inference.model import Model, load

__all__ = ["one_or_several"]


def one_or_several(
    name: str | Path | None, others: Sequence[str], weights: Path | None = None, device: str = "auto", runtime: RuntimeName = "auto"
) -> Model:
    """The model called `name` (see `load`), or where there are others all of them as one, on PyTorch.

    Raises:
        ValueError: the models do not fit one another, or another runtime was asked for.
    """
    if not others:
        return load(name, weights=weights, device=device, runtime=runtime)
    if runtime not in ("auto", "torch"):
        raise ValueError(f"an ensemble runs on PyTorch; leave out --runtime {runtime}")
    from manypose.inference.ensemble import together

    first = load(name, weights=weights, device=device, runtime="torch")
    return together([first, *(load(other, device=device, runtime="torch") for other in others)])
