"""Synthetic people are written as a COCO data set that reads back as the same samples, goes on after a stop, and has pycocotools' masks."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from pycocotools.coco import COCO
from shared import REPOSITORY
from synthetic_people.coco_files import PARTS, write_coco
from synthetic_people.drawn.scenes import SyntheticPeople

from manypose.data import coco

PEOPLE = SyntheticPeople(length=6, seed=1, size=(96, 120), people=(2, 5), crowd=0.8, objects=3)


def test_what_is_written_reads_back_as_the_scenes(tmp_path):
    assert write_coco(PEOPLE, tmp_path, {"seed": 1}) == 6
    read = coco(tmp_path / "images", tmp_path / "annotations.json", keep="all")
    assert len(read) == 6
    hidden = 0
    for i in range(6):
        scene, sample = PEOPLE[i], read[i]
        assert np.array_equal(sample.image, scene.image)
        assert np.array_equal(sample.mask, scene.mask)
        assert np.array_equal(sample.areas, scene.areas)
        assert sample.segmentation is not None
        known = scene.mask[0] == 1
        assert np.array_equal(sample.segmentation[known], scene.segmentation[known])
        np.testing.assert_allclose(sample.keypoints, scene.keypoints, atol=0.006)
        np.testing.assert_allclose(sample.boxes, scene.boxes + 0.5)  # COCO's boxes count from the picture's edge
        hidden += (scene.mask == 0).sum()
    assert hidden


def test_pycocotools_reads_the_masks(tmp_path):
    write_coco(PEOPLE, tmp_path, {})
    theirs = COCO(str(tmp_path / "annotations.json"))
    for i in range(6):
        people = theirs.loadAnns(theirs.getAnnIds(i, iscrowd=False))
        assert [theirs.annToMask(a).sum() for a in people] == [a["area"] for a in people]
        assert np.array_equal([theirs.annToMask(a) for a in people], PEOPLE.scene(i).masks)


def test_an_interrupted_data_set_is_continued_and_gives_the_same_file(tmp_path, monkeypatch):
    write_coco(PEOPLE, tmp_path / "whole", {"seed": 1})

    class Stopping:
        def __len__(self):
            return 6

        def scene(self, i):
            if i == 4:
                raise KeyboardInterrupt
            return PEOPLE.scene(i)

    with pytest.raises(KeyboardInterrupt):
        write_coco(Stopping(), tmp_path / "stopped", {"seed": 1})
    with (tmp_path / "stopped" / PARTS).open("a") as file:
        file.write('{"height": 9')  # as if killed within a line
    assert write_coco(PEOPLE, tmp_path / "stopped", {"seed": 1}) == 2
    files = sorted(p.relative_to(tmp_path / "whole") for p in (tmp_path / "whole").rglob("*") if p.is_file())
    assert len(files) == 7
    for name in files:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()
    assert write_coco(PEOPLE, tmp_path / "stopped", {"seed": 1}) == 0
    with pytest.raises(ValueError, match="made with other options"):
        write_coco(PEOPLE, tmp_path / "stopped", {"seed": 2})


def test_the_command_writes_a_data_set_over_photos_without_people(tmp_path):
    write_coco(PEOPLE, tmp_path / "photos", {})
    given = json.loads((tmp_path / "photos/annotations.json").read_bytes())
    given["annotations"] = [a for a in given["annotations"] if a["image_id"] != 2]
    (tmp_path / "people.json").write_text(json.dumps(given))
    words = ["drawn", "--out", tmp_path / "out", "--length", "2", "--size", "[64, 80]"]
    words += ["--backgrounds", tmp_path / "photos/images", "--with_people", tmp_path / "people.json"]
    command = [sys.executable, "-m", "synthetic_people", *map(str, words)]
    path = os.pathsep.join([str(REPOSITORY / "tools"), str(REPOSITORY / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "2 scenes written" in done.stdout
    assert coco(tmp_path / "out/images", tmp_path / "out/annotations.json", keep="all")[0].image.shape == (64, 80, 3)


def test_backgrounds_leave_out_photos_with_people(tmp_path):
    write_coco(PEOPLE, tmp_path, {})
    given = json.loads((tmp_path / "annotations.json").read_bytes())
    given["annotations"] = [a for a in given["annotations"] if a["image_id"] != 2]
    (tmp_path / "people.json").write_text(json.dumps(given))
    over = SyntheticPeople(length=1, backgrounds=tmp_path / "images", with_people=tmp_path / "people.json")
    assert [p.name for p in over._backgrounds.files] == ["00000002.png"]
    with pytest.raises(ValueError, match="no COCO annotation file"):
        SyntheticPeople(length=1, backgrounds=tmp_path / "images", with_people=tmp_path / "images/00000000.png")
