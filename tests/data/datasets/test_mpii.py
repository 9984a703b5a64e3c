"""MPII's three files (the official .mat generated here in its nested layout), groups, and predictions in and out."""

import doctest
import json

import cv2
import h5py
import numpy as np
import pytest
from scipy.io import loadmat, savemat
from shared import shared

from manypose.data.datasets.mpii import group_poses, mpii, person_boxes, read_groups, read_mpii, truths
from manypose.data.datasets.mpii_results import read_preds, write_groups, write_preds, write_singles
from manypose.evaluation.metrics.pckh import keypoint_ap, pckh
from manypose.io import matlab
from manypose.io.matlab import cells
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO, MPII


def test_doctests():
    assert doctest.testmod(matlab) == (0, 1)


# ── the files that users have ──


def test_hdf5_of_the_validation_set():
    people = read_mpii(shared("data", "eval_fixtures", "mpii", "valid.h5"))
    assert (len(people), len(set(people.images))) == (2958, 2729)  # the figures of Tompson's split
    assert people.report.problems == []
    with h5py.File(shared("data", "eval_fixtures", "mpii", "valid.h5")) as f:
        assert (people.keypoints[0, :, :2] == f["part"][0] - 1).all()
        assert people.places[0].tolist() == [f["index"][0], f["person"][0]]
        # The file's centre and scale are those of the crop.
        assert person_boxes(people)[0].reshape(2, 2).mean(0) == pytest.approx(f["center"][0] - 1)
        assert np.ptp(person_boxes(people)[:, 0::2], axis=1) * 1.25 == pytest.approx(200 * f["scale"][()])
    assert (people.keypoints[2, [0, 5], 2] == 0).all()  # ankles that are not labelled
    assert people.keypoints[2, 10, 2] == 1  # a wrist that is hidden
    assert len(truths(people)) == 2729


def test_published_predictions_from_file_to_figure():
    people = read_mpii(shared("data", "eval_fixtures", "mpii", "valid.h5"))
    found = read_preds(shared("data", "eval_fixtures", "mpii", "newell_valid_predictions.h5"), people)
    result = pckh(found, people.keypoints[..., :2], people.keypoints[..., 2] > 0, people.head_sizes)
    assert round(result.mean_of_parts, 2) == 87.98
    assert round(result.mean, 2) == 88.43


def test_json_and_hdf5_tell_of_the_same_people():
    folder, valid = shared("data", "format_samples", "mpii"), shared("data", "eval_fixtures", "mpii", "valid.h5")
    ours, theirs = read_mpii(folder / "test_mpii.json", valid), read_mpii(valid)
    for i, name in enumerate(ours.images):
        (j,) = [j for j, other in enumerate(theirs.images) if other == name]
        both = (ours.keypoints[i, :, 2] > 0) & (theirs.keypoints[j, :, 2] > 0)
        assert both.sum() >= 14
        cut = ours.keypoints[i, both, :2] - theirs.keypoints[j, both, :2]
        assert (cut >= 0).all()
        assert (cut < 1).all()
        assert ours.centers[i] == pytest.approx(theirs.centers[j], abs=1e-3)
        assert ours.scales[i] == pytest.approx(theirs.scales[j], abs=1e-3)
        assert ours.head_sizes[i] == theirs.head_sizes[j]


def test_samples():
    folder = shared("data", "format_samples", "mpii")
    data = mpii(folder, folder / "test_mpii.json")
    assert len(data) == 5
    sample = data[0]
    assert sample.image_id == 5808361
    assert sample.keypoints[0, 0].tolist() == [803, 710, 2]  # 804, 711 in the file
    middle = sample.boxes[0].reshape(2, 2).mean(0)
    assert middle == pytest.approx([965, 339 + 15 * 4.718488], abs=1e-3)
    assert sample.boxes[0, 2] - sample.boxes[0, 0] == pytest.approx(200 * 4.718488, abs=1e-3)
    assert sample.mask[0, :, 0].sum() == 0  # outside the box nobody says who is there
    assert sample.mask[0, 400, 965] == 1


def test_hrnet_heads(tmp_path):
    folder = shared("data", "format_samples", "mpii")
    (tmp_path / "valid.json").write_text((folder / "test_mpii.json").read_text())
    assert np.isnan(read_mpii(tmp_path / "valid.json").head_sizes).all()
    boxes = np.zeros((2, 2, 5))
    boxes[1, 0], boxes[1, 1] = 30, 40
    savemat(tmp_path / "gt_valid.mat", {"headboxes_src": boxes})
    assert read_mpii(tmp_path / "valid.json").head_sizes.tolist() == [30.0] * 5  # found beside it
    savemat(tmp_path / "other.mat", {"headboxes_src": boxes[..., :3]})
    with pytest.raises(ValueError, match=r"headboxes_src is \(2, 2, 3\), for the 5 people"):
        read_mpii(tmp_path / "valid.json", tmp_path / "other.mat")


# ── the official .mat ──


def struct(rows, names):
    """A 1xN struct array, fields that a row lacks empty, as MATLAB saves them."""
    out = np.empty((1, len(rows)), dtype=[(n, object) for n in names])
    for i, row in enumerate(rows):
        for n in names:
            out[n][0, i] = row.get(n, np.zeros((0, 0)))
    return out


def cell(values):
    out = np.empty((1, len(values)), object)
    for i, v in enumerate(values):
        out[0, i] = v
    return out


def rect(x, y, points=range(16), **fields):
    """A person whose joint j lies at x + j, y + 2j in the file's coordinates, with a head of 0.6 · 50 pixels."""
    given = [{"id": j, "x": x + j, "y": y + 2 * j, "is_visible": "0" if j == 10 else "1" if j == 11 else 1} for j in points]
    for p in given:
        if p["id"] in (8, 9):
            p.pop("is_visible")
    head = {"x1": x, "y1": y, "x2": x + 30, "y2": y + 40}
    person = {**head, "scale": 1.5, "objpos": {"x": x + 8, "y": y + 15}}
    return person | {"annopoints": {"point": struct(given, ("x", "y", "id", "is_visible"))}} | fields


@pytest.fixture
def official(tmp_path):
    """Five photos: a pair, one alone, a test photo with two, a photo without people, and four people in two groups."""
    names = ("x1", "y1", "x2", "y2", "annopoints", "scale", "objpos")
    hidden = {"annopoints": np.zeros((0, 0))}
    photos = [
        struct([rect(10, 10), rect(200, 10)], names),
        struct([rect(50, 50, (0, 1, 8, 9)), rect(300, 60, **hidden)], names),
        struct([{"scale": 2.0, "objpos": {"x": 30, "y": 40}}, {"scale": 1.0, "objpos": {"x": 90, "y": 40}}], ("scale", "objpos")),
        np.zeros((0, 0)),
        struct([rect(10, 10), rect(60, 10), rect(500, 10), rect(560, 10)], names),
    ]
    annolist = struct(
        [{"image": {"name": f"{i:09d}.jpg"}, "annorect": r, "vididx": 3} for i, r in enumerate(photos)], ("image", "annorect", "vididx")
    )
    single = cell([np.zeros((0, 0)), 1.0, np.array([[1.0, 2.0]]), np.zeros((0, 0)), np.zeros((0, 0))])
    release = {"annolist": annolist, "img_train": np.array([[1, 1, 0, 1, 1]]), "version": "12", "single_person": single}
    savemat(tmp_path / "mpii_human_pose_v1_u12_1.mat", {"RELEASE": release})
    groups = cell([cell([np.array([[1.0, 2.0]])]), cell([1.0]), cell([1.0, 2.0]), np.zeros((0, 0)),
                   cell([np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]])])])  # fmt: skip
    savemat(tmp_path / "groups_v12.mat", {"groups": groups})
    return tmp_path / "mpii_human_pose_v1_u12_1.mat", tmp_path / "groups_v12.mat"


def test_the_official_file_counts_from_one(official):
    people = read_mpii(official[0])
    assert people.report.problems == []
    assert people.total == len(people) == 7
    assert people.images[:3] == ("000000000.jpg", "000000000.jpg", "000000001.jpg")
    assert people.keypoints[0, :, :2].tolist() == [[10 + j - 1, 10 + 2 * j - 1] for j in range(16)]
    assert people.keypoints[0, :, 2].tolist() == [2] * 10 + [1] + [2] * 5  # no flag: not known to be hidden
    assert people.centers[0].tolist() == [17, 24]
    assert people.scales[0] == 1.5
    assert people.head_sizes[0] == pytest.approx(30)
    assert people.keypoints[2, :, 2].tolist() == [2, 2, 0, 0, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 0, 0]
    assert people.single.tolist() == [False, False, True, False, False, False, False]
    assert [n for n, *_ in people.listing] == [f"{i:09d}.jpg" for i in (0, 1, 3, 4)]


def test_the_test_set_has_positions_alone(official):
    people = read_mpii(official[0], split="test")
    assert len(people) == 2
    assert not people.keypoints.any()
    assert people.scales.tolist() == [2, 1]
    assert people.centers.tolist() == [[29, 39], [89, 39]]
    assert people.single.all()


def test_groups_are_those_without_people_who_stand_apart(official):
    people = read_mpii(official[0])
    groups = read_groups(official[1], people)
    assert groups == [[0, 1], [3, 4], [5, 6]]
    seen = truths(people, groups)
    assert [len(t) for t in seen] == [2, 2, 2]
    photo = Poses(MPII, people.keypoints[3:, :, :2], np.ones((4, 16)), np.ones(4))
    found = [group_poses(photo, people, rows) for rows in groups[1:]]
    assert (found[0].keypoints == people.keypoints[3:5, :, :2]).all()
    assert (found[1].keypoints == people.keypoints[5:, :, :2]).all()
    assert keypoint_ap(found, seen[1:]).mean == pytest.approx(100)
    people_h5 = read_mpii(shared("data", "eval_fixtures", "mpii", "valid.h5"))
    with pytest.raises(ValueError, match=r"valid\.h5: groups are numbered as in the official \.mat"):
        read_groups(official[1], people_h5)


def test_groups_that_name_nobody(official):
    people = read_mpii(official[0])
    savemat(official[1], {"groups": cell([cell([9.0])] * 5)})
    with pytest.raises(ValueError, match=r"photo 000000000\.jpg: a group names person 9, there are 2"):
        read_groups(official[1], people)


def spoil(path, change):
    release = loadmat(path)["RELEASE"]
    change(release)
    savemat(path, {"RELEASE": release})


def test_bad_people_of_the_official_file_are_reported_by_photo_and_number(official):
    def change(release):
        rects = release["annolist"][0, 0]["annorect"][0, 0]
        rects["scale"][0, 1] = np.array([["tall"]])
        rects = release["annolist"][0, 0]["annorect"][0, 4]
        rects["annopoints"][0, 0]["point"][0, 0]["id"][0, 3] = np.array([[99]])
        rects["objpos"][0, 1] = np.zeros((0, 0))
        rects["annopoints"][0, 2]["point"][0, 0]["x"][0, 3] = np.array([[np.nan]])

    spoil(official[0], change)
    people = read_mpii(official[0])
    report = people.report
    assert report.ids("scale is not a positive number") == ["000000000.jpg person 2"]
    assert report.ids("joints are not 16 pairs of numbers with a visibility each") == ["000000004.jpg person 1"]
    assert report.ids("centre is not 2 numbers") == ["000000004.jpg person 2"]
    assert report.ids("joints are not finite") == ["000000004.jpg person 3"]
    assert people.rows.tolist() == [0, 2, 6]


# ── predictions ──


def test_predictions_of_single_people_for_the_server(official, tmp_path):
    people = read_mpii(official[0], split="test")
    chosen = people[people.single][[1]]
    keypoints = np.random.default_rng(0).uniform(0, 100, (1, 16, 2))
    path = write_singles(tmp_path / "pred_keypoints_mpii.mat", chosen, keypoints)
    pred = cells(loadmat(path, simplify_cells=True)["pred"])
    assert [p["image"]["name"] for p in pred] == ["000000002.jpg"]
    first, second = cells(pred[0]["annorect"])
    assert len(cells(first["annopoints"])) == 0
    points = cells(second["annopoints"]["point"])
    assert [p["id"] for p in points] == list(range(16))
    assert np.array([[p["x"], p["y"]] for p in points]) == pytest.approx(keypoints[0] + 1)


def test_predictions_of_groups_for_the_server(official, tmp_path):
    people = read_mpii(official[0])
    groups = read_groups(official[1], people)
    poses = [Poses(MPII, people.keypoints[r, :, :2], np.full((len(r), 16), 0.5), np.ones(len(r))) for r in groups]
    poses[0].keypoint_scores[0, 3] = 0
    pred = cells(loadmat(write_groups(tmp_path / "m.mat", people, groups, poses), simplify_cells=True)["pred"])
    assert [p["image"]["name"] for p in pred] == ["000000000.jpg", "000000004.jpg", "000000004.jpg"]
    points = cells(cells(pred[0]["annorect"])[0]["annopoints"]["point"])
    assert [p["id"] for p in points] == [j for j in range(16) if j != 3]
    assert points[0] == {"id": 0, "x": 10, "y": 10, "score": 0.5}


@pytest.mark.parametrize("suffix", [".h5", ".mat"])
def test_preds_survive_writing_and_reading(official, tmp_path, suffix):
    people = read_mpii(official[0])[[1, 4, 5]]
    keypoints = np.random.default_rng(0).uniform(0, 100, (3, 16, 2))
    assert read_preds(write_preds(tmp_path / f"p{suffix}", people, keypoints), people) == pytest.approx(keypoints)


def test_preds_in_torch_order(official, tmp_path):
    people = read_mpii(official[0])
    keypoints = np.random.default_rng(0).uniform(0, 100, (7, 16, 2))
    savemat(tmp_path / "p.mat", {"preds": (keypoints + 1).transpose(2, 1, 0)})
    assert read_preds(tmp_path / "p.mat", people) == pytest.approx(keypoints)


def test_bad_predictions_are_named(official, tmp_path):
    people = read_mpii(official[0])
    good = np.ones((7, 16, 2))
    bad = good.copy()
    bad[3, 9] = np.nan
    for preds, message in (
        (good[:5], r"p\.mat: preds are float64 of shape \(5, 16, 2\); for the 7 people"),
        (np.ones((7, 17, 2)), r"shape \(7, 17, 2\)"),
        (bad, r"1 people have joints that are not finite; first person 3 \(from 0, 000000004\.jpg\): head_top"),
        (good.astype(str), "they must be numbers"),
    ):
        savemat(tmp_path / "p.mat", {"preds": preds})
        with pytest.raises(ValueError, match=message):
            read_preds(tmp_path / "p.mat", people)
    with pytest.raises(ValueError, match="head_top"):
        write_preds(tmp_path / "w.mat", people, bad)
    with pytest.raises(ValueError, match="5 predictions for the 7 people"):
        write_preds(tmp_path / "w.mat", people, good[:5])
    with pytest.raises(ValueError, match=r"written as \.h5 or \.mat"):
        write_preds(tmp_path / "w.txt", people, good)
    with pytest.raises(ValueError, match="got skeleton 'coco'"):
        write_groups(tmp_path / "w.mat", people, [[0]], [Poses.empty(COCO)])
    with pytest.raises(ValueError, match="0 results for 1 groups"):
        write_groups(tmp_path / "w.mat", people, [[0]], [])
    assert not list(tmp_path.glob("w.*"))


# ── broken annotations ──


@pytest.fixture
def write_json(tmp_path):
    person = {"image": "1.jpg", "joints": [[5 + j, 6] for j in range(16)], "joints_vis": [1] * 16, "center": [9, 9], "scale": 1.0}

    def write(*changes):
        rows = [{**person, "center": [9 + i, 9]} | c for i, c in enumerate(changes)]
        (tmp_path / "valid.json").write_text(json.dumps([{k: v for k, v in r.items() if v is not None} for r in rows]))
        return tmp_path / "valid.json"

    return write


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"joints": [[1, 2]] * 17}, "joints are not 16 pairs of numbers with a visibility each"),
        ({"joints": "1 2"}, "joints are not 16 pairs of numbers with a visibility each"),
        ({"joints_vis": None}, "joints are not 16 pairs of numbers with a visibility each"),
        ({"joints": [[float("nan"), 1]] * 16}, "joints are not finite"),
        ({"center": [1]}, "centre is not 2 numbers"),
        ({"scale": "1.5"}, "scale is not a positive number"),
        ({"scale": 0}, "scale is not a positive number"),
        ({"image": None}, "no image name"),
        ({"joints_vis": [0] * 16}, "no joint is labelled"),
        ({"center": [9, 9]}, "person listed twice"),
    ],
)
def test_bad_people_of_the_json_are_reported_by_number(write_json, change, kind):
    people = read_mpii(write_json({}, change, {}))
    assert people.report.ids(kind) == [1]
    assert people.rows.tolist() == [0, 2]
    assert people.total == 3


def test_files_that_are_something_else(tmp_path, write_json):
    for name, content, message in (
        ("a.json", b"{", "not a JSON file"),
        ("a.json", b"{}", "is a list of people"),
        ("a.json", b'[{"image": "1.jpg"}]', "test set's annotations are not published"),
        ("a.h5", b"no", "not an HDF5 file"),
        ("a.mat", b"no", r"not a \.mat file"),
        ("a.txt", b"no", r"a \.json, \.h5 or \.mat file"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=message):
            read_mpii(tmp_path / name)
    for name in ("none.json", "none.h5", "none.mat"):
        with pytest.raises(FileNotFoundError, match="no such annotation file"):
            read_mpii(tmp_path / name)
    with h5py.File(tmp_path / "b.h5", "w") as f:
        f["preds"] = np.zeros((1, 16, 2))
    with pytest.raises(ValueError, match="has no data set 'imgname', it has preds"):
        read_mpii(tmp_path / "b.h5")
    savemat(tmp_path / "b.mat", {"RELEASE": {"version": 12}})
    with pytest.raises(ValueError, match="RELEASE has no annolist"):
        read_mpii(tmp_path / "b.mat")
    with pytest.raises(ValueError, match="no person of 1 can be used"):
        read_mpii(write_json({"scale": -1}))


def test_photos_that_are_missing(tmp_path, write_json):
    path = write_json({}, {"image": "2.jpg"})
    cv2.imwrite(str(tmp_path / "1.jpg"), np.zeros((20, 30, 3), np.uint8))
    data = mpii(tmp_path, path)
    assert len(data) == 1
    assert data.report.ids("photo file missing") == [2]
    (tmp_path / "1.jpg").unlink()
    with pytest.raises(ValueError, match="none of its 2 photos is in"):
        mpii(tmp_path, path)
    with pytest.raises(FileNotFoundError, match="no such folder of photos"):
        mpii(tmp_path / "none", path)
