"""What the grouping CNN learns from, and its training."""

import numpy as np
import pytest
import torch
from grouping_scene import PLAIN, cnn, scene
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import shared

from manypose.data.datasets.coco import AnnotatedImage, annotated_people
from manypose.methods.simple.grouping import at_points
from manypose.methods.simple.grouping_train import drawn_examples
from manypose.methods.simple.training_maps import MERGED, Examples, Rendering, crowded, render
from manypose.poses.skeleton import COCO


@given(st.integers(0, 10_000))
@settings(max_examples=20)
def test_peaks_are_where_the_responses_are(seed):
    """On clean maps each peak of the person stands on a response, and all joints of the person are there."""
    image, network = scene(seed), cnn()
    out = render(image, np.ones(3, bool), network, PLAIN, COCO.mirror, np.random.default_rng(seed))
    assert out is not None
    assert out.rois.shape == (3, 17, 32, 32)
    labelled = image.keypoints[..., 2] > 0
    own = torch.zeros(3, 17).index_put((out.roi[out.own], out.joint[out.own]), torch.ones(int(out.own.sum())), accumulate=True)
    assert torch.equal(own.bool(), torch.from_numpy(labelled))
    assert (own <= 1).all()
    assert (at_points(out.rois, out.roi, out.joint, out.cells) > 0.25).all()  # a bump in few cells of a large RoI is lower


@given(st.integers(0, 10_000))
@settings(max_examples=20)
def test_the_mirrored_scene_has_mirrored_rois(seed):
    image, network = scene(seed), cnn()
    plain, mirrored = (
        render(image, np.ones(3, bool), network, Rendering(**{**vars(PLAIN), "flip": f}), COCO.mirror, np.random.default_rng(seed))
        for f in (0.0, 1.0)
    )
    assert plain is not None
    assert mirrored is not None
    # Padding to the right is mirrored to the left, where the map ends: the RoIs' parts outside the photo may differ by cut-off bumps.
    back = mirrored.rois[:, list(COCO.mirror)].flip(3)
    assert (plain.rois - back).abs().flatten().quantile(0.9) < 0.02
    assert int(plain.own.sum()) == int(mirrored.own.sum())


def test_others_too_near_are_not_held_against_anybody():
    image = scene(1, 2)
    image.keypoints[1] = image.keypoints[0]
    image.keypoints[1, :, 0] += 4 * MERGED - 1
    out = render(image, np.array([True, False]), cnn(), PLAIN, COCO.mirror, np.random.default_rng(0))
    assert out is not None
    assert out.own.all()
    image.keypoints[1, :, 0] += 4
    out = render(image, np.array([True, False]), cnn(), PLAIN, COCO.mirror, np.random.default_rng(0))
    assert out is not None
    assert not out.own.all()


def test_spoiled_maps_are_lower_noisy_and_have_holes_that_are_learnt():
    image, network = scene(5), cnn()
    rule = Rendering(**{**vars(PLAIN), "spoiled": 1.0, "drop": 0.5, "false": 10})
    pool = torch.randn(17, 64, 64, generator=torch.Generator().manual_seed(0))
    clean, spoiled = (render(image, np.ones(3, bool), network, r, COCO.mirror, np.random.default_rng(0), pool) for r in (PLAIN, rule))
    assert clean is not None
    assert spoiled is not None
    assert (spoiled.rois == 0).float().mean() < 0.6 < (clean.rois < 1e-6).float().mean()
    assert int(spoiled.own.sum()) == int(clean.own.sum())  # joints without a response are the person's all the same
    height = at_points(spoiled.rois, spoiled.roi, spoiled.joint, spoiled.cells)[spoiled.own]
    assert (height < 0.2).float().mean() > 0.25


def test_who_has_others_in_the_box():
    keypoints = np.zeros((3, 17, 3), np.float32)
    keypoints[:, 0] = [[50, 50, 2], [70, 50, 2], [150, 50, 0]]
    boxes = np.array([[40, 40, 60, 60], [65, 45, 75, 55], [140, 40, 160, 60]], np.float32)
    image = AnnotatedImage(1, (100, 200), keypoints, boxes, np.ones(3), np.ones(3, bool))
    assert crowded(image, 1.0).tolist() == [False, False, False]
    assert crowded(image, 2.1).tolist() == [True, False, False]
    assert crowded(image, 6.0).tolist() == [True, True, False]


def test_joined_examples_keep_their_rois():
    parts = [render(scene(i), np.ones(3, bool), cnn(), PLAIN, COCO.mirror, np.random.default_rng(i)) for i in range(2)]
    sound = [p for p in parts if p is not None]
    joined = Examples.joined(sound)
    assert len(joined.rois) == 6
    assert torch.equal(joined.roi[: len(sound[0].roi)], sound[0].roi)
    assert torch.equal(joined.roi[len(sound[0].roi) :] - 3, sound[1].roi)


def test_nobody_to_learn_from_is_one_clear_error():
    image = scene(1, 1)
    image.keypoints[..., 2] = 0
    with pytest.raises(ValueError, match="no person in the annotations"):
        drawn_examples([image], cnn(), PLAIN, 4, np.random.default_rng(0))


def test_real_annotations_are_crowded():
    """Every second person of COCO has somebody else's joint in the RoI: there is something to be suppressed."""
    people = annotated_people(shared("data", "coco_keypoints", "person_keypoints_val2017_rebuilt.npz"))
    images = [image for image, _ in zip(people, range(300), strict=False)]
    share = np.concatenate([crowded(image, 2.0) for image in images]).mean()
    assert 0.4 < share < 0.9
