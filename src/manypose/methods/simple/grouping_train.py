"""Training examples of the grouping CNN: people of random annotations on rendered pose maps, without photos."""

import numpy as np
import torch

from manypose.data.datasets.coco import AnnotatedImage
from manypose.methods.simple.grouping import GroupingCNN
from manypose.methods.simple.training_maps import Examples, Rendering, crowded, render
from manypose.poses.skeleton import COCO

__all__ = ["drawn_examples"]


def drawn_examples(
    images: list[AnnotatedImage],
    network: GroupingCNN,
    rule: Rendering,
    rois: int,
    rng: np.random.Generator,
    pool: torch.Tensor | None = None,
) -> Examples:
    """Examples of random photos' people, with at least the requested number of RoIs.

    Raises:
        ValueError: no person in the annotations has labelled joints.
    """
    parts: list[Examples] = []
    count, tries = 0, 0
    while count < rois:
        image = images[int(rng.integers(len(images)))]
        people = crowded(image, network.extend) | (rng.random(len(image.boxes)) < rule.alone)
        examples = render(image, people, network, rule, COCO.mirror, rng, pool) if people.any() else None
        tries += 1
        if examples is not None:
            parts.append(examples)
            count += len(examples.rois)
        elif tries > 1000 and not parts:
            raise ValueError("no person in the annotations has joints to learn from")
    return Examples.joined(parts)
