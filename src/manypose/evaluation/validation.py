"""Evaluation on held-out photos during training, for the config entry ``validation``."""

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from manypose.data.datasets.coco import listed_ids
from manypose.evaluation.evaluate import evaluate
from manypose.inference.model import Model
from manypose.inference.options import EVALUATION
from manypose.methods.method import Method, TopDownMethod

__all__ = ["OnDataset"]


@dataclass(frozen=True)
class OnDataset:
    """AP of a method on listed photos.

    Args:
        images: folder of the photos.
        annotations: their COCO annotation file.
        dataset: instead of both, the YAML file of a custom data set, whose part ``val`` is used.
        only: a text file with one image id per line; None: all photos.
        flip: also run the network on the mirrored photos.
        boxes: a boxes file or ``annotated``, for top-down methods.
        sizes: further heights and widths of crops to evaluate, for top-down methods.
    """

    images: Path | None = None
    annotations: Path | None = None
    dataset: str = "coco"
    only: str | None = None
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
                options = replace(EVALUATION, flip=self.flip)
                found = evaluate(
                    model=Model(one), dataset=self.dataset, images=self.images, annotations=path, options=options, boxes=boxes, quiet=True
                )
                end = "" if size is None else f"_{size[0]}"
                figures |= {f"held_out{end}/{name}": value for name, value in list(found.figures.items())[:3]}
        return figures

    def _part(self, folder: Path) -> Path | None:
        """The annotations of the chosen photos, as a file."""
        if self.only is None or self.annotations is None:
            return self.annotations
        chosen, whole = listed_ids(self.only) or frozenset(), json.loads(Path(self.annotations).read_text())
        whole["images"] = [image for image in whole["images"] if str(image["id"]) in chosen]
        whole["annotations"] = [a for a in whole["annotations"] if str(a["image_id"]) in chosen]
        path = folder / "annotations.json"
        path.write_text(json.dumps(whole))
        return path
