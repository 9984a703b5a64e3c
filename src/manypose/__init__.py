"""manypose: every person in a photo or video, their 2D keypoints.

``model = manypose.load()``, then ``poses = model.predict("photo.jpg")``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = ["Method", "Poses", "Skeleton", "load", "predict"]

if TYPE_CHECKING:
    from manypose.inference.model import load, predict
    from manypose.methods.method import Method
    from manypose.poses.poses import Poses
    from manypose.poses.skeleton import Skeleton

    __version__: str

_PLACES = {
    "Method": "methods.method",
    "Poses": "poses.poses",
    "Skeleton": "poses.skeleton",
    "load": "inference.model",
    "predict": "inference.model",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: PyTorch takes seconds, and ``manypose --help`` needs none of it."""
    if name == "__version__":
        from importlib.metadata import version

        return version("manypose")
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
