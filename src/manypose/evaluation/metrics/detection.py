"""COCO's box AP and AR for the one category person.

Source: https://cocodataset.org/#detection-eval. Computed by faster-coco-eval; tested equal to pycocotools.
"""

from dataclasses import replace

from manypose.evaluation.metrics.annotations import Results, Truth
from manypose.evaluation.metrics.oks_ap import run

__all__ = ["BOX_FIGURES", "box_ap"]

BOX_FIGURES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def box_ap(truth: Truth, results: Results) -> dict[str, float]:
    """Average precision and recall over IoU 0.50, 0.55 … 0.95 of person boxes.

    All people with a box count, with and without labelled joints; a result inside a crowd's box is ignored. Small is below 32² square
    pixels, medium up to 96², large above. The 1, 10 and 100 best results of an image count. NaN where no person is annotated.

    >>> from manypose.evaluation.metrics.annotations import read_results, read_truth
    >>> from manypose.poses.skeleton import Skeleton
    >>> dot = Skeleton.build("dot", ["middle"], [], [0.1])
    >>> truth = read_truth({"images": [{"id": 7}], "annotations": [
    ...     {"id": 1, "image_id": 7, "category_id": 1, "bbox": [0, 0, 100, 50], "area": 5000, "num_keypoints": 0}]}, dot)
    >>> rows = [{"image_id": 7, "category_id": 1, "keypoints": [50, 25, 1], "bbox": [0, 0, 80, 50], "score": 1.0}]
    >>> figures = box_ap(truth, read_results(rows, truth))  # IoU 0.8: right at 7 of the 10 thresholds
    >>> round(figures["AP"], 3), round(figures["AP50"], 3), figures["APs"]
    (0.7, 1.0, nan)

    Args:
        truth: annotated people.
        results: people found, with boxes.

    Raises:
        ValueError: the results have no boxes.
        ImportError: faster-coco-eval is not installed.
    """
    if results.boxes is None and len(results):
        raise ValueError(f"{results.name}: the results have no 'bbox'; box AP needs one for every person")
    done = run(replace(truth, ignored=truth.crowd), results, "bbox", [1, 10, 100])
    done.summarize()
    return {name: float(value) if value > -1 else float("nan") for name, value in zip(BOX_FIGURES, done.stats, strict=True)}
