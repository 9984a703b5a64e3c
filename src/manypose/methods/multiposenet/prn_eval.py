"""Table 3, "both GT": how well annotated joints are given back to their persons in the annotated boxes."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from manypose.evaluation.metrics.annotations import read_results, read_truth
from manypose.evaluation.metrics.oks_ap import oks_ap
from manypose.io.files import write_json
from manypose.methods.multiposenet.assign import Candidates, How, assign
from manypose.methods.multiposenet.baselines import Baseline, prior
from manypose.methods.multiposenet.prn_data import People, read_people
from manypose.methods.multiposenet.prn_file import BUNDLED, load_prn
from manypose.methods.multiposenet.published_prn import load_published_prn
from manypose.methods.multiposenet.roi import Chooser
from manypose.poses.skeleton import Skeleton

__all__ = ["evaluate", "figures", "first_images", "grouped"]


def evaluate(
    prn: str,
    data: Path,
    *,
    how: How = "linear",
    train: Path | None = None,
    images: int | None = None,
    json: Path | None = None,
) -> dict[str, float]:
    """Table 3, "both GT": give annotated joints back to the persons of the annotated boxes, and measure AP.

    Args:
        prn: weights (.safetensors; published ones: .pth, .tar), bundled for those that come with the package, or a baseline: max or ucr.
        data: annotated persons: an archive of COCO's annotations (.npz).
        how: linear: no joint goes to two persons; each: every box takes what it likes best; shared: linear, then who lacks a joint
            takes another's.
        train: for ucr: the archive from which its prior is learnt.
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
        f"{prn}, assignment {how}; annotated joints and boxes are given ('both GT'): all {len(people)} annotated persons of "
        f"{len(people.image_ids)} images of {Path(data).name}; no crowd regions, half of the areas estimated: not COCO's official AP"
    )
    print("  ".join(f"{name} {value:.4f}" for name, value in out.items()), protocol, sep="\n")
    if json is not None:
        write_json(json, {**out, "protocol": protocol})
    return out


def _named(prn: str, train: Path | None) -> Any:
    if prn == "max":
        return Baseline()
    if prn == "ucr":
        if train is None:
            raise ValueError("the prior of ucr is learnt from annotations: give --train FILE")
        return Baseline(prior=prior(read_people(train)))
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


def grouped(prn: Chooser, people: People, how: How = "linear", batch: int = 128) -> tuple[Float[Tensor, "n k 2"], Float[Tensor, "n k"]]:
    """Everybody's joints as candidates of score 1, given to everybody's boxes; `batch` images at a time."""
    ends = [*people.first.unique().tolist()[::batch], len(people)]
    parts = []
    for a, b in pairwise(ends):
        image = people.image[a:b] - people.image[a]
        person, joint = (people.keypoints[a:b, :, 2] > 0).nonzero(as_tuple=True)
        xy = people.keypoints[a:b][person, joint, :2]
        parts.append(assign(prn, Candidates(xy, torch.ones(len(xy)), joint, image[person]), people.boxes[a:b], image, how))
    return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])


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
