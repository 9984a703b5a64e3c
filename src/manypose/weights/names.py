"""Names of models, and the folder of bundled files; without PyTorch."""

from pathlib import Path

from manypose.io.safetensors import read_about

__all__ = ["BUNDLED", "CHOICES", "DEFAULT", "is_file", "line_of", "published"]

BUNDLED = Path(__file__).parent / "bundled"
"""The folder of bundled weights and graphs."""

DEFAULT = "mspn-mobile"
"""What `manypose.load` gives."""

CHOICES = {"default": DEFAULT, "fast": "mspn-mobile-fast"}
"""Aliases of bundled models: ``load("fast")``."""

_PUBLISHED = (".pth", ".pt", ".tar", ".bin")


def line_of(source: str | Path | None) -> str:
    """The catalog name of the model that `manypose.load` loads for `source`; empty for a file without a name."""
    if source is None or not is_file(source):
        return DEFAULT if source is None else CHOICES.get(str(source), str(source))
    return "" if published(Path(source)) else str(read_about(source).get("model", ""))


def is_file(source: str | Path) -> bool:
    """Whether `source` is a weights file and not a model name."""
    return isinstance(source, Path) or Path(source).suffix in (".safetensors", *_PUBLISHED)


def published(path: Path) -> bool:
    """Whether a file has a suffix of published checkpoints."""
    return path.suffix in _PUBLISHED
