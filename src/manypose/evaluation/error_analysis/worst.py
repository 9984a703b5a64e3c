"""The worst photos with their errors drawn on them, for the report."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from manypose.data.photos import read_rgb
from manypose.evaluation.error_analysis.analysis import Analysis
from manypose.evaluation.error_analysis.costs import missed
from manypose.evaluation.error_analysis.errors import KINDS
from manypose.evaluation.error_analysis.report import MARKS
from manypose.poses.drawing import draw
from manypose.poses.poses import Poses

try:
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle
except ImportError:
    raise ImportError("the report needs matplotlib: pip install 'manypose[eval]'") from None

__all__ = ["worst_photos"]

DPI = 100

MOST_SURPLUS = 4
"""Largest number of drawn false positives, highest score first; dozens would hide the photo."""


def worst_photos(analysis: Analysis, files: Mapping[int, Path], number: int = 12, side: int = 640) -> list[tuple[str, bytes]]:
    """The photos with the largest loss as JPEGs with captions; missing photos are left out.

    Args:
        analysis: from `analyse`.
        files: photos by image id.
        number: largest number of photos.
        side: longest side of the drawings, in pixels.
    """
    out = []
    for place in analysis.worst(number):
        path = files.get(int(analysis.truth.image_ids[place]))
        if path is not None and path.is_file():
            h, w = analysis.truth.sizes[place].tolist()
            try:
                photo = read_rgb(path, size=(h, w) if h and w else None)
            except ValueError:  # already reported by the evaluation
                continue
            out.append((_caption(analysis, place, path), _drawn(analysis, place, photo, side)))
    return out


def _caption(analysis: Analysis, place: int, path: Path) -> str:
    truth, found = analysis.truth, analysis.diagnosis
    here = analysis.results.image == place
    people = int((~truth.ignored & (truth.image == place)).sum())
    lost = int((missed(truth, found) & (truth.image == place)).sum())
    surplus = int((here & (found.person < 0) & (found.rank >= 0)).sum())
    kinds = found.kind[analysis.results.image[found.found] == place]
    wrong = ", ".join(f"{n} {kind}" for i, kind in enumerate(KINDS[1:], 1) if (n := int((kinds == i).sum())))
    some, extra = "person" if people == 1 else "people", "false positive" if surplus == 1 else "false positives"
    return f"{path.name}: {people} {some}, {lost} missed, {surplus} {extra}" + (f"; {wrong}" if wrong else "")


def _drawn(analysis: Analysis, place: int, photo: UInt8[np.ndarray, "H W 3"], side: int) -> bytes:
    """The photo with results, joint errors, missed people and false positives, as a JPEG."""
    truth, results, found = analysis.truth, analysis.results, analysis.diagnosis
    scale = side / max(photo.shape[:2])
    counted = (results.image == place) & (found.rank >= 0)
    surplus = np.flatnonzero(counted & (found.person < 0))
    surplus = surplus[np.argsort(found.rank[surplus])][:MOST_SURPLUS]
    here = np.concatenate([np.flatnonzero(counted & (found.person >= 0)), surplus])
    points = results.keypoints[here].astype(np.float32)
    seen = (points[..., 2] > 0) & (points[..., :2] != 0).any(-1)
    poses = Poses(truth.skeleton, points[..., :2], seen.astype(np.float32), results.scores[here].astype(np.float32))
    picture = draw((0.75 * photo + 0.25 * photo.mean()).astype(np.uint8), poses, width=1.4 / scale, alpha=0.75)

    figure = Figure((photo.shape[1] * scale / DPI, photo.shape[0] * scale / DPI), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.imshow(picture, aspect="auto", interpolation="antialiased")
    axes.autoscale(False)
    for row in np.flatnonzero(results.image[found.found] == place):
        result, kind = found.found[row], found.kind[row]
        for joint in np.flatnonzero(kind > 1):
            true, guess = truth.keypoints[found.person[result], joint], results.keypoints[result, joint]
            path = np.stack([guess if guess.any() else true, true])
            colour = MARKS[KINDS[kind[joint]]]
            axes.plot(path[:, 0], path[:, 1], color=colour, linewidth=1.5, marker="o", markersize=3)
            axes.plot(*true[:2], color=colour, marker="o", markersize=7, markerfacecolor="none", markeredgewidth=1.5)
    low, size = truth.boxes[:, :2], truth.boxes[:, 2:]
    for person in np.flatnonzero(missed(truth, found) & (truth.image == place)):
        axes.add_patch(Rectangle(low[person], *size[person], fill=False, linestyle="--", linewidth=2, edgecolor=MARKS["missed person"]))
    for x0, y0, x1, y1 in poses.boxes[len(here) - len(surplus) :]:
        colour = MARKS["false positive"]
        axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, linestyle="--", linewidth=2, edgecolor=colour))
    out = io.BytesIO()
    figure.savefig(out, format="jpg", pil_kwargs={"quality": 82})
    return out.getvalue()
