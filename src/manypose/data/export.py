"""Export of any data set as a COCO keypoint file (for ``manypose label``, ``manypose evaluate``).

python -m manypose.data.export lspet --images DIR --annotations joints.mat --only ids.txt --out people.json
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from jsonargparse import ArgumentParser

from manypose.data.datasets.coco import coco
from manypose.data.datasets.crowdpose import crowdpose
from manypose.data.datasets.custom import custom
from manypose.data.datasets.lspet import lspet
from manypose.data.datasets.mpii import mpii
from manypose.data.datasets.ochuman import ochuman
from manypose.data.datasets.posetrack import posetrack
from manypose.data.photos import Photo, Photos, Region, paint
from manypose.io.files import write_text

__all__ = ["as_coco", "main"]

READERS: dict[str, Callable[..., Photos]] = {
    reader.__name__: reader for reader in (coco, crowdpose, custom, lspet, mpii, ochuman, posetrack)
}


def as_coco(photos: Photos) -> dict[str, Any]:
    """The content of a COCO keypoint file: people, and regions without a loss as crowds."""
    images, rows = [], []
    for photo in photos.photos:
        (h, w), whole = photo.size, {} if photo.complete else {"all_persons_labelled": False}
        images.append({"id": photo.image_id, "file_name": photo.path.name, "height": h, "width": w, **whole})
        for row in _people(photo):
            rows.append({"id": len(rows) + 1, "image_id": photo.image_id, "category_id": 1, **row})
    skeleton = photos.skeleton
    limbs = [[a + 1, b + 1] for a, b in skeleton.limbs]
    person = {"id": 1, "name": "person", "keypoints": list(skeleton.joints), "skeleton": limbs}
    return {"images": images, "annotations": rows, "categories": [person]}


def _people(photo: Photo) -> Iterator[dict[str, Any]]:
    nobody, boxes = np.zeros_like(photo.keypoints[:1], shape=photo.keypoints.shape[1:]), [tuple(b) for b in photo.unposed.tolist()]
    for joints, box, area, shape in zip(photo.keypoints, photo.boxes, photo.areas, photo.shapes, strict=True):
        yield _row(joints, box, float(area), 0, shape)
    for box in photo.unposed:
        yield _row(nobody, box, float(np.prod(box[2:] - box[:2])), 0, None)
    for region in photo.ignored:
        if not isinstance(region, np.ndarray):
            box = _around(region, photo.size)
            yield _row(nobody, box, float(np.prod(box[2:] - box[:2])), 1, region)
        elif tuple(region.astype(np.float32).tolist()) not in boxes:
            yield _row(nobody, region, float(np.prod(region[2:] - region[:2])), 1, None)


def _row(joints: Float[np.ndarray, "k 3"], box: Float[np.ndarray, "4"], area: float, crowd: int, shape: Region) -> dict[str, Any]:
    x0, y0, x1, y1 = (round(float(v), 2) for v in box)
    outline = {} if shape is None else {"segmentation": shape if isinstance(shape, dict) else [np.asarray(p).tolist() for p in shape]}
    return {
        "keypoints": np.round(joints.astype(float), 2).ravel().tolist(), "num_keypoints": int((joints[:, 2] > 0).sum()),
        "bbox": [x0, y0, round(x1 - x0, 2), round(y1 - y0, 2)], "area": round(area, 2), "iscrowd": crowd, **outline,
    }  # fmt: skip


def _around(region: Region, size: tuple[int, int]) -> Float[np.ndarray, "4"]:
    plane = np.zeros(size, np.uint8)
    paint(plane, region, 1)
    ys, xs = np.flatnonzero(plane.any(1)), np.flatnonzero(plane.any(0))
    return np.array([xs[0], ys[0], xs[-1] + 1, ys[-1] + 1] if len(ys) else [0, 0, 1, 1], np.float64)


def main(words: Sequence[str] | None = None) -> None:
    """Write a data set given on the command line as a COCO file."""
    parser = ArgumentParser(prog="python -m manypose.data.export", description=__doc__)
    kinds = parser.add_subcommands()
    for name, reader in READERS.items():
        one = ArgumentParser()
        one.add_argument("--out", type=Path, required=True, help="the COCO file that is written")
        one.add_function_arguments(reader)
        kinds.add_subcommand(name, one)
    given = parser.parse_args(words).as_dict()
    options = given[given["subcommand"]]
    out = options.pop("out")
    try:
        write_text(out, json.dumps(as_coco(READERS[given["subcommand"]](**options)), allow_nan=False))
    except (ValueError, OSError) as e:
        raise SystemExit(f"manypose: {e}") from None


if __name__ == "__main__":
    main()
