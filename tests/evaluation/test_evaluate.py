"""Evaluation end to end: drawn people, result files, protocols, several processes, bad input."""

import json
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from dots import FLY, BoxDots, Dots, photo_of
from shared import REPOSITORY, shared

from manypose.cli.__main__ import main
from manypose.data.datasets.annotation_report import Report
from manypose.data.datasets.mpii_files import MpiiPeople
from manypose.evaluation.evaluate import evaluate
from manypose.inference.model import Model
from manypose.methods.method import Field
from manypose.poses.poses import Poses
from manypose.poses.skeleton import MPII, Skeleton


class Blurred(Dots):
    """Dots whose people are a little off, by an amount that depends on the photo: no AP of 1."""

    def decode(self, outputs: dict, size: tuple[int, int]) -> list[Poses]:
        found = super().decode(outputs, size)
        return [Poses(FLY, p.keypoints + np.float32(p.keypoints[:, :1].round() % 7), p.keypoint_scores, p.scores) for p in found]


@pytest.fixture(scope="module")
def flies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of its own: 13 photos of two sizes, one person in each of 10."""
    root = tmp_path_factory.mktemp("flies")
    rng = np.random.default_rng(5)
    images, people = [], []
    for i in range(13):
        h, w = ((128, 160), (150, 128))[i % 2]
        joints = rng.uniform(30, 100, (3, 2))
        while np.linalg.norm(joints[:, None] - joints[None], axis=-1)[np.triu_indices(3, 1)].min() < 25:
            joints = rng.uniform(30, 100, (3, 2))
        photo = photo_of((h, w), joints) if i % 4 != 3 else np.full((h, w, 3), 60, np.uint8)
        cv2.imwrite(str(root / f"{i:03d}.png"), cv2.cvtColor(photo, cv2.COLOR_RGB2BGR))
        images.append({"id": 100 - i, "file_name": f"{i:03d}.png", "height": h, "width": w})
        if i % 4 != 3:
            low, high = joints.min(0), joints.max(0)
            flat = np.concatenate([joints, np.full((3, 1), 2)], 1).ravel().tolist()
            people.append(
                {"id": i + 1, "image_id": 100 - i, "category_id": 1, "iscrowd": 0,
                 "bbox": [*(low - 6).tolist(), *(high - low + 12).tolist()],
                 "area": 2500.0, "keypoints": flat, "num_keypoints": 3}
            )  # fmt: skip
    category = {"id": 1, "name": "person", "keypoints": list(FLY.joints), "skeleton": [[1, 3], [2, 3]], "sigmas": list(FLY.sigmas)}
    (root / "people.json").write_text(json.dumps({"images": images, "annotations": people, "categories": [category]}))
    (root / "flies.yaml").write_text("images: .\nannotations: people.json\n")
    return root


def run(flies: Path, method: torch.nn.Module | None = None, **options):
    return evaluate(model=Model(method or Blurred()), dataset=str(flies / "flies.yaml"), quiet=True, **options)  # type: ignore[arg-type]


def test_drawn_people_are_found(flies: Path) -> None:
    done = run(flies, Dots())
    assert done.figures["AP"] > 0.9
    assert done.protocol == (
        "flies (own data set); 13 images (10 with labelled people, 3 without), 10 people, 0 crowd regions; Dots, whole photos, no boxes, "
        "short side 128, scale 1, no flip, people from score 0, joints rounded to 0.001 px; OKS 0.50:0.95, the 20 best results of an image"
    )
    assert [n for n in done.notes if "not defined" in n] == [
        f"{k} is not defined: no person of that size is annotated" for k in ("APl", "ARl")
    ]


@pytest.mark.slow
def test_json_results_and_report_agree(flies: Path, tmp_path: Path) -> None:
    paths = {name: tmp_path / name for name in ("figures.json", "found.json")}
    done = run(flies, json=paths["figures.json"], results_out=paths["found.json"], analyze=True)
    assert 0.1 < done.figures["AP"] < 0.9
    said = json.loads(paths["figures.json"].read_text())
    assert said["AP"] == done.figures["AP"]
    assert said["APl"] is None
    assert said["protocol"] == done.protocol
    assert (said["images"], said["people"], said["results"]) == (13, 10, 10)
    assert set(said["analysis"]["keypoints"]) == set(FLY.joints)
    assert said["analysis"]["costs"][0]["AP"] == pytest.approx(said["AP"], abs=1e-4)
    assert all(set(row) == {"image_id", "category_id", "keypoints", "score"} for row in json.loads(paths["found.json"].read_text()))
    again = evaluate(results=paths["found.json"], dataset=str(flies / "flies.yaml"), quiet=True)
    np.testing.assert_equal(again.figures, done.figures)
    assert (tmp_path / "figures.html").is_file()


@pytest.mark.slow
def test_the_report_needs_nothing_else(flies: Path, tmp_path: Path) -> None:
    run(flies, analyze=True, report=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    outside, opened, pictures = [], [], []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list) -> None:
            given = dict(attrs)
            outside.extend(v for k, v in attrs if k in ("src", "href") and not (v or "").startswith("data:"))
            pictures.extend([given["src"]] if tag == "img" else [])
            opened.extend([] if tag in ("meta", "img", "i", "rect", "path") else [tag])

        def handle_endtag(self, tag: str) -> None:
            if tag not in ("i", "rect", "path"):
                assert opened.pop() == tag

    Reader(convert_charrefs=True).feed(page.replace("<p class=", "<p data-c=").replace("<div class=", "<div data-c="))
    assert outside == []
    assert opened == []
    assert len(pictures) >= 3
    assert all(p.startswith("data:image/jpeg;base64,") for p in pictures)
    assert "<script" not in page
    assert "@import" not in page
    assert "flies (own data set)" in page


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_the_batch_size_does_not_matter(flies: Path, tmp_path: Path, batch_size: int) -> None:
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    a = run(flies, batch_size=8, results_out=one)
    b = run(flies, batch_size=batch_size, results_out=other)
    np.testing.assert_equal(a.figures, b.figures)
    assert one.read_text() == other.read_text()
    assert a.protocol == b.protocol


@pytest.mark.slow
def test_two_processes_give_the_same(flies: Path, tmp_path: Path) -> None:
    """`torchrun` with two processes: the same figures, results and protocol, said once."""
    script = tmp_path / "run.py"
    script.write_text(
        "import json, os, sys\n"
        f"sys.path.insert(0, {str(REPOSITORY / 'tests')!r})\n"
        "from pathlib import Path\n"
        "from manypose.evaluation.evaluate import evaluate\n"
        "from manypose.inference.model import Model\n"
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_evaluate import Blurred\n"
        f"done = evaluate(model=Model(Blurred()), dataset={str(flies / 'flies.yaml')!r}, analyze=True,\n"
        f"                json=Path({str(tmp_path / 'two.json')!r}), results_out=Path({str(tmp_path / 'found2.json')!r}))\n"
        f"Path({str(tmp_path)!r}, 'rank' + os.environ['RANK']).write_text(repr(done.figures) + done.protocol)\n"
    )
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--rdzv-backend",
        "c10d",
        "--rdzv-endpoint",
        "localhost:0",
    ]
    done = subprocess.run([*command, str(script)], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("protocol: ") == 1
    one = run(flies, json=tmp_path / "one.json", results_out=tmp_path / "found1.json", analyze=True, report=tmp_path / "two.html")
    assert (tmp_path / "rank0").read_text() == (tmp_path / "rank1").read_text() == repr(one.figures) + one.protocol
    assert (tmp_path / "one.json").read_text() == (tmp_path / "two.json").read_text()
    assert (tmp_path / "found1.json").read_text() == (tmp_path / "found2.json").read_text()


def test_images_with_people_only(flies: Path) -> None:
    every, some = run(flies), run(flies, photos="people")
    assert "10 images (10 with labelled people, 0 without), those with people only" in some.protocol
    assert some.more["results"] == every.more["results"] == 10


def test_photos_that_are_missing(flies: Path, tmp_path: Path) -> None:
    for name in ("000.png", "001.png", "004.png"):
        (tmp_path / name).write_bytes((flies / name).read_bytes())
    with pytest.raises(FileNotFoundError, match=r"10 of the 13 photos of .*people\.json are missing, the first is 012\.png; download them"):
        run(flies, images=tmp_path)
    part = run(flies, images=tmp_path, photos="present")
    assert "3 images (3 with labelled people, 0 without), those in the folder only (10 others are missing)" in part.protocol
    with pytest.raises(FileNotFoundError, match="no such folder of photos"):
        run(flies, images=tmp_path / "none")


def test_photos_that_cannot_be_evaluated_do_not_end_the_others(flies: Path, tmp_path: Path) -> None:
    for path in flies.glob("*.png"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    whole = run(flies)
    cv2.imwrite(str(tmp_path / "004.png"), np.zeros((64, 64, 3), np.uint8))
    (tmp_path / "001.png").write_bytes(b"nothing")
    done = run(flies, images=tmp_path, json=tmp_path / "out.json", batch_size=2)
    failed = json.loads((tmp_path / "out.json").read_text())["failed"]
    assert len(failed) == 2
    assert any("004.png" in line and "64x64" in line and "160x128" in line for line in failed)
    assert any("001.png" in line for line in failed)
    assert 0 < done.figures["AR"] < whole.figures["AR"]
    assert whole.more["results"] - done.more["results"] in (1, 2)
    assert any(n.startswith("2 photos could not be read and count as photos without results") for n in done.notes)
    assert done.exit_code == 1
    assert whole.exit_code == 0
    for path in tmp_path.glob("*.png"):
        path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="none of the 13 photos can be read; the first"):
        run(flies, images=tmp_path, json=tmp_path / "none.json")
    assert not (tmp_path / "none.json").exists()


def test_annotated_boxes_and_boxes_of_a_file(flies: Path, tmp_path: Path) -> None:
    method = BoxDots()
    method.fields = {"heat": Field(None), "tag": Field(None, "stack", "base")}
    annotated = run(flies, method, boxes="annotated")
    assert annotated.figures["AP"] > 0.9
    assert "BoxDots, annotated boxes, no flip" in annotated.protocol
    people = json.loads((flies / "people.json").read_text())
    names = {i["id"]: i["file_name"] for i in people["images"]}
    rows = {
        names[a["image_id"]]: [[*a["bbox"][:2], a["bbox"][0] + a["bbox"][2], a["bbox"][1] + a["bbox"][3]]] for a in people["annotations"]
    }
    (tmp_path / "boxes.json").write_text(json.dumps(rows))
    given = run(flies, method, boxes=str(tmp_path / "boxes.json"))
    np.testing.assert_allclose(list(given.figures.values()), list(annotated.figures.values()), atol=1e-6)
    assert "boxes of boxes.json" in given.protocol
    with pytest.raises(ValueError, match=r"takes no boxes|finds everybody by itself"):
        run(flies, Dots(), boxes="annotated")
    # By image id, whatever the photos are called; photos without boxes are counted.
    by_id = [
        {"image_id": image, "bbox": a["bbox"], "score": 1.0, "category_id": 1}
        for a in people["annotations"]
        if (image := a["image_id"]) != people["annotations"][0]["image_id"]
    ]
    (tmp_path / "boxes.json").write_text(json.dumps(by_id))
    part = run(flies, method, boxes=str(tmp_path / "boxes.json"))
    assert 0 < part.figures["AR"] < annotated.figures["AR"]
    assert any("4 of 13 photos have no boxes in boxes.json" in n for n in part.notes)
    (tmp_path / "boxes.json").write_text(json.dumps([{**row, "image_id": 5000 + i} for i, row in enumerate(by_id)]))
    with pytest.raises(ValueError, match="none of its 9 entries matches any of the 13 photos; boxes are matched by image id"):
        run(flies, method, boxes=str(tmp_path / "boxes.json"))


def test_boxes_of_a_detector_and_bad_boxes(flies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    method = BoxDots()
    method.fields = {"heat": Field(None), "tag": Field(None, "stack", "base")}
    monkeypatch.setattr("manypose.evaluation.evaluate.find_detector", lambda name, **_: Dots())
    monkeypatch.setattr("manypose.inference.turned.swapped", lambda *_: False)  # joints are told apart by colour
    found = run(flies, method, detector="dots")
    assert found.figures["AP"] > 0.9
    assert "BoxDots, boxes of dots from score 0.1, no flip" in found.protocol
    with pytest.raises(ValueError, match="boxes or a detector, not both"):
        run(flies, method, detector="dots", boxes="annotated")
    with pytest.raises(ValueError, match="give the boxes"):
        run(flies, method)
    first = json.loads((flies / "people.json").read_text())["images"][0]["file_name"]
    (tmp_path / "boxes.json").write_text(json.dumps({first: [[5, 5, 5, 9], [-9, -9, -4, -4], [float("nan"), 0, 9, 9]]}))
    bad = run(flies, method, boxes=str(tmp_path / "boxes.json"))
    assert "3 boxes were left out (1 not finite, 1 without an area, 1 outside the photo)" in bad.notes


def test_box_ap(flies: Path) -> None:
    done = run(flies, Dots(), box_ap=True)
    plain = run(flies, Dots())
    assert {"box AP", "box AP50", "box ARl"} <= done.figures.keys() - plain.figures.keys()
    assert done.figures["box AR1"] <= done.figures["box AR10"] <= done.figures["box AR100"]
    assert done.figures["AP"] == plain.figures["AP"]


def test_06_box_ap_ranks_by_the_detector(flies: Path, tmp_path: Path) -> None:
    """All of the detector's boxes with its own scores: the pose's score and the suppression of people do not matter."""
    method = BoxDots()
    method.fields = {"heat": Field(None), "tag": Field(None, "stack", "base")}
    people = json.loads((flies / "people.json").read_text())
    rows = []
    for a in people["annotations"]:
        x, y, w, h = a["bbox"]
        rows.append({"image_id": a["image_id"], "bbox": a["bbox"], "score": 0.9})
        rows.append({"image_id": a["image_id"], "bbox": [x - 0.45 * w, y, w, h], "score": 0.95})  # a better score, a worse box
    (tmp_path / "boxes.json").write_text(json.dumps(rows))
    done = run(flies, method, boxes=str(tmp_path / "boxes.json"), box_ap=True)
    assert done.figures["box AP"] == pytest.approx(0.5, abs=0.02)  # each right box comes after a wrong one
    assert done.figures["box AR100"] == pytest.approx(1)


def test_options_of_the_network_stand_in_the_protocol(flies: Path) -> None:
    done = run(flies, Dots(), flip=True, scales=[0.5, 1.0], size=192)
    assert "short side 192, scales 0.5, 1, flip" in done.protocol
    assert done.figures["AP"] > 0.5


def test_a_test_set_is_written_for_the_server_and_not_scored(flies: Path, tmp_path: Path) -> None:
    content = json.loads((flies / "people.json").read_text())
    (tmp_path / "test.json").write_text(json.dumps({"images": content["images"], "categories": [{"id": 1, "name": "person"}]}))
    out = tmp_path / "person_keypoints_test_flies_results.zip"
    done = evaluate(model=Model(Dots()), annotations=tmp_path / "test.json", images=flies, results_out=out, quiet=True)
    assert np.isnan(done.figures["AP"])
    assert any("test set" in n for n in done.notes)
    import zipfile

    with zipfile.ZipFile(out) as archive:
        assert archive.namelist() == ["person_keypoints_test_flies_results.json"]
        assert len(json.loads(archive.read(archive.namelist()[0]))) == 10


# ── result files of others, from the command line ──


def test_fake_100_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = shared("data", "eval_fixtures", "coco_fake100")
    command = ["--results", str(folder / "dt.json"), "--annotations", str(folder / "gt_val2014_first100_persons.json"), "--dataset", "coco"]
    assert main(["evaluate", *command, "--json", str(tmp_path / "out.json"), "--analyze"]) == 0
    said = capsys.readouterr().out
    figures, expected = json.loads((tmp_path / "out.json").read_text()), json.loads((folder / "expected.json").read_text())
    assert {k: round(figures[k], 3) for k in expected if k != "tool"} == {k: v for k, v in expected.items() if k != "tool"}
    assert "100 images (49 with labelled people, 51 without), 139 people" in said
    assert "results of dt.json as they are (125 people)" in figures["protocol"]
    assert "corrected error" in said
    assert figures["analysis"]["shares"]["good"] == 0.5221
    assert (tmp_path / "out.html").stat().st_size > 20_000


def test_crowdpose_results(tmp_path: Path) -> None:
    folder = shared("data", "eval_fixtures", "xtcoco_examples")
    done = evaluate(
        dataset="crowdpose", results=folder / "annotations__example_crowdpose_preds.json",
        annotations=folder / "annotations__example_crowdpose_val.json", json=tmp_path / "out.json", quiet=True,
    )  # fmt: skip
    said = json.loads((tmp_path / "out.json").read_text())
    assert said["images_by_level"] == {"easy": 1, "medium": 2, "hard": 1}
    assert all(0 < done.figures[f"AP{level}"] <= 1 for level in ("easy", "medium", "hard"))
    assert "crowd index of 4 images" in str(done)
    assert "area 0.53 of the box" in done.protocol


def test_mpii_predictions_of_the_hourglass_authors() -> None:
    folder = shared("data", "eval_fixtures", "mpii")
    done = evaluate(dataset="mpii", results=folder / "newell_valid_predictions.h5", annotations=folder / "valid.h5", quiet=True)
    assert round(done.figures["PCKh@0.5"], 1) == 88.4
    assert "2958 people" in done.protocol


def test_posetrack_truth_as_results(tmp_path: Path) -> None:
    from manypose.data.datasets.posetrack import read_posetrack
    from manypose.data.datasets.posetrack import truths as frames_of
    from manypose.data.datasets.posetrack_results import write_posetrack
    from manypose.poses.skeleton import POSETRACK

    folder = shared("data", "format_samples", "posetrack18", "annotations", "val")
    videos = read_posetrack(folder)
    frames, _ = frames_of(videos)
    found = {}
    for t in frames:
        seen = (t.keypoints[..., 2] > 0).astype(np.float64)
        found[t.image_id] = Poses(POSETRACK, t.keypoints[..., :2], seen, seen.mean(1), ids=t.ids)
    write_posetrack(tmp_path, videos, found)
    done = evaluate(dataset="posetrack", results=tmp_path, annotations=folder, quiet=True)
    assert done.figures["mAP"] == pytest.approx(100)
    assert done.figures["recall"] == pytest.approx(100)
    assert done.figures["MOTA"] > 90


def test_posetrack_frames_are_looked_at() -> None:
    folder = shared("data", "format_samples", "posetrack18")
    done = evaluate(model=Model(Dots()), dataset="posetrack", images=folder, annotations=folder / "annotations" / "val", quiet=True)
    assert "3 videos, 3 frames (3 with annotated people), 14 people; Dots, whole photos" in done.protocol
    assert done.figures["mAP"] == 0  # a fly's joints are no person's
    assert done.notes[-1].startswith("the model has no nose, head_bottom, head_top, left_shoulder")


class Walker(BoxDots):
    """A fly with a person's joints."""

    skeleton = Skeleton.build("walker", ["left_wrist", "right_wrist", "head_top"], [], [0.05] * 3)

    def decode(self, outputs: dict, size: tuple[int, int]) -> list[Poses]:
        return [Poses(self.skeleton, p.keypoints, p.keypoint_scores, p.scores) for p in super().decode(outputs, size)]


def test_mpii_people_are_looked_at_one_by_one(flies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two people of one photo overlap so much that one would suppress the other; each still has its own result."""
    from manypose.data.datasets.mpii_results import read_preds

    content = json.loads((flies / "people.json").read_text())
    rows = [0, 0, 1, 2, 3]
    joints = np.zeros((5, 16, 3))
    for i, row in enumerate(rows):
        joints[i, [MPII.index(j) for j in Walker.skeleton.joints]] = np.reshape(content["annotations"][row]["keypoints"], (3, 3))
    names = {image["id"]: image["file_name"] for image in content["images"]}
    photos = tuple(names[content["annotations"][row]["image_id"]] for row in rows)
    middle = joints[:, [MPII.index(j) for j in Walker.skeleton.joints], :2].mean(1)
    five = np.arange(5)
    people = MpiiPeople(
        "valid.json", photos, joints, np.full(5, 10.0), middle - [0, 0.6 * 15], np.full(5, 0.6), five, 5, np.full((5, 2), -1),
        np.ones(5, bool), Report("valid.json"),
    )  # fmt: skip
    monkeypatch.setattr("manypose.evaluation.head_size_style.read_mpii", lambda *_: people)
    out = tmp_path / "preds.h5"
    method = Walker()
    done = evaluate(model=Model(method), dataset="mpii", images=flies, annotations=tmp_path, boxes="annotated", results_out=out, quiet=True)
    assert "4 photos, 5 people; Walker, annotated boxes" in done.protocol
    assert done.figures["PCKh@0.5 wrist"] == 100
    again = read_preds(out, people)
    assert np.linalg.norm(again[:, MPII.index("head_top")] - joints[:, MPII.index("head_top"), :2], axis=1).max() < 5
    assert evaluate(dataset="mpii", results=out, annotations=tmp_path, quiet=True).figures["PCKh@0.5 wrist"] == 100


BAD = [
    (["--dataset", "coco", "--results", "x.json"], "give its annotation file"),
    (["--dataset", "cocoo", "--results", "x.json"], "no data set 'cocoo'"),
    (["--dataset", "coco", "--results", "x.json", "--annotations", "none.json"], "none.json: no such annotation file"),
    (["--dataset", "coco", "--annotations", "none.json"], "give the folder of the photos"),
    (["--dataset", "coco", "--results", "x.json", "--model", "swahr-w32"], "with a result file, leave out"),
    (["--dataset", "coco", "--results", "x.json", "--report", "a.html"], "needs the error analysis (--analyze)"),
    (["--dataset", "none.yaml", "--results", "x.json"], "none.yaml: no such data set YAML"),
    (["--dataset", "mpii", "--results", "x.h5", "--annotations", "a.h5", "--analyze"], "the error analysis needs a data set with OKS"),
    (["--dataset", "coco", "--results", "x.json", "--photos", "some"], "--photos"),
]


@pytest.mark.parametrize(("command", "message"), BAD, ids=[m[:24] for _, m in BAD])
def test_bad_commands(
    command: list[str], message: str, capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", *command]) != 0
    said = capsys.readouterr().err
    assert message in said
    assert len(said.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


class Painted(Dots):
    """Dots whose people have masks: the left half of the picture, or nothing where nobody is."""

    def decode(self, outputs: dict, size: tuple[int, int]) -> list[Poses]:
        found = super().decode(outputs, size)
        masks = [np.zeros((len(p), *size), np.bool_) for p in found]
        for mask in masks:
            mask[:, :, : size[1] // 2] = True
        return [replace(p, masks=m) for p, m in zip(found, masks, strict=True)]


def outlined(flies: Path, tmp_path: Path) -> Path:
    """The flies as a data set whose people have outlines: the left quarter of their photos."""
    content = json.loads((flies / "people.json").read_text())
    sizes = {i["id"]: (i["width"], i["height"]) for i in content["images"]}
    for person in content["annotations"]:
        w, h = sizes[person["image_id"]]
        person["segmentation"] = [[0, 0, w / 4, 0, w / 4, h, 0, h]]
    (tmp_path / "people.json").write_text(json.dumps(content))
    (tmp_path / "flies.yaml").write_text(f"images: {flies}\nannotations: people.json\n")
    return tmp_path / "flies.yaml"


def test_mask_iou_is_over_the_pixels_of_all_photos(flies: Path, tmp_path: Path) -> None:
    outlined(flies, tmp_path)
    done = run(tmp_path, Painted(), mask_iou=True)
    # Half is found where a quarter is right; the photos without people are all background and found so.
    assert done.figures["mask IoU"] == pytest.approx(0.5, abs=0.03)
    assert 0.66 < done.figures["mask IoU_background"] < 1
    again = run(tmp_path, Painted(), mask_iou=True, batch_size=1)
    assert {k: v for k, v in again.figures.items() if "mask" in k} == {k: v for k, v in done.figures.items() if "mask" in k}


def test_masks_are_measured_only_where_there_are_some(flies: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no person has a 'segmentation'"):
        run(flies, Painted(), mask_iou=True)
    content = json.loads((flies / "people.json").read_text())
    content["annotations"][0]["segmentation"] = [[0, 0, 50, 0, 50, 50]]
    (tmp_path / "people.json").write_text(json.dumps(content))
    (tmp_path / "flies.yaml").write_text(f"images: {flies}\nannotations: people.json\n")
    with pytest.raises(ValueError, match="predicts no masks"):
        run(tmp_path, Dots(), mask_iou=True)
    with pytest.raises(ValueError, match="mask_iou is for models"):
        evaluate(annotations=tmp_path / "people.json", results=flies / "people.json", mask_iou=True, quiet=True, images=flies)


@pytest.mark.parametrize("boxes", [None, "annotated"])
def test_many_machines_give_the_figures_of_one(flies, tmp_path, boxes):
    pytest.importorskip("pyarrow", reason="the extra 'cluster' is not installed")
    from manypose.evaluation.benchmark import BenchmarkSpec, find_benchmark
    from manypose.evaluation.cluster import EvaluateBlocks, blocks_of, found_in
    from manypose.evaluation.evaluate import finished, prepared
    from manypose.inference.cluster.engine import BlockActor
    from manypose.inference.cluster.job import begin
    from manypose.inference.cluster.worker import PredictBlocks, Recipe
    from manypose.inference.options import EVALUATION
    from manypose.io.storage import Folder

    model, asked = Model(Painted() if boxes is None else BoxDots()), {"box_ap": boxes is not None, "mask_iou": boxes is None}
    yaml = str(outlined(flies, tmp_path))
    one = evaluate(model=model, dataset=yaml, boxes=boxes, quiet=True, **asked)
    spec = BenchmarkSpec(yaml, None, None, boxes=asked["box_ap"], masks=asked["mask_iou"], one_by_one=model.needs_boxes)
    setup = prepared(model, model, find_benchmark(spec), EVALUATION, boxes, None, "none")
    job = begin(Folder(str(tmp_path / "job")), {}, ".parquet", blocks_of(setup, 4))
    assert len(job) == 4
    worker = EvaluateBlocks(PredictBlocks(Recipe(options=EVALUATION), model, boxes is not None), spec)
    actor = BlockActor(job.folder, job.suffix, lambda: worker, 1)
    for n in range(4):
        actor({"item": [n]})
    many = finished(setup, found_in(job), asked["mask_iou"], None, None, None, True)
    assert many.to_json() == one.to_json()
    assert 0.1 < many.figures["AP"] < 1.1
    assert any(name.startswith("mask" if boxes is None else "box") for name in many.figures)


class Wanderer(Dots):
    """A fly with a person's joints that is found without a box."""

    skeleton = Walker.skeleton

    def decode(self, outputs: dict, size: tuple[int, int]) -> list[Poses]:
        return [Poses(self.skeleton, p.keypoints, p.keypoint_scores, p.scores) for p in super().decode(outputs, size)]


def test_11_mpii_over_its_groups_and_its_servers_file(flies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """People beside the group do not count; without groups the file is refused before any photo is looked at."""
    from scipy.io import loadmat

    content = json.loads((flies / "people.json").read_text())
    joints = np.zeros((4, 16, 3))
    for i in range(4):
        joints[i, [MPII.index(j) for j in Walker.skeleton.joints]] = np.reshape(content["annotations"][i]["keypoints"], (3, 3))
    names = {image["id"]: image["file_name"] for image in content["images"]}
    photos = tuple(names[content["annotations"][i]["image_id"]] for i in range(4))
    middle = joints[:, [MPII.index(j) for j in Walker.skeleton.joints], :2].mean(1)
    listing = tuple((name, 1, i) for i, name in enumerate(dict.fromkeys(photos)))
    people = MpiiPeople(
        "official.mat", photos, joints, np.full(4, 10.0), middle, np.full(4, 0.6), np.arange(4), 4,
        np.stack([np.arange(4), np.zeros(4, int)], 1), np.zeros(4, bool), Report("official.mat"), listing,
    )  # fmt: skip
    monkeypatch.setattr("manypose.evaluation.head_size_style.read_mpii", lambda *_: people)
    monkeypatch.setattr("manypose.evaluation.head_size_style.read_groups", lambda *_: [[0], [2]])
    given = {"dataset": "mpii", "images": flies, "annotations": tmp_path, "quiet": True}
    method = Wanderer()
    with pytest.raises(ValueError, match="--groups"):
        evaluate(model=Model(method), results_out=tmp_path / "pred.mat", **given)
    done = evaluate(model=Model(method), groups=tmp_path, results_out=tmp_path / "pred.mat", **given)
    assert "of them 2 in 2 groups" in done.protocol
    assert done.figures["AP wrist"] == 100
    written = loadmat(tmp_path / "pred.mat", simplify_cells=True)["pred"]
    assert [p["image"]["name"] for p in written] == [photos[0], photos[2]]


def test_an_evaluation_that_was_stopped_goes_on(flies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Photos that were predicted are not predicted again, and the files are byte-equal to those of an undisturbed evaluation."""
    looks: list[Path] = []

    def looked(stop: int):
        from manypose.data.photos import read_rgb

        def read(path: Path, **more):
            looks.append(path)
            if len(looks) > stop:
                raise RuntimeError("killed")
            return read_rgb(path, **more)

        looks.clear()
        monkeypatch.setattr("manypose.evaluation.predicted.read_rgb", read)

    def go(name: str, **more) -> tuple[bytes, bytes]:
        paths = {"json": tmp_path / f"{name}.json", "results_out": tmp_path / f"{name}.results.json"}
        evaluate(model="blurred", dataset=str(flies / "flies.yaml"), quiet=True, batch_size=2, **paths, **more)  # type: ignore[arg-type]
        return tuple(path.read_bytes() for path in paths.values())  # type: ignore[return-value]

    monkeypatch.setattr("manypose.evaluation.evaluate.one_or_several", lambda *_, **__: Model(Blurred()))
    whole = go("whole")
    looked(9)
    with pytest.raises(RuntimeError, match="killed"):
        go("new")
    journal = tmp_path / ".new.json.progress.jsonl"
    finished = len(journal.read_text().splitlines()) - 1
    assert 0 < finished < 13
    for change, named in ({"flip": True}, "options"), ({"ensemble": ["other"]}, "ensemble"), ({"runtime": "onnx"}, "runtime"):
        with pytest.raises(ValueError, match=rf"other settings \({named}\)"):
            go("new", **change)
    looked(13)
    assert go("new") == whole
    assert len(looks) == 13 - finished
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new.json", "new.results.json", "whole.json", "whole.results.json"]
