from dataclasses import fields

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jsonargparse import ArgumentParser, set_parsing_settings
from synthetic_people.drawn.scenes import SyntheticPeople
from torch.utils.data import DataLoader

from manypose.data.augmentation.mosaic import mosaic
from manypose.data.augmentation.views import Augment
from manypose.data.loading import Loader, Plan, Source, loader
from manypose.data.sample import Sample
from manypose.poses.skeleton import COCO, CROWDPOSE

PEOPLE = SyntheticPeople(length=9, seed=3, size=(40, 52), people=(1, 2))
MORE = SyntheticPeople(length=5, seed=4, size=(36, 36), people=(0, 1))


def make(workers: int = 0, **changes) -> Loader:
    given = {"length": 14, "seed": 11, "workers": workers, **changes}
    return loader([Source(PEOPLE, 2.0, mosaic=0.4), Source(MORE, 1.0)], Augment(size=64), 3, **given)


def same(a, b) -> bool:
    pairs = [(getattr(a, f.name), getattr(b, f.name)) for f in fields(a)]
    return all(x is y is None or torch.equal(x, y) for x, y in pairs)


def test_batches_do_not_depend_on_the_number_of_workers():
    alone, helped = list(make(0)), list(make(2))
    assert len(alone) == len(make()) == 4
    assert all(same(a, b) for a, b in zip(alone, helped, strict=True))
    assert alone[0].images.shape == (3, 64, 64, 3)


def test_epochs_differ_and_can_be_entered_anywhere():
    data = make()
    first = list(data)
    data.set_epoch(1)
    second = list(data)
    assert not same(first[0], second[0])
    data.set_epoch(1, 2)
    rest = list(data)
    assert [same(a, b) for a, b in zip(rest, second[2:], strict=True)] == [True, True]
    data.set_epoch(0)
    assert all(same(a, b) for a, b in zip(data, first, strict=True))
    persistent = make(1)
    persistent.set_epoch(1, 3)
    assert same(next(iter(persistent)), second[3])


def test_processes_share_the_batches():
    data = make()
    whole = list(data)
    for process in (0, 1):
        data.set_epoch(0, 0, process, 2)
        assert all(same(a, b) for a, b in zip(data, whole[process::2], strict=True))


@given(st.lists(st.tuples(st.integers(1, 40), st.floats(0.1, 5)), min_size=1, max_size=4), st.integers(1, 90), st.integers(0, 99))
def test_every_source_gives_its_share_and_every_photo_its_turn(sources, length, seed):
    lengths, weights = zip(*sources, strict=True)
    plan = Plan(lengths, weights, length, 1, seed)
    seen = [np.zeros(n, int) for n in lengths]
    for epoch in range(3):
        plan.set_epoch(epoch)
        keys = list(plan)
        assert [k.place for k in keys] == list(range(length))
        for s, weight in enumerate(weights):
            count = sum(k.source == s for k in keys)
            assert abs(count - weight / sum(weights) * length) <= 1
        for k in keys:
            seen[k.source][k.item] += 1
    assert all(np.ptp(s) <= 1 for s in seen)


def test_without_shuffling_samples_come_in_order():
    plan = Plan([4, 2], [2, 1], 6, 1, 0, shuffle=False)
    assert [(k.source, k.item) for k in plan] == [(0, 0), (1, 0), (0, 1), (0, 2), (1, 1), (0, 3)]


@pytest.mark.parametrize(
    ("sources", "size", "length", "message"),
    [
        ([], 1, 4, "no data"),
        ([Source(PEOPLE, -1.0)], 1, 4, "weights"),
        ([Source(PEOPLE, 0.0)], 1, 4, "weights"),
        ([Source(PEOPLE)], 5, 4, "batch_size"),
        ([Source(PEOPLE)], 0, 4, "batch_size"),
    ],
)
def test_what_cannot_be_loaded_is_refused(sources, size, length, message):
    with pytest.raises(ValueError, match=message):
        loader(sources, None, size, length=length, seed=0)


class Broken:
    def __len__(self) -> int:
        return 2

    def __getitem__(self, i: int) -> Sample:
        raise ValueError("photos/000123.jpg: not a picture")


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_a_worker_names_the_file(workers):
    with pytest.raises(ValueError, match=r"photos/000123\.jpg"):
        list(loader([Source(Broken())], None, 1, length=2, seed=0, workers=workers))


def test_empty_sources_are_refused():
    class Nothing(Broken):
        def __len__(self) -> int:
            return 0

    with pytest.raises(ValueError, match="empty"):
        loader([Source(Nothing())], None, 1, length=2, seed=0)


def ramp(red: int, size: tuple[int, int], joint: tuple[float, float], planes: int = 1) -> Sample:
    """A photo whose red tells which it is and whose green and blue tell x and y, with one person of one joint."""
    h, w = size
    image = np.stack(np.broadcast_arrays(np.full((h, w), red), np.arange(w)[None], np.arange(h)[:, None]), -1).astype(np.uint8)
    keypoints = np.zeros((1, 17, 3), np.float32)
    keypoints[0, 3] = *joint, 2
    box = np.array([[joint[0] - 9, joint[1] - 9, joint[0] + 9, joint[1] + 9]], np.float32)
    mask = np.ones((planes, h, w), np.uint8)
    if planes > 1:
        mask[0] = 0
    return Sample(COCO, image, keypoints, box, np.array([324], np.float32), mask, None if red == 40 else np.zeros((h, w), np.uint8), red)


@pytest.mark.slow
@given(st.integers(0, 10**6), st.floats(10, 120), st.floats(10, 90))
def test_people_of_a_mosaic_are_where_their_pixels_are(seed, jx, jy):
    parts = [ramp(red, (100, 130), (jx, jy), 17 if red == 20 else 1) for red in (20, 40, 60, 80)]
    whole = mosaic(parts, np.random.default_rng(seed))
    side = whole.image.shape[0]
    assert whole.image.shape == (side, side, 3)
    assert whole.mask.shape == (17, side, side)
    for keypoints, box in zip(whole.keypoints, whole.boxes, strict=True):
        x, y, v = keypoints[3]
        assert v == 2
        assert not np.delete(keypoints, 3, 0).any()
        assert box[0] - 1 <= x <= box[2] + 1
        assert box[1] - 1 <= y <= box[3] + 1
        pixel = whole.image[min(side - 1, round(float(y))), min(side - 1, round(float(x)))]
        assert pixel[0] in (20, 40, 60, 80)
        assert np.abs(pixel[1:].astype(float) - (jx, jy)).max() < 2
    # The face joint's plane is 0 in the quarter of the photo whose face points are not annotated, and only there.
    red = whole.image[..., 0]
    flat = cv2.erode(red, np.ones((3, 3))) == cv2.dilate(red, np.ones((3, 3)))  # a photo's own edge blends into black
    looked = (whole.mask[1] == 1) & flat
    assert np.isin(red[looked], (20, 40, 60, 80)).all()
    assert np.array_equal(whole.mask[0][looked] == 1, red[looked] != 20)
    assert looked.mean() > 0.5
    assert whole.segmentation is not None
    assert (whole.segmentation[looked & (red == 40)] == 255).all()
    assert (whole.segmentation[looked & (red == 60)] == 0).all()


def test_mosaics_need_four_of_one_kind():
    part = ramp(20, (60, 60), (30, 30))
    with pytest.raises(ValueError, match="four"):
        mosaic([part] * 3, np.random.default_rng(0))
    other = Sample(CROWDPOSE, part.image, part.keypoints[:, :14], part.boxes, part.areas, part.mask)
    with pytest.raises(ValueError, match="one skeleton"):
        mosaic([part, part, part, other], np.random.default_rng(0))


def test_a_loader_can_be_written_as_yaml(tmp_path):
    def training(data: DataLoader) -> DataLoader:
        return data

    (tmp_path / "data.yaml").write_text(
        """
data:
  class_path: manypose.data.loader
  init_args:
    sources:
      - dataset: {class_path: synthetic_people.drawn.scenes.SyntheticPeople, init_args: {length: 8, size: [40, 40], people: [1, 2]}}
        weight: 2
        mosaic: 0.5
      - dataset:
          class_path: synthetic_people.drawn.scenes.SyntheticPeople
          init_args: {length: 4, seed: 1, size: [48, 48], people: [0, 1]}
    augment: {class_path: manypose.data.Augment, init_args: {size: 64, scale: [0.8, 1.2], colour: {hue: 0.0}}}
    batch_size: 2
    length: 6
    seed: 1
"""
    )
    set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=["manypose", "synthetic_people"])  # as --allow-import does
    parser = ArgumentParser(exit_on_error=False)
    parser.add_function_arguments(training)
    parser.add_argument("--config", action="config")
    data = parser.instantiate(parser.parse_args(["--config", str(tmp_path / "data.yaml")])).data
    assert isinstance(data, Loader)
    assert [b.images.shape for b in data] == [(2, 64, 64, 3)] * 3
