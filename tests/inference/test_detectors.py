"""Detectors in front of top-down methods: torchvision's by name, models of ours, functions; what they cannot do is one clear error."""

import sys
import urllib.error

import numpy as np
import pytest
import torch
import torchvision
from dots import FLY, BoxDots, Dots, photo_of

import manypose
from manypose.cli.__main__ import main
from manypose.inference.detectors import find_detector, torchvision_names
from manypose.inference.model import Model
from manypose.inference.options import PredictOptions
from manypose.inference.photos import PhotoInput
from manypose.inference.pipeline import detect
from manypose.io import photos as media
from manypose.methods.catalog import build
from manypose.poses.boxes import MARGINS, person_boxes
from manypose.poses.poses import Poses
from manypose.weights import files

JOINTS = np.array([[60.0, 50.0], [95.0, 60.0], [70.0, 90.0]])
LIGHT = "ssdlite320_mobilenet_v3_large"


def photo() -> np.ndarray:
    return photo_of((130, 170), JOINTS)


def whole(photos) -> list[np.ndarray]:
    """A detector that calls every photo a person, and something in it a weak one."""
    return [np.array([[40, 30, 120, 110, 0.9], [0, 0, 9, 9, 0.1]]) for _ in photos]


def test_a_function_finds_the_boxes(tmp_path):
    model = Model(BoxDots())
    poses = model.predict(photo(), detector=whole)
    assert len(poses) == 1
    assert np.abs(poses.keypoints[0] - JOINTS).max() < 1.5
    assert poses.scores[0] == pytest.approx(0.9 * model.predict(photo(), boxes=[[40, 30, 120, 110]]).scores[0], rel=1e-4)
    paths = [media.write(tmp_path / f"{i}.png", photo()) for i in range(5)]
    assert [len(p) for p in model.predict(paths, detector=whole, batch_size=2)] == [1] * 5
    assert sum(1 for _ in model.predict((photo() for _ in range(5)), detector=whole, batch_size=2)) == 5
    assert len(model.predict(photo(), detector=lambda photos: [[]] * len(photos))) == 0


def test_a_model_that_sees_whole_photos_finds_the_boxes():
    poses = Model(BoxDots()).predict(photo(), detector=Model(Dots()))
    assert len(poses) == 1
    assert np.abs(poses.keypoints[0] - JOINTS).max() < 1.5
    with pytest.raises(ValueError, match="needs boxes itself"):
        Model(BoxDots()).predict(photo(), detector=Model(BoxDots()))


def test_boxes_around_joints_grow_and_others_stay():
    keypoints, there, score = JOINTS[None].astype(np.float32), np.ones((1, 3), bool), np.array([0.7], np.float32)
    tight = person_boxes(keypoints, there, np.array([[60, 50, 95, 90]], np.float32), score)
    w, h = 35.0, 40.0
    left, top, right, bottom = MARGINS
    assert tight[0] == pytest.approx([60 - left * w, 50 - top * h, 95 + right * w, 90 + bottom * h, 0.7], abs=1e-3)
    own = np.array([[1, 2, 100, 120]], np.float32)
    assert person_boxes(keypoints, there, own, score)[0] == pytest.approx([1, 2, 100, 120, 0.7])
    empty = Poses.empty(FLY)
    assert person_boxes(empty.keypoints, empty.keypoint_scores > 0, empty.boxes, empty.scores).shape == (0, 5)


def test_photos_that_cannot_be_read_do_not_end_the_others(tmp_path):
    (tmp_path / "b.png").write_text("no photo")
    good = media.write(tmp_path / "a.png", photo())
    seen = []
    found = list(
        detect(
            lambda p: (seen.append(len(p)), whole(p))[1],
            [PhotoInput(good), PhotoInput(tmp_path / "b.png"), PhotoInput(good)],
            PredictOptions(),
        )
    )
    assert seen == [2]
    assert [None if i.boxes is None else len(i.boxes) for i in found] == [1, None, 1]
    assert "b.png" in str(found[1].error)
    with pytest.raises(ValueError, match="1 of 2 photos"):
        list(detect(lambda p: whole(p)[:1], [PhotoInput(good), PhotoInput(good)], PredictOptions()))


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """The lightest of torchvision's detectors with random weights, as a file."""
    torch.manual_seed(0)
    network = torchvision.models.get_model(LIGHT, weights=None, weights_backbone=None)
    path = tmp_path_factory.mktemp("detector") / "ssdlite.pth"
    torch.save(network.state_dict(), path)
    return path


def test_a_detector_of_torchvision_gives_people_alone(untrained):
    assert LIGHT in torchvision_names()
    detect = find_detector(LIGHT, weights=untrained, device="cpu")
    photos = [np.random.default_rng(i).integers(0, 255, (120 + 30 * i, 160, 3), np.uint8) for i in range(2)]
    found = detect(photos)  # pyright: ignore[reportCallIssue]
    network = torchvision.models.get_model(LIGHT, weights=None, weights_backbone=None)
    network.load_state_dict(torch.load(untrained, weights_only=True))
    with torch.inference_mode():
        raw = network.eval()([torch.from_numpy(p).permute(2, 0, 1) / 255 for p in photos])
    for mine, theirs, picture in zip(found, raw, photos, strict=True):
        people = theirs["labels"] == 1
        assert np.allclose(mine[:, :4], theirs["boxes"][people].numpy(), atol=1e-3)
        assert (mine[:, :4] >= 0).all()
        assert (mine[:, [2, 3]] <= [picture.shape[1], picture.shape[0]]).all()


@pytest.mark.slow
def test_a_detector_that_cannot_be_had_is_one_clear_error(untrained, tmp_path, monkeypatch):
    small: dict = {"stages": 1, "trunk": "tiny", "width": 8, "input_size": [64, 64]}
    top_down = files.save(build("mspn-1", **small), tmp_path / "x.safetensors", name="mspn-1", kwargs=small)
    with pytest.raises(ValueError, match=r"no detector 'fasterrcn' \(did you mean fasterrcnn_resnet50_fpn\?\); available: .*maskrcnn"):
        find_detector("fasterrcn")
    with pytest.raises(ValueError, match="needs boxes itself"):
        find_detector(str(top_down), device="cpu")
    with pytest.raises(ValueError, match=r"ssdlite\.pth: does not fit the detector 'ssd300_vgg16'"):
        find_detector("ssd300_vgg16", weights=untrained, device="cpu")
    with pytest.raises(FileNotFoundError, match=r"none\.pth"):
        find_detector(LIGHT, weights=tmp_path / "none.pth", device="cpu")

    def unreachable(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(ConnectionError, match=r"cannot download .*no network.*https://.*--detector-weights"):
        find_detector(LIGHT, device="cpu")


def test_the_command_line_takes_a_detector(untrained, tmp_path, capsys, monkeypatch):
    from manypose.cli import predict as to_files

    monkeypatch.setattr(to_files, "one_or_several", lambda *_, **__: Model(BoxDots()))
    path = media.write(tmp_path / "a.png", photo())
    more = ["--detector", LIGHT, "--detector-weights", str(untrained), "--detector-threshold", "0", "--device", "cpu"]
    assert main(["predict", str(path), "--out", str(tmp_path / "out"), *more]) == 0
    assert "in 1 photo" in capsys.readouterr().out
    (tmp_path / "boxes.json").write_text('{"a.png": [[40, 30, 120, 110], [9, 9, 9, 9], [NaN, 0, 1, 1]]}')
    assert main(["predict", str(path), "--out", str(tmp_path / "out"), "--boxes", str(tmp_path / "boxes.json")]) == 0
    said = capsys.readouterr()
    assert "1 person in 1 photo" in said.out
    assert "2 boxes were left out (1 not finite, 1 without an area)" in said.err
    assert main(["predict", str(path), "--out", str(tmp_path / "out"), "--boxes", str(tmp_path / "boxes.json"), *more]) == 1
    assert "give boxes or a detector, not both" in capsys.readouterr().err


def test_a_model_with_a_detector_of_its_own_needs_no_boxes(monkeypatch):
    model = Model(BoxDots(), "finder")
    monkeypatch.setattr(sys.modules["manypose.inference.model"], "_found", lambda name, *_: whole if name == "finder" else None)
    assert np.abs(model.predict(photo()).keypoints[0] - JOINTS).max() < 1.5
    assert len(model.predict(photo(), boxes=[[0, 0, 9, 9]])) == 0  # the user's boxes come first: nobody is there
    assert len(model.predict(photo(), detector=lambda photos: [np.zeros((0, 5)) for _ in photos])) == 0
    with pytest.raises(ValueError, match="give the boxes"):
        Model(BoxDots()).predict(photo())


def test_a_detector_of_this_package_looks_at_photos_of_any_size(tmp_path):
    small = {"trunk": "hrnet_w18_small", "size": 64}
    path = files.save(build("swahr-w32", **small), tmp_path / "x.safetensors", name="swahr-w32", kwargs=small)
    assert find_detector(str(path), device="cpu").size == 64  # pyright: ignore[reportAttributeAccessIssue]
    assert find_detector(f"{path}@96", device="cpu").size == 96  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ValueError, match="16 to 10,000 pixels"):
        find_detector(f"{path}@3", device="cpu")
    with pytest.raises(ValueError, match="only for models of this package"):
        find_detector(f"{LIGHT}@256", device="cpu")


@pytest.mark.parametrize("name", ["fast", None])
def test_the_bundled_top_down_models_find_people_by_themselves(name, tmp_path, capsys):
    picture = media.write(tmp_path / "grey.png", np.full((64, 80, 3), 127, np.uint8))
    model = manypose.load(name, device="cpu")
    assert model.detector
    assert model.predict(picture).keypoints.shape[1:] == (17, 2)
    assert main(["predict", str(picture), "--out", str(tmp_path / "out"), "--device", "cpu", *(["--model", name] if name else [])]) == 0
    assert "in 1 photo" in capsys.readouterr().out
