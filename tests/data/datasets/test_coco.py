import json
import logging

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps
from shared import shared

from manypose.data.datasets.coco import annotated_people, coco, read_coco
from manypose.data.photos import read_rgb
from manypose.data.sample import Sample, collate
from manypose.poses.skeleton import COCO

GOOD = [20.0, 30.0, 2] * 17


def person(id, **changes):
    given = {"id": id, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [10, 10, 40, 40], "area": 900.0, "keypoints": GOOD}
    return {**given, **changes}


@pytest.fixture
def write(tmp_path):
    """Writes photos and an annotation file; gives (folder, file)."""

    def make(annotations, images=None, **rest):
        folder = tmp_path / "photos"
        folder.mkdir(exist_ok=True)
        images = images or [{"id": 1, "file_name": "a.png", "width": 100, "height": 80}]
        for image in images:
            if image.get("file_name", "").endswith("a.png"):
                cv2.imwrite(str(folder / "a.png"), np.full((80, 100, 3), 90, np.uint8))
        (tmp_path / "people.json").write_text(json.dumps({"images": images, "annotations": annotations, **rest}))
        return folder, tmp_path / "people.json"

    return make


def spoiled(place, value):
    return [value if i == place else v for i, v in enumerate(GOOD)]


BAD = {
    "keypoints are not finite": [{"keypoints": spoiled(3, float("nan"))}, {"keypoints": spoiled(4, float("inf"))}],
    "keypoints are not 3 x 17 numbers": [{"keypoints": GOOD[:-1]}, {"keypoints": "many"}, {"keypoints": None}, {"keypoints": [[1, 2, 2]]}],
    "visibility is not 0, 1 or 2": [{"keypoints": spoiled(2, 7)}],
    "keypoints outside the photo": [{"keypoints": spoiled(0, 250)}, {"keypoints": spoiled(1, -40)}],
    "box is not finite": [{"bbox": [float("nan"), 0, 5, 5]}],
    "box is not 4 numbers": [{"bbox": [1, 2, 3]}, {"bbox": None}, {"bbox": {"x": 1}}],
    "box has no area": [{"bbox": [10, 10, 0, 5]}, {"bbox": [10, 10, 5, -5]}],
    "box lies outside the photo": [{"bbox": [100, 10, 5, 5]}, {"bbox": [10, -30, 5, 20]}],
    "box reaches beyond the photo": [{"bbox": [60, 10, 90, 20]}],
    "area is not a positive number": [{"area": -4}, {"area": float("nan")}, {"area": "large"}, {"area": 10**400}],
    "annotation of an unknown image": [{"image_id": 99}, {"image_id": None}, {"image_id": "one"}, {"image_id": 2**63}],
    "segmentation cannot be read": [{"segmentation": [[1, 2, 3]]}, {"segmentation": {"counts": [3], "size": [8]}}, {"segmentation": "x"},
        {"segmentation": {"counts": [70000 * 70000], "size": [70000, 70000]}}, {"segmentation": {"counts": "1" * 10**6, "size": [80, 100]}},
        {"segmentation": {"counts": [-5, 8005], "size": [80, 100]}}, {"segmentation": {"counts": [10000], "size": [100, 100]}}],
}  # fmt: skip
MENDED = {"keypoints outside the photo", "box reaches beyond the photo", "area is not a positive number", "segmentation cannot be read"}


@pytest.mark.parametrize(("kind", "changes"), [(kind, c) for kind, many in BAD.items() for c in many])
def test_a_bad_annotation_is_reported_by_its_id_and_the_rest_is_used(write, kind, changes):
    data = coco(*write([person(5), person(77, **changes)]))
    assert data.report.ids(kind) == [77]
    assert data.report.counts == {kind: 1}
    sample = data[0]
    assert len(sample.boxes) == (2 if kind in MENDED else 1)
    assert np.isfinite(sample.keypoints).all()
    assert (sample.areas > 0).all()
    assert (sample.boxes <= [100, 80, 100, 80]).all()
    assert "77" in str(data.report)


def test_outside_joints_become_unlabelled_and_edges_are_no_error(write):
    data = coco(*write([person(1, keypoints=spoiled(0, 250)), person(2, keypoints=spoiled(0, 100))]))
    assert data[0].keypoints[0, 0].tolist() == [0, 0, 0]
    assert data[0].keypoints[1, 0].tolist() == [100, 30, 2]
    assert data.report.ids("keypoints outside the photo") == [1]


def test_repeated_ids_and_broken_images_are_reported(write):
    images = [
        {"id": 1, "file_name": "a.png", "width": 100, "height": 80},
        {"id": 1, "file_name": "a.png", "width": 9, "height": 9},
        {"id": 2, "file_name": "gone.png", "width": 100, "height": 80},
        {"id": 3, "file_name": "a.png", "width": -1, "height": 80},
        {"file_name": "a.png"},
    ]
    folder, file = write([person(1), person(1), person(3, image_id=2), "nonsense", person(4, image_id=3)], images)
    given = json.loads(file.read_text())
    given["images"].append("nonsense")
    file.write_text(json.dumps(given))
    data = coco(folder, file)
    assert data.report.ids("image id used twice") == [1]
    assert data.report.ids("photo file missing") == [2]
    assert data.report.ids("image without width and height") == [3]
    assert data.report.ids("image without file_name or a whole number as id") == ["#4", "#5"]
    assert data.report.ids("annotation id used twice") == [1]
    assert data.report.ids("annotation is not a mapping") == ["#3"]
    assert len(data) == 1
    assert data.report.people == 1


def test_16_ids_as_text_and_photos_without_sizes(write):
    """As users of pycocotools write them; the photo's header gives the size."""
    images = [{"id": "7", "file_name": "a.png"}, {"id": 8.0, "file_name": "a.png", "width": 100.0, "height": "80"}]
    data = coco(*write([person(1, image_id="7"), person(2, image_id=8)], images))
    assert [(p.image_id, p.size) for p in data.photos] == [(7, (80, 100)), (8, (80, 100))]
    assert not data.report.problems


def test_16_two_people_with_one_id_are_both_read(write):
    data = coco(*write([person(0), person(0, bbox=[20, 20, 30, 30])]))
    assert data.report.people == 2
    assert data.report.ids("annotation id used twice") == [0]


def test_problems_are_logged_once_with_ids(write, caplog):
    with caplog.at_level(logging.WARNING):
        coco(*write([person(5), person(77, bbox=[1, 2, 0, 0]), person(78, bbox=[1, 2, 0, 0])]))
    assert len(caplog.records) == 1
    assert "77, 78" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a JSON file"), ("[]", "needs the lists"), ('{"images": []}', "needs the lists"), 
        ("", "not a JSON file"), ("\x00\x01", "not a JSON file"),
        ('{"images": {}, "annotations": []}', "needs the lists"), ('{"images": [], "annotations": []}', "none of its 0 photos"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_one_clear_error(tmp_path, text, message):
    file = tmp_path / "people.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=message) as e:
        coco(tmp_path, file)
    assert str(file) in str(e.value)


def test_absent_files_and_people_are_errors_that_name_them(write, tmp_path):
    folder, file = write([person(1)])
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json"):
        coco(folder, tmp_path / "nowhere.json")
    with pytest.raises(FileNotFoundError, match="nofolder"):
        coco(tmp_path / "nofolder", file)
    with pytest.raises(ValueError, match="none of its 1 photos"):
        coco(tmp_path, file)
    with pytest.raises(ValueError, match="no person with labelled joints for skeleton 'crowdpose'"):
        coco(folder, file, skeleton="crowdpose")
    with pytest.raises(ValueError, match="no skeleton 'cocoo'"):
        coco(folder, file, skeleton="cocoo")
    folder, file = write([person(1, keypoints=[0] * 51)])
    with pytest.raises(ValueError, match="no person with labelled joints"):
        coco(folder, file)


@pytest.mark.parametrize("content", [b"", b"not a picture", None])
def test_an_unreadable_photo_is_named_or_skipped(write, content, caplog):
    folder, file = write([person(1)])
    if content is None:
        cv2.imwrite(str(folder / "a.png"), np.zeros((8, 9, 3), np.uint8))
    else:
        (folder / "a.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.png"):
        coco(folder, file)[0]
    with pytest.raises(ValueError, match=r"a\.png"):
        coco(folder, file, cache="decoded")
    data = coco(folder, file, unreadable="skip")
    with caplog.at_level(logging.WARNING):
        sample, _ = data[0], data[0]
    assert len(sample.boxes) == 0
    assert not sample.mask.any()
    assert [p.name for p in data.skipped] == ["a.png"]
    assert len([r for r in caplog.records if "skipped" in r.message]) == 1


def test_caches_give_the_same_samples(write):
    folder, file = write([person(1)])
    plain, encoded, decoded = (coco(folder, file, cache=c) for c in ("none", "encoded", "decoded"))
    (folder / "a.png").unlink()
    assert np.array_equal(encoded[0].image, decoded[0].image)
    with pytest.raises(ValueError, match=r"a\.png"):
        plain[0]
    with pytest.raises(IndexError):
        decoded[1]


def test_crowds_and_people_without_joints_are_masked(write):
    rle = {"size": [80, 100], "counts": [60 * 80, 20 * 80, 20 * 80]}  # columns 60 … 79
    people = [
        person(1),
        person(2, bbox=[85, 50, 10, 20], keypoints=[0] * 51, segmentation=[[86, 51, 92, 51, 92, 60, 86, 60]]),
        person(3, iscrowd=1, bbox=[60, 0, 20, 80], segmentation=rle),
    ]
    sample = coco(*write(people))[0]
    expected = np.ones((80, 100), np.uint8)
    expected[:, 60:80] = 0
    expected[51:60, 86:92] = 0
    wrong = sample.mask[0] != expected
    assert sample.mask.shape == (1, 80, 100)
    assert wrong.sum() <= 20  # the polygon's own edge
    assert not wrong[:, :84].any()
    assert sample.mask[0, 55, 89] == 0


def test_compressed_masks_are_read_and_scaled_with_the_photo(write):
    coder = pytest.importorskip("pycocotools.mask", reason="pycocotools writes the compressed mask")
    whole = np.zeros((160, 200), np.uint8, order="F")
    whole[:, 120:160] = 1
    rle = coder.encode(whole)
    crowd = person(3, iscrowd=1, bbox=[60, 0, 20, 80], segmentation_coco_size={"size": [160, 200], "counts": rle["counts"].decode()})
    mask = coco(*write([person(1), crowd]))[0].mask[0]
    assert not mask[:, 60:80].any()
    assert mask[:, :60].all()
    assert mask[:, 80:].all()


def test_an_incomplete_photo_is_looked_at_around_its_people_only(write):
    images = [{"id": 1, "file_name": "a.png", "width": 100, "height": 80, "all_persons_labelled": False}]
    mask = coco(*write([person(1)], images), margin=0.25)[0].mask[0]
    expected = np.zeros((80, 100), np.uint8)
    expected[0:60, 0:60] = 1
    assert np.array_equal(mask, expected)


def test_segmentation_knows_people_background_and_what_is_unknown(write):
    square = [[10, 10, 50, 10, 50, 50, 10, 50]]
    plane = coco(*write([person(1, segmentation=square), person(2, bbox=[70, 10, 10, 10])]))[0].segmentation
    assert plane[30, 30] == 1
    assert plane[15, 75] == 255
    assert plane[70, 5] == 0
    assert abs(int((plane == 1).sum()) - 1600) < 100
    assert coco(*write([person(1)]))[0].segmentation is None


def test_joints_that_a_file_never_labels_get_a_mask_plane_of_zeros(write):
    body = [0] * 15 + GOOD[15:]
    sample = coco(*write([person(1, keypoints=body), person(2, keypoints=body)]))[0]
    assert sample.mask.shape == (17, 80, 100)
    assert not sample.mask[:5].any()
    assert sample.mask[5:].all()


def test_16_areas_are_the_files_or_a_part_of_the_box(write):
    without = {k: v for k, v in person(2).items() if k != "area"}
    areas = coco(*write([person(1), without]))[0].areas
    assert areas.tolist() == pytest.approx([900, 0.53 * 1600])


def test_which_photos_are_kept(write):
    images = [{"id": i, "file_name": "a.png", "width": 100, "height": 80} for i in (1, 2, 3)]
    folder, file = write([person(1), person(2, image_id=2, iscrowd=1)], images)
    assert [[p.image_id for p in coco(folder, file, keep=keep).photos] for keep in ("people", "annotated", "all")] == [
        [1],
        [1, 2],
        [1, 2, 3],
    ]


@pytest.mark.parametrize(
    ("folder", "file", "photos", "people"),
    [
        ("coco_photos/train2017", "coco_photos/person_keypoints_train.json", 834, 2159),
        ("coco_photos/dev", "coco_photos/person_keypoints_dev.json", 201, 652),
        ("lspet_photos/images", "lspet_photos/person_keypoints.json", 4425, 4425),
    ],
)
def test_all_real_photos_are_read(folder, file, photos, people):
    data = coco(shared("data", folder), shared("data", file))
    assert (data.report.images, data.report.people) == (photos, people)
    assert all("box" in kind or "segmentation" in kind for kind in data.report.counts)
    for i in range(0, photos, 1 if photos < 1000 else 25):
        sample = data[i]
        assert isinstance(sample, Sample)
        assert sample.image.shape[:2] == sample.mask.shape[1:]
        assert np.isfinite(sample.keypoints).all()
        assert not data.skipped
    if "lspet" in folder:
        assert data.annotated == (False,) * 5 + (True,) * 12


def test_the_readers_parts_give_photos_and_report():
    photos, report = read_coco(shared("data/coco_photos/dev"), shared("data/coco_photos/person_keypoints_dev.json"), COCO, keep="people")
    assert len(photos) == report.images == 201
    assert sum(len(p.boxes) for p in photos) == report.people == 652


def test_annotated_people_of_an_archive():
    images = list(annotated_people(shared("data/coco_keypoints/person_keypoints_val2017_rebuilt.npz")))
    assert len(images) == 2346
    assert sum(len(i.boxes) for i in images) == 6352
    first = images[0]
    assert (first.image_id, first.size, first.keypoints[0, 0].tolist()) == (139, (426, 640), [427, 170, 1])
    assert first.boxes[0].tolist() == pytest.approx([412.8, 157.61, 465.85, 295.62], abs=0.01)


def test_an_archive_that_is_none_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.npz"):
        next(annotated_people(tmp_path / "no.npz"))
    (tmp_path / "bad.npz").write_bytes(b"PK nonsense")
    with pytest.raises(ValueError, match=r"bad\.npz"):
        next(annotated_people(tmp_path / "bad.npz"))
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(ValueError, match=r"other\.npz"):
        next(annotated_people(tmp_path / "other.npz"))


# ── ids, sizes, categories and lists as users of pycocotools expect them ──


def test_only_the_listed_photos_are_used(write, tmp_path):
    images = [{"id": i, "file_name": "a.png", "width": 100, "height": 80} for i in (1, 2, 3)]
    files = write([person(i, image_id=i) for i in (1, 2, 3)], images)
    chosen = tmp_path / "ids.txt"
    chosen.write_text("# which\n3\n1\n9\n")
    data = coco(*files, only=chosen)
    assert [p.image_id for p in data.photos] == [1, 3]
    assert data.report.ids("listed photo is not in the file") == ["9"]
    with pytest.raises(FileNotFoundError, match="no list of image ids"):
        coco(*files, only=tmp_path / "absent.txt")


def test_empty_photos_are_those_without_any_annotation(write):
    images = [{"id": i, "file_name": "a.png", "width": 100, "height": 80} for i in (1, 2)]
    data = coco(*write([person(1, image_id=1)], images), keep="empty")
    assert [p.image_id for p in data.photos] == [2]
    assert data[0].mask.all()
    assert data[0].keypoints.shape == (0, 17, 3)


def test_05_people_without_joints_are_boxes_for_detectors_and_masked_for_keypoints(write):
    rows = [person(1), person(2, keypoints=[0] * 51, bbox=[60, 10, 20, 30]), person(3, keypoints=[0] * 51, bbox=[10, 60, 9, 9], iscrowd=1)]
    sample = coco(*write(rows))[0]
    assert sample.unposed.tolist() == [[60, 10, 80, 40]]
    assert not sample.mask[0, 15:35, 65:75].any()
    boxes, there = collate([sample]).detection_boxes()
    assert boxes[there].tolist()[1] == [60, 10, 80, 40]
    assert there.sum() == 2


def test_the_category_with_keypoints_is_read_and_several_need_a_name(write):
    joints = list(COCO.joints)
    folder, file = write([person(1, category_id=2), person(2, category_id=1)])

    def read(*categories: dict, **options) -> list:
        given = json.loads(file.read_text())
        file.write_text(json.dumps({**given, "categories": categories}))
        return [len(coco(folder, file, **options)[0].boxes)]

    plain, dog, cat = (
        {"id": 1, "name": "person"},
        {"id": 2, "name": "dog", "keypoints": joints},
        {"id": 1, "name": "cat", "keypoints": joints},
    )
    assert read(plain) == [1]  # that of category 1
    assert read(plain, dog) == [1]
    assert read() == [2]
    with pytest.raises(ValueError, match=r"has cat, dog; name one: --category"):
        read(cat, dog)
    assert read(cat, dog, category="dog") == [1]
    with pytest.raises(ValueError, match="0 categories are called 'bird'; it has cat, dog"):
        read(cat, dog, category="bird")


@pytest.mark.parametrize(
    "shape",
    [
        {"size": [70000, 70000], "counts": [4_900_000_000]},
        {"size": [70000, 70000], "counts": "0" * 50},
        {"size": [80, 100], "counts": [9000, -1000]},
        {"size": [80, 100], "counts": [8001]},
        {"size": [80, 100], "counts": "o" * 1000},
    ],
)
def test_masks_of_other_sizes_are_reported_before_they_are_decoded(write, shape):
    data = coco(*write([person(1, segmentation=shape)]))
    assert data.report.ids("segmentation cannot be read") == [1]
    assert data[0].segmentation is None


# ── the photo's orientation ──


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_annotations_that_name_the_upright_size_get_the_upright_photo(tmp_path, orientation):
    stored = np.random.default_rng(0).integers(0, 256, (8, 6, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "a.png")))
    assert np.array_equal(read_rgb(tmp_path / "a.png", size=(64, 48)), stored)
    assert np.array_equal(read_rgb(tmp_path / "a.png", size=(48, 64)), upright)
    with pytest.raises(ValueError, match=r"48x64, its annotations are for 40x64 \(EXIF orientation"):
        read_rgb(tmp_path / "a.png", size=(64, 40))


def test_an_orientation_that_sizes_do_not_settle_is_said(tmp_path, caplog):
    """Case 05: orientation 3 keeps width and height; COCO's rule is stored pixels."""
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.new("RGB", (6, 4)).save(tmp_path / "a.png", exif=exif)
    with caplog.at_level(logging.WARNING):
        read_rgb(tmp_path / "a.png", size=(4, 6))
    assert "EXIF orientation 3" in caplog.text
    assert "stored pixels" in caplog.text


def test_a_photo_that_claims_too_many_pixels_is_not_decoded(tmp_path, monkeypatch):
    Image.new("RGB", (60, 40)).save(tmp_path / "a.png")
    monkeypatch.setenv("MANYPOSE_MAX_PIXELS", "2000")
    with pytest.raises(ValueError, match="MANYPOSE_MAX_PIXELS=2400"):
        read_rgb(tmp_path / "a.png")
