"""An error analysis as a text table and as a self-contained HTML file."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from manypose.evaluation.error_analysis.analysis import Analysis, Group
from manypose.evaluation.error_analysis.costs import background
from manypose.evaluation.error_analysis.errors import KINDS
from manypose.io.printable import printable

__all__ = ["COLOURS", "MARKS", "STEP_NAMES", "html", "table"]

COLOURS = {"good": "#3f9b6c", "jitter": "#e3b23c", "inversion": "#e4762f", "swap": "#b23a6f", "miss": "#4a5078"}
STEP_NAMES = {
    "none": "as it is", "miss": "misses", "swap": "swaps", "inversion": "inversions", "jitter": "jitter", "scores": "scores",
    "duplicates": "duplicates", "background": "background", "missed": "missed people",
}  # fmt: skip
MARKS = {"inversion": "#ff8a3c", "swap": "#e0409a", "miss": "#7d88ff", "missed person": "#ff4d3d", "false positive": "#c3cad6"}
"""Colours on photos, bright enough for any background."""
_STEP_COLOURS = {**COLOURS, "none": "#20242c", "scores": "#2f7fb5", "duplicates": "#7b5ea7", "background": "#8a8f98", "missed": "#8c5a3c"}
_MEANING = {
    "good": "within human precision (keypoint similarity from 0.85)",
    "jitter": "near its annotated location (from 0.5 to 0.85)",
    "inversion": "at the mirrored joint of the same person",
    "swap": "at a joint of another person",
    "miss": "near none of these",
}


def table(analysis: Analysis) -> str:
    """The analysis as plain text: the AP that each type of error costs, then the errors of each keypoint and group."""
    plain = analysis.costs[0].alone.mean()
    out = [f"{'corrected error':24}{'AP alone':>10}{'gain':>9}{'AP, cumulative':>26}"]
    for c in analysis.costs:
        gain = "" if c.step == "none" else f"{c.alone.mean() - plain:+.3f}"
        out.append(f"{STEP_NAMES[c.step]:24}{c.alone.mean():10.3f}{gain:>9}{c.so_far.mean():26.3f}")
    out += ["", f"{'keypoint':24}" + "".join(f"{kind:>11}" for kind in KINDS) + f"{'joints':>9}"]
    out += [_line(name, row) for name, row in zip(analysis.truth.skeleton.joints, analysis.everybody.kinds, strict=True)]
    out.append(_line("all", analysis.everybody.kinds.sum(0)))
    for by, groups in analysis.groups.items():
        out += ["", f"{by:24}" + "".join(f"{kind:>11}" for kind in KINDS) + f"{'joints':>9}{'people':>9}{'found':>8}{'OKS':>8}"]
        for g in groups:
            people = "" if by == "visibility" else f"{g.people:9d}{g.found:8d}{g.oks:8.3f}"
            out.append(_line(g.name, g.kinds.sum(0)) + people)
    return "\n".join([*out, "", *_sentences(analysis)])


def html(
    analysis: Analysis, figures: Mapping[str, float], protocol: str, notes: Sequence[str] = (), photos: Sequence[tuple[str, bytes]] = ()
) -> str:
    """One self-contained HTML page (extra ``eval``). All text is escaped.

    Args:
        analysis: from `analyse`.
        figures: the data set's own metrics, by name.
        protocol: the evaluation protocol.
        notes: reasons and warnings.
        photos: drawings of the worst photos: a caption and a JPEG each.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError:
        raise ImportError("the report needs jinja2: pip install 'manypose[eval]'") from None
    environment = Environment(
        loader=PackageLoader("manypose.evaluation.error_analysis"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    drawn = {k: {by: Markup(c) for by, c in v.items()} if isinstance(v, dict) else Markup(v) for k, v in _charts(analysis).items()}  # nosec B704 - our own charts
    return environment.get_template("report.html").render(
        charts=drawn,
        figures={printable(k): "–" if np.isnan(v) else f"{v:.3f}" for k, v in figures.items()},
        protocol=printable(protocol),
        notes=[printable(note) for note in notes],
        photos=[(printable(caption), b64encode(jpeg).decode()) for caption, jpeg in photos],
        sentences=_sentences(analysis),
        table=table(analysis),
        colours=COLOURS,
        meaning=_MEANING,
        marks=MARKS,
    )


def _charts(analysis: Analysis) -> dict[str, Any]:
    """The charts as SVG by name; group charts by their grouping."""
    from manypose.evaluation.error_analysis import charts

    steps = analysis.costs
    names, colours = [STEP_NAMES[c.step] for c in steps], [_STEP_COLOURS[c.step] for c in steps]
    alone, so_far = [c.alone.mean() for c in steps], [c.so_far.mean() for c in steps]
    joints = zip(analysis.truth.skeleton.joints, analysis.everybody.kinds, strict=True)
    rows = [("all", analysis.everybody.kinds.sum(0)), *joints]
    kinds = [f"{row.sum()} joints" for _, row in rows]
    diagnosis, scores = analysis.diagnosis, analysis.results.scores
    matched, nobody = scores[diagnosis.found], scores[background(analysis.pairs, diagnosis)]
    by_match = {f"results that match a person ({len(matched)})": matched, f"background ({len(nobody)})": nobody}
    return {
        "gains": charts.bars(
            names[1:], [a - alone[0] for a in alone[1:]], [f"{a - alone[0]:+.3f} → {a:.3f}" for a in alone[1:]], colours[1:]
        ),
        "stairs": charts.bars(names, so_far, [f"{v:.3f}" for v in so_far], colours),
        "curves": charts.curves({f"OKS {t}": [c.curves[i] for c in steps] for t, i in (("0.50", 0), ("0.75", 5))}, names, colours),
        "keypoints": charts.stacked([name.replace("_", " ") for name, _ in rows], [row.tolist() for _, row in rows], kinds, COLOURS),
        "groups": {by: _group_chart(by, some) for by, some in analysis.groups.items()},
        "scores": charts.histogram(by_match, [COLOURS["good"], _STEP_COLOURS["background"]], "score"),
    }


def _group_chart(by: str, groups: Sequence[Group]) -> str:
    from manypose.evaluation.error_analysis import charts

    texts = [f"{g.kinds.sum()} joints" if by == "visibility" else f"{g.found} of {g.people} found" for g in groups]
    return charts.stacked([g.name for g in groups], [g.kinds.sum(0).tolist() for g in groups], texts, COLOURS)


def _line(name: str, counts: np.ndarray) -> str:
    name, total = printable(name), int(counts.sum())
    return f"{name:24}" + "".join(f"{c / max(1, total):11.1%}" for c in counts) + f"{total:9d}"


def _sentences(analysis: Analysis) -> list[str]:
    everybody, (nobody, confident), (several, wrong) = analysis.everybody, analysis.background, analysis.several
    misses = int(everybody.kinds.sum(0)[KINDS.index("miss")])
    return [
        f"{everybody.found} of {everybody.people} people are found with an OKS of at least 0.1 (mean OKS {everybody.oks:.3f}), "
        f"{analysis.missed} are missed.",
        f"{nobody} results are background, near no person; {confident} of them score higher than half of the matched results.",
        f"{analysis.duplicates} results are duplicates: near people who have a more similar result.",
        f"{several} people have several results; for {wrong} of them the highest-scoring one is not the most similar.",
        f"Of {misses} missed joints, the results report {analysis.absent} as not found (third number 0).",
    ]
