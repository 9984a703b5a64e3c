"""How long evaluation takes on a data set of COCO val's size: 5,000 images, 11,000 people, 25,000 results.

    python benchmarks/evaluation.py [--images 5000] [--people 11000] [--results 25000] [--json OUT.json]

People and results are drawn at random: about half of the images are empty, every person has a noisy result, the other results are
anywhere. AP is timed from files on disk to figures, the error analysis from arrays to its report. Expected on 2 cores: AP within 3 s,
the analysis within 20 s.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from manypose.evaluation.error_analysis.analysis import analyse
from manypose.evaluation.error_analysis.report import html
from manypose.evaluation.metrics.annotations import read_results, read_truth
from manypose.evaluation.metrics.oks_ap import oks_ap
from manypose.poses.skeleton import COCO


def made(images: int, people: int, results: int) -> tuple[dict, list]:
    """An annotation file's content and a result list."""
    rng = np.random.default_rng(0)
    occupied = np.flatnonzero(rng.random(images) < 0.54)
    image = np.sort(rng.choice(occupied, people))
    corner, size = rng.uniform(0, 400, (people, 2)), rng.uniform(20, 250, people)
    joints = corner[:, None] + rng.uniform(0, 1, (people, 17, 2)) * size[:, None, None]
    visible = rng.choice(3, (people, 17), p=[0.3, 0.2, 0.5])
    annotations = [
        {
            "id": i + 1, "image_id": int(image[i]) + 1, "category_id": 1, "iscrowd": 0, "area": float(0.6 * size[i] ** 2),
            "bbox": [*corner[i].tolist(), size[i], size[i]], "num_keypoints": int((visible[i] > 0).sum()),
            "keypoints": np.concatenate([joints[i] * (visible[i] > 0)[:, None], visible[i][:, None]], 1).round(2).ravel().tolist(),
        }
        for i in range(people)
    ]  # fmt: skip
    noise = rng.normal(0, 1, joints.shape) * size[:, None, None] * rng.choice([0.01, 0.04, 0.1], (people, 17, 1))
    other = rng.uniform(0, 600, (max(0, results - people), 1, 2)) + rng.normal(0, 50, (max(0, results - people), 17, 2))
    where = np.concatenate([image, rng.integers(0, images, len(other))])[:results]
    scores = np.concatenate([rng.beta(5, 2, people), rng.beta(2, 5, len(other))])[:results].round(4)
    points = np.concatenate([joints + noise, other])[:results].round(2)
    found = [
        {"image_id": int(w) + 1, "category_id": 1, "keypoints": np.insert(p, 2, 1, 1).ravel().tolist(), "score": float(s)}
        for w, p, s in zip(where, points, scores, strict=True)
    ]
    listed = [{"id": i + 1, "width": 640, "height": 480, "file_name": f"{i + 1:012d}.jpg"} for i in range(images)]
    category = {"id": 1, "name": "person", "keypoints": list(COCO.joints)}
    return {"images": listed, "annotations": annotations, "categories": [category]}, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("images", 5000), ("people", 11000), ("results", 25000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    content, found = made(args.images, args.people, args.results)
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "people.json"), Path(folder, "found.json")
        for path, value in zip(files, (content, found), strict=True):
            path.write_text(json.dumps(value))
        start, used = time.perf_counter(), time.process_time()
        truth = read_truth(files[0])
        results = read_results(files[1], truth)
        read = time.perf_counter()
        figures = oks_ap(truth, results)
        done, cpu = time.perf_counter(), time.process_time() - used
    analysed, used = time.perf_counter(), time.process_time()
    analysis = analyse(truth, results)
    page = html(analysis, figures, "made up")
    told = {
        "images": args.images, "people": truth.people, "results": len(results), "AP": figures["AP"], "read_s": read - start,
        "AP_s": done - start, "AP_cpu_s": cpu, "analysis_s": time.perf_counter() - analysed, "analysis_cpu_s": time.process_time() - used,
        "page_bytes": len(page),
    }  # fmt: skip
    print(json.dumps(told, indent=1))
    if args.json:
        args.json.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
