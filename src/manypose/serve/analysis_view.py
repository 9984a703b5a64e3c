"""`AnalysisView`: an evaluation's error analysis as JSON for the page, photo by photo."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from manypose.data.photos import read_rgb
from manypose.evaluation.error_analysis.analysis import CROWDING, SIZES, Analysis, crowding, overlapping, sizes
from manypose.evaluation.error_analysis.errors import KINDS
from manypose.io.printable import printable
from manypose.poses.boxes import boxes_around
from manypose.poses.drawing import joint_colour, limb_colour
from manypose.serve.limits import Refused

__all__ = ["AnalysisView"]


@dataclass(frozen=True, eq=False)
class AnalysisView:
    """The data that the page requests.

    Args:
        analysis: the error analysis.
        files: photos by image id; no other files are read.
        figures: the data set's metrics.
        protocol: the evaluation protocol.
    """

    analysis: Analysis
    files: Mapping[int, Path]
    figures: Mapping[str, float]
    protocol: str = ""
    _places: dict[int, int] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._places.update({int(name): i for i, name in enumerate(self.analysis.truth.image_ids)})

    @cached_property
    def _rows(self) -> dict[int, int]:
        """The diagnosis row of each result that matches a person."""
        return {int(result): row for row, result in enumerate(self.analysis.diagnosis.found)}

    def summary(self) -> dict[str, Any]:
        """All photos with the data that the filters need: size, crowding and the error type of each joint, for each person.

        Error types are indices into ``kinds``, -1 for a joint that is not labelled; None for a person without a matching result.
        """
        truth, found = self.analysis.truth, self.analysis.diagnosis
        size, crowd = sizes(truth), crowding(overlapping(truth))
        kinds = {int(found.person[r]): found.kind[row].tolist() for row, r in enumerate(found.found)}
        people: list[list[Any]] = [[] for _ in truth.image_ids]
        for p in np.flatnonzero(~truth.ignored).tolist():
            people[truth.image[p]].append([int(size[p]), int(crowd[p]), kinds.get(p)])
        surplus = np.bincount(self.analysis.results.image[self._surplus], minlength=len(people))
        skeleton = truth.skeleton
        return {
            "protocol": printable(self.protocol),
            "figures": {printable(name): float(v) if np.isfinite(v) else None for name, v in self.figures.items()},
            "kinds": KINDS,
            "sizes": [name for name, _ in SIZES],
            "crowding": CROWDING,
            "joints": skeleton.joints,
            "limbs": skeleton.limbs,
            "joint_colours": [joint_colour(skeleton, j) for j in range(len(skeleton))],
            "limb_colours": [limb_colour(skeleton, limb) for limb in skeleton.limbs],
            "photos": [
                {"id": int(name), "name": self._name(i), "loss": round(float(self.analysis.loss[i]), 3), "people": people[i],
                 "surplus": int(surplus[i])}
                for i, name in enumerate(truth.image_ids)
            ],
        }  # fmt: skip

    def photo_people(self, image: int) -> dict[str, Any]:
        """The annotated people of a photo, and the results with the error type of each joint.

        Raises:
            Refused: there is no such photo (404).
        """
        place = self._place(image)
        truth, results, found = self.analysis.truth, self.analysis.results, self.analysis.diagnosis
        people = [
            {"id": int(truth.ids[p]), "keypoints": _numbers(truth.keypoints[p]), "box": _numbers(truth.boxes[p])}
            for p in np.flatnonzero((truth.image == place) & ~truth.ignored)
        ]
        shown = []
        for r in np.flatnonzero((results.image == place) & (found.rank >= 0)).tolist():
            row, person = self._rows.get(r), int(found.person[r])
            if row is None and person >= 0:  # matched to a crowd region, or to a person who is ignored
                continue
            points = results.keypoints[r].astype(np.float32)
            seen = (points[:, 2] > 0) & (points[:, :2] != 0).any(1)
            box = boxes_around(points[None, :, :2], seen[None])[0]
            kinds = [-1] * len(points) if row is None else found.kind[row].tolist()
            flat = np.where(seen[:, None], points, 0)
            flat[seen, 2] = 1  # the third number of foreign results need not be a score from 0 to 1
            shown.append({
                "score": float(results.scores[r]), "person": None if row is None else int(truth.ids[person]), "kinds": kinds,
                "keypoints": _numbers(flat), "box": _numbers(box), "oks": None if row is None else self._oks(r, person),
            })  # fmt: skip
        h, w = truth.sizes[place].tolist()
        return {"id": image, "width": w, "height": h, "people": people, "results": shown}

    def jpeg(self, image: int) -> bytes:
        """A photo, at most 1600 pixels wide or high.

        Raises:
            Refused: there is no such photo, or its file cannot be read (404).
        """
        place = self._place(image)
        path = self.files.get(image)
        if path is None or not path.is_file():
            raise Refused(404, "the photo's file does not exist; give the folder of the photos (--images DIR)")
        h, w = self.analysis.truth.sizes[place].tolist()
        try:
            picture = Image.fromarray(read_rgb(path, size=(h, w) if h and w else None))
        except ValueError as e:
            raise Refused(404, str(e).replace(str(path), path.name)) from None
        picture.thumbnail((1600, 1600))
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=88)
        return out.getvalue()

    @property
    def _surplus(self) -> np.ndarray:
        """Mask of the results that count as false positives."""
        return (self.analysis.diagnosis.person < 0) & (self.analysis.diagnosis.rank >= 0)

    def _oks(self, result: int, person: int) -> float:
        pairs = self.analysis.pairs
        return round(float(pairs.oks[(pairs.found == result) & (pairs.person == person)].max(initial=0)), 3)

    def _place(self, image: int) -> int:
        if image not in self._places:
            raise Refused(404, f"the data set has no photo {image}")
        return self._places[image]

    def _name(self, place: int) -> str:
        truth = self.analysis.truth
        return printable(truth.files[place] or str(truth.image_ids[place]))


def _numbers(values: np.ndarray) -> list[Any]:
    return np.round(np.nan_to_num(np.asarray(values, np.float64)), 2).tolist()
