"""Make a small data set with joints of its own: three photos of people that scikit-image and matplotlib bring, labelled by hand.

    python examples/own_data.py busts
    manypose train --data busts/busts.yaml --model fast --epochs 30 --out busts/run

It needs ``pip install 'manypose[demo]' matplotlib``; docs/own-data.md is the walk-through.
"""

import json
import sys
from pathlib import Path

import matplotlib
import skimage.data
from PIL import Image

JOINTS = ["nose", "left_eye", "right_eye", "left_shoulder", "right_shoulder"]

PEOPLE = {
    "astronaut": ([15, 15, 345, 496], [(225, 123), (250, 100), (202, 98), (318, 268), (103, 256)]),
    "cameraman": ([3, 63, 330, 448], [(248, 166), (254, 148), (238, 147), (214, 200), (96, 170)]),
    "hopper": ([5, 20, 500, 578], [(265, 222), (304, 186), (221, 186), (462, 425), (74, 423)]),
}
"""For each photo the person's box (x, y, width, height) and where the joints are."""

DESCRIPTION = """\
train: {images: photos, annotations: train.json}
val: {images: photos, annotations: val.json}
sigmas: [0.026, 0.025, 0.025, 0.079, 0.079]   # one a joint: COCO's
"""


def coco(names: list[str], photos: Path) -> dict:
    """The annotations of some of the photos in COCO's format."""
    images, annotations = [], []
    for number, name in enumerate(names, 1):
        width, height = Image.open(photos / f"{name}.jpg").size
        images.append({"id": number, "file_name": f"{name}.jpg", "width": width, "height": height})
        box, joints = PEOPLE[name]
        keypoints = [v for x, y in joints for v in (x, y, 2)]
        row = {"id": number, "image_id": number, "category_id": 1, "iscrowd": 0, "bbox": box, "area": 0.53 * box[2] * box[3]}
        annotations.append({**row, "keypoints": keypoints, "num_keypoints": len(joints)})
    limbs = [[1, 2], [1, 3], [4, 5]]  # counted from 1
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person", "keypoints": JOINTS, "skeleton": limbs}],
    }


def main(out: Path) -> None:
    """Write photos, annotations and the YAML file that names them."""
    photos = out / "photos"
    photos.mkdir(parents=True, exist_ok=True)
    hopper = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    Image.fromarray(skimage.data.astronaut()).save(photos / "astronaut.jpg")
    Image.fromarray(skimage.data.camera()).convert("RGB").save(photos / "cameraman.jpg")
    Image.open(hopper).convert("RGB").save(photos / "hopper.jpg")
    (out / "train.json").write_text(json.dumps(coco(["astronaut", "cameraman"], photos)))
    (out / "val.json").write_text(json.dumps(coco(["hopper"], photos)))
    (out / "busts.yaml").write_text(DESCRIPTION)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "busts"))
