"""The table of models: how large, how costly, what was published, and what of it comes with the package."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from manypose.io.files import write_json
from manypose.io.safetensors import read_about
from manypose.methods.catalog import MODELS, build
from manypose.methods.method import TopDownMethod, module_of
from manypose.weights.files import BUNDLED, CHOICES

__all__ = ["COUNTING", "Line", "table", "text"]

COUNTING = (
    "multiply-adds: one forward pass of a square input of that side, of top-down models one crop of a person, "
    "convolutions and matrix products alone, counted by "
    "torch.utils.flop_counter and halved; normalisation, activation, enlarging and grouping are not counted"
)


@dataclass(frozen=True)
class Line:
    """One model.

    Args:
        name: as `manypose.load` takes it.
        summary: what it is.
        parameters: how many weights.
        size: short side of its input, in pixels.
        bundled: whether its weights come with the package.
        measured: what the bundled weights were measured to reach, and how; empty where there are none.
        published: its paper's figure, quoted.
        multiply_adds: see `COUNTING`; None where it was not asked for.
        crop: height and width of a person's crop, of models that look at one person at a time.
    """

    name: str
    summary: str
    parameters: int
    size: int
    bundled: bool
    measured: str
    published: str
    multiply_adds: int | None = None
    crop: tuple[int, int] | None = None


def table(cost: bool = False) -> list[Line]:
    """All models; nothing is downloaded, no weight takes memory."""
    return [_line(name, cost) for name in MODELS]


def _line(name: str, cost: bool) -> Line:
    with torch.device("meta"):
        method = build(name)
    weights = BUNDLED / f"{name}.safetensors"
    parameters = sum(p.numel() for p in module_of(method).parameters())
    crop = method.input_size if isinstance(method, TopDownMethod) else None
    adds = multiply_adds(module_of(method), crop or method.size) if cost else None
    named = MODELS[name]
    return Line(name, named.summary, parameters, method.size, weights.is_file(), _measured(weights), named.published, adds, crop)


def multiply_adds(method: nn.Module, size: int | tuple[int, int]) -> int:
    """See `COUNTING`, for a square input of side `size` or one of that height and width; on any device, ``meta`` too."""
    height, width = (size, size) if isinstance(size, int) else size
    image = torch.zeros(1, 3, height, width, device=next(method.parameters()).device)
    training = method.training
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        method.eval()
        method.network(image)  # type: ignore[operator]
    method.train(training)
    return counter.get_total_flops() // 2


def _measured(path: Path) -> str:
    """What the weights file says of itself."""
    return str(read_about(path).get("measured", "")) if path.is_file() else ""


def text(lines: list[Line]) -> str:
    """The table for a terminal."""
    cost = any(line.multiply_adds is not None for line in lines)
    head = ["model", "parameters", *(["multiply-adds"] if cost else []), "input", "weights", "measured", "published"]
    rows = [head]
    for line in lines:
        adds = [f"{(line.multiply_adds or 0) / 1e9:.{1 if (line.multiply_adds or 0) >= 1e9 else 2}f} G"] if cost else []
        weights = ", ".join(["bundled", *(choice for choice, name in CHOICES.items() if name == line.name)]) if line.bundled else "-"
        seen = f"{line.size} px" if line.crop is None else f"{line.crop[0]} x {line.crop[1]} px"
        rows.append([line.name, f"{line.parameters / 1e6:.1f} M", *adds, seen, weights, line.measured or "-", line.published or "-"])
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def models(*, cost: bool = False, json: Path | None = None) -> None:
    """List the models: size, weights, figures measured and figures only published.

    Args:
        cost: count multiply-adds too.
        json: also write the table to this file.
    """
    lines = table(cost)
    print(text(lines) + (f"\n\n{COUNTING}" if cost else ""))
    if json is not None:
        write_json(json, [vars(line) for line in lines])
