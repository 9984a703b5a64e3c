"""MultiPoseNet's Table 3, "both GT": ``python benchmarks/prn_table3.py PRN DATA [--how each]``.

Annotated joints are the candidates of annotated boxes; measured is how well they are assigned back to their persons.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from manypose.evaluation.metrics.annotations import read_results, read_truth
from manypose.evaluation.metrics.oks_ap import oks_ap
from manypose.io.files import write_json
from manypose.methods.multiposenet.assign import Candidates, How, assign
from manypose.methods.multiposenet.baselines import UCR, prior
from manypose.methods.multiposenet.dense_prn import DensePRN
from manypose.methods.multiposenet.prn_data import People, read_people
from manypose.methods.multiposenet.prn_file import BUNDLED, load_prn
from manypose.methods.multiposenet.published_prn import load_published_prn
from manypose.methods.multiposenet.roi import Chooser, Inside, Regions, inside
from manypose.poses.skeleton import Skeleton


def evaluate(
    prn: str,
    data: Path,
    how: How | Literal["peak"] = "linear",
    train: Path | None = None,
    images: int | None = None,
    json: Path | None = None,
) -> dict[str, float]:
    """Table 3, "both GT": assign annotated joints to annotated boxes, and measure AP.

    Args:
        prn: weights (.safetensors; the authors': .pth, .tar), ``bundled``, or a baseline: ``max`` or ``ucr``.
        data: COCO person_keypoints JSON, or an archive of annotations (.npz).
        how: see `manypose.methods.multiposenet.assign.assign`; peak: the highest cell of each map of a DensePRN, without candidates.
        train: for ucr: the annotations from which its prior is learnt.
        images: only the first so many.
        json: file for the figures.

    Returns:
        COCO's AP and AR.

    Raises:
        FileNotFoundError: no such weights or data.
        ValueError: weights or data of another kind.
    """
    people = first_images(read_people(data), images)
    model = _named(prn, train)
    with torch.inference_mode():
        keypoints, scores = grouped(model, people, how)
    out = figures(people, keypoints, scores, model.skeleton)
    protocol = (
        f"{prn}, assignment {how}, margin {model.margin}; 'both GT': annotated joints and boxes of {len(people)} persons with joints of "
        f"{len(people.image_ids)} images of {Path(data).name}; without crowd regions and persons without joints: not COCO's official AP"
    )
    print("  ".join(f"{name} {value:.4f}" for name, value in out.items()), protocol, sep="\n")
    if json is not None:
        write_json(json, {**out, "protocol": protocol})
    return out


def _named(prn: str, train: Path | None) -> Any:
    if prn == "max":
        return UCR()
    if prn == "ucr":
        if train is None:
            raise ValueError("the prior of UCR is learnt from annotations: give --train FILE")
        return UCR(prior=prior(read_people(train)))
    if prn == "bundled":
        return load_prn(BUNDLED)
    return load_published_prn(prn) if Path(prn).suffix in (".pth", ".pt", ".tar") else load_prn(prn)


def first_images(people: People, images: int | None) -> People:
    """The persons of the first `images` images; all of them for None."""
    if images is None:
        return people
    if images < 1:
        raise ValueError(f"images must be at least 1, got {images}")
    n = int((people.image < images).sum())
    rows = (getattr(people, name)[:n] for name in ("keypoints", "boxes", "areas", "image", "first", "count"))
    return People(*rows, image_ids=people.image_ids[:images])


def grouped(
    prn: Chooser, people: People, how: How | Literal["peak"] = "linear", batch: int = 128
) -> tuple[Float[Tensor, "n k 2"], Float[Tensor, "n k"]]:
    """The annotated joints as candidates of score 1, assigned to the annotated boxes; `batch` images at a time."""
    ends = [*people.first.unique().tolist()[::batch], len(people)]
    parts = []
    for a, b in pairwise(ends):
        image, boxes = people.image[a:b] - people.image[a], people.boxes[a:b]
        person, joint = (people.keypoints[a:b, :, 2] > 0).nonzero(as_tuple=True)
        xy = people.keypoints[a:b][person, joint, :2]
        if how == "peak":
            parts.append(_selected(prn, inside(xy, image[person], boxes, image, prn.margin), joint, boxes))
        else:
            parts.append(assign(prn, Candidates(xy, torch.ones(len(xy)), joint, image[person]), boxes, image, how))
    return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])


def _selected(
    prn: Chooser, pairs: Inside, joint: Int[Tensor, " c"], boxes: Float[Tensor, "n 4"]
) -> tuple[Float[Tensor, "n k 2"], Float[Tensor, "n k"]]:
    """The highest cells of a dense network's maps, in pixels."""
    if not isinstance(prn, DensePRN):
        raise ValueError("how peak needs the maps of a DensePRN (manypose prn train --network dense)")
    seen = Regions(len(boxes), pairs.box, joint[pairs.candidate], pairs.place, torch.ones(len(pairs.box)))
    place, scores = prn.selected(seen)
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    return low + place * (high - low), scores


def figures(people: People, keypoints: Float[Tensor, "n k 2"], scores: Float[Tensor, "n k"], skeleton: Skeleton) -> dict[str, float]:
    """COCO's AP and AR of one pose for each annotated person; a pose's score is the mean of its joints'."""
    truth = read_truth(_truth(people, skeleton), skeleton)
    found = np.concatenate([keypoints.numpy(), (scores > 0).numpy()[..., None]], 2)
    ids = people.image_ids[people.image].tolist()
    rows = [
        {"image_id": i, "category_id": 1, "keypoints": k.ravel().tolist(), "score": s}
        for i, k, s in zip(ids, found, scores.mean(1).tolist(), strict=True)
    ]
    return oks_ap(truth, read_results(rows, truth))


def _truth(people: People, skeleton: Skeleton) -> dict[str, Any]:
    boxes = torch.cat([people.boxes[:, :2], people.boxes[:, 2:] - people.boxes[:, :2]], 1).tolist()
    ids, labelled = people.image_ids[people.image].tolist(), (people.keypoints[..., 2] > 0).sum(1).tolist()
    columns = zip(ids, people.keypoints.flatten(1).tolist(), boxes, people.areas.tolist(), labelled, strict=True)
    rows = [
        {"id": n, "image_id": i, "category_id": 1, "iscrowd": 0, "keypoints": k, "bbox": b, "area": a, "num_keypoints": m}
        for n, (i, k, b, a, m) in enumerate(columns, 1)
    ]
    category = {"id": 1, "name": "person", "keypoints": list(skeleton.joints)}
    return {"images": [{"id": i} for i in people.image_ids.tolist()], "annotations": rows, "categories": [category]}


if __name__ == "__main__":
    from jsonargparse import auto_cli

    auto_cli(evaluate)
