"""Simple charts as inline SVG: nothing to install, nothing to fetch, sharp in print."""

from collections.abc import Sequence
from html import escape

import numpy as np
from jaxtyping import Float

__all__ = ["bars", "histogram", "lines", "stacked"]

WIDTH = 720
ROW = 26


def bars(rows: Sequence[tuple[str, float, str]], colours: Sequence[str], label: int = 190) -> str:
    """Horizontal bars: name, value, text behind the bar; a negative value's bar is drawn pale, to the same scale."""
    room = WIDTH - label - 150
    most = max([abs(v) for _, v, _ in rows] + [1e-9])
    parts = []
    for i, ((name, value, text), colour) in enumerate(zip(rows, colours, strict=True)):
        y, length = i * ROW, max(1.5, abs(value) / most * room)
        pale = ' opacity=".35"' if value < 0 else ""
        parts.append(
            f'<text x="{label - 10}" y="{y + 17}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{label}" y="{y + 4}" width="{length:.1f}" height="{ROW - 8}" rx="2" fill="{colour}"{pale}/>'
            f'<text x="{label + length + 8:.1f}" y="{y + 17}" class="num">{escape(text)}</text>'
        )
    return _svg(len(rows) * ROW, parts)


def stacked(rows: Sequence[tuple[str, Sequence[float], str]], colours: Sequence[str], names: Sequence[str], label: int = 190) -> str:
    """Horizontal bars of parts that make a whole: name, parts, text behind the bar."""
    room = WIDTH - label - 150
    parts = []
    for i, (name, shares, text) in enumerate(rows):
        y, x, whole = i * ROW, float(label), max(1e-9, float(sum(shares)))
        parts.append(f'<text x="{label - 10}" y="{y + 17}" text-anchor="end">{escape(name)}</text>')
        for share, colour, part in zip(shares, colours, names, strict=True):
            length = share / whole * room if sum(shares) else 0.0
            if length > 0:
                parts.append(f'<rect x="{x:.1f}" y="{y + 4}" width="{length:.1f}" height="{ROW - 8}" fill="{colour}">')
                parts.append(f"<title>{escape(part)}: {share / whole:.1%}</title></rect>")
            if length > 34:
                middle = f'x="{x + length / 2:.1f}" y="{y + 17}" text-anchor="middle"'
                parts.append(f'<text {middle} fill="{_ink(colour)}" class="in">{share / whole:.0%}</text>')
            x += length
        parts.append(f'<text x="{label + room + 8}" y="{y + 17}" class="num">{escape(text)}</text>')
    return _svg(len(rows) * ROW, parts)


def lines(curves: Sequence[tuple[str, Float[np.ndarray, " _"]]], colours: Sequence[str], across: str, up: str, side: int = 340) -> str:
    """Curves over 0 … 1 in both directions, with a legend under them."""
    left, bottom, top = 46, 40, 10
    plot = side - left - 12

    def at(x: float, y: float) -> str:
        return f"{left + x * plot:.1f},{top + (1 - y) * plot:.1f}"

    parts = []
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f'<path d="M{at(0, tick)} L{at(1, tick)} M{at(tick, 0)} L{at(tick, 1)}" class="grid"/>')
        parts.append(f'<text x="{left - 6}" y="{top + (1 - tick) * plot + 4:.1f}" text-anchor="end" class="num">{tick:g}</text>')
        parts.append(f'<text x="{left + tick * plot:.1f}" y="{top + plot + 16}" text-anchor="middle" class="num">{tick:g}</text>')
    for (name, values), colour in zip(curves, colours, strict=True):
        xs = np.linspace(0, 1, len(values))
        path = " L".join(at(float(x), float(y)) for x, y in zip(xs, values, strict=True))
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.8"><title>{escape(name)}</title></path>')
    parts.append(f'<text x="{left + plot / 2}" y="{top + plot + 34}" text-anchor="middle">{escape(across)}</text>')
    parts.append(f'<text x="12" y="{top + plot / 2}" text-anchor="middle" transform="rotate(-90 12 {top + plot / 2})">{escape(up)}</text>')
    return _svg(top + plot + bottom, parts, side)


def histogram(groups: Sequence[tuple[str, Float[np.ndarray, " _"]]], colours: Sequence[str], across: str, bins: int = 24) -> str:
    """How often values of several groups occur, side by side, on a common axis."""
    together = np.concatenate([v for _, v in groups])
    low, high = (float(together.min()), float(together.max())) if len(together) else (0.0, 1.0)
    high = high if high > low else low + 1
    counts = [np.histogram(v, bins, (low, high))[0] for _, v in groups]
    most, left, height = max(1, max(int(c.max()) for c in counts)), 46, 150
    step = (WIDTH - left - 20) / bins
    width = step * 0.84 / len(groups)
    parts = [f'<path d="M{left},{height + 6} H{WIDTH - 20}" class="grid"/>']
    for g, (count, colour) in enumerate(zip(counts, colours, strict=True)):
        for i, n in enumerate(count):
            tall = n / most * height
            x = left + i * step + step * 0.08 + g * width
            parts.append(f'<rect x="{x:.1f}" y="{6 + height - tall:.1f}" width="{width:.1f}" height="{tall:.1f}" fill="{colour}">')
            parts.append(f"<title>{escape(groups[g][0])}: {n}</title></rect>")
    for share in (0, 0.5, 1):
        x = left + share * (WIDTH - left - 20)
        parts.append(f'<text x="{x:.1f}" y="{height + 24}" text-anchor="middle" class="num">{low + share * (high - low):.3g}</text>')
    parts.append(f'<text x="{left - 6}" y="16" text-anchor="end" class="num">{most}</text>')
    parts.append(f'<text x="{WIDTH / 2}" y="{height + 42}" text-anchor="middle">{escape(across)}</text>')
    return _svg(height + 48, parts)


def _ink(colour: str) -> str:
    """Black or white, whichever can be read on a colour."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#000" if 0.3 * red + 0.59 * green + 0.11 * blue > 140 else "#fff"


def _svg(height: float, parts: Sequence[str], width: float = WIDTH) -> str:
    return f'<svg viewBox="0 0 {width} {height:.0f}" style="max-width:{width}px" role="img">{"".join(parts)}</svg>'
