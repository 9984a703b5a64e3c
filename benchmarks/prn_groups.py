"""Table 4: the PRN groups other methods' keypoints: ``python benchmarks/prn_groups.py --method swahr [--images 500] [--degraded]``.

Maps are rendered from annotations as in ``oracle.py``. The method's own grouping reads its tags or its limb maps; the PRN is given the
peaks of its heat maps alone, and the annotated boxes (it groups for a detector, so it must have boxes: an advantage that is to be said).
"""

import argparse
import sys
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import oracle
import torch
from tqdm import tqdm

from manypose.data.datasets.coco import annotated_people
from manypose.io.files import write_json
from manypose.methods.multiposenet.assign import Candidates, assign
from manypose.methods.multiposenet.prn_file import BUNDLED, load_prn
from manypose.methods.simple_pose.body import body_of
from manypose.methods.simple_pose.candidates import find_joints
from manypose.nn.heatmaps import peaks, subpixel
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO
from manypose.poses.warp import Warp


def candidates(method: str, maps: dict[str, torch.Tensor], warp: Warp) -> Candidates:
    """The peaks of a method's heat maps, as it finds them, in photo pixels."""
    stride = warp.size[0] / maps["heat"].shape[2]
    if method == "simple_pose":
        found = find_joints(maps["heat"])
        painted = {painted: joint for joint, painted in enumerate(body_of(COCO).back)}
        kept = np.array([int(j) in painted for j in found.joint], bool)
        joint = torch.tensor([painted[int(j)] for j in found.joint[kept]], dtype=torch.long)
        cells, heights = found.xy[kept], torch.from_numpy(found.score[kept]).float()
    else:
        height, at = peaks(maps["heat"], 5, 0.1, 30)
        there = height[0] > 0
        joint = there.nonzero()[:, 0]
        cells, heights = subpixel(maps["heat"], at)[0][there].numpy(), height[0][there]
    moved = shift(published=method == "swahr")
    pixels = cell_to_pixel(cells.astype(np.float64), stride) + moved
    back = warp.inverse
    return Candidates(torch.from_numpy(pixels @ back[:, :2].T + back[:, 2]).float(), heights, joint)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--method", choices=("swahr", "simple_pose"), required=True)
    parser.add_argument("--images", type=int, default=500, help="the first so many, by id")
    parser.add_argument("--degraded", action="store_true", help="spoil the maps")
    parser.add_argument("--how", default="linear", help="how the PRN's scores become an assignment: linear, each or shared")
    parser.add_argument("--prn", type=Path, default=BUNDLED)
    parser.add_argument("--data", type=Path, default=oracle.default_archive())
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    prn, adapter = load_prn(given.prn), oracle.METHODS[given.method]
    runs = {"own grouping": oracle.Run(), "PRN": oracle.Run()}
    people = sorted(annotated_people(given.data), key=lambda image: image.image_id)
    for image in tqdm(list(islice(people, given.images)), unit="image", disable=None):
        maps, warp = adapter.maps(image.keypoints, image.size, image.image_id, given.degraded)
        runs["own grouping"].add(image, adapter.decode(maps, warp, False), 0.0, 0.0)
        boxes = torch.from_numpy(image.boxes)
        seen = candidates(given.method, maps, warp)
        alike = Candidates(seen.xy, torch.ones_like(seen.scores), seen.joint)  # as those that it learnt from
        keypoints, scores = assign(prn, alike, boxes, how=given.how)
        poses = Poses(COCO, keypoints.numpy(), scores.numpy(), scores.mean(1).numpy(), image.boxes)
        runs["PRN"].add(image, poses, 0.0, 0.0)
    rows = {name: oracle.evaluate(run)[0] for name, run in runs.items()}
    for name, row in rows.items():
        print(f"{name:<14}", "  ".join(f"{k} {v:.4f}" for k, v in row.items()))
    kind = "degraded" if given.degraded else "perfect"
    protocol = f"{given.method}, {kind} maps of the first {given.images} images of {given.data.name}; annotated boxes; PRN {given.how}"
    print(protocol)
    if given.json:
        write_json(given.json, {**rows, "protocol": protocol})


if __name__ == "__main__":
    main()
