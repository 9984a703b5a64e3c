"""OCHuman's files: masked outside the annotated people, outlines, the wrong file named."""

import json

import pytest
from pycocotools.mask import decode
from shared import shared

from manypose.data.datasets.ochuman import ochuman
from manypose.poses.skeleton import COCO


def test_the_sample_photos():
    folder = shared("data", "format_samples", "ochuman")
    data = ochuman(folder, folder / "test_ochuman.json")
    assert [len(data[i].keypoints) for i in range(3)] == [1, 2, 2]
    sample = data[1]
    assert sample.skeleton is COCO
    assert sample.areas.tolist() == [154660, 94308]  # of the boxes
    assert sample.mask.shape == (1, 1000, 665)
    assert sample.mask[0, 500, 250] == 1  # inside a person's box
    assert sample.mask[0, 20, 600] == 0  # nobody is annotated there, but somebody may be there
    assert sample.segmentation is not None
    outlines = [decode(a["segmentation"]) for a in json.loads((folder / "test_ochuman.json").read_text())["annotations"][1:3]]
    assert ((sample.segmentation == 1) == (sum(outlines) > 0)).all()
    assert set(sample.segmentation[0, :50].tolist()) == {255}


def test_the_original_file_is_named_as_the_wrong_one(tmp_path):
    (tmp_path / "ochuman.json").write_text(json.dumps({"images": [{"file_name": "1.jpg", "annotations": []}], "keypoint_names": []}))
    with pytest.raises(ValueError, match=r"ochuman\.json: this is OCHuman's own format with 19 joints"):
        ochuman(tmp_path, tmp_path / "ochuman.json")
    with pytest.raises(FileNotFoundError, match="no such annotation file"):
        ochuman(tmp_path, tmp_path / "other.json")
