"""Arrays that are probably BGR are warned of; issue 17, line 3."""

import warnings

import numpy as np
import pytest
from dots import Dots

from manypose.inference.channel_order import features, looks_swapped, swapped, swapped_by_colours
from manypose.inference.model import Model
from manypose.io import photos
from manypose.io.sources import example_photo
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO, CROWDPOSE


def astronaut(score: float = 0.8) -> tuple[np.ndarray, Poses]:
    """The photo, and where nose and eyes are in it."""
    keypoints, scores = np.zeros((1, 17, 2), np.float32), np.zeros((1, 17), np.float32)
    keypoints[0, :3], scores[0, :3] = [(225, 123), (250, 100), (202, 98)], score
    return photos.read(example_photo()), Poses(COCO, keypoints, scores, np.ones(1, np.float32))


def test_a_face_says_which_channel_is_red():
    photo, poses = astronaut()
    assert looks_swapped(photo, poses) is False
    assert looks_swapped(photo[..., ::-1], poses) is True


@pytest.mark.parametrize("case", ["grey", "faint", "nobody", "no face in the skeleton"])
def test_nothing_is_said_where_no_face_says_it(case):
    photo, poses = astronaut(0.1 if case == "faint" else 0.8)
    photo = np.repeat(photo[..., :1], 3, 2) if case == "grey" else photo
    poses = Poses.empty(COCO) if case == "nobody" else poses.to(CROWDPOSE) if case == "no face in the skeleton" else poses
    assert looks_swapped(photo[..., ::-1], poses) is None


def test_faces_outside_the_photo_are_passed_over():
    photo, poses = astronaut()
    gone = Poses(COCO, poses.keypoints - 1000, poses.keypoint_scores, poses.scores)
    assert looks_swapped(photo, gone) is None


def test_features_change_their_sign_with_the_order():
    photo = np.random.default_rng(0).integers(0, 256, (70, 130, 3), np.uint8)
    assert np.array_equal(features(photo), -features(photo[..., ::-1]))
    assert features(photo).any()
    assert not features(np.repeat(photo[..., :1], 3, 2)).any()


def test_features_tell_colours_and_their_height_apart():
    sky = np.zeros((96, 64, 3), np.uint8)
    sky[:32] = 100, 140, 200
    assert features(sky) @ features(sky) == pytest.approx(1)  # one bin holds all of a third; the rest is grey
    assert not features(sky) @ features(sky[::-1])
    assert features(sky) @ features(sky[..., ::-1]) == pytest.approx(-1)


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea"])
def test_colours_say_which_channel_is_red(name):
    """Photos of a person, a cup and a cat that the weights were not fitted to."""
    photo = getattr(pytest.importorskip("skimage.data"), name)()
    assert swapped_by_colours(photo) < -0.5
    assert swapped_by_colours(photo[..., ::-1]) == -swapped_by_colours(photo)


def test_faces_are_believed_before_colours():
    photo, poses = astronaut()
    blue = np.full_like(photo, (120, 150, 230))
    assert swapped_by_colours(blue) != 0
    for background in (blue, blue[..., ::-1]):
        mixed = np.where(np.arange(512)[:, None, None] < 200, photo, background)
        assert not swapped(mixed, poses)
        assert swapped(mixed[..., ::-1], poses)
        assert swapped(mixed, Poses.empty(COCO)) == (swapped_by_colours(mixed) > 0)


class Finds(Dots):
    """Finds the astronaut's face in any picture, or only where that is redder than it is blue."""

    skeleton = COCO

    def __init__(self, red_alone: bool = False) -> None:
        super().__init__()
        self.red_alone = red_alone

    def decode(self, outputs, size):
        _, found = astronaut()
        found = Poses(COCO, (found.keypoints + 0.5) / 4 - 0.5, found.keypoint_scores, found.scores)  # 512 pixels are seen as 128
        blue = [bool(seen[2].mean() > seen[0].mean()) for seen in outputs["tag"]]
        return [Poses.empty(COCO) if self.red_alone and b else found for b in blue]


def test_issue_17_line_3_a_bgr_array_is_warned_of_once():
    photo = astronaut()[0]
    model = Model(Finds())
    with pytest.warns(UserWarning, match='seem to be BGR.*colour="bgr"') as said:
        model.predict([photo[..., ::-1].copy()] * 3)
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(photo)
        model.predict(photo[..., ::-1].copy(), colour="bgr")
        model.predict(photo[..., ::-1].copy(), colour="rgb")  # whoever says so is believed


def test_where_nobody_is_found_the_other_order_is_tried_once():
    red = np.zeros((512, 512, 3), np.uint8)
    red[..., 0] = 200
    method = Finds(red_alone=True)
    with pytest.warns(UserWarning, match="seem to be BGR"):
        assert len(Model(method).predict(red[..., ::-1].copy())) == 0
    assert len(method.seen) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(Model(method).predict(red)) == 1
    assert len(method.seen) == 3
