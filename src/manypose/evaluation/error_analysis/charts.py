"""The report's charts: Matplotlib figures as inline SVG."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from manypose.io.printable import printable

try:
    import matplotlib
    from matplotlib.figure import Figure
except ImportError:
    raise ImportError("the report needs matplotlib: pip install 'manypose[eval]'") from None

__all__ = ["bars", "curves", "histogram", "stacked"]

WIDTH, ROW = 7.5, 0.27  # inches
STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "manypose", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def bars(names: Sequence[str], values: Sequence[float], texts: Sequence[str], colours: Sequence[str]) -> str:
    """Horizontal bars with a label each; a value that is not finite has no bar."""

    def fill(figure: Figure) -> None:
        axes = _rows(figure, names)
        drawn = axes.barh(range(len(names)), np.nan_to_num(values), 0.7, color=colours)
        axes.bar_label(drawn, texts, padding=4)
        axes.margins(x=0.2)
        axes.axvline(0, color="#8a8f98", linewidth=0.8)

    return _svg(WIDTH, ROW * len(names) + 0.5, fill)


def stacked(names: Sequence[str], parts: Sequence[Sequence[float]], texts: Sequence[str], colours: Mapping[str, str]) -> str:
    """Stacked horizontal bars of fractions by type, with a label each; `colours` names the types in order."""

    def fill(figure: Figure) -> None:
        axes = _rows(figure, names)
        counts = np.asarray(parts, float).reshape(len(names), len(colours))
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        left = np.zeros(len(names))
        for (kind, colour), share in zip(colours.items(), shares.T, strict=True):
            drawn = axes.barh(range(len(names)), share, 0.75, left, color=colour, label=kind)
            axes.bar_label(drawn, [f"{s:.0%}" if s > 0.06 else "" for s in share], label_type="center", fontsize=7.5, color=_ink(colour))
            left += share
        for row, text in enumerate(texts):
            axes.text(1.01, row, text, va="center")
        axes.set_xlim(0, 1.2)
        axes.set_axis_off()
        for row, name in enumerate(names):
            axes.text(-0.01, row, printable(name), ha="right", va="center", parse_math=False)

    return _svg(WIDTH, ROW * len(names) + 0.1, fill)


def curves(panels: Mapping[str, Sequence[Float[np.ndarray, " _"]]], names: Sequence[str], colours: Sequence[str]) -> str:
    """Precision-recall curves, one panel for each threshold and one curve for each step."""

    def fill(figure: Figure) -> None:
        for axes, (title, values) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels.items(), strict=True):
            for curve, name, colour in zip(values, names, colours, strict=True):
                axes.plot(np.linspace(0, 1, len(curve)), np.nan_to_num(curve), color=colour, label=name, linewidth=1.3)
            axes.set(title=title, xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.01))
            axes.grid(alpha=0.3)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)

    return _svg(WIDTH, 4.2, fill)


def histogram(groups: Mapping[str, Float[np.ndarray, " _"]], colours: Sequence[str], label: str) -> str:
    """Histogram of the values of several groups, side by side."""

    def fill(figure: Figure) -> None:
        axes = figure.subplots()
        together = np.concatenate(list(groups.values()))
        low, high = (float(together.min()), float(together.max())) if len(together) else (0.0, 1.0)
        axes.hist(list(groups.values()), bins=24, range=(low, high if high > low else low + 1), color=colours, label=list(groups))
        axes.set(xlabel=label, ylabel="results")
        axes.legend(frameon=False)

    return _svg(WIDTH, 2.4, fill)


def _rows(figure: Figure, names: Sequence[str]):
    axes = figure.subplots()
    axes.set_yticks(range(len(names)), [printable(name) for name in names], parse_math=False)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(left=False)
    return axes


def _ink(colour: str) -> str:
    """Black or white, whichever has more contrast with a colour."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 110 else "white"


def _svg(width: float, height: float, fill) -> str:
    """The figure that `fill` draws on, as an ``<svg>`` element."""
    with matplotlib.rc_context(STYLE):
        figure = Figure((width, height), layout="constrained")
        fill(figure)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata=NO_METADATA)
    text = out.getvalue()
    return text[text.index("<svg") :]
