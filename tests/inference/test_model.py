"""Prediction with a method that finds coloured dots: every kind of input, in photo pixels, at any batch size."""

import numpy as np
import pytest
import torch
from dots import FLY, BoxDots, Dots, photo_of
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import manypose
from manypose.inference.model import Model
from manypose.inference.options import PredictOptions
from manypose.inference.photos import PhotoInput
from manypose.inference.pipeline import pose
from manypose.io import photos as media
from manypose.io import videos as video
from manypose.poses.boxes import with_scores
from manypose.poses.poses import Poses
from manypose.poses.warp import Warp


def joints_in(size: tuple[int, int], seed: int, margin: float = 12.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    while True:
        xy = rng.uniform(margin, np.array(size[::-1]) - margin, (3, 2))
        apart = np.hypot(*(xy[:, None] - xy[None]).transpose(2, 0, 1)) + 1e9 * np.eye(3)
        if apart.min() > 2.5 * margin:
            return xy


def example(size=(130, 170), seed=0):
    joints = joints_in(size, seed)
    return photo_of(size, joints), joints


@pytest.fixture
def model():
    return Model(Dots())


def off(poses: Poses, joints: np.ndarray) -> float:
    assert len(poses) == 1
    return float(np.abs(poses.keypoints[0] - joints).max())


# ── kinds of input ──


def test_every_way_to_give_one_photo(model, tmp_path):
    photo, joints = example()
    path = media.write(tmp_path / "a.png", photo)
    tensor = torch.from_numpy(photo)
    ways = [
        path, str(path), photo, photo / 255, photo.astype(np.uint16) * 257, np.dstack([photo, np.full(photo.shape[:2], 255, np.uint8)]),
        Image.fromarray(photo), tensor, tensor.permute(2, 0, 1), tensor.permute(2, 0, 1).float() / 255,
    ]  # fmt: skip
    for way in ways:
        poses = model.predict(way)
        assert isinstance(poses, Poses)
        assert off(poses, joints) < 0.6
        assert poses.skeleton == FLY


def test_several_photos_come_in_order(model, tmp_path):
    made = [example((100 + 13 * i, 180 - 9 * i), i) for i in range(7)]
    paths = [media.write(tmp_path / f"{i}.png", photo) for i, (photo, _) in enumerate(made)]
    (tmp_path / "notes.txt").write_text("x")
    for source in ([p for p, _ in made], paths, [str(p) for p in paths], str(tmp_path / "*.png")):
        found = model.predict(source, batch_size=3)
        assert isinstance(found, list)
        assert len(found) == 7
        assert all(off(p, joints) < 0.8 for p, (_, joints) in zip(found, made, strict=True))
    with pytest.warns(UserWarning, match="skipped 1 files that are not photos"):
        assert len(model.predict(tmp_path)) == 7
    same = np.stack([photo_of((96, 128), joints_in((96, 128), i)) for i in range(3)])
    for stack in (same, torch.from_numpy(same), torch.from_numpy(same).permute(0, 3, 1, 2)):
        assert len(model.predict(stack)) == 3


def test_streams_are_lazy_and_bounded(model):
    made = []

    def photos():
        for i in range(100):
            made.append(i)
            yield example((96, 128), i % 5)[0]

    found = model.predict(photos(), batch_size=4)
    assert not made
    first = next(found)
    assert len(first) == 1
    assert len(made) <= 30
    assert first.photo is None  # or memory would grow with the stream
    assert sum(1 for _ in found) == 99


def test_a_video_is_a_pose(model, tmp_path):
    pytest.importorskip("av", reason="the extra 'video' is not installed")
    joints = [joints_in((128, 160), 3) + np.array([i, 0]) for i in range(6)]
    with video.writer(tmp_path / "a.mp4", 10) as add:
        for j in joints:
            add(photo_of((128, 160), j, 7))
    found = model.predict(tmp_path / "a.mp4")
    assert not isinstance(found, list)
    assert [off(p, j) < 1.5 for p, j in zip(found, joints, strict=True)] == [True] * 6


def test_exif_orientation_reaches_the_result(model, tmp_path):
    photo, joints = example()
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned counter-clockwise
    Image.fromarray(np.ascontiguousarray(np.rot90(photo))).save(tmp_path / "a.png", exif=exif)
    assert off(model.predict(tmp_path / "a.png"), joints) < 0.6


# ── the same people, however they are computed ──


@given(
    st.tuples(st.integers(80, 400), st.integers(80, 400)),
    st.integers(0, 999),
    st.booleans(),
    st.sampled_from([(1.0,), (0.5, 1.0, 1.5), (1.3, 0.8)]),
)
def test_people_are_where_they_are(size, seed, flip, scales):
    """Any size of photo, flips and scales: an error of more than half a pixel would be one in the geometry."""
    joints = joints_in(size, seed, margin=0.12 * min(size))
    photo = photo_of(size, joints, radius=0.04 * min(size) + 1)
    poses = Model(Dots()).predict(photo, flip=flip, scales=scales, size=256)
    assert off(poses, joints) < 0.5 * max(1, min(size) / 256)


def test_flips_and_scales_meet_to_a_tenth_of_a_pixel(model):
    photo, joints = example((240, 320), 5)
    plain = model.predict(photo, size=480)
    for options in ({"flip": True}, {"scales": (1.0, 2.0)}, {"scales": (0.5, 1.0, 1.5), "flip": True}):
        assert np.abs(model.predict(photo, size=480, **options).keypoints - plain.keypoints).max() < 0.1
    assert off(plain, joints) < 0.2


@pytest.mark.parametrize("options", [{}, {"flip": True, "scales": (0.5, 1.0, 1.5)}, {"published": True}])
def test_any_batch_size_gives_the_same(model, options):
    photos = [example((96 + 16 * (i % 3), 128 + 32 * (i % 2)), i)[0] for i in range(11)]
    alone = [model.predict(p, **options) for p in photos]
    for batch_size in (1, 2, 3, 16):
        model.method.seen.clear()
        together = model.predict(photos, batch_size=batch_size, **options)
        assert max(shape[0] for shape in model.method.seen) <= batch_size
        for a, b in zip(alone, together, strict=True):
            assert np.abs(a.keypoints - b.keypoints).max() < 1e-3
            assert np.allclose(a.scores, b.scores, atol=1e-5)


def test_batches_are_filled_across_sizes(model):
    photos = [example((96, 128) if i % 2 else (128, 96), i)[0] for i in range(16)]
    model.predict(photos, batch_size=4)
    assert [shape[0] for shape in model.method.seen] == [4, 4, 4, 4]


def test_published_sizes(model):
    photo, joints = example((120, 160), 2)
    assert off(model.predict(photo, published=True, size=512), joints) < 0.5
    assert model.method.seen[-1][2:] == (512, 704)
    model.predict(photo, published=True, size=512, scales=(0.5, 1.0, 2.0))
    assert sorted(s[2:] for s in model.method.seen[-3:]) == [(256, 384), (512, 768), (1024, 1536)]


def test_mixed_precision_stays_close(model, monkeypatch):
    photo, joints = example()
    monkeypatch.setattr("manypose.nn.device.bf16_is_faster", lambda device: True)
    assert off(model.predict(photo, mixed=True), joints) < 0.8


def test_mixed_precision_is_refused_where_it_is_slower(model, monkeypatch):
    monkeypatch.setattr("manypose.nn.device.bf16_is_faster", lambda device: False)
    with pytest.raises(ValueError, match="several times slower on this CPU"):
        model.predict(example()[0], mixed=True)
    with pytest.raises(ValueError, match="--runtime torch"):
        manypose.load(device="cpu").predict(example()[0], mixed=True)


# ── what comes out ──


def test_nobody(model):
    poses = model.predict(np.full((50, 60, 3), 128, np.uint8))
    assert len(poses) == 0
    assert poses.skeleton == FLY


class Strange(Dots):
    """Gives people that must not come out."""

    def decode(self, outputs, size):
        keypoints = np.full((5, 3, 2), 10, np.float32)
        scores = np.full((5, 3), 0.5, np.float32)
        person = np.array([0.9, 0.8, np.nan, 0.7, 0.2], np.float32)
        keypoints[1, 1] = np.nan
        scores[3] = 0
        boxes = np.tile(np.array([1, 2, 30, 40], np.float32), (5, 1))
        return [Poses(FLY, keypoints, scores, person, boxes) for _ in outputs["heat"]]


def test_people_that_are_not_finite_or_have_no_joints_never_come_out():
    model = Model(Strange())
    assert np.allclose(model.predict(example()[0]).scores, [0.9, 0.2])
    assert np.allclose(model.predict(example()[0], threshold=0.5).scores, [0.9])


def test_people_know_their_photo(model, tmp_path):
    photo, _ = example()
    path = media.write(tmp_path / "a.png", photo)
    assert model.predict(path).photo == path
    model.predict(path).draw(tmp_path / "b.png")
    assert (tmp_path / "b.png").exists()
    assert model.predict(photo).draw().shape == photo.shape


def test_a_method_in_training_stays_so(model):
    model.method.train()
    model.predict(example()[0])
    assert model.method.training


# ── boxes, for methods that look at one person at a time ──


def two_people():
    size = (200, 300)
    joints = [joints_in((90, 90), 1) + np.array([20, 40]), joints_in((90, 90), 2) + np.array([180, 80])]
    photo = np.minimum(photo_of(size, joints[0]).astype(int) + photo_of(size, joints[1]) - 60, 255).clip(0).astype(np.uint8)
    boxes = np.array([[15, 35, 115, 135], [175, 75, 275, 175]], np.float32)
    return photo, joints, boxes


def test_top_down_finds_who_is_in_each_box(tmp_path):
    photo, joints, boxes = two_people()
    model = Model(BoxDots())
    poses = model.predict(photo, boxes=boxes)
    assert len(poses) == 2
    left_to_right = poses.keypoints[np.argsort(poses.keypoints[:, 0, 0])]  # people come best first
    for found, true in zip(left_to_right, joints, strict=True):
        assert np.abs(found - true).max() < 1.5
    halved = model.predict(photo, boxes=np.column_stack([boxes, [0.5, 1.0]]))
    order = np.argsort(halved.keypoints[:, 0, 0])
    assert np.allclose(halved.scores[order], poses.scores[np.argsort(poses.keypoints[:, 0, 0])] * [0.5, 1], rtol=1e-4)
    assert len(model.predict(photo, boxes=np.zeros((0, 4)))) == 0
    assert len(model.predict(photo, boxes=[])) == 0
    assert [len(p) for p in model.predict([photo, photo], boxes=[boxes, boxes[:1]])] == [2, 1]
    path = media.write(tmp_path / "a.png", photo)
    assert len(model.predict(path, boxes={"a.png": boxes[:1]})) == 1
    assert [len(p) for p in model.predict([path, path], boxes={"a": boxes})] == [2, 2]
    (tmp_path / "boxes.json").write_text('{"a.png": [[15, 35, 115, 135]]}')
    assert [len(p) for p in model.predict(str(tmp_path / "*.png"), boxes=tmp_path / "boxes.json")] == [1]


def test_the_same_person_in_two_boxes_comes_out_once():
    photo, _, boxes = two_people()
    assert len(Model(BoxDots()).predict(photo, boxes=boxes[[0, 0, 1]] + [[0], [1], [0]])) == 2


BAD = [
    [np.nan, 2, 30, 40],
    [10, 20, np.inf, 40],
    [10, 20, 30, 40, np.nan],
    [50, 50, 50, 90],
    [50, 50, 40, 90],
    [50, 50, 50.05, 90],
    [-30, -30, -2, -2],
    [5000, 20, 5100, 90],
    [1e38, 1e38, 3e38, 3e38],
    [-3e38, 0, 3e38, 3e38, 1e39],
]


@given(st.lists(st.sampled_from(range(len(BAD))), max_size=12), st.permutations(range(14)), st.integers(1, 5))
def test_bad_boxes_are_left_out_and_counted_and_change_nothing_else(bad, order, batch_size):
    photo, _, boxes = two_people()
    good = [[*b, 1.0] for b in boxes.tolist()]
    given_ = [(good + [[*BAD[i], 1.0][:5] for i in bad])[j] for j in order if j < 2 + len(bad)]
    items = [PhotoInput(photo, with_scores(given_)), PhotoInput(photo, with_scores(good))]
    mixed, alone = pose(BoxDots(), items, PredictOptions(batch_size=batch_size))
    assert sum(mixed.skipped.values()) == len(bad)
    assert not alone.skipped
    assert mixed.poses is not None
    assert alone.poses is not None
    assert np.allclose(mixed.poses.keypoints, alone.poses.keypoints, atol=1e-4)


def test_bad_boxes_are_told_in_python():
    photo, _, boxes = two_people()
    rows = np.concatenate([boxes, [[np.nan, 0, 1, 1], [9, 9, 9, 9], [-9, -9, -4, -4], [7, 7, 6, 8]]])
    with pytest.warns(UserWarning, match=r"4 boxes were left out \(1 not finite, 2 without an area, 1 outside the photo\)"):
        assert len(Model(BoxDots()).predict(photo, boxes=rows)) == 2
    with pytest.warns(UserWarning, match=r"photo 1: 1 box was left out"):
        found = Model(BoxDots()).predict([photo, photo], boxes=[boxes, np.array([[0, 0, 0, 0]])])
    assert [len(p) for p in found] == [2, 0]


@pytest.mark.slow
def test_thousands_of_boxes_are_cut_out_a_batch_at_a_time(monkeypatch):
    photo, _, boxes = two_people()
    alive, most, image = [0], [0], Warp.image

    class Counted(np.ndarray):
        def __del__(self):
            alive[0] -= self.base is not None and self.size == 96 * 64 * 3

    def counted(warp: Warp, picture: np.ndarray) -> np.ndarray:
        alive[0] += 1
        most[0] = max(most[0], alive[0])
        return image(warp, picture).view(Counted)

    monkeypatch.setattr(Warp, "image", counted)
    shifts = np.random.default_rng(0).uniform(-3, 3, (1500, 1))
    poses = Model(BoxDots()).predict([photo, photo], boxes=[boxes[np.arange(1500) % 2] + shifts, boxes], batch_size=8)
    assert len(poses[0]) >= 2
    assert len(poses[1]) == 2
    assert 8 <= most[0] <= 40


# ── what is refused, in one line ──


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": ()}, "scales"),
        ({"scales": (1.0, 0.0)}, "scales"),
        ({"scales": (1.0, 1.0)}, "scales"),
        ({"size": 0}, "size"),
        ({"batch_size": 0}, "batch_size"),
        ({"threshold": float("nan")}, "threshold"),
        ({"boxes": np.zeros((1, 4))}, "takes no boxes"),
    ],
)
def test_bad_options(model, options, message):
    with pytest.raises(ValueError, match=message):
        model.predict(example()[0], **options)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        (None, "give the boxes"),
        (np.zeros((2, 3)), "boxes must be"),
        ([["a", 2, 3, 5]], "numbers"),
    ],
)
def test_bad_boxes_are_refused(boxes, message):
    with pytest.raises(ValueError, match=message):
        Model(BoxDots()).predict(example()[0], boxes=boxes)


def test_boxes_that_match_nothing(tmp_path):
    model, photo = Model(BoxDots()), example()[0]
    path = media.write(tmp_path / "a.png", photo)
    with pytest.raises(ValueError, match="none of the 1 photos with boxes"):
        model.predict(path, boxes={"b.png": [[1, 2, 3, 4]]})
    with pytest.raises(ValueError, match="arrays of boxes"):
        model.predict([photo, photo], boxes=[[[1, 2, 30, 40]]])
    with pytest.raises(ValueError, match="for files"):
        model.predict([photo], boxes={"b.png": [[1, 2, 3, 4]]})
    with pytest.raises(ValueError, match="takes crops of single people"):
        model.predict(photo, boxes=[[1, 2, 30, 40]], scales=(0.5, 1))


def test_bad_sources(model, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.jpg"):
        model.predict(tmp_path / "none.jpg")
    (tmp_path / "text.jpg").write_text("no photo")
    with pytest.raises(ValueError, match=r"text\.jpg"):
        model.predict(tmp_path / "text.jpg")
    with pytest.raises(ValueError, match=r"photo 1: .*shape"):
        model.predict([example()[0], np.zeros((3, 5, 7))])
    with pytest.raises(TypeError, match="float"):
        model.predict(5.0)
    with pytest.raises(TypeError, match="NoneType"):
        model.predict([None])
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "a.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(60))
    with pytest.raises(ValueError, match="only videos"):
        model.predict(tmp_path / "v")


def test_a_stream_that_breaks_gives_what_came_before(model):
    def photos():
        for i in range(5):
            yield example((96, 128), i)[0]
        raise OSError("the camera is gone")

    found = model.predict(photos(), batch_size=4)
    got = []
    with pytest.raises(OSError, match="camera"):
        got.extend(iter(found))
    assert not got or len(got) == 5
    results = pose(Dots(), (PhotoInput(p) for p in photos()), PredictOptions(batch_size=4))
    assert [next(results).poses is not None for _ in range(5)] == [True] * 5


def test_one_bad_photo_does_not_end_the_pose(tmp_path):
    items = [PhotoInput(example((96, 128), 0)[0]), PhotoInput(tmp_path / "none.png"), PhotoInput(example((96, 128), 1)[0])]
    results = list(pose(Dots(), items, PredictOptions()))
    assert [r.error is None for r in results] == [True, False, True]
    assert "none.png" in str(results[1].error)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(model):
    with pytest.raises(ValueError, match="GPU"):
        model.to("cuda")
    assert model.to("auto").device.type == "cpu"


def test_public_names():
    assert manypose.predict(example()[0], Model(Dots())).skeleton == FLY
    with pytest.raises(ValueError, match="no model"):
        manypose.load("no such model")
    assert {"load", "predict", "Poses", "Skeleton", "Method"} <= set(manypose.__all__)
