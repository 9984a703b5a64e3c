"""Benchmarks with annotations in COCO's format: COCO, CrowdPose, OCHuman and custom data sets."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Int

from manypose.data.datasets.coco import read_coco
from manypose.data.datasets.coco_json import AREA_OF_BOX
from manypose.data.datasets.custom import describe
from manypose.data.datasets.labelling_tools import read_annotations
from manypose.data.photos import segmentation
from manypose.evaluation.benchmark import Benchmark, BenchmarkSpec, BoxesByImage, EvalImage, PosesByImage, Score
from manypose.evaluation.foreign_results import read_folder
from manypose.evaluation.keypoint_score import about_images, caveats, keypoint_score
from manypose.evaluation.metrics.annotations import Results, Truth, read_results, read_truth
from manypose.evaluation.metrics.detection import box_ap
from manypose.evaluation.metrics.segmentation import mask_counts
from manypose.io.files import atomic, write_text
from manypose.poses.formats import to_coco
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO, CROWDPOSE, Skeleton

__all__ = ["coco", "crowdpose", "custom", "ochuman"]


def coco(request: BenchmarkSpec) -> Benchmark:
    """COCO's keypoint AP with COCO's 17 joints."""
    return _coco_style(request, COCO, _coco_name(Path(request.annotations or "")))


def crowdpose(request: BenchmarkSpec) -> Benchmark:
    """CrowdPose's AP, over all photos and by crowd index."""
    return _coco_style(request, CROWDPOSE, f"CrowdPose ({Path(request.annotations or '').name})", "box")


def ochuman(request: BenchmarkSpec) -> Benchmark:
    """COCO's keypoint AP on OCHuman's files in COCO's format, which annotate only people who occlude one another."""
    found = _coco_style(request, COCO, f"OCHuman ({Path(request.annotations or '').name})")
    note = "OCHuman annotates only people who occlude one another: correct results for others count as false positives and lower the AP"
    return replace(found, notes=[*found.notes, note])


def custom(request: BenchmarkSpec) -> Benchmark:
    """COCO's keypoint AP with a data set's own joints and sigmas."""
    said = describe(request.dataset)
    said = describe(request.dataset, "val") if "val" in said.parts else said
    own = request.annotations is None
    category = request.category or (said.category if own else None)
    given = replace(request, images=request.images or said.images, annotations=request.annotations or said.annotations, category=category)
    part = f", {said.parts[-1]}" if said.parts else ""
    return _coco_style(given, said.skeleton, f"{Path(request.dataset).stem} (own data set{part})", content=said.content if own else None)


def _coco_name(annotations: Path) -> str:
    """The data set's name for the protocol; only COCO's own files are called COCO."""
    part = annotations.stem.removeprefix("person_keypoints_")
    return f"COCO {part}" if part in ("val2017", "train2017", "val2014", "train2014") else f"{part} photos ({annotations.name})"


def _coco_style(
    request: BenchmarkSpec, skeleton: Skeleton, name: str, area: Literal["annotated", "box"] = "annotated", content: Any = None
) -> Benchmark:
    assert request.annotations is not None
    area, file = request.area or area, str(request.annotations)
    content = read_annotations(request.annotations, request.images, skeleton.joints) if content is None else content
    if isinstance(content, str):  # which `read_truth` would take for a path
        raise ValueError(f"{file}: an annotation file is a JSON object with the lists 'images' and 'annotations'; this one holds a string")
    truth = read_truth(content, skeleton, area, "people" if request.photos == "people" else "all", request.category, file)
    shots, missing = ([], 0) if request.images is None else _shots(truth, request.images)
    if missing and request.photos != "present":
        raise FileNotFoundError(
            f"{request.images}: {missing} of the {len(shots)} photos of {truth.name} are missing, the first is "
            f"{next(s.path.name for s in shots if not s.path.is_file())}; download them, or evaluate on the others (--photos present)"
        )
    if missing:
        shots = [s for s in shots if s.path.is_file()]
        truth = read_truth(content, skeleton, area, [s.id for s in shots], request.category, file)
    by_crowd = skeleton == CROWDPOSE and area == "box"

    def of_results(results: Results, boxes: Results) -> Score:
        plain = keypoint_score(truth, results, request.analyse, by_crowd)
        box = box_ap(truth, boxes) if request.boxes else {}
        return replace(plain, figures={**plain.figures, **{f"box {k}": v for k, v in box.items()}})

    def score(found: PosesByImage, detected: BoxesByImage) -> Score:
        results = read_results(_rows(truth, found), truth)
        return of_results(results, read_results(_box_rows(truth, found, detected), truth, "bbox") if request.boxes else results)

    def score_file(path: Path) -> Score:
        if not path.is_dir():
            results = read_results(path, truth)
            return of_results(results, results)
        rows, note = read_folder(path, truth)
        joints = read_results([{k: v for k, v in row.items() if k != "bbox"} for row in rows], truth)
        score = of_results(joints, read_results(rows, truth, "bbox") if request.boxes else joints)
        return replace(score, notes=[note, *score.notes])

    def write(found: PosesByImage, path: Path) -> None:
        _write(path, json.dumps(_rows(truth, found), separators=(",", ":"), allow_nan=False))

    rules = "OKS 0.50:0.95, the 20 best results of an image" + ("" if area == "annotated" else f", area {AREA_OF_BOX} of the box")
    about, rounding = about_images(truth, request.photos, missing), "joints rounded to 0.001 px"
    pixels = _pixels(request, truth) if request.masks else None
    return Benchmark(
        name, about, rules, truth.skeleton, shots, score, score_file, write, caveats(truth, area), rounding, pixels, request.images
    )


def _pixels(request: BenchmarkSpec, truth: Truth) -> Callable[[int, Poses], Int[np.ndarray, "4"]]:
    """Compares masks with the annotated outlines. Unknown are crowds, people without joints and, in a photo where some people are
    not annotated, all other places."""
    assert request.images is not None
    assert request.annotations is not None
    photos = {p.image_id: p for p in read_coco(request.images, request.annotations, truth.skeleton, "all", request.category)[0]}
    if all(shape is None for p in photos.values() for shape in p.shapes):
        raise ValueError(f"{request.annotations}: no person has a 'segmentation', so masks cannot be measured")

    def pixels(image: int, poses: Poses) -> Int[np.ndarray, "4"]:
        if poses.masks is None:
            raise ValueError("this model predicts no masks: evaluate it without mask_iou")
        known = segmentation(photos[image])
        if known is None:
            return np.zeros(4, np.int64)
        return mask_counts(np.asarray(poses.masks.any(0)), known)

    return pixels


def _shots(truth: Truth, images: Path) -> tuple[list[EvalImage], int]:
    if not images.is_dir():
        raise FileNotFoundError(f"{images}: no such folder of photos (for {truth.name})")
    nameless = [int(i) for i, f in zip(truth.image_ids, truth.files, strict=True) if not f]
    if nameless:
        raise ValueError(f"{truth.name}: image {nameless[0]} has no file_name")
    shots = []
    people = np.flatnonzero(~truth.ignored)
    for place, (image, name, (h, w)) in enumerate(zip(truth.image_ids, truth.files, truth.sizes, strict=True)):
        boxes = truth.boxes[people[truth.image[people] == place]]
        corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
        shots.append(EvalImage(int(image), images / name, (int(h), int(w)) if h and w else None, corners))
    return shots, sum(not s.path.is_file() for s in shots)


def _rows(truth: Truth, found: PosesByImage) -> list[dict[str, Any]]:
    """Results in the format of COCO's and CrowdPose's servers, without boxes, so that sizes come from joints, as in the papers."""
    keep = ("image_id", "category_id", "keypoints", "score")
    return [
        {k: row[k] for k in keep}
        for image, poses in sorted(found.items())
        for row in to_coco(poses if poses.skeleton.joints == truth.skeleton.joints else poses.to(truth.skeleton), image, truth.category)
    ]


def _box_rows(truth: Truth, found: PosesByImage, detected: BoxesByImage) -> list[dict[str, Any]]:
    """Boxes for box AP: the detector's, with its own scores, or without a detector those around the joints."""
    rows = []
    for image, poses in sorted(found.items()):
        boxes = detected.get(image, np.concatenate([poses.boxes, poses.scores[:, None]], 1))
        for x0, y0, x1, y1, score in boxes.astype(np.float64).tolist():
            box = [round(x0, 3), round(y0, 3), round(x1 - x0, 3), round(y1 - y0, 3)]
            rows.append({"image_id": image, "category_id": truth.category, "bbox": box, "score": float(f"{score:.6g}")})
    return rows


def _write(path: Path, text: str) -> None:
    """Write a result file, or for .zip the archive that servers expect."""
    if path.suffix != ".zip":
        write_text(path, text)
        return
    with atomic(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{path.stem}.json", text)
