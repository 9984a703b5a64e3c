"""Data sets as COCO files: what is written is read again as the same people, regions and masks."""

import json

import numpy as np
import pytest
from fake_coco import fake_coco

from manypose.data.datasets.coco import coco
from manypose.data.export import as_coco, main
from manypose.io import photos as media


@pytest.fixture
def folder(tmp_path):
    content, _ = fake_coco(3, images=5)
    content["images"][0]["all_persons_labelled"] = False
    content["annotations"][0]["segmentation"] = [[10.0, 10.0, 90.0, 12.0, 60.0, 80.0]]
    (tmp_path / "given.json").write_text(json.dumps(content))
    for image in content["images"]:
        media.write(tmp_path / image["file_name"], np.full((480, 640, 3), 90, np.uint8))
    return tmp_path


def test_the_file_holds_the_same_data_set(folder):
    given = coco(folder, folder / "given.json", keep="all")
    (folder / "written.json").write_text(json.dumps(as_coco(given), allow_nan=False))
    again = coco(folder, folder / "written.json", keep="all")
    assert len(given) == len(again) == 5
    assert not again.report.problems
    assert sum(len(p.boxes) for p in given.photos) > 3
    assert sum(len(p.ignored) for p in given.photos) > 0
    for i in range(len(given)):
        a, b = given[i], again[i]
        assert a.image_id == b.image_id
        np.testing.assert_allclose(a.keypoints, b.keypoints, atol=0.01)
        np.testing.assert_allclose(a.boxes, b.boxes, atol=0.02)
        np.testing.assert_allclose(a.areas, b.areas, atol=0.02)
        np.testing.assert_allclose(a.unposed, b.unposed, atol=0.02)
        assert (a.mask != b.mask).mean() < 1e-3  # edges of boxes are rounded to 0.01 pixels


def test_the_command_writes_it(folder):
    words = ["coco", "--images", str(folder), "--annotations", str(folder / "given.json"), "--out", str(folder / "out.json")]
    main(words)
    assert json.loads((folder / "out.json").read_text()) == json.loads(json.dumps(as_coco(coco(folder, folder / "given.json"))))
    words[4] = str(folder / "none.json")
    with pytest.raises(SystemExit, match=r"none\.json"):
        main(words)
