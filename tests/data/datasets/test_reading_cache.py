"""Line 17: large annotation files are read once for all ranks, in little memory; what is kept gives the same samples."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from typing import Any

import cv2
import numpy as np
import pytest

from manypose.data.datasets import coco as module
from manypose.data.datasets import coco_json, reading_cache
from manypose.data.datasets.coco import coco, read_coco
from manypose.data.packed_photos import PackedPhotos
from manypose.data.photos import Photo
from manypose.poses.skeleton import COCO


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Photos with people who have outlines, run lengths, none, a crowd, a box without joints; the cache is in the test's folder."""
    monkeypatch.setenv("MANYPOSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(reading_cache, "LARGE", 1)
    (tmp_path / "photos").mkdir()
    rows: list[dict[str, Any]] = []
    shapes = [[[10, 10, 40, 12, 30, 50.5], [60, 10, 70, 10, 65, 30]], {"counts": [3, 4, 8000 - 7], "size": [80, 100]}, [], "nonsense"]
    for i in range(1, 4):
        cv2.imwrite(str(tmp_path / f"photos/é{i}.png"), np.full((80, 100, 3), 50 * i, np.uint8))
        for j in range(4):
            joints = [0] * 51 if j == 2 else [20.5 + j, 30, 2] * 17
            rows.append({"id": len(rows), "image_id": i, "category_id": 1, "bbox": [10.1, 10.2, 40.1 + j, 30], "keypoints": joints})
            rows[-1] |= {"segmentation": shapes[(i + j) % 4], "area": 300.0, "iscrowd": int(i == 2 and j == 2)}
    images = [{"id": i, "file_name": f"é{i}.png", "width": 100, "height": 80, "crowdIndex": 0.25 * i} for i in range(1, 4)]
    images[1]["all_persons_labelled"] = False
    file = tmp_path / "people.json"
    file.write_text(json.dumps({"images": images, "annotations": rows, "categories": []}))
    return tmp_path / "photos", file


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return type(b) is np.ndarray and a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def equal_photos(a: Photo, b: Photo) -> bool:
    return all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(Photo))


def test_17_the_second_process_reads_no_json_and_gives_the_same(files, monkeypatch):
    first, report = read_coco(*files, COCO)
    with monkeypatch.context() as m:
        m.setattr(module, "load_rows", lambda path: pytest.fail("read again"))
        second, again = read_coco(*files, COCO)
    assert isinstance(second, PackedPhotos)
    assert len(first) == 3
    assert all(map(equal_photos, first, second))
    assert again == report
    assert report.ids("segmentation cannot be read")
    kinds = {type(shape).__name__ for photo in second for shape in (*photo.shapes, *photo.ignored)}
    assert kinds == {"list", "dict", "ndarray", "NoneType"}
    assert [p.crowd for p in second] == [0.25, 0.5, 0.75]
    assert [p.complete for p in second] == [True, False, True]
    one, two = coco(*files), coco(*files)
    for x, y in ((one[i], two[i]) for i in range(3)):
        assert np.array_equal(x.mask, y.mask)
        assert (x.segmentation is None) == (y.segmentation is None)


@pytest.mark.parametrize("change", ["content", "photo gone", "photo new", "keep", "list"])
def test_17_whatever_changes_is_read_again(files, change, tmp_path):
    folder, file = files
    if change == "photo new":
        (folder / "é2.png").rename(folder / "away.png")
    before = len(read_coco(folder, file, COCO)[0])
    options: dict[str, Any] = {}
    if change == "content":
        given = json.loads(file.read_text())
        file.write_text(json.dumps({**given, "images": given["images"][:2]}))
    elif change == "photo gone":
        (folder / "é1.png").unlink()
    elif change == "photo new":
        (folder / "away.png").rename(folder / "é2.png")
    elif change == "keep":
        options["keep"] = "empty"
    else:
        (tmp_path / "list.txt").write_text("1\n")
        options["only"] = tmp_path / "list.txt"
    if change == "keep":
        with pytest.raises(ValueError, match="none of its 0 photos"):
            read_coco(folder, file, COCO, **options)
    else:
        assert len(read_coco(folder, file, COCO, **options)[0]) == {"list": 1, "photo new": 3}.get(change, before - 1)


def test_17_processes_that_start_together_read_once(files, monkeypatch):
    reads = []
    read = module.load_rows
    monkeypatch.setattr(module, "load_rows", lambda path: reads.append(path) or read(path))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: read_coco(*files, COCO)[0], range(4)))
    assert len(reads) == 1
    assert all(equal_photos(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


def test_17_a_spoiled_or_unwritable_cache_is_no_error(files, tmp_path, monkeypatch):
    before, _ = read_coco(*files, COCO)
    (about,) = (tmp_path / "cache").rglob("about.json")
    about.write_text("{")
    assert all(map(equal_photos, before, read_coco(*files, COCO)[0]))
    (tmp_path / "no_folder").write_text("")
    monkeypatch.setenv("MANYPOSE_CACHE", str(tmp_path / "no_folder"))
    assert all(map(equal_photos, before, read_coco(*files, COCO)[0]))


def test_17_annotations_are_parsed_a_part_at_a_time(files, monkeypatch):
    """The peak does not hold all annotations as Python objects: no parse sees more than a chunk of them."""
    monkeypatch.setattr(coco_json.Rows, "CHUNK", 5)
    sizes = []
    parsed = coco_json._parsed

    def watched(text: bytes) -> Any:
        given = parsed(text)
        sizes.append(len(given) if isinstance(given, list) else 0)
        return given

    monkeypatch.setattr(coco_json, "_parsed", watched)
    photos, report = read_coco(*files, COCO)
    assert report.people == sum(len(p.boxes) for p in photos) == 9
    assert sizes.count(5) == 2
    assert max(sizes) == 5
