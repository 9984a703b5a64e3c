"""Boxes of people, for methods that look at one person at a time."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

__all__ = ["boxes_of", "read_boxes", "with_scores"]


def read_boxes(path: str | Path) -> dict[str, Float[np.ndarray, "n 5"]]:
    """A boxes file: xyxy and score of the people of each photo, by file name.

    Two forms of JSON: ``{"photo.jpg": [[x0, y0, x1, y1], [x0, y0, x1, y1, score], …]}``, or a COCO detection results list
    (``image_id`` or ``file_name``, ``bbox`` as xywh, ``score``; other categories than 1 are left out). There an image id stands for the
    photo whose file name is that number, as COCO's are; such keys come out as the number without leading zeros.

    Raises:
        FileNotFoundError: no such file.
        ValueError: neither form; the message names the file and the entry.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such boxes file") from None
    except (OSError, ValueError) as e:
        raise ValueError(f"{path}: not JSON ({e})") from None
    boxes: dict[str, list[list[float]]] = {}
    try:
        if isinstance(content, dict):
            boxes = {name: [[*map(float, b), 1.0][:5] for b in rows] for name, rows in content.items()}
        else:
            for row in content:
                if row.get("category_id", 1) == 1:
                    x, y, w, h = map(float, row["bbox"])
                    name = str(row.get("file_name", row.get("image_id")))
                    boxes.setdefault(name, []).append([x, y, x + w, y + h, float(row.get("score", 1.0))])
        arrays = {name: np.array(rows, np.float32).reshape(-1, 5) for name, rows in boxes.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as e:
        raise ValueError(f"{path}: not a boxes file ({type(e).__name__}: {e}); see manypose.boxes.read_boxes for its two forms") from None
    for name, rows in arrays.items():
        try:
            with_scores(rows)
        except ValueError as e:
            raise ValueError(f"{path}: {name!r}: {e}") from None
    return arrays


def boxes_of(boxes: Mapping[str, Any], path: Path) -> Any | None:
    """The boxes of a photo from a mapping by name: its path, its file name, its stem, or its stem as a number (COCO's image id)."""
    names = [str(path), path.name, path.stem, *([str(int(path.stem))] if path.stem.isdecimal() else [])]
    return next((boxes[n] for n in names if n in boxes), None)


def with_scores(boxes: Any) -> Float[np.ndarray, "n 5"] | None:
    """Boxes (n, 4) or (n, 5), an array or lists, as xyxy and score; a score that is not given is 1.

    Raises:
        ValueError: another shape, not finite, or without an area.
    """
    if boxes is None:
        return None
    try:
        rows = np.asarray(boxes, np.float32)
    except (TypeError, ValueError):
        raise ValueError("boxes must be numbers, (n, 4) as x0, y0, x1, y1 or (n, 5) with a score") from None
    rows = rows.reshape(0, 5) if rows.size == 0 else rows
    if rows.ndim != 2 or rows.shape[1] not in (4, 5):
        raise ValueError(f"boxes must be (n, 4) as x0, y0, x1, y1 or (n, 5) with a score, got the shape {rows.shape}")
    if not np.isfinite(rows).all() or (rows[:, 2:4] <= rows[:, :2]).any():
        raise ValueError("boxes must be finite with x1 > x0 and y1 > y0")
    return rows if rows.shape[1] == 5 else np.concatenate([rows, np.ones((len(rows), 1), np.float32)], 1)
