import json

import cv2
import numpy as np
import pytest
from tiny_training import slow

from manypose.data.datasets.coco import coco
from manypose.data.datasets.shards import shards, write_shards
from manypose.data.loading import Source, loader
from manypose.training.schedule import Schedule
from manypose.training.train import train


@pytest.fixture
def dataset(tmp_path):
    """Seven photos of 32 x 32 with people, a crowd box, a polygon, run lengths, and joints that no person has."""
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    images, rows = [], []
    for i in range(7):
        cv2.imwrite(str(tmp_path / "photos" / f"{i}.png"), rng.integers(0, 255, (32, 32, 3), np.uint8))
        images.append({"id": 10 + i, "file_name": f"{i}.png", "width": 32, "height": 32, "all_persons_labelled": i != 3})
        joints = np.concatenate([rng.uniform(1, 30, (17, 2)), np.where(np.arange(17) < 5, 0, 2)[:, None]], 1)
        shape = [[2, 2, 20, 3, 18, 25]] if i % 2 else {"size": [32, 32], "counts": [100, 200, 724]}
        person = {"image_id": 10 + i, "category_id": 1, "bbox": [1, 1, 30, 30], "area": 400.5, "segmentation": shape}
        rows.append({**person, "id": len(rows), "keypoints": joints.ravel().tolist(), "iscrowd": 0})
        crowd = {"segmentation": {"size": [32, 32], "counts": [10, 100, 914]}} if i == 4 else {"segmentation": []}
        rows.append({**person, **crowd, "id": len(rows), "bbox": [20, 2, 8, 8], "keypoints": [0] * 51, "iscrowd": int(i != 5)})
    category = {"id": 1, "name": "person", "keypoints": [str(i) for i in range(17)]}
    (tmp_path / "a.json").write_text(json.dumps({"images": images, "annotations": rows, "categories": [category]}))
    return coco(tmp_path / "photos", tmp_path / "a.json")


def test_samples_are_those_of_the_data_set(dataset, tmp_path):
    read = shards(str(write_shards(dataset, tmp_path / "shards", photos=3)))
    assert sorted(p.name for p in (tmp_path / "shards").iterdir()) == [
        "000000.tar",
        "000001.tar",
        "000002.tar",
        "dataset.json",
        "index.npy",
    ]
    assert len(read) == len(dataset) == 7
    assert any(not p.complete for p in dataset.photos)
    for i in [*range(7), -1]:
        a, b = dataset[i], read[i]
        assert (a.skeleton, a.image_id) == (b.skeleton, b.image_id)
        for name in ("image", "keypoints", "boxes", "areas", "mask", "segmentation", "unposed"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    with pytest.raises(IndexError, match="no photo 7"):
        read[7]


def test_two_steps_of_training_from_shards(dataset, tmp_path):
    import torch

    made = {}
    for name, data in (("files", dataset), ("shards", shards(str(write_shards(dataset, tmp_path / "shards", photos=4))))):
        batches = loader([Source(data)], slow, 4, length=8, seed=1, workers=1 if name == "shards" else 0)
        made[name] = train("tiny", batches, lambda p: torch.optim.Adam(p, 1e-2), Schedule(1.0, warmup=0.0), tmp_path / name, device="cpu")
    files = [next(p for p in sorted((tmp_path / name).rglob("*.safetensors"))) for name in made]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_programs_that_read_webdataset_read_them(dataset, tmp_path):
    webdataset = pytest.importorskip("webdataset", reason="the package webdataset is not installed")
    out = write_shards(dataset, tmp_path / "shards", photos=4)
    found = list(webdataset.WebDataset([str(out / "000000.tar"), str(out / "000001.tar")], shardshuffle=False))
    assert [json.loads(s["json"])["image_id"] for s in found] == list(range(10, 17))
    assert [s["png"] for s in found] == [p.path.read_bytes() for p in dataset.photos]


def test_the_index_is_what_a_process_holds(dataset, tmp_path):
    read = shards(str(write_shards(dataset, tmp_path / "shards")))
    assert isinstance(read.index, np.memmap)
    assert read.index.nbytes == 40 * len(read)


def test_what_is_damaged_is_named(dataset, tmp_path):
    with pytest.raises(FileNotFoundError, match="no data set of shards here"):
        shards(str(tmp_path))
    out = write_shards(dataset, tmp_path / "shards")
    whole = (out / "000000.tar").read_bytes()
    (out / "000000.tar").write_bytes(whole.replace(b'"boxes"', b'"foxes"'))
    with pytest.raises(ValueError, match=r"000000\.tar: the annotations at byte \d+ are damaged"):
        shards(str(out))[0]
    (out / "000000.tar").write_bytes(whole.replace(b"\x89PNG", b"junk"))
    with pytest.raises(ValueError, match=r"0\.png: not an image"):
        shards(str(out))[0]
    empty = shards(str(out), unreadable="skip")[0]
    assert not len(empty.keypoints)
    assert not empty.mask.any()
    np.save(out / "index.npy", np.zeros((2, 5), np.int64))
    with pytest.raises(ValueError, match="is damaged"):
        shards(str(out))
