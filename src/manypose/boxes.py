"""Boxes of people, for methods that look at one person at a time."""

import json
from pathlib import Path

import numpy as np
from jaxtyping import Float

__all__ = ["read_boxes"]


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
        if not np.isfinite(rows).all() or (rows[:, 2:4] <= rows[:, :2]).any():
            raise ValueError(f"{path}: the boxes of {name!r} must be finite with x1 > x0 and y1 > y0")
    return arrays
