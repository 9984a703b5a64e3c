"""The settings of a training: stored in its checkpoints and compared when it is resumed."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import numpy as np

from manypose.data.loading import Loader, Mixture, People

__all__ = ["Facts", "describe", "described_data"]

LOOKED_AT = 8
"""Number of samples of a source that identify it."""


@dataclass(frozen=True)
class Facts:
    """The settings of a training; JSON values.

    Args:
        fixed: settings that must be equal on resume (model, skeleton, data, total batch).
        free: settings that may change on resume, which is printed (learning rate, weight decay, length).
    """

    fixed: Mapping[str, Any]
    free: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The value stored in a checkpoint."""
        return json.loads(json.dumps({"fixed": self.fixed, "free": self.free}))

    def check(self, stored: Mapping[str, Any], place: str) -> list[str]:
        """Messages about free settings that differ from those of a checkpoint.

        Raises:
            ValueError: fixed settings differ; the message lists them.
        """
        own = self.to_json()
        wrong = _differences(stored.get("fixed", {}), own["fixed"])
        if wrong:
            said = "; ".join(f"{name} was {before}, is now {now}" for name, before, now in wrong)
            raise ValueError(
                f"{place}: belongs to another training: {said}; give another output folder, or the settings that it was begun with"
            )
        return [f"{name} was {before}, is {now} from here on" for name, before, now in _differences(stored.get("free", {}), own["free"])]


def describe(value: Any) -> Any:
    """An object of a config as JSON: a dataclass by its fields, other objects by name."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(k): describe(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [describe(v) for v in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if is_dataclass(value) and not isinstance(value, type):
        return {"class": type(value).__name__, **{k: describe(v) for k, v in asdict(value).items()}}
    return getattr(value, "__qualname__", type(value).__name__)


def described_data(data: Loader) -> dict[str, Any]:
    """The order of a loader, and its sources by number and content of samples (not by path, so that data may be moved)."""
    mixture = data.dataset
    assert isinstance(mixture, Mixture)
    sources = [{"samples": len(s.dataset), "weight": s.weight, "mosaic": s.mosaic, "content": _digest(s.dataset)} for s in mixture.sources]
    return {"sources": sources, "batch": data.batch_size, "length": len(data.sampler), "seed": mixture.seed}


def _digest(people: People) -> str:
    """A hash of some of the annotations and pixels of a data set."""
    found = hashlib.sha256()
    for i in np.unique(np.linspace(0, len(people) - 1, LOOKED_AT).round().astype(int)):
        sample = people[int(i)]
        for part in (sample.image, sample.keypoints, sample.boxes):
            found.update(str(part.shape).encode() + np.ascontiguousarray(part).tobytes())
        found.update(" ".join(sample.skeleton.joints).encode())
    return found.hexdigest()[:16]


def _differences(before: Any, now: Any, name: str = "") -> list[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(now, dict):
        keys = list(dict.fromkeys([*before, *now]))
        return [d for k in keys for d in _differences(before.get(k), now.get(k), f"{name}.{k}" if name else k)]
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        return [d for i, (b, n) in enumerate(zip(before, now, strict=True)) for d in _differences(b, n, f"{name}[{i}]")]
    return [] if before == now else [(name, before, now)]
