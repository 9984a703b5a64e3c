"""Leeds Sports Pose Extended: one labelled person in each sports photo, 14 joints, no face.

Source: Johnson and Everingham, Learning Effective Human Pose Estimation from Inaccurate Annotation, CVPR 2011. Inputs are the published
``joints.mat`` (LSPET's 14x3xN, and LSP's 3x14xN) or COCO-format files made from it. Other people in the photos are not annotated.
"""

import re
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float
from PIL import Image
from typing_extensions import Unpack

from manypose.data.datasets.annotation_report import Report
from manypose.data.datasets.coco import Reading, dataset, listed_ids, photos_of
from manypose.data.datasets.coco_json import AREA_OF_BOX, load_json
from manypose.data.photos import Photo, Photos
from manypose.io.matlab import is_mat, load_mat
from manypose.poses.boxes import boxes_around
from manypose.poses.skeleton import BUILT_IN, Skeleton

__all__ = ["LSP", "lspet", "read_lspet"]

LSP = Skeleton.build(
    "lsp",
    (
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "right_wrist", "right_elbow",
        "right_shoulder", "left_shoulder", "left_elbow", "left_wrist", "neck", "head",
    ),
    [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 12), (12, 9), (9, 10), (10, 11), (12, 13)],
    (.089, .087, .107, .107, .087, .089, .062, .072, .079, .079, .072, .062, .079, .079),
)  # fmt: skip
"""The joints of ``joints.mat`` in its order; neck and head (its top) as CrowdPose names them."""

_NUMBERED = re.compile(r"im(\d+)\.(?:jpg|png)", re.I)

AROUND = 0.15
"""Fraction by which the box around the joints is enlarged on each side, since LSPET has no boxes."""


def lspet(
    images: str | Path,
    annotations: str | Path,
    skeleton: Literal["coco", "crowdpose"] = "coco",
    only: str | Path | None = None,
    **reading: Unpack[Reading],
) -> Photos:
    """Sports photos as samples, masked outside the labelled person; joints missing in the data set get mask planes of zeros.

    Args:
        images: folder of the photos.
        annotations: ``joints.mat``, or a JSON file in COCO's format (distinguished by content).
        skeleton: of the samples; joints are matched by name.
        only: a text file with the photo numbers to use (1 is ``im1.jpg``), one per line.
        reading: see `manypose.data.coco`, as for errors.
    """
    wanted = BUILT_IN[skeleton]
    if is_mat(annotations):
        photos, report = read_lspet(images, annotations, wanted)
    else:
        report = Report(str(annotations))
        photos = photos_of(load_json(annotations), Path(images), wanted, report, complete=False)
    if (chosen := listed_ids(only)) is not None:
        photos = [p for p in photos if (m := _NUMBERED.fullmatch(p.path.name)) and m[1].lstrip("0") in chosen]
        report.images = report.people = len(photos)
        if not photos:
            raise ValueError(f"{only}: none of its {len(chosen)} photos is in {annotations}")
    return dataset(photos, wanted, report, **reading)


def read_lspet(images: str | Path, annotations: str | Path, skeleton: Skeleton = LSP) -> tuple[list[Photo], Report]:
    """Read and check ``joints.mat``: the n-th row is photo ``imN.jpg``. Coordinates start at 1 in the file and at 0 here.

    LSPET marks joints that were found (1) or not (0, coordinates without meaning); LSP marks joints that are hidden (1) or not (0).
    """
    root, report = Path(images), Report(str(annotations))
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder of photos (for {annotations})")
    people = _people(annotations)
    numbered = {int(m[1]): f for f in sorted(root.iterdir()) if (m := _NUMBERED.fullmatch(f.name))}
    if not numbered:
        raise ValueError(f"{root}: no photos im1.jpg, im00001.jpg … in it (for {annotations})")
    source = np.array(skeleton.from_skeleton(LSP))
    photos = []
    for number, person in enumerate(people, 1):
        if number not in numbered:
            report.add("image", number, "photo file missing", f"im{number:05d}.jpg")
            continue
        with Image.open(numbered[number]) as picture:
            width, height = picture.size
        joints = _inside(person, (height, width), number, report)
        if not joints[:, 2].any():
            report.add("annotation", number, "no joint is labelled", numbered[number].name)
            continue
        box = boxes_around(joints[None, :, :2], joints[None, :, 2] > 0)
        box += np.concatenate([box[:, :2] - box[:, 2:], box[:, 2:] - box[:, :2]], 1) * AROUND
        box = np.clip(box, 0, [width, height, width, height]).astype(np.float32)
        area = AREA_OF_BOX * (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
        keypoints = np.where((source >= 0)[:, None], joints[source], 0)[None].astype(np.float32)
        photos.append(Photo(numbered[number], (height, width), number, keypoints, box, area, (), (None,), complete=False))
    report.images = report.people = len(photos)
    if not photos:
        raise ValueError(f"{annotations}: none of its {len(people)} people can be used\n{report}")
    return photos, report


def _people(annotations: str | Path) -> Float[np.ndarray, "n 14 3"]:
    """All joints: x and y from 0, visibility 0, 1 or 2."""
    joints = load_mat(annotations, "joints")
    if isinstance(joints, np.ndarray) and joints.ndim == 2:
        joints = joints[..., None]  # a single person
    if not isinstance(joints, np.ndarray) or joints.ndim != 3 or joints.dtype.kind not in "fiu":
        raise ValueError(
            f"{annotations}: 'joints' is 14x3xN (LSPET) or 3x14xN (LSP), got {getattr(joints, 'shape', type(joints).__name__)}"
        )
    if joints.shape[:2] == (14, 3):
        people = joints.transpose(2, 0, 1).astype(np.float64)
        people[..., 2] = np.where(people[..., 2] > 0, 2, 0)
    elif joints.shape[:2] == (3, 14):
        people = joints.transpose(2, 1, 0).astype(np.float64)
        people[..., 2] = np.where(people[..., 2] > 0, 1, 2)
    else:
        raise ValueError(f"{annotations}: 'joints' is 14x3xN (LSPET) or 3x14xN (LSP), got {joints.shape}")
    people[..., :2] -= 1
    return people


def _inside(person: Float[np.ndarray, "14 3"], size: tuple[int, int], number: int, report: Report) -> Float[np.ndarray, "14 3"]:
    """The person's joints; labelled ones that are not in the photo become unlabelled, which is reported."""
    h, w = size
    there = person[:, 2] > 0
    with np.errstate(invalid="ignore"):
        x, y = person[:, 0], person[:, 1]
        bad = there & ~((x >= -1) & (y >= -1) & (x <= w) & (y <= h))
    if bad.any():
        report.add("annotation", number, "keypoints outside the photo", f"joints {np.flatnonzero(bad).tolist()}", dropped=False)
    out = person.copy()
    out[bad | ~there] = 0
    return out
