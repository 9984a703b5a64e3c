"""manypose: every person in a photo or video, their 2D keypoints.

``model = manypose.load()``, then ``poses = model.predict("photo.jpg")``.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = ["Method", "Poses", "Skeleton", "load", "predict"]

if TYPE_CHECKING:
    from manypose.methods import Method
    from manypose.poses import Poses
    from manypose.predict import load, predict
    from manypose.skeleton import Skeleton

_WHERE = {"Method": "methods", "Poses": "poses", "Skeleton": "skeleton", "load": "predict", "predict": "predict"}


def __getattr__(name: str) -> Any:
    """The public names are imported when they are first used: PyTorch takes seconds, and ``manypose --help`` needs none of it."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)


class _Package(ModuleType):
    """`predict` is the function, also after Python has bound the submodule of that name here."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value.predict if name == "predict" and isinstance(value, ModuleType) else value)


sys.modules[__name__].__class__ = _Package
