"""`manypose doctor` and `manypose doctor data`."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from shared import shared

from manypose import __version__
from manypose.cli import __main__ as cli
from manypose.cli import doctor
from manypose.io import photos as media
from manypose.io.files import write_json
from manypose.methods.catalog import build
from manypose.poses.skeleton import COCO
from manypose.weights import files

pytestmark = pytest.mark.usefixtures("untyped")


def run(*line: object) -> int:
    return cli.main([str(word) for word in line])


def test_what_is_installed(capsys: pytest.CaptureFixture):
    assert run("doctor", "--device", "cpu") == 0
    said = {line.split()[0]: line.partition(" ")[2].strip() for line in capsys.readouterr().out.splitlines()}
    assert said["manypose"].startswith(__version__)
    assert torch.__version__.startswith(said["torch"])
    assert said["[train]"] == said["[eval]"] == "installed"  # the tests need them
    for test in ("self-test", "graph-test"):
        assert "works" in said[test]
        assert files.DEFAULT in said[test]


def test_a_missing_extra_is_named_with_its_cure(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(doctor.EXTRAS, "video", ("av", "no_such_module"))
    assert run("doctor", "--device", "cpu") == 0
    assert "no_such_module missing: pip install 'manypose[video]'" in capsys.readouterr().out


def test_without_bundled_weights_the_network_is_tried_untrained(capsys: pytest.CaptureFixture, monkeypatch, tmp_path: Path):
    monkeypatch.setattr(doctor, "BUNDLED", tmp_path)
    assert run("doctor", "--device", "cpu") == 0
    said = capsys.readouterr().out
    assert "none come with this package" in said
    assert "untrained on cpu by torch: works" in said


def test_a_broken_model_fails(capsys: pytest.CaptureFixture, monkeypatch, tmp_path: Path):
    method = build(files.DEFAULT)
    torch.nn.init.constant_(next(method.parameters()), float("nan"))  # type: ignore[attr-defined]
    files.save(method, tmp_path / f"{files.DEFAULT}.safetensors", name=files.DEFAULT)
    monkeypatch.setattr(files, "BUNDLED", tmp_path)
    assert run("doctor", "--device", "cpu") == 1
    assert "not finite" in capsys.readouterr().err


def test_every_extra_is_checked():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no tomllib")
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    checked = {name for name in project["optional-dependencies"] if name not in ("all", "dev", "demo")}
    assert checked == set(doctor.EXTRAS)
    for extra, modules in doctor.EXTRAS.items():
        named = " ".join(project["optional-dependencies"][extra]).replace("-", "_")
        assert all(m in named for m in modules), extra


# ── data ──


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two photos with a person each."""
    for i in (1, 2):
        media.write(tmp_path / f"{i}.png", np.zeros((120, 160, 3), np.uint8))
    keypoints = [v for i in range(17) for v in (20 + i, 30 + 2 * i, 2)]
    people = [
        {"id": i, "image_id": i, "category_id": 1, "iscrowd": 0, "bbox": [15, 25, 40, 50], "area": 1500.0, "keypoints": keypoints}
        for i in (1, 2)
    ]
    images = [{"id": i, "file_name": f"{i}.png", "width": 160, "height": 120} for i in (1, 2)]
    category = {"id": 1, "name": "person", "keypoints": list(COCO.joints), "skeleton": []}
    write_json(tmp_path / "a.json", {"images": images, "annotations": people, "categories": [category]})
    return tmp_path


def check(dataset: Path, *more: object) -> int:
    return run("doctor", "data", "--annotations", dataset / "a.json", "--images", dataset, *more)


def test_a_good_data_set(dataset: Path, capsys: pytest.CaptureFixture):
    assert check(dataset, "--decode") == 0
    assert "2 photos, 2 people, 0 regions masked, 0 problems\n  nothing wrong\n" in capsys.readouterr().out


def test_what_was_mended_is_said_and_is_no_failure(dataset: Path, capsys: pytest.CaptureFixture):
    given = json.loads((dataset / "a.json").read_text())
    given["annotations"][1]["keypoints"][0] = 900
    write_json(dataset / "a.json", given)
    assert check(dataset) == 0
    said = capsys.readouterr()
    assert "keypoints outside the photo (mended): annotation 2" in said.out
    assert said.err == ""


def test_what_is_dropped_is_a_failure(dataset: Path, capsys: pytest.CaptureFixture):
    (dataset / "2.png").unlink()
    assert check(dataset) == 1
    assert "photo file missing (dropped): image 2" in capsys.readouterr().out


def test_decoding_finds_photos_of_another_size_and_broken_masks(dataset: Path, capsys: pytest.CaptureFixture):
    media.write(dataset / "1.png", np.zeros((50, 60, 3), np.uint8))
    given = json.loads((dataset / "a.json").read_text())
    given["annotations"][1]["segmentation"] = {"size": [120, 160], "counts": "no counts of any mask"}
    write_json(dataset / "a.json", given)
    assert check(dataset) == 0
    assert check(dataset, "--decode") == 1
    said = capsys.readouterr().out
    assert "1.png: the image is 60x50, its annotations are for 160x120" in said


def test_a_custom_data_set(dataset: Path, capsys: pytest.CaptureFixture):
    (dataset / "set.yaml").write_text("images: .\nannotations: a.json\nskeleton: coco\n")
    assert run("doctor", "data", "--annotations", dataset / "set.yaml") == 0  # a YAML is a custom data set
    assert capsys.readouterr().out.count("2 photos") == 1


def test_both_parts_of_a_custom_data_set_are_checked(dataset: Path, capsys: pytest.CaptureFixture):
    given = json.loads((dataset / "a.json").read_text())
    given["annotations"][0]["keypoints"] = [1, 2]
    write_json(dataset / "b.json", given)
    parts = "train: {images: ., annotations: a.json}\nval: {images: ., annotations: b.json}\nskeleton: coco\n"
    (dataset / "set.yaml").write_text(parts)
    assert run("doctor", "data", "--dataset", "custom", "--annotations", dataset / "set.yaml") == 1
    said = capsys.readouterr().out
    assert "a.json: 2 photos" in said
    assert "b.json: 2 photos" in said


SAMPLES = [
    ("coco", "coco/test_coco.json", "coco", "4 photos"),
    ("crowdpose", "crowdpose/test_crowdpose.json", "crowdpose", "2 photos"),
    ("mpii", "mpii/test_mpii.json", "mpii", "5 photos"),
    ("posetrack", "posetrack18/annotations/val", "posetrack18", "3 photos"),
    ("ochuman", "ochuman/test_ochuman.json", "ochuman", "3 photos"),
]


@pytest.mark.parametrize(("name", "annotations", "images", "says"), SAMPLES, ids=[s[0] for s in SAMPLES])
def test_samples_as_published(name: str, annotations: str, images: str, says: str, capsys: pytest.CaptureFixture):
    folder = shared("data", "format_samples")
    assert run("doctor", "data", "--dataset", name, "--annotations", folder / annotations, "--images", folder / images, "--decode") == 0
    assert says in capsys.readouterr().out


@pytest.mark.parametrize(("turned", "size", "pixels"), [(3, (60, 80), "stored"), (6, (80, 60), "upright"), (6, (60, 80), "stored")])
def test_photos_with_an_orientation_are_said_with_the_pixels_that_count(turned, size, pixels, tmp_path, capsys):
    exif = Image.Exif()
    exif[0x112] = turned
    Image.new("RGB", (80, 60)).save(tmp_path / "a.png", exif=exif)
    category = {"id": 1, "name": "person", "keypoints": list(COCO.joints)}
    person = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 50, 50], "area": 900, "keypoints": [5, 5, 2] * 17}
    image = {"id": 1, "file_name": "a.png", "height": size[0], "width": size[1]}
    (tmp_path / "a.json").write_text(json.dumps({"images": [image], "annotations": [person], "categories": [category]}))
    assert run("doctor", "data", "--annotations", tmp_path / "a.json", "--images", tmp_path, "--decode") == 0
    assert f"EXIF orientation: its annotations are assumed to refer to {pixels} pixels" in capsys.readouterr().out
