"""PoseTrack18's files: frames, ignored regions, track ids; results out to the server's format, in again, and evaluated."""

import copy
import json

import cv2
import numpy as np
import pytest
from shared import shared

from manypose.data.datasets.head_sizes import without_ignored
from manypose.data.datasets.posetrack import posetrack, read_posetrack, truths
from manypose.data.datasets.posetrack_results import JOINTS, read_posetrack_results, write_posetrack
from manypose.evaluation.metrics.posetrack import posetrack_ap, posetrack_mot
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO, POSETRACK


@pytest.fixture(scope="module")
def root():
    return shared("data", "format_samples", "posetrack18")


# ── the sample ──


def test_frames_of_the_sample(root):
    videos = read_posetrack(root / "annotations" / "val")
    frames, report = truths(videos)
    assert [v.name for v in videos] == ["003418_mpii_test", "009473_mpii_test", "012834_mpii_test"]
    assert report.problems == []
    assert [len(f) for f in frames] == [1, 2, 11]
    assert [len(f.ignored) for f in frames] == [9, 2, 4]
    assert frames[2].sequence == "012834_mpii_test"
    assert frames[2].ids is not None
    assert frames[2].ids.tolist() == list(range(11))
    given = json.loads((root / "annotations" / "val" / "012834_mpii_test.json").read_text())
    first = given["annotations"][0]
    place = JOINTS.index("left_wrist")
    assert tuple(given["categories"][0]["keypoints"]) == JOINTS
    assert frames[2].keypoints[0, POSETRACK.index("left_wrist"), :2].tolist() == first["keypoints"][3 * place : 3 * place + 2]
    assert frames[2].head_sizes[0] == pytest.approx(0.6 * np.hypot(44, 53))


def test_samples_are_masked_in_ignored_regions(root):
    data = posetrack(root, root / "annotations" / "val")
    sample = data[2]
    assert sample.skeleton is POSETRACK
    assert sample.keypoints.shape == (11, 15, 3)
    video = read_posetrack(root / "annotations" / "val")[2]
    expected = np.ones((1080, 1920), np.uint8)
    image = video.images[0]
    for x, y in zip(image["ignore_regions_x"], image["ignore_regions_y"], strict=True):
        cv2.fillPoly(expected, [np.stack([x, y], 1).astype(np.int32)], 0)
    assert (sample.mask[0] == expected).mean() > 0.995
    assert 0.3 < sample.mask[0].mean() < 0.7
    together = posetrack(root, root / "annotations" / "test_posetrack18_val.json")
    assert len(together) == 3


def exact(frames):
    return {f.image_id: Poses(POSETRACK, f.keypoints[..., :2], f.labelled * 0.9, np.full(len(f), 0.9), ids=f.ids) for f in frames}


def test_the_sample_from_predictions_to_figures(root, tmp_path):
    """Written as for the server, read again, evaluated: exact predictions are perfect, and each fault costs what it should."""
    videos = read_posetrack(root / "annotations" / "val")
    frames, _ = truths(videos)
    found = exact(frames)
    write_posetrack(tmp_path, videos, found)
    again = read_posetrack_results(tmp_path, videos)
    poses = [again[f.image_id] for f in frames]
    ap, mot = posetrack_ap(poses, frames), posetrack_mot(poses, frames)
    assert (ap.mean, ap.precision, ap.recall) == pytest.approx((100, 100, 100))
    assert (mot.mota, mot.motp, mot.precision, mot.recall, mot.switches) == pytest.approx((100, 100, 100, 100, 0))

    crowd = frames[2]
    moved = found[crowd.image_id]
    keypoints = moved.keypoints.copy()
    keypoints[0] += 5000  # one of the 14 people is found far outside the picture, where no region is ignored
    write_posetrack(
        tmp_path, videos, found | {crowd.image_id: Poses(POSETRACK, keypoints, moved.keypoint_scores, moved.scores, ids=moved.ids)}
    )
    again = read_posetrack_results(tmp_path, videos)
    mot = posetrack_mot([again[f.image_id] for f in frames], frames)
    for j, name in enumerate(POSETRACK.joints):
        counted = [without_ignored(found[f.image_id], f)[1] for f in frames]
        labelled, lost = sum(int(f.labelled[:, j].sum()) for f in counted), int(counted[2].labelled[0, j])
        assert (mot.joints[name].objects, mot.joints[name].misses) == (labelled, lost)
        assert mot.joints[name].mota == pytest.approx(100 * (1 - 2 * lost / labelled))
    assert posetrack_ap([again[f.image_id] for f in frames], frames).recall < 100


def test_a_person_in_an_ignored_region_costs_nothing(root):
    frames, _ = truths(read_posetrack(root / "annotations" / "val"))
    found = exact(frames)
    crowd = frames[2]
    region = np.zeros((1080, 1920), np.uint8)
    cv2.fillPoly(region, [crowd.ignored[0].astype(np.int32)], 1)
    region[[0, -1]], region[:, [0, -1]] = 0, 0
    depth = cv2.distanceTransform(region, cv2.DIST_L2, 5)
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    stranger = np.broadcast_to(np.array([x, y], float), (1, 15, 2))
    people = found[crowd.image_id]
    both = Poses(
        POSETRACK, np.concatenate([people.keypoints, stranger]), np.concatenate([people.keypoint_scores, np.ones((1, 15))]),
        np.append(people.scores, 1), ids=np.append(people.ids, 77),
    )  # fmt: skip
    assert posetrack_mot([both], [crowd]).mota == 100


# ── broken annotations ──


@pytest.fixture
def write(tmp_path):
    """A video of two frames with one person each; an argument changes what the file holds."""
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((60, 80, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((60, 80, 3), np.uint8))
    person = {"keypoints": [20, 20, 1] * 17, "bbox": [5, 5, 40, 40], "bbox_head": [10, 10, 6, 8], "category_id": 1, "scores": []}
    given = {
        "images": [{"id": 100 + i, "file_name": f"{i}.png", "is_labeled": True} for i in range(2)],
        "annotations": [{**person, "id": 7 + i, "image_id": 100 + i, "track_id": 3} for i in range(2)],
        "categories": [{"id": 1, "name": "person", "keypoints": list(JOINTS)}],
    }

    def make(change=lambda given: None):
        again = copy.deepcopy(given)
        change(again)
        (tmp_path / "annotations").mkdir(exist_ok=True)
        (tmp_path / "annotations" / "video.json").write_text(json.dumps(again))
        return tmp_path / "annotations"

    return make


def test_pictures_give_their_own_size_and_a_flag_of_0_is_a_label(write, tmp_path):
    def change(given):
        given["annotations"][0]["keypoints"][:9] = [20, 20, 0, 0, 0, 0, 0, 0, 1]

    data = posetrack(tmp_path, write(change))
    assert data[0].image.shape == (60, 80, 3)
    assert data[0].keypoints[0, :4, 2].tolist() == [1, 0, 2, 2]


def test_frames_that_are_not_labelled_take_no_part(write, tmp_path):
    path = write(lambda g: g["images"][1].update(is_labeled=False))
    frames, _ = truths(read_posetrack(path))
    assert [len(f) for f in frames] == [1, 0]
    assert len(posetrack(tmp_path, path)) == 1


def test_a_person_without_box_gets_one_around_the_joints(write, tmp_path):
    def change(given):
        given["annotations"][0].pop("bbox")
        given["annotations"][0]["keypoints"] = [10, 10, 1, 30, 50, 1, *[20, 20, 1] * 15]

    assert posetrack(tmp_path, write(change))[0].boxes[0] == pytest.approx([7, 4, 33, 56])


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"keypoints": [1, 2, 1] * 15}, "keypoints are not 3 x 17 numbers"),
        ({"keypoints": ["1", 2, 1] * 17 + [3]}, "keypoints are not 3 x 17 numbers"),
        ({"keypoints": [float("nan"), 2, 1] * 17}, "keypoints are not finite"),
        ({"bbox_head": None}, "no head box"),
        ({"bbox_head": [1, 1, 0, 5]}, "no head box"),
        ({"track_id": None}, "no track id"),
        ({"track_id": "3"}, "no track id"),
        ({"image_id": 55}, "annotation of an unknown image"),
        ({"id": 8}, "annotation id used twice"),
        ({}, "track id used twice in a frame"),
    ],
)
def test_bad_people_are_reported_by_id(write, change, kind):
    def spoil(given):
        given["annotations"].append({**given["annotations"][0], "id": 9, **change})

    frames, report = truths(read_posetrack(write(spoil)))
    assert report.ids(kind) == [change.get("id", 9)]
    assert [len(f) for f in frames] == [1, 1]


def test_bad_regions_and_images_are_reported_by_id(write):
    def change(given):
        given["images"][0].update(ignore_regions_x=[[1, 2, 3], [1, 2]], ignore_regions_y=[[1, 2, 1], [1, 2]])
        given["images"] += [given["images"][1], {"file_name": "x"}]

    frames, report = truths(read_posetrack(write(change)))
    assert report.ids("ignore region is no polygon") == [100]
    assert len(frames[0].ignored) == 1
    assert report.ids("image id used twice") == [101]
    assert report.ids("image without id or file_name") == ["#3"]


def test_files_that_are_something_else(write, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such annotation file"):
        read_posetrack(tmp_path / "none.json")
    with pytest.raises(ValueError, match=r"no \.json file in it"):
        read_posetrack(tmp_path)
    with pytest.raises(ValueError, match="lacks the joints head_bottom, head_top"):
        read_posetrack(write(lambda g: g["categories"][0].update(keypoints=list(COCO.joints))))
    (tmp_path / "old.json").write_text('{"annolist": []}')
    with pytest.raises(ValueError, match="PoseTrack17's format"):
        read_posetrack(tmp_path / "old.json")
    with pytest.raises(ValueError, match="no frame is labelled"):
        posetrack(tmp_path, write(lambda g: [i.update(is_labeled=False) for i in g["images"]]))


# ── results ──


def test_results_survive_writing_and_reading(write, tmp_path):
    videos = read_posetrack(write())
    rng = np.random.default_rng(0)
    people = Poses(
        POSETRACK, rng.uniform(1, 50, (3, 15, 2)), rng.random((3, 15)) * (rng.random((3, 15)) > 0.3), np.ones(3), ids=np.array([5, 9, 2])
    )
    (path,) = write_posetrack(tmp_path / "out", videos, {101: people})
    assert path.name == "video.json"
    given = json.loads(path.read_text())
    assert [len(a["keypoints"]) for a in given["annotations"]] == [51] * 3
    assert [len(a["scores"]) for a in given["annotations"]] == [17] * 3
    assert given["annotations"][0]["keypoints"][9:15] == [0] * 6  # ears
    found = read_posetrack_results(tmp_path / "out", videos)
    assert len(found[100]) == 0
    there = people.keypoint_scores > 0
    assert found[101].keypoint_scores == pytest.approx(people.keypoint_scores)
    assert found[101].keypoints[there] == pytest.approx(people.keypoints[there])
    assert found[101].ids is not None
    assert found[101].ids.tolist() == [5, 9, 2]
    assert read_posetrack_results(path, videos).keys() == {100, 101}


def test_found_joints_of_score_0_still_count(write, tmp_path):
    videos = read_posetrack(write())
    (path,) = write_posetrack(tmp_path / "out", videos, {})
    given = json.loads(path.read_text())
    given["annotations"] = [{"image_id": 100, "keypoints": [20, 20, 1] * 17, "scores": [0] * 17}]
    path.write_text(json.dumps(given))
    found = read_posetrack_results(path, videos)
    assert (found[100].keypoint_scores > 0).all()
    assert found[100].ids is None  # no track ids anywhere: for keypoint AP alone
    frames, _ = truths(videos)
    assert posetrack_ap([found[f.image_id] for f in frames], frames).recall == 50


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 5}, "annotation 1: the video has no image with id 5"),
        ({"keypoints": None}, "annotation 1: 'keypoints' is missing"),
        ({"scores": None}, "annotation 1: 'scores' is missing"),
        ({"track_id": None}, "annotation 1: 'track_id' is missing"),
        ({"track_id": 1.5}, "annotation 1: track_id is 1.5"),
        ({"track_id": 0}, "annotation 1: track_id 0 is used twice in image 100"),
        ({"keypoints": [1, 2, 1] * 18}, r"annotation 1: keypoints must be 51 numbers \(17 joints\), got 54 numbers"),
        ({"keypoints": [1, float("nan"), 1] * 17}, "annotation 1: keypoints are not all finite"),
        ({"scores": ["0.5"] * 17}, "annotation 1: scores are not a list of numbers; write numbers without quotes"),
        ({"scores": [-0.5] * 17}, "annotation 1: a score is below 0"),
        ({"scores": 0.5}, "annotation 1: scores are not a list"),
        ({"id": 0}, "annotation 0: its id is used twice"),
    ],
)
def test_bad_results_are_one_error_by_id(write, tmp_path, change, message):
    videos = read_posetrack(write())
    good = {"image_id": 100, "keypoints": [20, 20, 1] * 17, "scores": [0.5] * 17}
    rows = [{**good, "id": 0, "track_id": 0}, {**good, "id": 1, "track_id": 1, **change}]
    (tmp_path / "video.json").write_text(json.dumps({"images": [], "annotations": rows}))
    with pytest.raises(ValueError, match=message):
        read_posetrack_results(tmp_path / "video.json", videos)


def test_missing_results_are_named(write, tmp_path):
    videos = read_posetrack(write())
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        read_posetrack_results(tmp_path / "none", videos)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"video\.json: no results for video video"):
        read_posetrack_results(tmp_path / "empty", videos)


def test_what_cannot_be_written_is_named_and_nothing_is(write, tmp_path):
    videos = read_posetrack(write())
    people = Poses(POSETRACK, np.ones((2, 15, 2)), np.ones((2, 15)), np.ones(2), ids=np.array([1, 1]))
    for found, message in (
        ({100: people}, "image 100: every person needs a track id of its own"),
        ({100: Poses(POSETRACK, people.keypoints, people.keypoint_scores, people.scores)}, "image 100: every person needs a track id"),
        ({100: Poses.empty(COCO)}, "image 100: PoseTrack takes its own 15 joints, got skeleton 'coco'"),
        ({100: Poses(POSETRACK, people.keypoints * np.nan, people.keypoint_scores, people.scores, ids=np.arange(2))}, "image 100: joints"),
        ({55: people}, "image 55 is in none of the 1 videos"),
    ):
        with pytest.raises(ValueError, match=message):
            write_posetrack(tmp_path / "out", videos, found)
    assert not (tmp_path / "out").exists()
