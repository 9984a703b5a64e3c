"""Files of predictions for MPII: the common ``preds`` arrays (read and written), and the organisers' ``pred`` structures (written).

Pixels start at 1 in files and at 0 in arrays here. Formats: http://human-pose.mpi-inf.mpg.de/#evaluation.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.io import savemat

from manypose.data.datasets.mpii_files import MpiiPeople
from manypose.io.files import atomic
from manypose.io.matlab import load_h5, load_mat
from manypose.poses.poses import Poses
from manypose.poses.skeleton import MPII

__all__ = ["read_preds", "write_groups", "write_preds", "write_singles"]

K = len(MPII)


def read_preds(path: str | Path, people: MpiiPeople) -> Float[np.ndarray, "n 16 2"]:
    """Predicted joints of each of `people`, from an ``.h5`` or ``.mat`` file with ``preds`` of shape (N,16,2) or (2,16,N).

    Raises:
        FileNotFoundError: no such file.
        ValueError: N is not `people.total`, or values are not finite numbers; the message names the file and the first person.
    """
    h5 = Path(path).suffix in (".h5", ".hdf5")
    preds = np.asarray(load_h5(path, "preds")[0] if h5 else load_mat(path, "preds"))
    if preds.shape == (2, K, people.total) and people.total != 2:
        preds = preds.transpose(2, 1, 0)
    if preds.shape != (people.total, K, 2) or preds.dtype.kind not in "fiu":
        raise ValueError(
            f"{path}: preds are {preds.dtype} of shape {preds.shape}; for the {people.total} people of {people.name} "
            f"they must be numbers of shape ({people.total}, {K}, 2)"
        )
    preds = preds[people.rows].astype(np.float64) - 1
    _finite(preds, people, str(path))
    return preds


def _finite(keypoints: Float[np.ndarray, "n 16 2"], people: MpiiPeople, where: str) -> None:
    bad = np.flatnonzero(~np.isfinite(keypoints).all((1, 2)))
    if len(bad):
        joints = [MPII.joints[j] for j in np.flatnonzero(~np.isfinite(keypoints[bad[0]]).all(1))]
        who = f"person {people.rows[bad[0]]} (from 0, {people.images[bad[0]]})"
        raise ValueError(f"{where}: {len(bad)} people have joints that are not finite; first {who}: {', '.join(joints)}")


def write_preds(path: str | Path, people: MpiiPeople, keypoints: Float[np.ndarray, "n 16 2"]) -> Path:
    """Write ``preds`` (N,16,2) as ``.h5`` or ``.mat``, one row for each person of the file that `people` come from; other rows are 0.

    Raises:
        ValueError: the numbers of `people` and `keypoints` differ, joints are not finite, or the suffix is another one.
    """
    path = Path(path)
    _same(people, len(keypoints), path)
    _finite(keypoints, people, str(path))
    preds = np.zeros((people.total, K, 2))
    preds[people.rows] = keypoints + 1
    if path.suffix not in (".h5", ".mat"):
        raise ValueError(f"{path}: preds are written as .h5 or .mat")
    with atomic(path) as temporary:
        if path.suffix == ".mat":
            savemat(temporary, {"preds": preds})
        else:
            _save_h5(temporary, preds)
    return path


def _save_h5(path: Path, preds: np.ndarray) -> None:
    try:
        import h5py
    except ImportError:
        raise ImportError("HDF5 files need h5py: pip install 'manypose[eval]'") from None
    with h5py.File(path, "w") as f:
        f["preds"] = preds


def _same(people: MpiiPeople, given: int, path: Path) -> None:
    if given != len(people):
        raise ValueError(f"{path}: {given} predictions for the {len(people)} people of {people.name}; give one for each, in order")


def write_singles(path: str | Path, people: MpiiPeople, keypoints: Float[np.ndarray, "n 16 2"]) -> Path:
    """Write ``pred_keypoints_mpii.mat`` for the single-person evaluation: all photos of the split, with the joints of `people`.

    Args:
        path: the file to write.
        people: the predicted people, read from the official .mat (``split="test"`` for a submission).
        keypoints: the joints of each of `people`.

    Raises:
        ValueError: `people` were not read from the official .mat, the numbers differ, or joints are not finite.
    """
    path = Path(path)
    _same(people, len(keypoints), path)
    _finite(keypoints, people, str(path))
    if not people.listing:
        raise ValueError(f"{path}: MPII evaluates predictions for the photos of its official .mat; read the people from that file")
    row = {(int(photo), int(who)): i for i, (photo, who) in enumerate(people.places)}
    photos = []
    for photo, (name, count, _) in enumerate(people.listing):
        rects = [_rect(keypoints[row[photo, who]]) if (photo, who) in row else _rect(None) for who in range(count)]
        photos.append({"image": {"name": name}, "annorect": _structs(rects, ("annopoints",))})
    return _save(path, photos)


def write_groups(path: str | Path, people: MpiiPeople, groups: Sequence[Sequence[int]], poses: Sequence[Poses]) -> Path:
    """Write ``pred_keypoints_mpii_multi.mat`` for the multi-person evaluation: the detected people of each group, with joint scores.

    Args:
        path: the file to write.
        people: read from the official .mat.
        groups: indices of `people`, from `manypose.data.datasets.mpii.read_groups`.
        poses: the detected people of each group.

    Raises:
        ValueError: the numbers of results and groups differ, the skeleton is not MPII's, or joints are not finite.
    """
    path = Path(path)
    if len(groups) != len(poses):
        raise ValueError(f"{path}: {len(poses)} results for {len(groups)} groups; give one for each, in order")
    photos = []
    for number, (rows, found) in enumerate(zip(groups, poses, strict=True)):
        name = people.images[rows[0]]
        if found.skeleton.joints != MPII.joints:
            mine = found.skeleton.name
            raise ValueError(f"{path}: group {number} ({name}): MPII takes its own 16 joints, got skeleton {mine!r}; use Poses.to")
        if not (np.isfinite(found.keypoints).all() and np.isfinite(found.keypoint_scores).all()):
            raise ValueError(f"{path}: group {number} ({name}): joints or scores are not finite")
        rects = [_rect(k, s) for k, s in zip(found.keypoints, found.keypoint_scores, strict=True)]
        photos.append({"image": {"name": name}, "annorect": _structs(rects, ("annopoints",))})
    return _save(path, photos)


def _rect(keypoints: Float[np.ndarray, "16 2"] | None, scores: Float[np.ndarray, " 16"] | None = None) -> dict[str, Any]:
    """One person in MPII's form: points with joint numbers; joints with score 0 are left out."""
    if keypoints is None:
        return {"annopoints": np.zeros((0, 0))}
    points = [{"id": float(j), "x": float(x) + 1, "y": float(y) + 1} for j, (x, y) in enumerate(keypoints)]
    if scores is None:
        return {"annopoints": {"point": _structs(points, ("id", "x", "y"))}}
    points = [{**p, "score": float(s)} for p, s in zip(points, scores, strict=True) if s > 0]
    return {"annopoints": {"point": _structs(points, ("id", "x", "y", "score"))}}


def _structs(rows: Sequence[dict[str, Any]], names: tuple[str, ...]) -> np.ndarray:
    """A 1xN MATLAB struct array."""
    out = np.empty((1, len(rows)), dtype=[(n, object) for n in names])
    for i, row in enumerate(rows):
        for n in names:
            out[n][0, i] = row[n]
    return out


def _save(path: Path, photos: Sequence[dict[str, Any]]) -> Path:
    if path.suffix != ".mat":
        raise ValueError(f"{path}: MPII's evaluation takes a .mat file")
    with atomic(path) as temporary:
        savemat(temporary, {"pred": _structs(photos, ("image", "annorect"))}, do_compression=True)
    return path
