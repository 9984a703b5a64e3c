"""Self-training: what a teacher adds to an annotation file, and what it leaves alone."""

import json
from dataclasses import replace

import numpy as np
import pytest
from dots import FLY, BoxDots, photo_of

from manypose.cli.__main__ import main
from manypose.data.datasets.coco import coco
from manypose.inference.model import Model
from manypose.inference.options import PredictOptions
from manypose.io import photos as media
from manypose.methods.catalog import build
from manypose.training.new_annotations import LabelOptions
from manypose.training.self_training import Labelled, label, labelled
from manypose.weights.files import save

HERE = np.array([[30.0, 40.0], [65.0, 50.0], [40.0, 80.0]])
THERE = HERE + np.array([110, 20])
BOX, OTHER = [15, 25, 80, 95], [125, 45, 190, 115]
RULES = LabelOptions(min_score=0.3, ignore_score=0.05, joint_threshold=0.3, joints=3)


@pytest.fixture(autouse=True)
def colours_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Joints of the drawn people are told apart by colour, so no photo counts as one with swapped colours."""
    monkeypatch.setattr("manypose.inference.turned.swapped", lambda *_: False)


def picture() -> np.ndarray:
    """Two flies."""
    photo = photo_of((140, 220), HERE).astype(int)
    return np.clip(photo + photo_of((140, 220), THERE).astype(int) - 60, 0, 255).astype(np.uint8)


def row(joints: np.ndarray, box: list[int], seen=(2, 2, 2), **more) -> dict:
    flat = [v for (x, y), s in zip(joints, seen, strict=True) for v in ((float(x), float(y), s) if s else (0, 0, 0))]
    xywh = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
    return {
        "id": 7,
        "image_id": 3,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": xywh,
        "keypoints": flat,
        "num_keypoints": sum(seen) // 2,
        **more,
    }


@pytest.fixture
def folder(tmp_path):
    media.write(tmp_path / "photos" / "flies.png", picture())
    return tmp_path


def file(*rows: dict, complete: bool = False) -> dict:
    image = {"id": 3, "file_name": "flies.png", "height": 140, "width": 220, "all_persons_labelled": complete}
    return {"images": [image], "annotations": list(rows), "categories": [{"id": 1, "name": "person"}], "info": {"mine": 1}}


def run(folder, given: dict, score: float = 0.9) -> tuple[dict, Labelled]:
    boxes = [[*BOX, 0.95], [*OTHER, score]]
    return labelled(
        given,
        folder / "photos",
        Model(BoxDots()),
        lambda photos: [boxes] * len(photos),
        PredictOptions(threshold=0.05, detector_threshold=0.05),
        RULES,
        "teacher",
    )


def test_a_stranger_becomes_a_person_and_the_annotated_one_stays(folder):
    given = file(row(HERE, BOX))
    before = json.dumps(given)
    done, count = run(folder, given)
    assert json.dumps(given) == before
    assert count == Labelled(photos=1, people=1)
    first, new = done["annotations"]
    assert first == given["annotations"][0]
    assert (new["id"], new["image_id"], new["category_id"], new["iscrowd"], new["labelled_by"]) == (8, 3, 1, 0, "teacher")
    joints = np.reshape(new["keypoints"], (3, 3))
    assert np.abs(joints[:, :2] - THERE).max() < 1.5
    assert (joints[:, 2] == 2).all()
    assert new["bbox"] == [OTHER[0], OTHER[1], 65, 70]
    assert done["images"][0]["all_persons_labelled"] is True
    assert done["info"] == {"mine": 1}


def test_whoever_is_faint_becomes_a_region_and_the_rest_of_the_photo_is_learnt_from(folder):
    done, count = run(folder, file(row(HERE, BOX)), score=0.2)
    assert count == Labelled(photos=1, regions=1)
    assert done["annotations"][1]["iscrowd"] == 1
    assert not any(done["annotations"][1]["keypoints"])
    (folder / "done.json").write_text(json.dumps(done))
    (folder / "given.json").write_text(json.dumps(file(row(HERE, BOX))))
    before, after = (coco(folder / "photos", folder / f"{name}.json", FLY)[0] for name in ("given", "done"))
    assert before.mask[0, 5, 5] == 0
    assert after.mask[0, 5, 5] == 1
    assert after.mask[0, BOX[1] + 5, BOX[0] + 5] == 1
    assert not after.mask[0, OTHER[1] + 1 : OTHER[3] - 1, OTHER[0] + 1 : OTHER[2] - 1].any()
    assert len(after.keypoints) == 1


def test_fainter_still_is_nobody_and_nobody_is_found_twice(folder):
    assert run(folder, file(row(HERE, BOX)), score=0.01)[1] == Labelled(photos=1)
    assert run(folder, file(row(HERE, BOX), row(THERE, OTHER, id=8)))[1] == Labelled(photos=1)
    crowd = row(THERE, OTHER, id=8, iscrowd=1)
    assert run(folder, file(row(HERE, BOX), crowd))[1] == Labelled(photos=1)


def test_joints_that_nobody_in_the_file_has_are_added(folder):
    done, count = run(folder, file(row(HERE, BOX, seen=(2, 2, 0))))
    assert (count.joints, count.people) == (1, 1)
    joints = np.reshape(done["annotations"][0]["keypoints"], (3, 3))
    assert np.abs(joints[2, :2] - HERE[2]).max() < 1.5
    assert joints[2, 2] == 2
    assert done["annotations"][0]["num_keypoints"] == 3
    assert joints[:2, :2].tolist() == HERE[:2].tolist()  # what was annotated is not moved
    # Somebody has the joint: then a person without it lacks it for a reason.
    assert run(folder, file(row(HERE, BOX, seen=(2, 2, 0)), row(THERE, OTHER, id=8)))[1].joints == 0


def test_what_cannot_be_done_is_one_clear_error(folder, capsys):
    with pytest.raises(ValueError, match="all people are annotated"):
        run(folder, file(row(HERE, BOX), complete=True))
    with pytest.raises(ValueError, match="annotation 7 has 6 numbers"):
        run(folder, file({**row(HERE, BOX), "keypoints": [1, 2, 2] * 2}))
    source = folder / "given.json"
    source.write_text(json.dumps(file(row(HERE, BOX))))
    with pytest.raises(ValueError, match="is the input file"):
        label(images=folder / "photos", annotations=source, out=source)
    with pytest.raises(ValueError, match=r"ignore score 0\.5, min score 0\.2"):
        label(images=folder, annotations=source, out=folder / "x.json", rules=LabelOptions(ignore_score=0.5, min_score=0.2))
    (folder / "photos" / "flies.png").unlink()
    with pytest.raises(ValueError, match=r"flies\.png"):
        run(folder, file(row(HERE, BOX)))
    assert main(["label", "--images", str(folder), "--annotations", str(folder / "no.json"), "--out", str(folder / "x.json")]) == 1
    assert "no such annotation file" in capsys.readouterr().err
    assert not (folder / "x.json").exists()


def test_the_command_writes_a_file_that_trainings_read(tmp_path, capsys):
    joints = np.random.default_rng(0).uniform(20, 100, (17, 2))
    media.write(tmp_path / "a.png", np.full((120, 130, 3), 90, np.uint8))
    people = row(joints, [10, 10, 110, 110], seen=(2,) * 17)
    image = {"id": 3, "file_name": "a.png", "height": 120, "width": 130, "all_persons_labelled": False}
    source = tmp_path / "given.json"
    source.write_text(json.dumps({"images": [image], "annotations": [people], "categories": [{"id": 1, "name": "person"}]}))
    small = {"trunk": "hrnet_w18_small", "size": 64}
    weights = save(build("swahr-w32", **small), tmp_path / "t.safetensors", name="swahr-w32", kwargs=small)
    out = tmp_path / "new" / "labelled.json"
    words = [
        "label",
        "--images",
        str(tmp_path),
        "--annotations",
        str(source),
        "--out",
        str(out),
        "--model",
        str(weights),
        "--device",
        "cpu",
    ]
    assert main(words) == 0
    assert "in 1 photos" in capsys.readouterr().out
    assert json.loads(out.read_text())["annotations"][0] == people
    assert len(coco(tmp_path, out)) == 1

    # issue 17, line 10: missing photos as `evaluate` treats them
    gone = {**image, "id": 4, "file_name": "gone.png"}
    both = {
        "images": [image, gone],
        "annotations": [people, {**people, "id": 8, "image_id": 4}],
        "categories": [{"id": 1, "name": "person"}],
    }
    source.write_text(json.dumps(both))
    assert main(words) == 1
    assert "1 of the 2 photos" in (said := capsys.readouterr().err)
    assert "gone.png; download them, or label those present (--photos present)" in said
    assert main([*words, "--photos", "present"]) == 0
    assert [i["file_name"] for i in json.loads(out.read_text())["images"]] == ["a.png"]
    assert {a["image_id"] for a in json.loads(out.read_text())["annotations"]} == {3}


def test_many_machines_are_not_asked_for_a_file_that_cannot_be_written(folder):
    from manypose.training.self_training_cluster import label as label_on_many

    source = folder / "given.json"
    source.write_text(json.dumps(file(row(HERE, BOX))))
    for out, message in ((source, "is the input file"), (folder, "is a folder; give a file")):
        with pytest.raises(ValueError, match=message):
            label_on_many(job=str(folder / "job"), images=folder / "photos", annotations=source, out=out)
    with pytest.raises(ValueError, match="block size must be at least 1, got 0"):
        label_on_many(job=str(folder / "job"), images=folder / "photos", annotations=source, out=folder / "x.json", block_size=0)
    assert not (folder / "job").exists()


def test_many_machines_write_the_file_of_one(folder):
    from manypose.inference.cluster.engine import BlockActor
    from manypose.inference.cluster.job import begin
    from manypose.inference.cluster.worker import Recipe
    from manypose.io.storage import Folder
    from manypose.training.self_training import assembled
    from manypose.training.self_training_cluster import LabelBlocks, blocks_of, found_in

    given = file(row(HERE, BOX))
    for i in range(4, 8):
        media.write(folder / "photos" / f"{i}.png", picture())
        given["images"].append({**given["images"][0], "id": i, "file_name": f"{i}.png", "all_persons_labelled": i == 6})
        given["annotations"].append({**row(HERE, BOX), "id": i + 4, "image_id": i})
    one, count = run(folder, given)
    assert count == Labelled(photos=4, people=4)

    def work():
        worker = LabelBlocks(Model(BoxDots()), Recipe("teacher", options=PredictOptions(threshold=0.05, detector_threshold=0.05)), RULES)
        worker.detector = lambda photos: [[[*BOX, 0.95], [*OTHER, 0.9]]] * len(photos)
        return worker

    def many(name: str):
        job = begin(Folder(str(folder / name)), {}, ".jsonl", blocks_of(given, folder / "photos", FLY, 3))
        actor = BlockActor(job.folder, job.suffix, work, 1)
        for n in range(len(job)):
            actor({"item": [n]})
        return found_in(job)

    done, errors = many("whole")
    assert not errors
    assert assembled(given, done) == (one, count)
    (folder / "photos" / "5.png").write_bytes(b"junk")
    done, errors = many("broken")
    left, fewer = assembled(given, done)
    assert (fewer.people, len(errors)) == (3, 1)
    assert "5.png" in errors[0]
    assert [i["all_persons_labelled"] for i in left["images"]] == [True, True, False, True, True]
    assert [a for a in left["annotations"] if a["image_id"] == 5] == [a for a in given["annotations"] if a["image_id"] == 5]


def test_labelling_that_was_stopped_goes_on(folder, monkeypatch):
    """After an error at the second photo the first is not looked at again, and the file is that of an undisturbed run."""
    for name in ("b.png", "c.png"):
        media.write(folder / "photos" / name, picture())
    given = file(row(HERE, BOX))
    first = given["images"][0]
    given["images"] = [first, {**first, "id": 4, "file_name": "b.png"}, {**first, "id": 5, "file_name": "c.png"}]
    (folder / "given.json").write_text(json.dumps(given))
    looked: list[int] = []

    def finder(photos):
        looked.extend(1 for _ in photos)
        return [[[*BOX, 0.95], [*OTHER, 0.9]]] * len(photos)

    class Teacher(Model):
        def finder(self, detector=None):
            return finder

    monkeypatch.setattr("manypose.training.self_training.load", lambda *_, **__: Teacher(BoxDots(), "found"))
    rules = LabelOptions(min_score=0.3, joints=3, batch_size=1)
    paths = {"images": folder / "photos", "annotations": folder / "given.json", "rules": rules}
    label(**paths, out=folder / "whole.json", quiet=True)
    assert len(looked) == 3
    whole, good = (folder / "whole.json").read_bytes(), (folder / "photos/c.png").read_bytes()
    (folder / "photos/c.png").write_bytes(good[:100])
    with pytest.raises(ValueError, match=r"c\.png"):
        label(**paths, out=folder / "new.json", quiet=True)
    journal = folder / ".new.json.progress.jsonl"
    assert journal.is_file()
    with journal.open("a") as half:
        half.write('[5, [{"id"')  # as a kill leaves it
    with pytest.raises(ValueError, match=r"other settings \(rules\)"):
        label(**{**paths, "rules": replace(rules, min_score=0.35)}, out=folder / "new.json", quiet=True)
    (folder / "photos/c.png").write_bytes(good)
    looked.clear()
    label(**paths, out=folder / "new.json", quiet=True)
    assert len(looked) < 3
    assert (folder / "new.json").read_bytes() == whole
    assert not journal.exists()
