"""What models are called and where the files that come with the package lie. Needs no PyTorch."""

from pathlib import Path

from manypose.io.safetensors import read_about

__all__ = ["BUNDLED", "CHOICES", "DEFAULT", "is_file", "line_of", "published"]

BUNDLED = Path(__file__).parent / "bundled"
"""Weights and graphs that come with the package."""

DEFAULT = "mspn-mobile"
"""What `manypose.load` gives."""

CHOICES = {"default": DEFAULT, "fast": "mspn-mobile-fast"}
"""Two of the models that come with the package, by what they are good for: ``load("fast")``."""

_PUBLISHED = (".pth", ".pt", ".tar", ".bin")


def line_of(source: str | Path | None) -> str:
    """The line of the table of models that `manypose.load` takes `source` for; empty for a file that does not say."""
    if source is None or not is_file(source):
        return DEFAULT if source is None else CHOICES.get(str(source), str(source))
    return "" if published(Path(source)) else str(read_about(source).get("model", ""))


def is_file(source: str | Path) -> bool:
    """Whether a model is given as a file of weights, not by name."""
    return isinstance(source, Path) or Path(source).suffix in (".safetensors", *_PUBLISHED)


def published(path: Path) -> bool:
    """Whether a file is named as published checkpoints are."""
    return path.suffix in _PUBLISHED
