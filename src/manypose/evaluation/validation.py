"""Evaluation on held-out photos during a training: the config entry ``evaluate``."""

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from manypose.data.datasets.subset import read_ids
from manypose.evaluation.evaluate import evaluate
from manypose.inference.model import Model
from manypose.methods.method import Method, TopDownMethod

__all__ = ["Validation"]


@dataclass(frozen=True)
class Validation:
    """AP of a method on the photos that a list names.

    Args:
        images: folder of the photos.
        annotations: their COCO file.
        ids: list of image ids, see `manypose.data.datasets.subset.read_ids`; None: all photos.
        flip: look at the mirrored photos too.
        boxes: of methods that look at one person at a time.
        sizes: heights and widths of a person's crop to be measured besides the method's own, for such methods.
    """

    images: Path
    annotations: Path
    ids: str | None = None
    flip: bool = False
    boxes: str = "annotated"
    sizes: list[tuple[int, int]] | None = None

    def __call__(self, method: Method) -> Mapping[str, float]:
        """The main figures by name."""
        figures: dict[str, float] = {}
        with TemporaryDirectory() as folder, torch.autocast("cpu", enabled=False):
            path = self._part(Path(folder))
            for size in [None, *(self.sizes or [])]:
                one: Any = deepcopy(method)
                if size is not None:
                    one.input_size = tuple(size)
                boxes = self.boxes if isinstance(one, TopDownMethod) else None
                found = evaluate(model=Model(one), images=self.images, annotations=path, flip=self.flip, boxes=boxes, quiet=True)
                end = "" if size is None else f"_{size[0]}"
                figures |= {f"held_out{end}/{name}": value for name, value in list(found.figures.items())[:3]}
        return figures

    def _part(self, folder: Path) -> Path:
        """The annotations of the chosen photos, as a file."""
        if self.ids is None:
            return self.annotations
        chosen, whole = read_ids(self.ids), json.loads(Path(self.annotations).read_text())
        whole["images"] = [image for image in whole["images"] if image["id"] in chosen]
        whole["annotations"] = [a for a in whole["annotations"] if a["image_id"] in chosen]
        path = folder / "annotations.json"
        path.write_text(json.dumps(whole))
        return path
