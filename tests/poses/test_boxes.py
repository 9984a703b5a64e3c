"""Boxes files: which boxes belong to which photo."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.ops import nms

from manypose.poses.boxes import box_nms, match_boxes, read_boxes

ONE, TWO = [[0, 0, 1, 1]], [[0, 0, 2, 2]]
CAMERAS = [Path("photos/cam1/000001.jpg"), Path("photos/cam2/000001.jpg")]


def test_02_photos_of_one_name_in_two_folders_keep_their_own_boxes():
    boxes = {"cam1/000001.jpg": ONE, "cam2/000001.jpg": TWO}
    assert match_boxes(boxes, CAMERAS, Path("photos")) == [ONE, TWO]
    assert match_boxes({"photos/cam2/000001.jpg": TWO}, CAMERAS, Path("photos")) == [None, TWO]
    assert match_boxes({"000001.jpg": ONE}, CAMERAS, Path("photos")) == [None, None]  # whose they are cannot be told
    assert match_boxes({"1": ONE}, CAMERAS) == [None, None]


def test_02_image_ids_go_before_names():
    """Photos under COCO-2014 names, a result list by image id."""
    photos = [Path("v/COCO_val2014_000000000785.jpg"), Path("v/COCO_val2014_000000000007.jpg")]
    assert match_boxes({"785": ONE, "7": TWO}, photos, Path("v"), [785, 7]) == [ONE, TWO]
    assert match_boxes({"785": ONE, "COCO_val2014_000000000785.jpg": TWO}, photos, Path("v"), [785, 7]) == [ONE, None]
    # A file called 7.jpg has no claim on image 7's boxes where ids are known.
    assert match_boxes({"7": ONE}, [Path("v/7.jpg"), Path("v/8.jpg")], Path("v"), [1, 7]) == [None, ONE]


def test_a_file_name_alone_is_enough_where_only_one_photo_has_it():
    assert match_boxes({"b.jpg": ONE}, [Path("x/a.jpg"), Path("x/y/b.jpg")], Path("x")) == [None, ONE]
    assert match_boxes({"val/b.jpg": ONE}, [Path("x/b.jpg")], Path("x")) == [ONE]
    assert match_boxes({"val/b.jpg": ONE, "train/b.jpg": TWO}, [Path("x/b.jpg")], Path("x")) == [None]
    assert match_boxes({"785": ONE}, [Path("000000000785.jpg")]) == [ONE]


def test_a_byte_order_mark_is_passed_over(tmp_path: Path):
    (tmp_path / "b.json").write_bytes(b"\xef\xbb\xbf" + json.dumps({"1.png": ONE}).encode())
    assert read_boxes(tmp_path / "b.json")["1.png"].tolist() == [[0, 0, 1, 1, 1]]


@pytest.mark.parametrize("rows", [[{"bbox": [0, 0, 1, 1]}], [{"image_id": 1, "bbox": [10**400, 0, 1, 1]}], [[1]], {"a": 3}, 5])
def test_what_is_no_boxes_file_is_said(tmp_path: Path, rows: object):
    (tmp_path / "b.json").write_text(json.dumps(rows))
    with pytest.raises(ValueError, match=r"b\.json: not a boxes file"):
        read_boxes(tmp_path / "b.json")


@pytest.mark.parametrize("seed", range(5))
def test_suppression_is_torchvisions(seed: int):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 60, (40, 2))
    boxes = np.column_stack([corners, corners + rng.uniform(5, 50, (40, 2)), rng.permutation(40) / 40]).astype(np.float32)
    for overlap in (0.1, 0.5, 0.9):
        rows = torch.from_numpy(boxes)
        assert box_nms(boxes, overlap).tolist() == nms(rows[:, :4], rows[:, 4], overlap).tolist()
    assert box_nms(boxes[:0], 0.5).tolist() == []
