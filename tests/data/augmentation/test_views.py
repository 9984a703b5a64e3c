from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manypose.data.augmentation.views import Augment, Colour, colour_matrix
from manypose.data.sample import Sample
from manypose.poses.skeleton import COCO
from manypose.poses.warp import Warp

STILL = Augment(size=96, colour=None)
OFF = Colour(brightness=0, contrast=0, saturation=0, hue=0, grey=0, blur=0, jpeg=0, noise=0, erase=0, chance=1)


def dotted(joints: dict[int, tuple[float, float]], size=(120, 150), planes: int = 1) -> Sample:
    """A black photo with one person, a soft white dot at every labelled joint."""
    h, w = size
    y, x = np.mgrid[:h, :w]
    image, keypoints = np.zeros((h, w), np.float64), np.zeros((1, 17, 3), np.float32)
    for j, (jx, jy) in joints.items():
        image += 255 * np.exp(-((x - jx) ** 2 + (y - jy) ** 2) / (2 * 2.5**2))
        keypoints[0, j] = jx, jy, 2
    rgb = np.repeat(np.clip(image, 0, 255).astype(np.uint8)[..., None], 3, 2)
    box = np.array([[30, 30, 110, 90]], np.float32)
    return Sample(COCO, rgb, keypoints, box, np.array([3000], np.float32), np.ones((planes, h, w), np.uint8), np.zeros((h, w), np.uint8), 7)


@given(st.integers(0, 10**6), st.floats(40, 110), st.floats(40, 80))
def test_a_dot_at_a_joint_stays_at_the_joint(seed, x, y):
    out = STILL(dotted({9: (x, y)}), np.random.default_rng(seed))
    if not len(out.keypoints):
        return  # it has left the picture
    (joint,) = np.flatnonzero(out.keypoints[0, :, 2])
    jx, jy = out.keypoints[0, joint, :2]
    if not (8 < jx < 87 and 8 < jy < 87):
        return  # the dot is cut by the picture's edge
    weight = out.image[..., 0].astype(float)
    rows, columns = np.mgrid[:96, :96]
    assert np.hypot((columns * weight).sum() / weight.sum() - jx, (rows * weight).sum() / weight.sum() - jy) < 0.2


def test_mirroring_swaps_sides_of_joints_and_of_mask_planes():
    sample = dotted({9: (60, 50), 10: (90, 50)}, planes=17)
    sample.mask[9] = 0
    unmoved = {"rotation": 0, "shift": 0, "scale": (1.0, 1.0)}
    plain = replace(STILL, flip=0, **unmoved)(sample, np.random.default_rng(0))
    mirrored = replace(STILL, flip=1, **unmoved)(sample, np.random.default_rng(0))
    assert mirrored.keypoints[0, 10, 0] == pytest.approx(95 - plain.keypoints[0, 9, 0], abs=1e-3)
    assert mirrored.keypoints[0, 9, 0] == pytest.approx(95 - plain.keypoints[0, 10, 0], abs=1e-3)
    assert np.array_equal(mirrored.image, plain.image[:, ::-1]) or np.abs(mirrored.image.astype(int) - plain.image[:, ::-1]).max() <= 1
    assert not mirrored.mask[10].any()
    assert mirrored.mask[9].any()
    assert plain.mask[10].any()


@given(st.integers(0, 10**6))
def test_outside_the_photo_the_mask_is_0_and_segmentation_unknown(seed):
    sample = replace(dotted({0: (75, 60)}), image=np.full((120, 150, 3), 200, np.uint8))
    rng = np.random.default_rng(seed)
    w = STILL.view(sample, np.random.default_rng(seed))
    out = STILL(sample, rng)
    y, x = np.mgrid[:96, :96]
    at = np.linalg.inv(np.vstack([w.matrix, [0, 0, 1]]))[:2] @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    beyond = ((at[0] < -1) | (at[0] > 150) | (at[1] < -1) | (at[1] > 120)).reshape(96, 96)
    inside = ((at[0] > 1) & (at[0] < 148) & (at[1] > 1) & (at[1] < 118)).reshape(96, 96)
    assert not out.mask[0][beyond].any()
    assert out.mask[0][inside].all()
    assert out.segmentation is not None
    assert (out.segmentation[beyond] == 255).all()
    assert (out.segmentation[inside] == 0).all()
    assert (out.image[inside] == 200).all()
    assert not out.image[beyond].any()


@given(st.integers(0, 10**6))
def test_views_stay_within_the_published_ranges(seed):
    sample = dotted({0: (75, 60)})
    w = Augment(size=64).view(sample, np.random.default_rng(seed))
    side = 64 / w.scale
    assert 0.75 * 120 - 1e-6 <= side <= 1.5 * 120 + 1e-6
    centre = np.linalg.inv(np.vstack([w.matrix, [0, 0, 1]]))[:2] @ [31.5, 31.5, 1]
    assert (np.abs(centre - [74.5, 59.5]) <= 0.2 * side + 1e-6).all()
    a, b = w.matrix[1, 1], w.matrix[1, 0]
    assert abs(np.degrees(np.arctan2(b, a))) <= 30 + 1e-6


def test_flips_half_of_the_time_and_depends_on_the_generator_alone():
    sample = dotted({0: (75, 60)})
    flips = [Augment().view(sample, np.random.default_rng(i)).mirrored for i in range(400)]
    assert 150 < sum(flips) < 250
    one, two = (Augment(size=64)(sample, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(one.image, two.image)
    assert np.array_equal(one.keypoints, two.keypoints)


def test_who_left_the_picture_is_gone_and_who_is_too_small_is_masked():
    sample = dotted({0: (75, 60)})
    away = replace(sample, keypoints=sample.keypoints + np.array([900, 0, 0], np.float32) * (sample.keypoints[..., 2:] > 0))
    assert len(STILL(away, np.random.default_rng(0)).boxes) == 0
    unmoved = replace(STILL, rotation=0, shift=0, scale=(1.0, 1.0), smallest=1e6)
    out = unmoved(sample, np.random.default_rng(0))
    assert len(out.boxes) == 0
    assert out.mask[0, 48, 48] == 0
    assert out.mask[0, 2, 2] == 1
    assert sample.mask.all()


def test_areas_and_boxes_follow_the_view():
    sample = dotted({0: (75, 60)})
    out = replace(STILL, rotation=0, shift=0, scale=(0.75, 0.75), flip=0)(sample, np.random.default_rng(0))
    factor = 96 / 90
    assert out.areas[0] == pytest.approx(3000 * factor**2, rel=1e-4)
    assert np.ptp(out.boxes[0, ::2]) == pytest.approx(80 * factor, rel=1e-4)


def test_near_centres_people():
    sample = dotted({0: (40, 40)})
    w = replace(STILL, near=1.0, shift=0.0, flip=0).view(sample, np.random.default_rng(0))
    assert w.points(np.array([[70.0, 60.0]]))[0] == pytest.approx([47.5, 47.5], abs=1e-6)


def test_colours_off_change_nothing_and_on_change_only_colours():
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    rng = np.random.default_rng(1)
    assert np.abs(OFF(image, rng).astype(int) - image).max() <= 1
    for part in ("brightness", "contrast", "saturation", "hue", "grey", "blur", "jpeg", "noise", "erase"):
        strong = replace(OFF, **{part: 1.0 if part in ("grey", "blur", "jpeg", "noise", "erase") else 0.4})
        changed = [strong(image.copy(), np.random.default_rng(s)) for s in range(5)]
        assert all(c.shape == image.shape and c.dtype == np.uint8 for c in changed)
        assert any(np.abs(c.astype(int) - image).mean() > 0.5 for c in changed), part


def test_colour_matrix_is_what_it_says():
    rgb = np.array([120.0, 60.0, 30.0, 1.0])
    assert colour_matrix(1, 1, 1, 0) @ rgb == pytest.approx(rgb[:3], abs=1e-6)
    assert colour_matrix(1.5, 1, 1, 0) @ rgb == pytest.approx(rgb[:3] * 1.5, abs=1e-6)
    assert colour_matrix(1, 0.5, 1, 0, mean=100.0) @ rgb == pytest.approx(100 + 0.5 * (rgb[:3] - 100), abs=1e-6)
    grey = colour_matrix(1, 1, 0, 0) @ rgb
    assert np.ptp(grey) < 0.5
    assert grey[0] == pytest.approx(0.299 * 120 + 0.587 * 60 + 0.114 * 30, abs=0.5)
    assert colour_matrix(1, 1, 1, 1.0) @ rgb == pytest.approx(rgb[:3], abs=1e-6)


@pytest.mark.parametrize("wrong", [{"size": 0}, {"scale": (1.5, 0.75)}, {"scale": (0.0, 1.0)}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="Augment needs"):
        Augment(**wrong)


def test_view_is_a_warp_to_the_size():
    w = Augment(size=128).view(dotted({0: (75, 60)}), np.random.default_rng(0))
    assert isinstance(w, Warp)
    assert w.size == (128, 128)
