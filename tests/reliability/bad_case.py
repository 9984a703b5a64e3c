"""A kind of bad input: what is given, and what must be said of it."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Case", "each", "lay"]

Content = Any
"""Of a file: bytes, a text, a JSON value, or what writes it, given its path."""


@dataclass(frozen=True)
class Case:
    """One bad input.

    Args:
        name: unlike all others.
        line: the command line; ``{at}`` is a folder of its own, ``{good}`` the folder of whole files that all cases share.
        call: or a call of the public interface, given both folders.
        files: of its own folder, by name.
        says: words that the one line of the error must have: the file, and where it helps, the cure.
        leaves: files that may be new afterwards.
        disk: bytes that a file may grow to, as on a full disk.
        said: how it may end: with an error, or with exit code 0 after the words of `says` (a mistake that is told and passed over).
        seconds, megabytes: limits beside those of the whole suite.
    """

    name: str
    line: str = ""
    call: Callable[[Path, Path], object] | None = None
    files: Mapping[str, Content] = field(default_factory=dict)
    says: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    disk: int | None = None
    said: bool = False
    seconds: float = 8.0
    megabytes: float = 250.0


def each(verb: str, kinds: Mapping[str, tuple], make: Callable[..., dict[str, Any]]) -> Iterable[Case]:
    """A case for each of a table's kinds."""
    return (Case(f"{verb}: {kind}", **make(*row)) for kind, row in kinds.items())


def lay(folder: Path, files: Mapping[str, Content]) -> None:
    """Write files into a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(path)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
