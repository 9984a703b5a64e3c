"""MPII Human Pose: photos of everyday activities, 16 joints, single people and groups.

Source: Andriluka et al., 2D Human Pose Estimation: New Benchmark and State of the Art Analysis, CVPR 2014; evaluation protocol:
http://human-pose.mpi-inf.mpg.de/#evaluation. Coordinates start at 0 here; MPII's files start at 1 (see `mpii_files`).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image
from typing_extensions import Unpack

from manypose.data.datasets.coco import Reading, dataset
from manypose.data.datasets.coco_json import AREA_OF_BOX
from manypose.data.datasets.head_sizes import HeadScaledTruth
from manypose.data.datasets.mpii_files import MpiiPeople, read_mpii
from manypose.data.photos import Photo, Photos
from manypose.io.matlab import load_cells
from manypose.poses.boxes import boxes_around
from manypose.poses.poses import Poses
from manypose.poses.skeleton import MPII

__all__ = ["MpiiPeople", "group_poses", "mpii", "person_boxes", "read_groups", "read_mpii", "truths"]


def mpii(
    images: str | Path,
    annotations: str | Path,
    heads: str | Path | None = None,
    **reading: Unpack[Reading],
) -> Photos:
    """MPII's photos as samples. The mask is 0 outside the labelled people's boxes, since MPII leaves some people unlabelled.

    Args:
        images: folder of the photos.
        annotations: ``train.json`` or ``valid.json``, ``train.h5`` or ``valid.h5``, or ``mpii_human_pose_v1_u12_1.mat``.
        heads: see `read_mpii`.
        reading: see `manypose.data.coco`, as for errors; `margin` is 0 by default.
    """
    root, people = Path(images), read_mpii(annotations, heads)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder of photos (for {annotations})")
    report = people.report
    ids, boxes = image_ids(people.images), person_boxes(people)
    tight = boxes_around(people.keypoints[..., :2], people.keypoints[..., 2] > 0)
    areas = AREA_OF_BOX * np.maximum(np.prod(tight[:, 2:] - tight[:, :2], axis=1), 1)
    photos = []
    for name, rows in by_photo(people).items():
        if not (root / name).is_file():
            report.add("image", ids[name], "photo file missing", name)
            continue
        with Image.open(root / name) as picture:
            width, height = picture.size
        photos.append(
            Photo(
                root / name, (height, width), ids[name], people.keypoints[rows].astype(np.float32), boxes[rows].astype(np.float32),
                areas[rows].astype(np.float32), (), (None,) * len(rows), complete=False,
            )
        )  # fmt: skip
    if not photos:
        raise ValueError(f"{annotations}: none of its {len(ids)} photos is in {root} (the first is {next(iter(ids), None)!r})")
    report.images, report.people = len(photos), sum(len(p.boxes) for p in photos)
    chosen: Reading = {"margin": 0.0, **reading}
    return dataset(photos, MPII, report, **chosen)


def by_photo(people: MpiiPeople) -> dict[str, list[int]]:
    """Indices of the people of each photo, in the order of each photo's first person."""
    rows: dict[str, list[int]] = {}
    for i, name in enumerate(people.images):
        rows.setdefault(name, []).append(i)
    return rows


def image_ids(images: Sequence[str]) -> dict[str, int]:
    """An image id for each photo: the number in its name (``005808361.jpg``), or its position from 1 if a name is not a number."""
    names = list(dict.fromkeys(images))
    stems = [Path(n).stem for n in names]
    digits = all(s.isascii() and s.isdigit() for s in stems) and len({int(s) for s in stems}) == len(stems)
    return {n: int(s) if digits else place for place, (n, s) in enumerate(zip(names, stems, strict=True), 1)}


def person_boxes(people: MpiiPeople) -> Float[np.ndarray, "n 4"]:
    """The standard square box of each person, xyxy: 200 · scale wide, around the centre shifted down by 15 · scale."""
    middle = people.centers + np.array([0.0, 15.0]) * people.scales[:, None]
    half = 100 * people.scales[:, None]
    return np.concatenate([middle - half, middle + half], 1)


def truths(people: MpiiPeople, groups: Sequence[Sequence[int]] | None = None) -> list[HeadScaledTruth]:
    """The ground truth of each photo, or of each group (with the group's number as image id), for `manypose.evaluation.metrics.pckh`."""
    if groups is not None:
        return [_truth(people, list(rows), number) for number, rows in enumerate(groups)]
    ids = image_ids(people.images)
    return [_truth(people, rows, ids[name]) for name, rows in by_photo(people).items()]


def _truth(people: MpiiPeople, rows: list[int], number: int) -> HeadScaledTruth:
    return HeadScaledTruth(MPII, number, people.keypoints[rows], people.head_sizes[rows])


# ── groups of the multi-person evaluation ──


def read_groups(path: str | Path, people: MpiiPeople) -> list[list[int]]:
    """MPII's groups (``groups_v12.mat``) as indices of `people`, without groups that contain a sufficiently separated person.

    Raises:
        FileNotFoundError, ValueError: not that file, or `people` were not read from the official .mat.
    """
    if not people.listing:
        raise ValueError(f"{people.name}: groups are numbered as in the official .mat; read the people from that")
    given = load_cells(path, "groups")
    row = {(int(photo), int(person)): i for i, (photo, person) in enumerate(people.places)}
    groups = []
    for photo, (name, count, number) in enumerate(people.listing):
        if number >= len(given):
            raise ValueError(f"{path}: has groups of {len(given)} photos, {people.name} has more: {name} is number {number + 1}")
        of_photo = given[number] if isinstance(given[number], list) else [given[number]]
        for members in of_photo:
            chosen = [int(m) - 1 for m in members]
            if any(not 0 <= m < count for m in chosen):
                raise ValueError(f"{path}: photo {name}: a group names person {max(chosen) + 1}, there are {count}")
            rows = [row[photo, m] for m in chosen if (photo, m) in row]
            if rows and not people.single[rows].any():
                groups.append(rows)
    return groups


def group_poses(poses: Poses, people: MpiiPeople, rows: Sequence[int], margin: float = 50.0) -> Poses:
    """The detected people of a photo that belong to one group.

    MPII gives the box around the centres of a group's people and their mean scale, and leaves the size of the search region to the
    method. Here a person belongs to the group if the mean of its joints lies in that box, enlarged on every side by `margin` · mean scale
    (50 is a quarter of a person's height).
    """
    centers, pad = people.centers[list(rows)], margin * people.scales[list(rows)].mean()
    there = poses.keypoint_scores > 0
    middle = (poses.keypoints * there[..., None]).sum(1) / np.maximum(there.sum(1), 1)[:, None]
    inside = (middle >= centers.min(0) - pad).all(1) & (middle <= centers.max(0) + pad).all(1)
    return poses[np.flatnonzero(inside & there.any(1))]
