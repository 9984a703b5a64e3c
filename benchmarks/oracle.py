"""What a decoder makes of perfect maps: ``python benchmarks/oracle.py --method swahr [--images 500] [--degraded] [--json OUT.json]``.

No network runs, no photo is read. Maps are rendered from the annotations of COCO val2017, perfect or spoiled, and decoded; the people are
compared with the annotations. What is missing to AP 1 is the decoder's own loss; ``--analyze`` says what it is lost to. The data are all
people of val2017 with a labelled keypoint (no crowd regions, half of the areas estimated): figures are not COCO's official AP.

A method plugs in with a module that has ``PROTOCOL``, ``maps(keypoints, photo, image_id, degraded)`` and ``decode(maps, warp,
published)``: see `METHODS`. One that looks at one person at a time has ``TOP_DOWN = True`` and is given the annotated boxes:
``maps(keypoints, image_id, degraded, boxes, published)``. One that groups by boxes has ``BOXES = True`` and is given them after the rest.
"""

import argparse
import os
import sys
import time
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import cv2
import numpy as np
import oracle_mspn
import oracle_simple
import oracle_simple_pose
import oracle_swahr
import torch
from tqdm import tqdm

from manypose.data.datasets.coco import AnnotatedImage, annotated_people
from manypose.evaluation.error_analysis.analysis import analyse
from manypose.evaluation.error_analysis.report import table
from manypose.evaluation.metrics.annotations import read_results, read_truth
from manypose.evaluation.metrics.oks_ap import oks_ap
from manypose.io.files import write_json
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO

METHODS: dict[str, Any] = {"swahr": oracle_swahr, "simple_pose": oracle_simple_pose, **oracle_mspn.METHODS, **oracle_simple.METHODS}
ARCHIVE = Path("data", "coco_keypoints", "person_keypoints_val2017_rebuilt.npz")


@dataclass
class Run:
    """What a run has gathered: annotations and results in COCO's form, and milliseconds of decoding."""

    images: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    cpu_times: list[float] = field(default_factory=list)
    counts: list[tuple[int, int]] = field(default_factory=list)
    equal_scores: bool = False

    def add(self, image: AnnotatedImage, poses: Poses, seconds: float, cpu_seconds: float) -> None:
        """One image."""
        self.images.append({"id": image.image_id, "height": image.size[0], "width": image.size[1]})
        for keypoints, box, area in zip(image.keypoints, image.boxes.tolist(), image.areas.tolist(), strict=True):
            x0, y0, x1, y1 = box
            person = {"id": len(self.annotations) + 1, "image_id": image.image_id, "category_id": 1, "iscrowd": 0, "area": area}
            labelled = int((keypoints[:, 2] > 0).sum())
            person |= {"bbox": [x0, y0, x1 - x0, y1 - y0], "keypoints": keypoints.ravel().tolist(), "num_keypoints": labelled}
            self.annotations.append(person)
        found = poses.keypoint_scores > 0
        points = np.concatenate([poses.keypoints, np.ones_like(poses.keypoints[..., :1])], 2) * found[..., None]
        scores = [1.0] * len(poses) if self.equal_scores else poses.scores.tolist()
        for row, score in zip(points, scores, strict=True):
            self.results.append({"image_id": image.image_id, "category_id": 1, "keypoints": row.ravel().tolist(), "score": score})
        self.times.append(seconds * 1e3)
        self.cpu_times.append(cpu_seconds * 1e3)
        self.counts.append((len(poses), len(image.keypoints)))


def run(method: str, archive: Path, images: int | None, degraded: bool, published: bool, equal_scores: bool = False) -> Run:
    """Render and decode the first `images` images (all: None), by rising image id."""
    adapter, done = METHODS[method], Run(equal_scores=equal_scores)
    chosen = sorted(annotated_people(archive), key=lambda image: image.image_id)
    for image in tqdm(list(islice(chosen, images)), unit="image", disable=None):
        if getattr(adapter, "TOP_DOWN", False):
            maps, warp = adapter.maps(image.keypoints, image.image_id, degraded, image.boxes, published)
        elif getattr(adapter, "BOXES", False):
            maps, warp = adapter.maps(image.keypoints, image.size, image.image_id, degraded, image.boxes)
        else:
            maps, warp = adapter.maps(image.keypoints, image.size, image.image_id, degraded)
        start, cpu = time.perf_counter(), time.process_time()
        poses = adapter.decode(maps, warp, published)
        done.add(image, poses, time.perf_counter() - start, time.process_time() - cpu)
    return done


def evaluate(done: Run) -> tuple[dict[str, float], Any, Any]:
    """COCO's figures, and the truth and results they come from."""
    category = {"id": 1, "name": "person", "keypoints": list(COCO.joints)}
    truth = read_truth({"images": done.images, "annotations": done.annotations, "categories": [category]}, COCO)
    results = read_results(done.results, truth)
    return oks_ap(truth, results), truth, results


def summary(done: Run, figures: dict[str, float], protocol: str) -> dict[str, Any]:
    """What ``--json`` writes."""
    counts = np.array(done.counts)
    fewer, equal, more = ((s := np.sign(counts[:, 0] - counts[:, 1])) < 0).sum(), (s == 0).sum(), (s > 0).sum()
    return {
        **{name: round(value, 6) for name, value in figures.items()},
        "images": len(done.images),
        "persons_annotated": len(done.annotations),
        "persons_out": len(done.results),
        "images_with_fewer_equal_more_persons": [int(fewer), int(equal), int(more)],
        "p50_ms": round(float(np.percentile(done.times, 50)), 3),
        "p95_ms": round(float(np.percentile(done.times, 95)), 3),
        "cpu_p50_ms": round(float(np.percentile(done.cpu_times, 50)), 3),
        "protocol": protocol,
    }


def default_archive() -> Path:
    """In the folder that MANYPOSE_SHARED names, or in ``shared`` beside the repository."""
    return Path(os.environ.get("MANYPOSE_SHARED", Path(__file__).resolve().parents[2] / "shared")) / ARCHIVE


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """The command line; gives what it wrote."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--method", choices=sorted(METHODS), required=True)
    parser.add_argument("--images", type=int, help="the first so many, by id; default: all 2,346")
    parser.add_argument("--degraded", action="store_true", help="spoil the maps")
    parser.add_argument("--published", action="store_true", help="decode as the authors do")
    parser.add_argument("--equal-scores", action="store_true", help="every person scores 1 instead of what the decoder says")
    parser.add_argument("--analyze", action="store_true", help="say what is lost to what")
    parser.add_argument("--data", type=Path, default=default_archive(), help="the annotation archive (.npz)")
    parser.add_argument("--weights", type=Path, help="of a method that has some, such as simple; default: those that come with the package")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(argv)
    if given.images is not None and given.images < 1:
        parser.error(f"--images must be 1 or more, got {given.images}")
    if not given.data.is_file():
        parser.error(f"{given.data}: no such annotation archive; name one with --data, or its folder's root with MANYPOSE_SHARED")
    if given.weights is not None:
        if not hasattr(METHODS[given.method], "weights"):
            parser.error(f"--weights: {given.method} has none")
        METHODS[given.method] = replace(METHODS[given.method], weights=given.weights)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    done = run(given.method, given.data, given.images, given.degraded, given.published, given.equal_scores)
    figures, truth, results = evaluate(done)
    protocol = (
        f"oracle: {given.method}{' as published' if given.published else ''}, {'degraded' if given.degraded else 'perfect'} maps, one "
        f"scale, no flip; {METHODS[given.method].PROTOCOL}; the annotated persons of the first {len(done.images)} images of "
        f"{given.data.name}, by id, not official COCO AP; 20 results an image; "
        f"{'all people score 1' if given.equal_scores else 'scores as decoded'}; times are of decoding alone, one thread"
    )
    out = summary(done, figures, protocol)
    print("  ".join(f"{k} {v}" for k, v in out.items() if k != "protocol"), protocol, sep="\n")
    if given.analyze:
        print(table(analyse(truth, results)))
    if given.json:
        write_json(given.json, out)
    return out


if __name__ == "__main__":
    main()
