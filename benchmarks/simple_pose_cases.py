"""Simple Pose's assembly on stored maps, beside what the authors' program made of the same: ``python benchmarks/simple_pose_cases.py``.

The maps (clean and spoiled, 1 to 30 people), the true people and the authors' result lie in ``parity/simple_pose_prn/decode/case_*.npz``
of the folder that MANYPOSE_SHARED names, or of ``shared`` beside the repository. For each: people out, false people (nobody's best, or
unlike anybody) and OKS AP of that one picture, to the true people and not to a program's.
"""

import argparse
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from manypose.evaluation.metrics.annotations import read_results, read_truth
from manypose.evaluation.metrics.oks_ap import oks_ap
from manypose.io.files import write_json
from manypose.methods.simple_pose.body import body_of
from manypose.methods.simple_pose.decode import decode
from manypose.poses.oks import oks
from manypose.poses.skeleton import COCO

BODY = body_of(COCO)
CASES = Path("parity", "simple_pose_prn", "decode")


@dataclass(frozen=True)
class Row:
    """One picture: how many people there are; and of the authors and of us: people out, false ones, AP."""

    name: str
    people: int
    their_people: int
    their_false: int
    their_ap: float
    people_out: int
    false: int
    ap: float

    @property
    def degraded(self) -> bool:
        """All but the first of each six pictures are."""
        return int(self.name[5:7]) % 6 != 0


def row(path: Path) -> Row:
    """One stored picture."""
    stored = np.load(path)
    true = stored["gt"]
    theirs = np.concatenate([stored["keypoints_coco"], stored["keypoints_coco"].any(2, keepdims=True)], 2)
    ours, scores = people_of(stored["q"])
    measured = [
        (len(found), false_people(true, found), average_precision(true, found, score))
        for found, score in ((theirs, stored["scores"]), (ours, scores))
    ]
    return Row(path.stem, len(true), *measured[0], *measured[1])


def people_of(stored: np.ndarray) -> tuple[Float[np.ndarray, "n 17 3"], Float[np.ndarray, " n"]]:
    """Our people and their scores, from maps (h, w, 50) of 4,000ths at a quarter of the picture."""
    maps = torch.from_numpy(stored.astype(np.float32) / np.float32(4000)).permute(2, 0, 1)[None]
    size = (4 * int(maps.shape[2]), 4 * int(maps.shape[3]))
    found = decode(maps[:, :30], maps[:, 30:48], BODY, size)[0]
    return np.concatenate([found.keypoints, found.keypoint_scores[..., None] > 0], 2), found.scores


def average_precision(true: Float[np.ndarray, "n 17 3"], found: Float[np.ndarray, "m 17 3"], scores: Float[np.ndarray, " m"]) -> float:
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


def false_people(true: Float[np.ndarray, "n 17 3"], found: Float[np.ndarray, "m 17 3"]) -> int:
    """How many are nobody's best: neither alike (OKS 0.5) to a true person nor the most alike of those."""
    labelled = true[..., 2] > 0
    areas = np.array([np.prod(np.ptp(p[v, :2], axis=0)) if v.any() else 1 for p, v in zip(true, labelled, strict=True)])
    alike = oks(np.where(found[..., 2:] > 0, found[..., :2], 1e6), true[..., :2], labelled, np.maximum(areas, 1), COCO.sigmas)
    best = {int(alike[:, i].argmax()) for i in range(len(true)) if len(found) and alike[:, i].max() > 0.5}
    return len(found) - len(best)


def table(rows: list[Row]) -> str:
    """All pictures, and all together."""
    lines = ["picture    people | authors: out  false     AP | ours: out  false     AP"]
    for r in sorted(rows, key=lambda r: r.name):
        lines.append(
            f"{r.name:10} {r.people:6} | {r.their_people:12}  {r.their_false:5}  {r.their_ap:5.3f} "
            f"| {r.people_out:9}  {r.false:5}  {r.ap:5.3f}"
        )
    for name, chosen in (("clean", [r for r in rows if not r.degraded]), ("degraded", [r for r in rows if r.degraded]), ("all", rows)):
        if chosen:
            total = {k: sum(getattr(r, k) for r in chosen) for k in ("people", "their_people", "their_false", "people_out", "false")}
            theirs, ours = (float(np.mean([getattr(r, k) for r in chosen])) for k in ("their_ap", "ap"))
            lines.append(
                f"{name:10} {total['people']:6} | {total['their_people']:12}  {total['their_false']:5}  {theirs:5.3f} "
                f"| {total['people_out']:9}  {total['false']:5}  {ours:5.3f}"
            )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> list[Row]:
    """The command line; gives the rows it printed."""
    shared = Path(os.environ.get("MANYPOSE_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cases", type=Path, default=shared / CASES, help="folder of case_*.npz")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(argv)
    paths = sorted(given.cases.glob("case_*.npz"))
    if not paths:
        parser.error(f"{given.cases}: no case_*.npz; name their folder with --cases, or its root with MANYPOSE_SHARED")
    rows = [row(path) for path in paths]
    print(table(rows))
    if given.json:
        write_json(given.json, [asdict(r) for r in rows])
    return rows


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
