"""The synthetic validation set: drawn scenes that no training sees, written as photos with COCO annotations.

    python benchmarks/synthetic_val.py --out synthetic_val
    manypose evaluate --dataset coco --images synthetic_val/images --annotations synthetic_val/people.json --flip

Backgrounds are drawn too unless a folder is given; trainings here use other seeds. Figures on it say how much a network has learnt of what
it was shown; they say little about photos.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask
from synthetic_people.drawn.scenes import Scene, SyntheticPeople

COCO_JOINTS = SyntheticPeople(length=1).skeleton


def annotations(scene: Scene, image_id: int, first: int) -> list[dict]:
    """Of one scene, in COCO's form; segmentations are of what is seen."""
    found = []
    for i, (joints, box, seen) in enumerate(zip(scene.sample.keypoints, scene.sample.boxes, scene.masks, strict=True)):
        rle = coco_mask.encode(np.asfortranarray(seen.astype(np.uint8)))
        x0, y0, x1, y1 = (float(v) for v in box)
        found.append(
            {
                "id": first + i,
                "image_id": image_id,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": float(seen.sum()),
                "num_keypoints": int((joints[:, 2] > 0).sum()),
                "keypoints": [round(float(v), 2) for v in (joints * (joints[:, 2:] > 0)).reshape(-1)],
                "segmentation": {"size": list(rle["size"]), "counts": rle["counts"].decode()},
            }
        )
    return found


def write(out: Path, count: int, seed: int, backgrounds: Path | None) -> int:
    """Writes the set; returns how many people it has."""
    scenes = SyntheticPeople(length=count, seed=seed, size=(256, 320), backgrounds=backgrounds)
    (out / "images").mkdir(parents=True, exist_ok=True)
    images, people = [], []
    for i in range(count):
        scene, name = scenes.scene(i), f"{i:05d}.png"
        height, width = scene.sample.image.shape[:2]
        cv2.imwrite(str(out / "images" / name), np.ascontiguousarray(scene.sample.image[..., ::-1]))
        images.append({"id": i + 1, "file_name": name, "height": height, "width": width})
        people += annotations(scene, i + 1, len(people) + 1)
    limbs = [[a + 1, b + 1] for a, b in COCO_JOINTS.limbs]
    category = {"id": 1, "name": "person", "keypoints": list(COCO_JOINTS.joints), "skeleton": limbs}
    (out / "people.json").write_text(json.dumps({"images": images, "annotations": people, "categories": [category]}))
    return len(people)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=90_000)
    parser.add_argument("--backgrounds", type=Path, help="folder of photos without people")
    given = parser.parse_args()
    print(f"{given.out}: {given.count} scenes, {write(given.out, given.count, given.seed, given.backgrounds)} people")
