"""COCO's keypoint AP and AR, for the sigmas of any skeleton.

Source: https://cocodataset.org/#keypoints-eval. Computed by faster-coco-eval; tested equal to pycocotools.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from manypose.evaluation.metrics.annotations import Results, Truth

__all__ = ["KEYPOINT_FIGURES", "oks_ap", "run"]

KEYPOINT_FIGURES = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")


def oks_ap(truth: Truth, results: Results, most: int = 20) -> dict[str, float]:
    """Average precision and recall over OKS 0.50, 0.55 … 0.95, the `most` best results of each image.

    APm, ARm: people of 32² to 96² square pixels; APl, ARl: larger ones. A figure is NaN where no person is annotated.

    >>> people = [[10, 10, 2, 20, 10, 2, 15, 30, 1]]
    >>> from manypose.evaluation.metrics.annotations import read_results, read_truth
    >>> from manypose.poses.skeleton import Skeleton
    >>> triangle = Skeleton.build("triangle", ["a", "b", "c"], [], [0.1, 0.1, 0.1])
    >>> truth = read_truth({"images": [{"id": 1}], "annotations": [
    ...     {"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 40, 40], "area": 1600, "keypoints": people[0]}]}, triangle)
    >>> found = [{"image_id": 1, "category_id": 1, "keypoints": people[0], "score": 0.9}]
    >>> figures = oks_ap(truth, read_results(found, truth))
    >>> round(figures["AP"], 6), round(figures["AR"], 6), figures["APl"]
    (1.0, 1.0, nan)

    Args:
        truth: annotated people.
        results: people found.
        most: results of an image that count, best score first.

    Raises:
        ImportError: faster-coco-eval is not installed.
    """
    done = run(truth, results, "keypoints", [most])
    done.summarize()
    return {name: float(value) if value > -1 else float("nan") for name, value in zip(KEYPOINT_FIGURES, done.stats, strict=True)}


def run(truth: Truth, results: Results, kind: str, most: Sequence[int]) -> Any:
    """The library's evaluation, done; `kind` is ``keypoints`` or ``bbox``, `most` the numbers of results of an image that count."""
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError:
        raise ImportError("evaluation needs faster-coco-eval: pip install 'manypose[eval]'") from None
    silent: Any = lambda *_: None  # noqa: E731
    annotated = COCO(_annotations(truth), print_function=silent)
    found = annotated.loadRes(_listed(truth, results))
    sigmas = list(truth.skeleton.sigmas) if kind == "keypoints" else None
    done = COCOeval_faster(annotated, found, kind, kpt_oks_sigmas=sigmas, print_function=silent)  # type: ignore[arg-type]
    done.params.imgIds = truth.image_ids.tolist()
    done.params.catIds = [truth.category]
    done.params.maxDets = list(most)
    done.evaluate()
    done.accumulate()
    return done


def _annotations(truth: Truth) -> dict[str, Any]:
    # People are renumbered from 1, since the COCO API treats a match with annotation id 0 as none.
    columns = zip(
        range(1, len(truth.ids) + 1), truth.image_ids[truth.image].tolist(), truth.keypoints.reshape(-1, 3 * len(truth.skeleton)).tolist(),
        truth.boxes.tolist(), truth.areas.tolist(), truth.crowd.tolist(), truth.ignored.tolist(), strict=True,
    )  # fmt: skip
    people = [
        {
            "id": i, "image_id": image, "category_id": truth.category, "keypoints": keypoints, "bbox": box, "area": area,
            "iscrowd": int(crowd), "num_keypoints": 0 if ignored else 1,
        }
        for i, image, keypoints, box, area, crowd, ignored in columns
    ]  # fmt: skip
    images = [{"id": int(i)} for i in truth.image_ids]
    return {"images": images, "annotations": people, "categories": [{"id": truth.category, "name": "person"}]}


def _listed(truth: Truth, results: Results) -> list[dict[str, Any]]:
    # A result without a box has the size of the box around its joints, all of them (the COCO API's rule).
    xy = results.keypoints[..., :2]
    low, high = xy.min(1, initial=np.inf), xy.max(1, initial=-np.inf)
    boxes = np.concatenate([low, high - low], 1) if results.boxes is None else results.boxes
    columns = zip(
        truth.image_ids[results.image].tolist(), results.keypoints.reshape(-1, 3 * len(truth.skeleton)).tolist(), results.scores.tolist(),
        boxes.tolist(), strict=True,
    )  # fmt: skip
    return [
        {"image_id": image, "category_id": truth.category, "keypoints": keypoints, "score": score, "bbox": box, "segmentation": ()}
        for image, keypoints, score, box in columns
    ]
