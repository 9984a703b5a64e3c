"""The score of COCO-style benchmarks: keypoint AP, and notes that prevent its misreading."""

from pathlib import Path
from typing import Any

import numpy as np

from manypose.data.datasets.coco_json import AREA_OF_BOX
from manypose.evaluation.benchmark import Score
from manypose.evaluation.error_analysis.analysis import analyse
from manypose.evaluation.metrics.annotations import Results, Truth
from manypose.evaluation.metrics.crowdpose import PAPER_LEVELS, TOOL_LEVELS, crowding, crowdpose_ap
from manypose.evaluation.metrics.oks_ap import oks_ap

__all__ = ["about_images", "caveats", "keypoint_score"]


def keypoint_score(truth: Truth, results: Results, with_analysis: bool, by_crowd: bool) -> Score:
    """COCO's keypoint AP with the notes that explain it; `by_crowd` adds CrowdPose's levels."""
    figures, notes, text = {}, [], ""
    more: dict[str, Any] = {"images": len(truth.image_ids), "people": truth.people}
    if by_crowd:
        figures, notes = crowdpose_ap(truth, results)
        crowd = crowding(truth)
        paper, _ = crowdpose_ap(truth, results, PAPER_LEVELS)
        more |= {
            "crowd_index_borders": list(TOOL_LEVELS),
            "images_by_level": {level: int(crowd.level(level).sum()) for level in ("easy", "medium", "hard")},
            "paper_borders": {"borders": list(PAPER_LEVELS), **{k: paper[k] for k in ("APeasy", "APmedium", "APhard")}},
        }
        easy, medium = (f"{paper[k]:.3f}" if paper[k] >= 0 else "not defined" for k in ("APeasy", "APmedium"))
        text = f"{crowd}\nwith the borders of the paper's text, 0.1 and 0.8: APeasy {easy}, APmedium {medium}"
    else:
        figures = oks_ap(truth, results)
        notes = [
            f"{name} is not defined: no person of that size is annotated" for name, v in figures.items() if np.isnan(v) and truth.people
        ]
    if not truth.people:
        notes = ["no person is annotated (a test set?), so AP is not defined; write the results for the data set's server (results_out)"]
    elif not len(results):
        notes.append("there are no results: AP is 0")
    over = int((np.bincount(results.image, minlength=len(truth.image_ids)) > 20).sum())
    if over:
        notes.append(f"{over} images have more than 20 results; only the best 20 count")
    occupied = np.flatnonzero(truth.with_people)
    silent = int((~np.isin(occupied, results.image)).sum())
    if len(results) and silent > 0.5 * len(occupied):
        notes.append(f"{silent} of {len(occupied)} images with people have no result; are the results of all images of this data set?")
    analysis = analyse(truth, results) if with_analysis else None
    return Score(figures, notes, more, text, len(results), analysis)


def about_images(truth: Truth, photos: str, missing: int) -> str:
    """The evaluated images and people, for the protocol."""
    people = truth.with_people
    chosen = {"all": "", "people": ", those with people only", "present": f", those in the folder only ({missing} others are missing)"}[
        photos
    ]
    images = f"{len(people)} images ({int(people.sum())} with labelled people, {int((~people).sum())} without){chosen}"
    category = f", category {truth.chosen!r}" if truth.chosen else ""
    return f"{images}, {truth.people} people, {int(truth.crowd.sum())} crowd regions{category}"


def caveats(truth: Truth, area: str) -> list[str]:
    """Reasons why figures on this file are not easily comparable with others."""
    notes = []
    if truth.partial:
        notes.append(
            f"in {truth.partial} images some people are not annotated: correct results for them count as false positives and lower the AP"
        )
    if truth.estimated:
        notes.append(f"the areas of {truth.estimated} of {truth.people} people are estimated from their boxes")
    if truth.without_area:
        notes.append(f"{truth.without_area} of {truth.people} people have no 'area'; {AREA_OF_BOX} of the box area is used instead")
    n, people, name = len(truth.image_ids), int(truth.with_people.sum()), Path(truth.name).name
    if "val2017" in name and area == "annotated" and n != 5000:
        notes.append(f"COCO val2017 has 5,000 images; figures on {n} of them are not comparable with official ones")
    elif n == people and n > 1000:
        notes.append("every image has people; false positives on images without people are not measured")
    return notes
