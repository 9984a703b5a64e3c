"""The progress file of a long run, with which the same command continues after Ctrl-C, a crash or a kill."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from manypose.io.files import write_text

__all__ = ["Journal"]


class Journal:
    """The hidden file ``.NAME.progress.jsonl`` beside a result file: the settings, then a JSON line for each finished part.

    It is created when the first part is finished and removed when the result file is written.

    Args:
        result: the result file.
        settings: everything that the parts depend on, as JSON values.

    Raises:
        ValueError: the file is damaged or was left by a run with other settings.
    """

    def __init__(self, result: Path, settings: Mapping[str, Any]) -> None:
        self.path = result.with_name(f".{result.name}.progress.jsonl")
        self.settings = json.loads(json.dumps(settings))
        content = self.path.read_bytes() if self.path.is_file() else b""
        whole = content[: content.rfind(b"\n") + 1]  # a kill may have cut the last line
        try:
            lines = [json.loads(line) for line in whole.splitlines()]
            parts: dict[Any, Any] = {key: value for key, value in lines[1:]}
        except (TypeError, ValueError, RecursionError):
            raise ValueError(f"{self.path}: damaged; delete it to start the run again") from None
        if lines and lines[0] != self.settings:
            other = sorted(k for k in {*self.settings, *lines[0]} if self.settings.get(k) != lines[0].get(k))
            raise ValueError(
                f"{self.path}: left by an unfinished run with other settings ({', '.join(other)}); give the same ones to continue, or "
                "delete it"
            )
        self.done = parts
        if whole != content:
            os.truncate(self.path, len(whole))

    def add(self, key: int | str, value: Any) -> None:
        """Record a finished part and its result (a JSON value).

        Raises:
            OSError: the file cannot be written; it is left unchanged.
        """
        if not self.path.exists():
            write_text(self.path, json.dumps(self.settings) + "\n")
        before = self.path.stat().st_size
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps([key, value]) + "\n")
        except OSError as e:
            os.truncate(self.path, before)
            raise OSError(e.errno, f"cannot be written: {e.strerror or e}", str(self.path)) from None
        self.done[key] = value

    def remove(self) -> None:
        """Remove the progress file."""
        self.path.unlink(missing_ok=True)
