"""Folders of other programs' results: the same people give the same figures in every format."""

import json
from pathlib import Path

import numpy as np
import pytest

from manypose.evaluation.evaluate import evaluate
from manypose.poses.formats import to_openpose
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO

SIZES = {1: ("cam1/001.jpg", 400, 300), 2: ("cam2/001.jpg", 640, 480), 3: ("b.c.jpg", 500, 500)}


@pytest.fixture
def found(tmp_path: Path) -> dict[int, Poses]:
    """Annotations of six people, and these people a little off."""
    rng = np.random.default_rng(0)
    annotations, people = [], {}
    for image, (_, w, h) in SIZES.items():
        xy = rng.uniform(0.1, 0.9, (2, 17, 2)) * [w, h]
        for one in xy:
            low, high = one.min(0), one.max(0)
            keypoints = np.column_stack([one, np.full(17, 2)]).ravel().tolist()
            area = float(np.prod(high - low))
            row = {"image_id": image, "category_id": 1, "bbox": [*low, *(high - low)], "area": area, "keypoints": keypoints}
            annotations.append({"id": len(annotations) + 1, **row})
        moved = xy + rng.normal(0, 12, xy.shape)
        scores = rng.uniform(0.3, 1, (2, 17)).astype(np.float32)
        people[image] = Poses(COCO, moved.astype(np.float32), scores, scores.mean(1))
    images = [{"id": i, "file_name": name, "width": w, "height": h} for i, (name, w, h) in SIZES.items()]
    categories = [{"id": 1, "name": "person", "keypoints": list(COCO.joints)}]
    (tmp_path / "a.json").write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return people


def openpose(poses: Poses, image: int) -> tuple[str, str]:
    return "_keypoints.json", json.dumps(to_openpose(poses))


def mmpose(poses: Poses, image: int) -> tuple[str, str]:
    rows = zip(poses.keypoints.tolist(), poses.keypoint_scores.tolist(), poses.boxes.tolist(), strict=True)
    return ".json", json.dumps([{"keypoints": k, "keypoint_scores": s, "bbox": [b], "bbox_score": 1.0} for k, s, b in rows])


def yolo(poses: Poses, image: int, more: bool = False) -> tuple[str, str]:
    _, w, h = SIZES[image]
    lines = []
    for k, s, (x0, y0, x1, y1), score in zip(poses.keypoints, poses.keypoint_scores, poses.boxes, poses.scores, strict=True):
        box = [(x0 + x1) / 2 / w, (y0 + y1) / 2 / h, (x1 - x0) / w, (y1 - y0) / h]
        lines.append([0, *box, *np.column_stack([k / [w, h], s]).ravel(), *([score] if more else [])])
    return ".txt", "\n".join(" ".join(str(float(v)) for v in line) for line in lines) + "\n"


def scored(poses: Poses, image: int) -> tuple[str, str]:
    return yolo(poses, image, True)


@pytest.mark.parametrize("write", [openpose, mmpose, yolo, scored], ids=["openpose", "mmpose", "yolo", "yolo with scores"])
def test_every_format_gives_the_figures_of_coco_s(found: dict[int, Poses], tmp_path: Path, write) -> None:
    rows = [{k: v for k, v in row.items() if k != "bbox"} for image, poses in found.items() for row in poses.to_coco(image)]
    (tmp_path / "r.json").write_text(json.dumps(rows))
    plain = evaluate(annotations=tmp_path / "a.json", results=tmp_path / "r.json", quiet=True)
    for image, poses in found.items():
        suffix, text = write(poses, image)
        path = tmp_path / "out" / SIZES[image][0].removesuffix(".jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        Path(f"{path}{suffix}").write_text(text)
    (tmp_path / "out" / f"stranger{suffix}").write_text(text)
    done = evaluate(annotations=tmp_path / "a.json", results=tmp_path / "out", quiet=True)
    assert 0 < plain.figures["AP"] < 1
    assert done.figures["AP"] == pytest.approx(plain.figures["AP"], abs=1e-9)
    assert "3 of 4 files belong to 3 photos, by file name" in done.notes[0]


def test_issue_17_line_10_detectron2s_file(found: dict[int, Poses], tmp_path: Path) -> None:
    """``coco_instances_results.json``: COCO results with a box and a heat map's score for each joint; people of any order and score."""
    rows = [row for image, poses in found.items() for row in poses.to_coco(image)]
    (tmp_path / "r.json").write_text(json.dumps([{k: v for k, v in row.items() if k != "bbox"} for row in rows]))
    plain = evaluate(annotations=tmp_path / "a.json", results=tmp_path / "r.json", quiet=True)
    theirs = [{**row, "keypoints": [5.0 * v if i % 3 == 2 else v for i, v in enumerate(row["keypoints"])]} for row in reversed(rows)]
    (tmp_path / "coco_instances_results.json").write_text(json.dumps(theirs))
    done = evaluate(annotations=tmp_path / "a.json", results=tmp_path / "coco_instances_results.json", box_ap=True, quiet=True)
    assert done.figures["AP"] == pytest.approx(plain.figures["AP"], abs=0.02)  # sizes come from boxes, where results have some
    assert done.figures["box AP"] > 0


def test_folders_that_cannot_be_read(found: dict[int, Poses], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(ValueError, match="no result files of OpenPose"):
        evaluate(annotations=tmp_path / "a.json", results=out, quiet=True)
    (out / "x.txt").write_text("")
    with pytest.raises(ValueError, match="none of its 1 YOLO files has the name of a photo"):
        evaluate(annotations=tmp_path / "a.json", results=out, quiet=True)
    (out / "001.txt").write_text("0 1 2 3")  # two photos have this name
    with pytest.raises(ValueError, match="none of its 2 YOLO files"):
        evaluate(annotations=tmp_path / "a.json", results=out, quiet=True)
    (out / "b.c.txt").write_text("0 1 2 3")
    with pytest.raises(ValueError, match=r"b\.c\.txt: not a result file of YOLO .*4 numbers in a line; 17 joints need 56"):
        evaluate(annotations=tmp_path / "a.json", results=out, quiet=True)
