"""An error analysis of three photos: a person with crossed arms, a missed person with a false positive, and a person found well."""

from pathlib import Path

import numpy as np

from manypose.evaluation.error_analysis.analysis import analyse
from manypose.evaluation.metrics.annotations import read_results, read_truth
from manypose.io import photos
from manypose.poses.skeleton import COCO
from manypose.serve.analysis_view import AnalysisView

NAMES = ("a.png", "b.png", "c.png")


def view(folder: Path) -> AnalysisView:
    points = np.column_stack([20 + 9 * np.arange(17), 30 + 4 * (np.arange(17) % 3) + 6 * np.arange(17), np.full(17, 2)])
    crossed = points.copy()
    left, right = COCO.index("left_wrist"), COCO.index("right_wrist")
    crossed[[left, right]] = points[[right, left]]
    images = [{"id": i, "file_name": name, "width": 200, "height": 160} for i, name in enumerate(NAMES, 1)]
    people = [
        {"id": 10 * i, "image_id": i, "category_id": 1, "bbox": [20, 30, 144, 104], "area": 4000, "keypoints": points.ravel().tolist()}
        for i in (1, 2, 3)
    ]
    truth = read_truth({"images": images, "annotations": people}, COCO)
    far = points + np.array([300, 300, 0])
    found = [
        {"image_id": i, "category_id": 1, "keypoints": xyv.ravel().tolist(), "score": s}
        for i, xyv, s in ((1, crossed, 0.8), (2, far, 0.9), (3, points, 0.7))
    ]
    for name in NAMES[:2]:
        photos.write(folder / name, np.full((160, 200, 3), 90, np.uint8))
    analysis = analyse(truth, read_results(found, truth))
    return AnalysisView(analysis, {i: folder / name for i, name in enumerate(NAMES, 1)}, {"AP": 0.5, "APm": float("nan")}, "three photos")
