"""An evaluation to be read: as a table, and as one HTML file with everything in it, which opens without a network."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from manypose.evaluation.error_analysis import charts
from manypose.evaluation.error_analysis.analysis import Analysis, Group
from manypose.evaluation.error_analysis.costs import background
from manypose.evaluation.error_analysis.errors import KINDS

__all__ = ["COLOURS", "MARKS", "STEP_NAMES", "html", "table"]

COLOURS = {"good": "#3f9b6c", "jitter": "#e3b23c", "inversion": "#e4762f", "swap": "#b23a6f", "miss": "#4a5078"}
STEP_NAMES = {
    "none": "as it is", "miss": "misses", "swap": "swaps", "inversion": "inversions", "jitter": "jitter", "scores": "scores",
    "duplicates": "duplicates", "background": "background", "missed": "missed people",
}  # fmt: skip
MARKS = {"inversion": "#ff8a3c", "swap": "#e0409a", "miss": "#7d88ff", "missed person": "#ff4d3d", "result too many": "#c3cad6"}
"""Colours on photos, bright enough for any background."""
_STEP_COLOURS = {**COLOURS, "none": "#20242c", "scores": "#2f7fb5", "duplicates": "#7b5ea7", "background": "#8a8f98", "missed": "#8c5a3c"}
_MEANING = {
    "good": "within human precision (keypoint similarity from 0.85)",
    "jitter": "near its true place (from 0.5 to 0.85)",
    "inversion": "at the same person's other side",
    "swap": "at another person's joint",
    "miss": "near none of these",
}


def table(analysis: Analysis) -> str:
    """The analysis as plain text: what the AP is lost to, then the errors of each keypoint and group."""
    plain = analysis.costs[0].alone.mean()
    out = [f"{'what is corrected':24}{'AP alone':>10}{'gain':>9}{'AP, one after the other':>26}"]
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
    """One self-contained HTML page.

    Args:
        analysis: from `analyse`.
        figures: the data set's own metrics, by name.
        protocol: what was measured and how.
        notes: reasons and warnings.
        photos: the worst photos, drawn: a caption and a JPEG each.
    """
    plain = analysis.costs[0].alone.mean()
    gains = [(STEP_NAMES[c.step], c.alone.mean() - plain, c.alone.mean()) for c in analysis.costs[1:]]
    steps = [(name, gain, f"{gain:+.3f} → {then:.3f}") for name, gain, then in gains]
    stairs = [(STEP_NAMES[c.step], c.so_far.mean(), f"{c.so_far.mean():.3f}") for c in analysis.costs]
    step_colours = [_STEP_COLOURS[c.step] for c in analysis.costs]
    at = {"OKS 0.50": 0, "OKS 0.75": 5}
    curves = "".join(
        f"<figure><figcaption>{name}</figcaption>"
        + charts.lines([(STEP_NAMES[c.step], np.nan_to_num(c.curves[i])) for c in analysis.costs], step_colours, "recall", "precision")
        + "</figure>"
        for name, i in at.items()
    )
    joints = zip(analysis.truth.skeleton.joints, analysis.everybody.kinds, strict=True)
    rows = [("all", analysis.everybody.kinds.sum(0).tolist(), f"{analysis.everybody.kinds.sum()} joints")]
    rows += [(name.replace("_", " "), row.tolist(), f"{row.sum()}") for name, row in joints]
    diagnosis, scores = analysis.diagnosis, analysis.results.scores
    somebody, nobody = scores[diagnosis.found], scores[background(analysis.pairs, diagnosis)]
    groups = "".join(f"<h3>By {by}</h3>{_group_chart(by, some)}" for by, some in analysis.groups.items())
    sections = [
        f"<h1>Evaluation</h1><p class=protocol>{escape(protocol)}</p>",
        "".join(f"<p class=note>{escape(note)}</p>" for note in notes),
        _cards(figures),
        "<h2>What the AP is lost to</h2><p>The gain in AP if one kind of error alone were corrected.</p>"
        + charts.bars(steps, step_colours[1:]),
        "<p>AP if they were corrected one after the other, in this order.</p>" + charts.bars(stairs, step_colours),
        f"<div class=pair>{curves}</div>" + _legend({STEP_NAMES[c.step]: _STEP_COLOURS[c.step] for c in analysis.costs}),
        "<h2>Errors of keypoints</h2>" + _legend(COLOURS, _MEANING) + charts.stacked(rows, list(COLOURS.values()), KINDS),
        groups,
        "<h2>People found, missed and invented</h2>" + "".join(f"<p>{escape(s)}</p>" for s in _sentences(analysis)),
        charts.histogram([("matched", somebody), ("background", nobody)], ["#3f9b6c", "#8a8f98"], "score")
        + _legend({f"results that match somebody ({len(somebody)})": "#3f9b6c", f"background ({len(nobody)})": "#8a8f98"}),
        _photos(photos),
        f"<h2>All numbers</h2><details><summary>Table</summary><pre>{escape(table(analysis))}</pre></details>",
        f"<h2>How it is defined</h2>{_DEFINITIONS}",
    ]
    body = "\n".join(f"<section>{s}</section>" for s in sections if s)
    head = f'<meta charset="utf-8"><title>Evaluation</title>\n<style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n'


def _line(name: str, counts: np.ndarray) -> str:
    total = int(counts.sum())
    return f"{name:24}" + "".join(f"{c / max(1, total):11.1%}" for c in counts) + f"{total:9d}"


def _sentences(analysis: Analysis) -> list[str]:
    everybody, (nobody, confident), (several, wrong) = analysis.everybody, analysis.background, analysis.several
    misses = int(everybody.kinds.sum(0)[KINDS.index("miss")])
    return [
        f"{everybody.found} of {everybody.people} people are found from OKS 0.1 on (mean OKS {everybody.oks:.3f}), "
        f"{analysis.missed} are missed.",
        f"{nobody} results are background, near nobody; {confident} of them score higher than half of the results that match somebody.",
        f"{analysis.duplicates} results are duplicates: near people whom more similar ones have taken.",
        f"{several} people have several results; for {wrong} of them the best-scored one is not the most similar.",
        f"Of {misses} missed joints {analysis.absent} were not claimed to be found (third number 0).",
    ]


def _cards(figures: Mapping[str, float]) -> str:
    shown = "".join(
        f"<div><b>{'–' if value is None or np.isnan(value) else f'{value:.3f}'}</b><span>{escape(name)}</span></div>"
        for name, value in figures.items()
    )
    return f"<div class=cards>{shown}</div>"


def _group_chart(by: str, groups: Sequence[Group]) -> str:
    def text(g: Group) -> str:
        return f"{g.kinds.sum()} joints" if by == "visibility" else f"{g.found} of {g.people} found"

    return charts.stacked([(g.name, g.kinds.sum(0).tolist(), text(g)) for g in groups], list(COLOURS.values()), KINDS)


def _legend(colours: Mapping[str, str], meaning: Mapping[str, str] | None = None) -> str:
    said = {name: f"{name}: {meaning[name]}" if meaning else name for name in colours}
    shown = "".join(f'<span><i style="background:{colour}"></i>{escape(said[name])}</span>' for name, colour in colours.items())
    return f"<p class=legend>{shown}</p>"


def _photos(photos: Sequence[tuple[str, bytes]]) -> str:
    if not photos:
        return ""
    shown = "".join(
        f'<figure><img src="data:image/jpeg;base64,{b64encode(jpeg).decode()}" alt="{escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for caption, jpeg in photos
    )
    text = (
        "<p>A line leads from where a joint was found to its true place, a ring; a ring alone is a joint that was not found at all. "
        "Jitter is not marked. A dashed box is a person missed, or one of the four best-scored results that match nobody.</p>"
    )
    return f"<h2>Worst photos</h2>{text}{_legend(MARKS)}<div class=photos>{shown}</div>"


_DEFINITIONS = """<p>Errors follow Ronchi and Perona, “Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation”, ICCV 2017.
Results are matched to people as in COCO’s evaluation, from OKS 0.1 on. Keypoint similarity is exp(−d² / (2 · area · (2σ)²)) to an
annotated joint. Correction moves a joint towards its true place: after a jitter to similarity 0.85, after a miss to 0.5, after an
inversion or swap to the similarity it had to the wrong joint. “Scores” gives each result the OKS it has with the person it is most
similar to; “duplicates” removes results near people whom more similar ones have taken; “background” removes results with an OKS below
0.1 to everyone; “missed people” leaves out people whom no result matches.</p>"""

_STYLE = """
:root{--ink:#20242c;--soft:#5c6370;--line:#dfe2e8;--paper:#fff;--card:#f5f6f8}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8ec;--soft:#a2a9b4;--line:#3a3f48;--paper:#16181d;--card:#20242c}}
body{font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;color:var(--ink);background:var(--paper);
max-width:1000px;margin:2rem auto;padding:0 1.2rem}
h1{font-size:1.7rem;margin:0 0 .3rem}h2{font-size:1.2rem;margin:2.2rem 0 .5rem;border-top:1px solid var(--line);padding-top:1.1rem}
h3{font-size:1rem;margin:1.2rem 0 .2rem}p{margin:.4rem 0}.protocol{color:var(--soft)}.note{border-left:3px solid #e3b23c;padding-left:.7rem}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(5.1rem,1fr));gap:.6rem;margin:1.1rem 0}
.cards div{background:var(--card);border-radius:8px;padding:.5rem .8rem}
.cards b{display:block;font-size:1.25rem;font-variant-numeric:tabular-nums}.cards span{color:var(--soft);font-size:.85rem}
svg{width:100%;display:block;margin:.3rem 0}
svg text{font-size:12.5px}svg text:not(.in){fill:var(--ink)}svg text.num{fill:var(--soft);font-variant-numeric:tabular-nums}
svg text.in{font-size:11px}svg .grid{stroke:var(--line);fill:none}
.pair{display:flex;flex-wrap:wrap;gap:2rem}.pair figure{margin:0}.pair svg{width:340px}
.legend span{display:inline-block;margin-right:1.1rem;color:var(--soft);font-size:.9rem}
.legend i{display:inline-block;width:.8rem;height:.8rem;border-radius:2px;margin-right:.4rem;vertical-align:-1px}
.photos{columns:300px;column-gap:1rem}.photos figure{margin:0 0 1rem;break-inside:avoid}
.photos img{width:100%;border-radius:6px;display:block}figcaption{color:var(--soft);font-size:.85rem}
pre{overflow-x:auto;font-size:12px;background:var(--card);padding:.8rem;border-radius:8px}summary{cursor:pointer}
"""
