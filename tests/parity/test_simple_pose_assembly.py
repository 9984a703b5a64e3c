"""People assembled from stored maps, against the true people: better than what the authors' program made of the same maps."""

import numpy as np
import pytest
import torch
from shared import parity_files

from manypose.methods.simple_pose.body import body_of
from manypose.methods.simple_pose.decode import decode
from manypose.metrics.annotations import read_results, read_truth
from manypose.metrics.oks_ap import oks_ap
from manypose.poses import oks
from manypose.skeleton import COCO

BODY = body_of(COCO)
PATHS = parity_files("simple_pose_prn", "decode/case_*.npz")


def people_of(stored) -> tuple[np.ndarray, np.ndarray]:
    """Our people and their scores, from maps at a quarter of the picture."""
    maps = torch.from_numpy(stored["q"].astype(np.float32) / np.float32(4000)).permute(2, 0, 1)[None]
    size = (4 * maps.shape[2], 4 * maps.shape[3])
    found = decode(maps[:, :30], maps[:, 30:48], BODY, size)[0]
    return np.concatenate([found.keypoints, found.keypoint_scores[..., None] > 0], 2), found.scores


def average_precision(true: np.ndarray, found: np.ndarray, scores: np.ndarray) -> float:
    """OKS AP of one picture; everyone found counts."""
    people = []
    for i, person in enumerate(p for p in true if (p[:, 2] > 0).any()):
        xy = person[person[:, 2] > 0, :2]
        (x0, y0), (x1, y1) = xy.min(0), xy.max(0)
        area = max((x1 - x0) * (y1 - y0), 1)
        box = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": area, "iscrowd": 0, "num_keypoints": len(xy)}
        people.append({"id": i + 1, "image_id": 1, "category_id": 1, "keypoints": person.ravel().tolist(), **box})
    category = {"id": 1, "name": "person", "keypoints": list(COCO.joints)}
    truth = read_truth({"images": [{"id": 1, "height": 1, "width": 1}], "annotations": people, "categories": [category]}, COCO)
    results = [
        {"image_id": 1, "category_id": 1, "keypoints": (p * p[:, 2:]).ravel().tolist(), "score": float(s)}
        for p, s in zip(found, scores, strict=True)
    ]
    return oks_ap(truth, read_results(results, truth), most=100)["AP"]


def false_people(true: np.ndarray, found: np.ndarray) -> int:
    """How many are nobody's best: neither alike (OKS 0.5) to a true person nor the most alike of those."""
    labelled = true[..., 2] > 0
    areas = np.array([np.prod(np.ptp(p[v, :2], axis=0)) if v.any() else 1 for p, v in zip(true, labelled, strict=True)])
    alike = oks(np.where(found[..., 2:] > 0, found[..., :2], 1e6), true[..., :2], labelled, np.maximum(areas, 1), COCO.sigmas)
    best = {int(alike[:, i].argmax()) for i in range(len(true)) if len(found) and alike[:, i].max() > 0.5}
    return len(found) - len(best)


@pytest.fixture(scope="module")
def rows() -> dict[str, tuple]:
    """Name, number of true people; people, false people and AP of the authors' program, and ours."""
    out = {}
    for path in (p.values[0] for p in PATHS if p.values[0] is not None):
        stored = np.load(path)
        true = stored["gt"]
        theirs = np.concatenate([stored["keypoints_coco"], stored["keypoints_coco"].any(2, keepdims=True)], 2)
        ours, scores = people_of(stored)
        row = [len(true)]
        for found, score in ((theirs, stored["scores"]), (ours, scores)):
            row += [len(found), false_people(true, found), average_precision(true, found, score)]
        out[path.name] = tuple(row)
    return out


@pytest.mark.parametrize("path", PATHS)
def test_every_picture_is_read_better_than_by_the_authors(path, rows):
    _, _, their_false, theirs, _, our_false, ours = rows[path.name]
    assert ours >= theirs
    assert our_false <= their_false


def test_table(rows, capsys):
    """On the mean, and on the degraded pictures (all but the first of each six)."""
    if not rows:
        pytest.skip("no stored maps")
    with capsys.disabled():
        print("\npicture      people | authors: out false    AP | ours: out false    AP")
        for name, (n, t, tf, ta, o, of, oa) in sorted(rows.items()):
            print(f"{name.removesuffix('.npz'):12} {n:6} | {t:12} {tf:5} {ta:5.3f} | {o:9} {of:5} {oa:5.3f}")
        total = [sum(r[i] for r in rows.values()) for i in (0, 1, 2, 4, 5)]
        print(f"{'all':12} {total[0]:6} | {total[1]:12} {total[2]:5} {np.mean([r[3] for r in rows.values()]):5.3f}", end=" ")
        print(f"| {total[3]:9} {total[4]:5} {np.mean([r[6] for r in rows.values()]):5.3f}")
    degraded = [r for name, r in rows.items() if int(name[5:7]) % 6]
    for chosen in (list(rows.values()), degraded):
        if chosen:
            assert np.mean([r[6] for r in chosen]) >= max(0.9, np.mean([r[3] for r in chosen]))
    assert total[3] - total[0] <= 0.25 * total[0]
