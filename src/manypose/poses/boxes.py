"""Person boxes: boxes files, validation, boxes around keypoints, and NMS."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

__all__ = [
    "LEAST", "MARGINS", "box_nms", "boxes_around", "counted", "match_boxes", "person_boxes", "read_boxes", "skipped_text", "usable",
    "with_scores",
]  # fmt: skip

LEAST = 0.1
"""Smallest width and height of a valid box in pixels."""

MARGINS = (0.14, 0.13, 0.14, 0.09)
"""Margins (left, top, right, bottom; fractions of width and height) by which a box around joints grows to an annotated box: the
median over 96,000 people of COCO train2017 with at least ten labelled joints."""

COUNTED = 0.05
"""Smallest score of a joint that counts for its person's box."""


def read_boxes(path: str | Path) -> dict[str, Float[np.ndarray, "n 5"]]:
    """The person boxes (xyxy, score) of a boxes file by photo name.

    Two forms of JSON, with or without a byte order mark:
    ``{"photo.jpg": [[x0, y0, x1, y1], [x0, y0, x1, y1, score], …]}``, or a COCO detection results list
    (``image_id`` or ``file_name``, ``bbox`` as xywh, ``score``). Other categories than 1 are left out; if there are any, so are
    people who are not among the 100 best boxes of their photo (MSPN, Section 4.2). An image id means the photo whose file name is that
    number; the key is the number without leading zeros. Invalid boxes are kept here and left out at prediction: see `usable`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: neither form; the message names the entry.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such boxes file") from None
    except (OSError, ValueError, RecursionError) as e:
        raise ValueError(f"{path}: not JSON ({'it is not text' if isinstance(e, UnicodeDecodeError) else e})") from None
    boxes: dict[str, list[list[float]]] = {}
    try:
        if isinstance(content, dict):
            boxes = {name: [[*map(float, b), 1.0][:5] for b in rows] for name, rows in content.items()}
        else:
            for name, row in _best(content):
                if row.get("category_id", 1) == 1:
                    x, y, w, h = map(float, row["bbox"])
                    boxes.setdefault(name, []).append([x, y, x + w, y + h, float(row.get("score", 1.0))])
        arrays = {name: np.array(rows, np.float32).reshape(-1, 5) for name, rows in boxes.items()}
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as e:
        raise ValueError(
            f"{path}: not a boxes file ({type(e).__name__}: {e}); see manypose.poses.boxes.read_boxes for its two forms"
        ) from None
    return arrays


def _best(rows: list, most: int = 100) -> list[tuple[str, Mapping[str, Any]]]:
    """The detections and their photos; if there are several categories, only the `most` best of each photo."""
    named = [(str(row["file_name"] if "file_name" in row else row["image_id"]), row) for row in rows]
    if all(row.get("category_id", 1) == 1 for row in rows):
        return named
    seen: dict[str, int] = {}
    kept = []
    for i in sorted(range(len(named)), key=lambda i: -float(rows[i].get("score", 1.0))):
        name = named[i][0]
        seen[name] = seen.get(name, 0) + 1
        if seen[name] <= most:
            kept.append(i)
    return [named[i] for i in sorted(kept)]


def match_boxes(
    boxes: Mapping[str, Any], paths: Sequence[Path], root: Path | None = None, ids: Sequence[int] | None = None
) -> list[Any | None]:
    """The boxes of each photo from a mapping by name or image id; None for a photo without an entry.

    An entry is matched by image id, then by path (relative to `root`, or as given), then by file name, if the name is unique among the
    photos and the keys.

    Args:
        boxes: by path, file name, stem, or image id as text.
        paths: the photos.
        root: the folder of the photos.
        ids: the photos' image ids. Default: the number in the file name, as in COCO.
    """
    names, keys = Counter(p.name for p in set(paths)), Counter(Path(k).name for k in boxes)
    by_name = {Path(k).name: k for k in boxes}
    found = []
    for i, path in enumerate(paths):
        tried = [str(ids[i])] if ids is not None else []
        tried += [path.relative_to(root).as_posix()] if root is not None and path.is_relative_to(root) else []
        tried += [str(path), path.as_posix()]
        if names[path.name] == 1:
            tried += [path.name, *([] if ids is not None and path.stem.isdecimal() else [path.stem])]
            tried += [by_name[path.name]] if keys[path.name] == 1 else []
            tried += [str(int(path.stem))] if ids is None and path.stem.isdecimal() else []
        found.append(next((boxes[name] for name in tried if name in boxes), None))
    return found


def with_scores(boxes: Any) -> Float[np.ndarray, "n 5"] | None:
    """Boxes (n, 4) or (n, 5), an array or lists, as xyxy and score (default 1).

    Raises:
        ValueError: not numbers, or of another shape.
    """
    if boxes is None:
        return None
    try:
        with np.errstate(over="ignore"):
            rows = np.asarray(boxes, np.float32)
    except (TypeError, ValueError):
        raise ValueError("boxes must be numbers, (n, 4) as x0, y0, x1, y1 or (n, 5) with a score") from None
    rows = rows.reshape(0, 5) if rows.size == 0 else rows
    if rows.ndim != 2 or rows.shape[1] not in (4, 5):
        raise ValueError(f"boxes must be (n, 4) as x0, y0, x1, y1 or (n, 5) with a score, got the shape {rows.shape}")
    return rows if rows.shape[1] == 5 else np.concatenate([rows, np.ones((len(rows), 1), np.float32)], 1)


def usable(boxes: Float[np.ndarray, "n 5"], photo: tuple[int, int]) -> tuple[Bool[np.ndarray, " n"], dict[str, int]]:
    """A mask of the boxes that are finite, have an area and touch a photo (h, w), and the number of the others by reason."""
    h, w = photo
    finite = np.isfinite(boxes).all(1)
    with np.errstate(invalid="ignore", over="ignore"):
        area = (boxes[:, 2:4] - boxes[:, :2] >= LEAST).all(1)
        touching = (boxes[:, 0] < w) & (boxes[:, 1] < h) & (boxes[:, 2] > -1) & (boxes[:, 3] > -1)
    sound = finite & area & touching
    reasons = {"not finite": ~finite, "without an area": finite & ~area, "outside the photo": finite & area & ~touching}
    return sound, {reason: int(bad.sum()) for reason, bad in reasons.items() if bad.any()}


def skipped_text(skipped: Mapping[str, int]) -> str:
    """A message, such as: 3 boxes were left out (2 not finite, 1 without an area)."""
    n = sum(skipped.values())
    return f"{n} box{'es were' if n != 1 else ' was'} left out ({', '.join(f'{count} {reason}' for reason, count in skipped.items())})"


def counted(scores: Float[np.ndarray, "n k"]) -> Bool[np.ndarray, "n k"]:
    """A mask of the joints that count for a person's box: score 0.05 or more, or above 0 if the person has none of 0.05.

    Joints of lower scores are usually not visible in the photo and would enlarge the box.
    """
    sure = scores >= COUNTED
    return np.where(sure.any(1, keepdims=True), sure, scores > 0)


def boxes_around(keypoints: Float[np.ndarray, "n k 2"], there: Bool[np.ndarray, "n k"]) -> Float[np.ndarray, "n 4"]:
    """The xyxy box around each person's joints in the mask `there`; zeros for a person without any."""
    low = np.where(there[..., None], keypoints, np.inf).min(1, initial=np.inf)
    high = np.where(there[..., None], keypoints, -np.inf).max(1, initial=-np.inf)
    boxes = np.concatenate([low, high], 1)
    boxes[~there.any(1)] = 0
    return boxes.astype(keypoints.dtype)


def person_boxes(
    keypoints: Float[np.ndarray, "n k 2"], there: Bool[np.ndarray, "n k"], boxes: Float[np.ndarray, "n 4"], scores: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n 5"]:
    """The boxes and scores of predicted people for a top-down method; boxes around joints are enlarged by `MARGINS`."""
    boxes = boxes.astype(np.float32)
    if len(boxes) and np.allclose(boxes, boxes_around(keypoints, there), atol=1e-3):
        sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        boxes = boxes + sides * np.array([-1, -1, 1, 1], np.float32) * np.array(MARGINS, np.float32)
    return np.concatenate([boxes, scores[:, None].astype(np.float32)], 1)


def box_nms(boxes: Float[np.ndarray, "n 5"], overlap: float) -> Int[np.ndarray, " m"]:
    """Indices of the boxes kept by non-maximum suppression at an IoU of `overlap`, by falling score."""
    order = np.argsort(-boxes[:, 4], kind="stable")
    x0, y0, x1, y1 = boxes[order, :4].T
    areas = (x1 - x0) * (y1 - y0)
    left, kept = np.ones(len(order), bool), []
    for i in range(len(order)):
        if left[i]:
            kept.append(order[i])
            wide = np.minimum(x1[i], x1) - np.maximum(x0[i], x0)
            high = np.minimum(y1[i], y1) - np.maximum(y0[i], y0)
            shared = wide.clip(0) * high.clip(0)
            left &= shared <= overlap * (areas[i] + areas - shared)
    return np.array(kept, np.int64)
