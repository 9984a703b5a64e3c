"""``train --data my.yaml``: a whole training on a data set of one's own, from one line."""

import json
from pathlib import Path

import pytest
import yaml

import manypose
from manypose.cli.__main__ import main
from manypose.data.datasets.custom import describe
from manypose.io.safetensors import read_about
from manypose.methods.catalog import build
from manypose.weights import files as weights

pytestmark = pytest.mark.usefixtures("untyped")

SMALL = ["--epochs", "1", "--batch-size", "2", "--data.length", "4", "--device", "cpu", "--log", "csv"]


@pytest.fixture(scope="module")
def busts(tmp_path_factory, own_data) -> Path:
    """The data set of docs/own-data.md: three photos, five joints."""
    folder = tmp_path_factory.mktemp("busts")
    own_data(folder)
    return folder


def run(*words: object) -> None:
    assert main([str(w) for w in words]) == 0


@pytest.mark.slow
def test_issue_17_line_9_from_labels_to_an_evaluated_model(busts, tmp_path, capsys):
    out = tmp_path / "run"
    run("train", "--data", busts / "busts.yaml", "--model", "fast", "--out", out, *SMALL)
    said = capsys.readouterr().out
    assert "started from" in said
    assert "held_out/AP" in said
    assert {"best.safetensors", "mspn-mobile-fast.safetensors", "curves.csv", "first_batch.jpg"} <= {p.name for p in out.iterdir()}

    model = manypose.load(out / "best.safetensors")
    assert model.skeleton.joints == ("nose", "left_eye", "right_eye", "left_shoulder", "right_shoulder")
    assert model.detector == "nanodet-fast"  # these joints are a person's

    run("train", "--data", busts / "busts.yaml", "--model", "fast", "--out", out, *SMALL[2:], "--epochs", 2)
    assert read_about(out / "mspn-mobile-fast.safetensors")["step"] == 4  # raising the epochs of a finished run goes on
    assert "step 2:" not in capsys.readouterr().out

    run(
        "evaluate",
        "--dataset",
        busts / "busts.yaml",
        "--model",
        out / "best.safetensors",
        "--boxes",
        "annotated",
        "--json",
        tmp_path / "a.json",
    )
    assert "1 images" in capsys.readouterr().out.replace("1 photos", "1 images")
    run("predict", busts / "photos/hopper.jpg", "--model", out / "best.safetensors", "--out", tmp_path / "found", "--threshold", 0)


def test_print_config_shows_all_defaults(busts, capsys):
    assert (
        main(["train", "--data", str(busts / "busts.yaml"), "--model", "fast", "--epochs", "50", "--init", "none", "--print-config"]) == 0
    )
    given = yaml.safe_load(capsys.readouterr().out)
    assert given["init"] is None
    assert given["schedule"]["epochs"] == 50
    assert given["validation"]["patience"] == 20
    assert given["validation"]["measure"]["init_args"]["dataset"] == str(busts / "busts.yaml")
    assert given["data"]["init_args"]["augment"]["init_args"]["size"] == [192, 128]
    assert given["skeleton"]["joints"][0] == "nose"


def test_a_bottom_up_model_sees_whole_photos(busts, capsys):
    assert main(["train", "--data", str(busts / "busts.yaml"), "--model", "multiposenet-mobile", "--print-config"]) == 0
    loaded = yaml.safe_load(capsys.readouterr().out)["data"]["init_args"]
    assert loaded["sources"][0]["dataset"]["class_path"].endswith("custom")
    assert loaded["augment"]["class_path"].endswith("Augment")


@pytest.mark.slow
def test_joints_that_are_no_persons_ask_for_boxes(busts, tmp_path, capsys):
    for name in ("train", "val"):
        given = json.loads((busts / f"{name}.json").read_text())
        given["categories"][0] |= {"name": "cat", "keypoints": ["nose", "left_ear", "right_ear", "tail", "paw"]}
        (tmp_path / f"{name}.json").write_text(json.dumps(given))
    part = {n: {"images": str(busts / "photos"), "annotations": str(tmp_path / f"{n}.json")} for n in ("train", "val")}
    (tmp_path / "cats.yaml").write_text(yaml.safe_dump({**part, "sigmas": 0.05}))
    run("train", "--data", tmp_path / "cats.yaml", "--model", "fast", "--out", tmp_path / "run", *SMALL)
    said = capsys.readouterr().err
    assert "detectors find people and no 'cat'" in said
    assert "--model multiposenet-mobile" in said
    assert (
        main(["predict", str(busts / "photos/hopper.jpg"), "--model", str(tmp_path / "run/best.safetensors"), "-o", str(tmp_path / "o")])
        == 1
    )
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "joints of 'cat' in boxes" in said
    assert "--detector fasterrcnn_resnet50_fpn_v2:dog" in said
    assert "--detector RUN/best.safetensors" in said

    cat = describe(tmp_path / "cats.yaml").skeleton
    weights.save(build("multiposenet-mobile", skeleton=cat), tmp_path / "boxes.safetensors", name="multiposenet-mobile")
    words = ["--detector", f"{tmp_path / 'boxes.safetensors'}@32", "--detector-threshold", 0, "--threshold", 0, "--no-pictures"]
    run(
        "predict",
        busts / "photos/hopper.jpg",
        "--model",
        tmp_path / "run/best.safetensors",
        "-o",
        tmp_path / "o",
        "--format",
        "jsonl",
        *words,
    )
    assert len(json.loads((tmp_path / "o/poses.jsonl").read_text())["people"])


def test_wrong_words_are_one_line(busts, tmp_path, capsys):
    assert main(["train", "--data", str(busts / "busts.yaml"), "--epochs", "many"]) == 2
    assert "--epochs and --batch-size must be numbers, got many" in capsys.readouterr().err
    assert main(["train", "--data", str(tmp_path / "none.yaml"), "--model", "fast"]) == 1
    assert "none.yaml: no such data set YAML" in capsys.readouterr().err
    assert main(["train", "--data", str(busts / "busts.yaml"), "--model", "fist"]) == 1
    assert "did you mean fast" in capsys.readouterr().err
