"""Person boxes (equal to pycocotools) and person masks (PASCAL VOC's measure)."""

import numpy as np
import pytest
from fake_coco import fake_coco
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from test_oks_ap import by_pycocotools

from manypose.evaluation.metrics.annotations import read_results, read_truth
from manypose.evaluation.metrics.detection import BOX_FIGURES, box_ap
from manypose.evaluation.metrics.segmentation import mask_counts, person_iou


def boxed(seed: int) -> tuple[dict, list]:
    content, _ = fake_coco(seed)
    rng = np.random.default_rng(seed)
    found = []
    for a in content["annotations"]:
        for _ in range(rng.integers(0, 3)):
            box = (np.array(a["bbox"]) * rng.normal(1, 0.1, 4)).round(2).tolist()
            found.append({"image_id": a["image_id"], "category_id": 1, "bbox": box, "score": round(rng.random(), 1)})
    return content, found


@pytest.mark.parametrize("seed", range(20))
def test_box_ap_equals_pycocotools(seed: int) -> None:
    content, found = boxed(seed)
    truth = read_truth(content)
    figures = box_ap(truth, read_results(found, truth, needs="bbox"))
    assert list(figures) == list(BOX_FIGURES)
    np.testing.assert_allclose(list(figures.values()), by_pycocotools(content, found, (), "bbox"), rtol=0, atol=1e-12)


def test_results_without_boxes() -> None:
    content, found = fake_coco(0)
    truth = read_truth(content)
    with pytest.raises(ValueError, match="the results have no 'bbox'"):
        box_ap(truth, read_results(found, truth))
    with pytest.raises(ValueError, match=r"result 0 .*: 'bbox' is missing"):
        read_results(found, truth, needs="bbox")


masks = hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)


@given(st.data())
def test_mask_iou_is_the_sets_own(data: st.DataObject) -> None:
    shape = data.draw(masks)
    truth = data.draw(hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 255])))
    found = data.draw(hnp.arrays(bool, shape))
    cells = list(np.ndindex(shape))
    person, guess = {c for c in cells if truth[c] == 1}, {c for c in cells if found[c] and truth[c] != 255}
    counts = mask_counts(found, truth)
    assert counts.sum() == sum(truth[c] != 255 for c in cells)
    expected = len(person & guess) / len(person | guess) if person | guess else float("nan")
    assert person_iou([counts])["IoU"] == pytest.approx(expected, nan_ok=True)


def test_iou_is_taken_over_the_pixels_of_all_images() -> None:
    big, small = np.array([90, 10, 0, 0]), np.array([0, 0, 10, 90])
    assert person_iou([big, small])["IoU"] == pytest.approx(90 / 110)  # and not the mean of 0.9 and 0
    assert np.isnan(person_iou([])["IoU"])


def test_masks_of_different_sizes() -> None:
    with pytest.raises(ValueError, match="a person mask of 4x3 pixels for a truth of 3x3"):
        mask_counts(np.zeros((3, 4), bool), np.zeros((3, 3), np.uint8))
