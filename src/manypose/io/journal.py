"""What a long run has finished, so that the same call goes on where it was stopped: by Ctrl-C, a crash or a kill."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from manypose.io.files import write_text

__all__ = ["Journal"]


class Journal:
    """A hidden file beside a result file, ``.NAME.progress.jsonl``: the settings, and a JSON line for each part that is finished.

    It is made when the first part is finished, and removed when the result file is written.

    Args:
        result: the result file.
        settings: what the parts depend on, as JSON values.

    Raises:
        ValueError: an unfinished run with other settings left such a file.
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
            raise ValueError(f"{self.path}: damaged; delete it, and the run begins anew") from None
        if lines and lines[0] != self.settings:
            other = sorted(k for k in {*self.settings, *lines[0]} if self.settings.get(k) != lines[0].get(k))
            raise ValueError(
                f"{self.path}: left by a run with other settings ({', '.join(other)}) that did not finish; give the same ones to go on, or "
                "delete it"
            )
        self.done = parts
        if whole != content:
            os.truncate(self.path, len(whole))

    def add(self, key: int | str, value: Any) -> None:
        """Remember that a part is finished, with its result as a JSON value.

        Raises:
            OSError: the file cannot be written; it stays as it was.
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
        """Forget it: the result file is there."""
        self.path.unlink(missing_ok=True)
