"""From maps and boxes to people."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from manypose.methods.multiposenet.decode import decode
from manypose.methods.multiposenet.detections import candidates, people_boxes
from manypose.methods.multiposenet.ensemble import ensemble
from manypose.methods.multiposenet.example_maps import examples
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO

SIZE = (128, 192)


def painted(people: np.ndarray, size=SIZE, sigma: float = 1.75, heights: float = 0.8) -> torch.Tensor:
    """Heat maps at 1/4 with a Gaussian at each joint (x, y) that is not NaN, and a person mask that is 1 around them."""
    h, w = size[0] // 4, size[1] // 4
    y, x = np.mgrid[:h, :w]
    heat = np.zeros((1, people.shape[1] + 1, h, w), np.float32)
    for person in people:
        for joint, at in enumerate((person - 1.5) / 4):
            if np.isfinite(at).all():
                bell = heights * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * sigma**2))
                heat[0, joint] = np.maximum(heat[0, joint], bell)
        low, high = np.nanmin(person, 0) / 4, np.nanmax(person, 0) / 4
        heat[0, -1, int(low[1]) : int(high[1]) + 1, int(low[0]) : int(high[0]) + 1] = 1
    return torch.from_numpy(heat)


def apart(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two people beside each other, their joints at sub-pixel places, and their boxes."""
    rng = np.random.default_rng(seed)
    people = rng.uniform([8, 8], [80, 120], (2, 17, 2)) + np.array([[[0, 0]], [[98, 0]]])
    boxes = np.concatenate([people.min(1) - 3, people.max(1) + 3], 1)
    return people, np.clip(boxes, 0, None)


def scored(boxes: np.ndarray, scores=(0.9, 0.8)) -> torch.Tensor:
    rows = np.concatenate([boxes, np.array(scores)[:, None]], 1)
    return torch.from_numpy(np.concatenate([rows, np.zeros((3, 5))]).astype(np.float32))[None]


@given(st.integers(0, 1000))
def test_people_apart_are_found_where_they_are(seed):
    people, boxes = apart(seed)
    found = decode(painted(people), scored(boxes), COCO, SIZE)[0]
    assert len(found) == 2
    order = np.argsort(found.boxes[:, 0])
    inner = (people > 6).all(2) & (people < np.array(SIZE[::-1]) - 6).all(2)
    assert np.abs(found.keypoints[order] - people).max(2)[inner].max() < 0.35
    np.testing.assert_allclose(found.boxes[order], boxes, atol=1e-3)
    assert (found.keypoint_scores > 0.5).all()
    assert found.scores[0] >= found.scores[1]


@given(st.integers(0, 1000))
def test_a_mirrored_picture_gives_mirrored_people(seed):
    people, boxes = apart(seed)
    heat, rows = painted(people), scored(boxes)
    width = SIZE[1] - 1
    other = rows.clone()
    other[..., 0], other[..., 2] = width - rows[..., 2], width - rows[..., 0]
    other[..., :4] *= (rows[..., 4:] > 0).float()
    channels = [*COCO.mirror, 17]
    one = decode(heat, rows, COCO, SIZE)[0]
    two = decode(heat.flip(3)[:, channels], other, COCO, SIZE)[0]
    back = two.keypoints[:, list(COCO.mirror)]
    back[..., 0] = width - back[..., 0]
    a, b = np.argsort(one.boxes[:, 0]), np.argsort(-two.boxes[:, 0])
    np.testing.assert_allclose(one.keypoints[a], back[b], atol=0.02)
    np.testing.assert_array_equal(one.masks[a], two.masks[b][:, :, ::-1])


@pytest.mark.parametrize("height", [0.4, 0.8])
def test_18_a_persons_score_is_its_boxs_times_the_mean_of_its_joints(height):
    """A sure box with faint joints does not outrank a less sure box with clear joints."""
    people, boxes = apart(3)
    heat = torch.maximum(painted(people[:1], heights=height), painted(people[1:], heights=0.8))
    found = decode(heat, scored(boxes, (0.9, 0.8)), COCO, SIZE)[0]
    for box, score, mean in zip(found.boxes, found.scores, found.keypoint_scores.mean(1), strict=True):
        sure = 0.9 if abs(box[0] - boxes[0, 0]) < 1 else 0.8
        assert score == pytest.approx(sure * mean, rel=1e-4)
    first = abs(found.boxes[0, 0] - boxes[0, 0]) < 1
    assert first == (height == 0.8)


def test_a_crowd_is_not_cut_off():
    """Forty people in one photo, each with a clear joint: all come out."""
    size = (512, 640)
    centres = np.stack(np.meshgrid(40 + 80 * np.arange(8), 50 + 100 * np.arange(5)), -1).reshape(-1, 1, 2)
    people = centres + np.random.default_rng(0).uniform(-25, 25, (40, 17, 2))
    boxes = np.concatenate([people.min(1) - 3, people.max(1) + 3], 1)
    found = decode(painted(people, size), scored(boxes, (0.9,) * 40), COCO, size)[0]
    assert len(found) == 40
    assert (found.keypoint_scores > 0.3).all()


def test_results_do_not_depend_on_the_batch():
    cases = [examples(COCO, n, 128, n) for n in (1, 3, 5)]
    together = decode(torch.cat([c["heat"] for c in cases]), torch.cat([c["boxes"] for c in cases]), COCO, (128, 128))
    for case, found in zip(cases, together, strict=True):
        alone = decode(case["heat"], case["boxes"], COCO, (128, 128))[0]
        np.testing.assert_array_equal(alone.keypoints, found.keypoints)
        np.testing.assert_array_equal(alone.scores, found.scores)


def test_nobody():
    empty = decode(torch.zeros(2, 18, 8, 8), torch.zeros(2, 5, 5), COCO, (32, 32))
    assert [len(p) for p in empty] == [0, 0]
    assert empty[0].masks.shape == (0, 32, 32)
    with pytest.raises(ValueError, match=r"heat \(b,18,h,w\)"):
        decode(torch.zeros(1, 17, 8, 8), torch.zeros(1, 5, 5), COCO, (32, 32))


def test_a_missing_joint_is_put_where_its_map_is_highest_in_the_box():
    people, boxes = apart(1)
    heat = painted(people)
    heat[0, 5] *= 0.05  # no peak is above the threshold
    kept = decode(heat, scored(boxes), COCO, SIZE)[0]
    order = np.argsort(kept.boxes[:, 0])
    assert np.abs(kept.keypoints[order, 5] - people[:, 5]).max() < 1.5
    assert (kept.keypoint_scores[:, 5] < 0.1).all()
    without = decode(heat, scored(boxes), COCO, SIZE, refill=False)[0]
    assert (without.keypoint_scores[:, 5] == 0).all()
    assert (without.keypoints[:, 5] == 0).all()


def test_boxes_of_all_views_are_joined_and_the_likelier_stay():
    rows = torch.tensor(
        [[[0, 0, 10, 20, 0.5], [1, 0, 11, 20, 0.9], [40, 0, 50, 20, 0.3], [0, 0, 9, 9, 0.01]], [[0, 0, 10, 20, 0.2]] + [[0.0] * 5] * 3]
    )
    boxes, scores, image = people_boxes(rows, 0.05, 0.3)
    assert image.tolist() == [0, 0, 1]
    assert scores.tolist() == pytest.approx([0.9, 0.3, 0.2])
    assert boxes[0].tolist() == [1, 0, 11, 20]
    assert people_boxes(rows, 0.05, 0.3, top=1)[2].tolist() == [0, 1]


def test_candidates_are_the_peaks():
    people, _ = apart(4)
    found = candidates(painted(people)[:, :-1], (4.0, 4.0))
    assert set(found.joint.tolist()) == set(range(17))
    far = np.linalg.norm(found.xy.numpy()[:, None] - people.transpose(1, 0, 2)[found.joint.numpy()], axis=2).min(1)
    assert np.median(far) < 0.2


def test_masks_are_the_person_map_in_each_box():
    people, boxes = apart(2)
    found = decode(painted(people), scored(boxes), COCO, SIZE)[0]
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    for mask, (x0, y0, x1, y1) in zip(found.masks, found.boxes, strict=True):
        assert mask.any()
        assert not mask[(x < x0 - 1) | (x > x1 + 1) | (y < y0 - 1) | (y > y1 + 1)].any()
    assert decode(painted(people), scored(boxes), COCO, SIZE, masks=False)[0].masks is None


def test_18_masks_end_at_their_boxes_pixels():
    """All that is person within a box, to the pixel that its edge lies in, and nothing beyond."""
    people, boxes = apart(2)
    heat = painted(people)
    heat[0, -1] = 1
    for mask, box in zip(*(lambda f: (f.masks, f.boxes))(decode(heat, scored(boxes), COCO, SIZE)[0]), strict=True):
        x0, y0, x1, y1 = np.round(box).astype(int)
        wanted = np.zeros(SIZE, bool)
        wanted[y0 : y1 + 1, x0 : x1 + 1] = True
        assert np.array_equal(mask, wanted)
    heat[0, -1] = 0.49
    assert not decode(heat, scored(boxes), COCO, SIZE)[0].masks.any()


def test_18_boxes_count_from_a_twentieth_and_joints_from_a_tenth():
    people, boxes = apart(2)
    heat = painted(people, heights=0.8)
    assert [len(decode(heat, scored(boxes, (0.9, s)), COCO, SIZE)[0]) for s in (0.06, 0.04)] == [2, 1]
    for height, found in ((0.12, True), (0.09, False)):
        one = decode(painted(people, heights=height), scored(boxes), COCO, SIZE, refill=False)[0]
        assert bool((one.keypoint_scores > 0).any()) == found


def test_18_boxes_that_overlap_by_more_than_three_tenths_are_one():
    """Equal boxes of 20 × 100 pixels, moved by 10 and by 11: IoU 10/30 and 9/31."""
    rows = [torch.tensor([[[0, 0, 20, 100, 0.9], [by, 0, 20 + by, 100, 0.8]]], dtype=torch.float32) for by in (10, 11)]
    assert [len(people_boxes(r, 0.05, 0.3)[0]) for r in rows] == [1, 2]
    heat = torch.ones(1, 18, 32, 48)
    assert [len(decode(heat, r, COCO, SIZE, same=1.0)[0]) for r in rows] == [1, 2]


def test_an_ensemble_keeps_each_person_once():
    rng = np.random.default_rng(0)
    first = Poses(COCO, rng.uniform(0, 100, (2, 17, 2)).astype(np.float32), np.ones((2, 17), np.float32), np.float32([0.5, 0.9]))
    moved = first.keypoints[:1] + np.float32(0.3)
    new = rng.uniform(0, 100, (1, 17, 2)).astype(np.float32)
    second = Poses(COCO, np.concatenate([moved, new]), np.ones((2, 17), np.float32), np.float32([0.8, 0.1]))
    both = ensemble([first, second])
    assert both.scores.tolist() == pytest.approx([0.9, 0.8, 0.1])
    np.testing.assert_array_equal(both.keypoints[1], moved[0])
    assert ensemble([first, second], weights=[1.0, 0.5]).scores.tolist() == pytest.approx([0.9, 0.5, 0.05])
    assert ensemble([first]).scores.tolist() == pytest.approx([0.9, 0.5])
    with pytest.raises(ValueError, match="at least one"):
        ensemble([])
    with pytest.raises(ValueError, match="weights"):
        ensemble([first, second], weights=[1.0])


def test_sure_candidates_have_height_1_in_the_prn_and_their_own_in_the_result():
    people, boxes = apart(3)
    seen = []

    class Nearest:
        skeleton, margin = COCO, 0.05

        def __call__(self, regions):
            seen.append(regions.heights)
            return -(regions.place - 0.5).abs().sum(1)

    results = {
        sure: decode(painted(people, heights=0.6), scored(boxes), COCO, SIZE, Nearest(), sure=sure, refill=False)[0]
        for sure in (True, False)
    }
    assert (seen[0] == 1).all()
    assert (seen[1] < 0.61).all()
    np.testing.assert_allclose(results[True].keypoint_scores, results[False].keypoint_scores, atol=1e-5)
    np.testing.assert_allclose(results[True].scores, results[False].scores, atol=1e-5)
