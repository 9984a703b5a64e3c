"""Responses: the people in photos as JSON, COCO results, CSV, or a drawn picture, chosen by ``Accept`` or ``?format=``."""

import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from manypose.poses.drawing import draw
from manypose.poses.formats.coco import to_coco
from manypose.poses.formats.tables import to_csv, to_jsonl
from manypose.poses.poses import Poses
from manypose.serve.limits import Refused

__all__ = ["KINDS", "Found", "kind_of", "picture", "text"]

KINDS = {
    "json": "application/json", "coco": "application/coco+json", "csv": "text/csv", "jpeg": "image/jpeg", "png": "image/png",
    "webp": "image/webp",
}  # fmt: skip
"""The formats of responses and their media types."""

PICTURES = ("jpeg", "png", "webp")

Found = tuple[str, tuple[int, int], Poses]
"""A photo's name, its height and width, and its people."""


def kind_of(accept: str, asked: str | None) -> str:
    """The format of a response, a name in `KINDS`.

    >>> kind_of("text/html, image/*;q=0.8, */*;q=0.1", None)
    'jpeg'

    Args:
        accept: the request's ``Accept`` header.
        asked: the requested format by name, which takes precedence.

    Raises:
        Refused: there is no such format (422), or the header accepts none (406).
    """
    if asked is not None:
        if asked not in KINDS:
            raise Refused(422, f"format: one of {', '.join(KINDS)}, got {asked[:40]!r}")
        return asked
    wanted = sorted((_quality(part) for part in (accept or "*/*").split(",")), key=lambda pair: -pair[0])
    for quality, word in wanted:
        for name, kind in KINDS.items():
            if quality > 0 and word in (kind, "*/*", kind.partition("/")[0] + "/*"):
                return name
    raise Refused(406, f"the request's Accept header allows none of {', '.join(KINDS.values())}")


def _quality(part: str) -> tuple[float, str]:
    kind, *more = (word.strip().lower() for word in part.split(";"))
    given = next((word[2:] for word in more if word.startswith("q=")), "1")
    try:
        return float(given), kind
    except ValueError:
        return 0.0, kind


def text(kind: str, found: Sequence[Found | tuple[str, str]], model: str, first_id: int, alone: bool) -> str:
    """The people in photos as text.

    Args:
        kind: ``json``, ``coco`` or ``csv``.
        found: for each photo its people, or its name and an error message.
        model: the model's name.
        first_id: the image id of the first photo; the others follow.
        alone: write a single photo, not a list with one photo.
    """
    good = [f for f in found if len(f) == 3]
    if kind == "csv":
        return to_csv([(name, poses) for name, _, poses in good])
    if kind == "coco":
        rows = [{**row, "file_name": f[0]} for i, f in enumerate(found, first_id) if len(f) == 3 for row in to_coco(f[2], i)]
        return json.dumps(rows, ensure_ascii=False, allow_nan=False)
    lines = [
        to_jsonl(f[2], f[0], f[1], image_id=i, model=model)
        if len(f) == 3
        else json.dumps({"image": f[0], "image_id": i, "error": f[1]}, ensure_ascii=False)
        for i, f in enumerate(found, first_id)
    ]
    return lines[0] if alone else "[" + ",\n".join(lines) + "]"


def picture(kind: str, photo: UInt8[np.ndarray, "H W 3"], poses: Poses, **options: Any) -> bytes:
    """The photo with its people drawn on it, as an encoded file; `options`: see `manypose.poses.drawing.draw`."""
    out = io.BytesIO()
    Image.fromarray(draw(photo, poses, **options)).save(out, kind, **({"quality": 90} if kind != "png" else {}))
    return out.getvalue()
