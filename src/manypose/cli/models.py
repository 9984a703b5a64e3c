"""``manypose models``: the table of models with size, cost, published and measured accuracy, and bundled weights.

No network is built and PyTorch is not imported; the counts are stored in ``model_figures.json``.
"""

import json as json_reader
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path

from manypose.io.files import write_json
from manypose.io.safetensors import read_about
from manypose.weights.names import BUNDLED

__all__ = ["COUNTING", "FIGURES", "Line", "models", "table", "text"]

COUNTING = (
    "multiply-adds: one forward pass of a square input of that side, or of one person's crop for top-down models; "
    "convolutions and matrix products only, counted by "
    "torch.utils.flop_counter and halved, without normalization, activation, upsampling and grouping"
)

FIGURES = Path(__file__).with_name("model_figures.json")
"""The stored counts, one `Line` a model."""

_PHOTOS = "201 COCO val2017 photos ('dev photos', not COCO val)"
MEASURED = {
    "mspn-mobile": f"AP 49.2, AP50 74.0 on {_PHOTOS}, boxes of nanodet, one scale, flip",
    "mspn-mobile-fast": f"AP 42.4, AP50 72.6 on {_PHOTOS}, boxes of nanodet-fast, one scale, no flip",
    "nanodet": f"box AP 45.6, AP50 75.6 on {_PHOTOS}",
}
"""The accuracy of bundled weights whose files do not state it: two models share one file."""

_WIDTH = 100


@dataclass(frozen=True)
class Line:
    """One model.

    Args:
        name: its name for `manypose.load`.
        summary: a short description.
        parameters: number of parameters.
        size: short side of its input, in pixels.
        multiply_adds: see `COUNTING`.
        crop: height and width of a person's crop, for top-down models.
        choice: its second name, such as ``default`` or ``fast``; empty if it has none.
        published: the accuracy quoted from its paper.
        weights: name of the model whose bundled weights it uses; empty: its own.
        bundled: whether its weights are part of the package.
        measured: measured accuracy of the bundled weights and its protocol; empty without bundled weights.
    """

    name: str
    summary: str
    parameters: int
    size: int
    multiply_adds: int
    crop: tuple[int, int] | None = None
    choice: str = ""
    published: str = ""
    weights: str = ""
    bundled: bool = False
    measured: str = ""


def table() -> list[Line]:
    """All models: default and fast first, then the other bundled ones."""
    stored = [Line(**{**row, "crop": row["crop"] and tuple(row["crop"])}) for row in json_reader.loads(FIGURES.read_text(encoding="utf-8"))]
    lines = [_with_weights(line, BUNDLED / f"{line.weights or line.name}.safetensors") for line in stored]
    return sorted(lines, key=lambda line: (not line.choice, not line.bundled))


def _with_weights(line: Line, weights: Path) -> Line:
    """The line with the metadata of the bundled weights file."""
    if not weights.is_file():
        return line
    return replace(line, bundled=True, measured=str(read_about(weights).get("measured", "")) or MEASURED.get(line.name, ""))


def text(lines: list[Line], cost: bool = False) -> str:
    """The table for a terminal of 100 columns, with the accuracy below each model."""
    head = ["model", "parameters", *(["multiply-adds"] if cost else []), "input", "weights"]
    rows = [head]
    for line in lines:
        billions = line.multiply_adds / 1e9
        adds = [f"{billions:.{1 if billions >= 1 else 2}f} G"] if cost else []
        weights = ", ".join(word for word in ("bundled", line.choice) if word) if line.bundled else "-"
        seen = f"{line.size} px" if line.crop is None else f"{line.crop[0]} x {line.crop[1]} px"
        rows.append([line.name, f"{line.parameters / 1e6:.1f} M", *adds, seen, weights])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    shown = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    out = shown[:1]
    for line, row in zip(lines, shown[1:], strict=True):
        notes = [line.summary, *(f"{word}: {said}" for word, said in (("published", line.published), ("measured", line.measured)) if said)]
        parts = [textwrap.wrap(note, _WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 6) for note in notes]
        out += [row, *(part for lines_ in parts for part in lines_)]
    return "\n".join(out)


def models(*, cost: bool = False, json: Path | None = None) -> None:
    """List the models: size, bundled weights, measured accuracy, and published accuracy.

    Args:
        cost: show multiply-adds too.
        json: also write the table to this file.
    """
    lines = table()
    print(text(lines, cost) + ("\n\n" + "\n".join(textwrap.wrap(COUNTING, _WIDTH)) if cost else ""))
    if json is not None:
        write_json(json, [vars(line) for line in lines])
