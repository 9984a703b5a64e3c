"""Readers of the three common files of MPII's people: HRNet's JSON, the stacked hourglass authors' HDF5, and the official .mat.

In all three, pixels start at 1, as in MATLAB; the HDF5 has integers. Arrays here start at 0. ``scale`` is a person's height in units of
200 pixels, ``center`` (``objpos``) a point near the hips. The HDF5 has both adapted for a crop, which is undone.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from manypose.data.datasets.annotation_report import Report, numbers
from manypose.data.datasets.head_sizes import OF_HEAD_BOX, head_size
from manypose.io.matlab import cells, load_h5, load_mat
from manypose.poses.skeleton import MPII

__all__ = ["MpiiPeople", "read_mpii"]

K = len(MPII)


@dataclass(frozen=True)
class MpiiPeople:
    """People of MPII, in the file's order. Coordinates are pixels from 0.

    Args:
        name: the file.
        images: file name of each person's photo.
        keypoints: x, y, visibility (2 if the file does not state whether a labelled joint is hidden).
        head_sizes: 0.6 of the head box's diagonal; NaN if the file has no head boxes.
        centers: points near the hips.
        scales: height / 200 pixels.
        rows: index of each person in the file; people with errors are left out.
        total: number of people in the file, which is the length of prediction arrays.
        places: index of the photo in `listing` and of the person in the photo; -1 if unknown.
        single: "sufficiently separated" people, which the single-person evaluation counts; all people of the JSON and the HDF5.
        listing: photos of the official file's split: name, number of people, index among all photos.
        report: problems of the file.
    """

    name: str
    images: tuple[str, ...]
    keypoints: Float[np.ndarray, "n 16 3"]
    head_sizes: Float[np.ndarray, " n"]
    centers: Float[np.ndarray, "n 2"]
    scales: Float[np.ndarray, " n"]
    rows: Int[np.ndarray, " n"]
    total: int
    places: Int[np.ndarray, "n 2"]
    single: Bool[np.ndarray, " n"]
    report: Report
    listing: tuple[tuple[str, int, int], ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, which: Sequence[int] | np.ndarray) -> "MpiiPeople":
        """Several people, by index array or boolean array."""
        chosen = np.arange(len(self))[which]
        pick = {f: getattr(self, f)[chosen] for f in ("keypoints", "head_sizes", "centers", "scales", "rows", "places", "single")}
        return replace(self, images=tuple(self.images[i] for i in chosen), **pick)


def read_mpii(annotations: str | Path, heads: str | Path | None = None, split: Literal["train", "test"] = "train") -> MpiiPeople:
    """Read and check MPII's people.

    Args:
        annotations: ``.json``, ``.h5`` or the official ``.mat``.
        heads: for JSON, which has no head boxes, the file that has them: HRNet's ``gt_valid.mat`` or the hourglass ``valid.h5``. Without
            it, ``gt_<name>.mat`` beside the JSON is taken if it exists.
        split: of the official file; joints of the test set are not published.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file cannot be read, or the heads belong to other people; the message names the file.
    """
    path = Path(annotations)
    if path.suffix == ".json":
        beside = path.with_name(f"gt_{path.stem}.mat")
        return _with_heads(_from_json(path), heads or (beside if beside.is_file() else None))
    if heads is not None:
        raise ValueError(f"{path}: only the JSON needs a file of heads; this one has its own")
    if path.suffix in (".h5", ".hdf5"):
        return _from_h5(path)
    if path.suffix == ".mat":
        return _from_mat(path, split)
    raise ValueError(f"{path}: MPII's annotations are a .json, .h5 or .mat file")


def _collect(name: str, entries: list[dict[str, Any]], total: int, report: Report, listing: tuple = ()) -> MpiiPeople:
    """The valid entries as arrays; invalid ones are reported and left out."""
    good = _once([e for e in entries if _usable(e, report)], report)
    if not good:
        raise ValueError(f"{name}: no person of {total} can be used\n{report}")
    keypoints = np.array([e["keypoints"] for e in good], np.float64)
    keypoints[keypoints[..., 2] == 0] = 0
    report.people, report.images = len(good), len({e["image"] for e in good})
    return MpiiPeople(
        name,
        tuple(e["image"] for e in good),
        keypoints,
        np.array([e.get("head", np.nan) for e in good], np.float64),
        np.array([e["center"] for e in good], np.float64),
        np.array([e["scale"] for e in good], np.float64),
        np.array([e["row"] for e in good], np.int64),
        total,
        np.array([e.get("place", (-1, -1)) for e in good], np.int64),
        np.array([e.get("single", True) for e in good], bool),
        report,
        listing,
    )


def _usable(e: dict[str, Any], report: Report) -> bool:
    """Whether an entry is valid; its joints and centre are arrays of the right shape, or None."""
    if e["keypoints"] is None:
        wrong = "joints are not 16 pairs of numbers with a visibility each"
    elif not np.isfinite(e["keypoints"]).all():
        wrong = "joints are not finite"
    elif not isinstance(e["image"], str) or not e["image"]:
        wrong = "no image name"
    elif e["center"] is None or not np.isfinite(e["center"]).all():
        wrong = "centre is not 2 numbers"
    elif not isinstance(e["scale"], (int, float, np.number)) or not 0 < e["scale"] < np.inf:
        wrong = "scale is not a positive number"
    elif e.get("labelled", True) and not (e["keypoints"][:, 2] > 0).any():
        wrong = "no joint is labelled"
    else:
        return True
    report.add("annotation", e.get("id", e["row"]), wrong, str(e["image"])[:80])
    return False


def _once(entries: list[dict[str, Any]], report: Report) -> list[dict[str, Any]]:
    """The entries without exact repetitions."""
    seen: dict[tuple, Any] = {}
    kept = []
    for e in entries:
        key = (e["image"], e.get("place"), e["center"].tobytes(), e["keypoints"].tobytes())
        if key in seen:
            report.add("annotation", e.get("id", e["row"]), "person listed twice", f"{e['image']}, first as {seen[key]}")
        else:
            seen[key] = e.get("id", e["row"])
            kept.append(e)
    return kept


def _from_json(path: Path) -> MpiiPeople:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such annotation file")
    try:
        given = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as e:
        raise ValueError(f"{path}: not a JSON file ({str(e)[:100]}); download it again") from None
    if not isinstance(given, list) or not given or not all(isinstance(p, dict) for p in given):
        raise ValueError(f"{path}: MPII's JSON is a list of people with image, joints, joints_vis, center and scale")
    if not any("joints" in p for p in given):
        raise ValueError(f"{path}: no person has 'joints': the test set's annotations are not published")
    entries = []
    for row, p in enumerate(given):
        center = numbers(p.get("center"))
        entries.append(
            {
                "row": row, "image": p.get("image"), "keypoints": _json_joints(p), "scale": p.get("scale"),
                "center": center - 1 if center is not None and len(center) == 2 else None,
            }
        )  # fmt: skip
    return _collect(str(path), entries, len(given), Report(str(path)))


def _json_joints(p: dict[str, Any]) -> Float[np.ndarray, "16 3"] | None:
    try:
        joints, seen = np.asarray(p.get("joints"), np.float64), np.asarray(p.get("joints_vis"), np.float64)
    except (TypeError, ValueError):
        return None
    if joints.shape != (K, 2) or seen.shape != (K,):
        return None
    # HRNet's "visible" says that a joint is labelled.
    return np.concatenate([joints - 1, np.where(seen[:, None] > 0, 2.0, seen[:, None] * 0)], 1)


def _from_h5(path: Path) -> MpiiPeople:
    names = ("imgname", "part", "visible", "center", "scale", "normalize", "index", "person")
    image, part, visible, center, scale, head, index, person = load_h5(path, *names)
    n = len(np.atleast_1d(image))
    if any(a.dtype.kind not in "biuf" for a in (part, visible, center, scale, head, index, person)):
        raise ValueError(f"{path}: part, visible, center, scale, normalize, index and person must be numbers")
    if image.ndim not in (1, 2) or index.shape != (n,) or person.shape != (n,):
        raise ValueError(f"{path}: {n} images need imgname ({n},) or ({n},length), index and person ({n},)")
    if part.shape != (n, K, 2) or visible.shape != (n, K) or center.shape != (n, 2) or scale.shape != (n,) or head.shape != (n,):
        raise ValueError(f"{path}: {n} images need part ({n},16,2), visible ({n},16), center ({n},2), scale and normalize ({n},)")
    labelled = (part != 0).any(-1)
    sight = np.where(labelled, np.where(visible > 0, 2.0, 1.0), 0.0)
    keypoints = np.concatenate([part - 1.0, sight[..., None]], -1)
    scale = scale / 1.25
    center = center - np.array([0.0, 15.0]) * scale[:, None] - 1
    entries = [
        {
            "row": i, "image": _text(image[i]), "keypoints": keypoints[i], "center": center[i], "scale": scale[i],
            "head": head[i] if head[i] > 0 else np.nan, "place": (_whole(index[i]), _whole(person[i])),
        }
        for i in range(n)
    ]  # fmt: skip
    return _collect(str(path), entries, n, Report(str(path)))


def _whole(value: Any) -> int:
    return int(value) if np.isfinite(value) else -1


def _text(name: Any) -> str:
    """A file name of an HDF5 file: bytes, or an array of character codes."""
    if isinstance(name, np.ndarray):
        codes = name.astype(np.int64).tolist() if name.dtype.kind in "biuf" else []
        name = bytes(code for code in codes if 0 <= code < 256)
    return (name.decode("ascii", "replace") if isinstance(name, bytes) else str(name)).rstrip("\0 ")


def _from_mat(path: Path, split: str) -> MpiiPeople:
    release, report = load_mat(path, "RELEASE"), Report(str(path))
    missing = [n for n in ("annolist", "img_train") if not isinstance(release, dict) or n not in release]
    if missing:
        raise ValueError(f"{path}: RELEASE has no {missing[0]}; is it mpii_human_pose_v1_u12_1.mat?")
    annolist, in_train = cells(release["annolist"]), np.atleast_1d(release["img_train"])
    apart = cells(release["single_person"]) if "single_person" in release else [None] * len(annolist)
    odd = next((i for i, photo in enumerate(annolist) if not isinstance(photo, dict)), None)
    if odd is not None:
        raise ValueError(f"{path}: photo {odd} of RELEASE's annolist is no struct; download the file again")
    if not len(annolist) == len(in_train) == len(apart):
        raise ValueError(f"{path}: {len(annolist)} photos, but {len(in_train)} img_train and {len(apart)} single_person")
    entries, listing, total = [], [], 0
    for number, (photo, train, single) in enumerate(zip(annolist, in_train, apart, strict=True)):
        if bool(train) != (split == "train"):
            continue
        name, rects = _name(photo), [r for r in cells(photo.get("annorect")) if isinstance(r, dict)]
        listing.append((name, len(rects), number))
        singles = {int(s) - 1 for s in cells(single)}
        for who, rect in enumerate(rects):
            if not _annotated(rect, split):
                continue
            label = f"{name} person {who + 1}"
            entries.append(
                {**_mat_person(rect), "row": total, "image": name, "place": (len(listing) - 1, who), "single": who in singles,
                 "id": label, "labelled": split == "train"}
            )  # fmt: skip
            total += 1
    return _collect(str(path), entries, total, report, tuple(listing))


def _name(photo: Any) -> str:
    image = photo.get("image") if isinstance(photo, dict) else None
    return str(image.get("name", "")) if isinstance(image, dict) else ""


def _annotated(rect: dict, split: str) -> bool:
    """Whether a listed person has joints, or in the test split a position."""
    position = rect.get("objpos")
    if split == "test":
        return isinstance(position, dict)
    points = rect.get("annopoints")
    return isinstance(points, dict) and len(cells(points.get("point"))) > 0


def _mat_person(rect: dict) -> dict[str, Any]:
    position = rect.get("objpos")
    center = numbers([position.get("x"), position.get("y")]) if isinstance(position, dict) else None
    box = numbers([rect.get(n) for n in ("x1", "y1", "x2", "y2")])
    return {
        "keypoints": _mat_joints(rect),
        "center": None if center is None else center - 1,
        "scale": rect.get("scale"),
        "head": float(head_size(box[None])[0]) if box is not None and np.isfinite(box).all() else np.nan,
    }


def _mat_joints(rect: dict) -> Float[np.ndarray, "16 3"] | None:
    points = rect.get("annopoints")
    keypoints = np.zeros((K, 3))
    for p in cells(points.get("point")) if isinstance(points, dict) else []:
        xy = numbers([p.get("id"), p.get("x"), p.get("y")]) if isinstance(p, dict) else None
        if xy is None or xy[0] not in range(K):
            return None
        keypoints[int(xy[0])] = xy[1] - 1, xy[2] - 1, _sight(p.get("is_visible"))
    return keypoints


def _sight(given: Any) -> int:
    """``is_visible`` is 0, 1, their characters, or empty (head top and neck)."""
    flags = cells(given)
    return 1 if flags and str(flags[0]).strip() in ("0", "False") else 2


# ── heads for the JSON ──


def _with_heads(people: MpiiPeople, heads: str | Path | None) -> MpiiPeople:
    if heads is None:
        return people
    if Path(heads).suffix == ".mat":
        boxes = np.asarray(load_mat(heads, "headboxes_src"), np.float64)
        if boxes.ndim != 3 or boxes.shape != (2, 2, people.total):
            raise ValueError(f"{heads}: headboxes_src is {boxes.shape}, for the {people.total} people of {people.name} it must be 2x2 each")
        return replace(people, head_sizes=OF_HEAD_BOX * np.linalg.norm(boxes[1] - boxes[0], axis=0)[people.rows])
    known = read_mpii(heads)
    by_name: dict[str, list[int]] = {}
    for i, name in enumerate(known.images):
        by_name.setdefault(name, []).append(i)
    sizes = np.full(len(people), np.nan)
    for i, name in enumerate(people.images):
        near = [j for j in by_name.get(name, ()) if np.abs(known.centers[j] - people.centers[i]).max() < 1]
        if len(near) != 1:
            raise ValueError(f"{heads}: has no head of person {people.rows[i]} of {people.name} ({name} at {people.centers[i].tolist()})")
        sizes[i] = known.head_sizes[near[0]]
    return replace(people, head_sizes=sizes)
