"""Reading, listing and atomic writing of files on any fsspec file system (local paths, ``s3://``, ``gs://``, ``hdfs://`` …)."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from manypose.io.files import write_bytes

__all__ = ["Folder", "is_local", "located", "read_file"]

T = TypeVar("T")

PUT_WHOLE = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "memory"}
"""Object stores, where an upload is atomic; elsewhere a temporary file is renamed."""

TRIES = 4
"""Attempts on a remote file system, with pauses of 1, 2 and 4 s."""


def is_local(fs: Any) -> bool:
    """Whether a file system is local or mounted."""
    return "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)


def located(uri: str) -> tuple[Any, str]:
    """The fsspec file system of a path or URL, and the path in it.

    Raises:
        ValueError: the protocol is unknown, or its package is not installed.
    """
    import fsspec

    try:
        return fsspec.url_to_fs(uri)
    except (ImportError, ValueError) as e:
        raise ValueError(f"{uri}: this kind of URL cannot be read: {' '.join(str(e).split())}") from None


def read_file(uri: str) -> bytes:
    """The bytes of a file; remote reads are retried.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file cannot be read.
    """
    fs, path = located(uri)
    try:
        return _again(lambda: fs.cat_file(path), 1 if is_local(fs) else TRIES)
    except FileNotFoundError:
        raise FileNotFoundError(f"{uri}: no such file") from None
    except Exception as e:  # each file system has its own exceptions
        raise ValueError(f"{uri}: cannot be read ({' '.join(str(e).split())[:120] or type(e).__name__})") from None


def _again(call: Callable[[], T], tries: int) -> T:
    for attempt in range(tries - 1):
        try:
            return call()
        except FileNotFoundError:
            raise
        except Exception:
            time.sleep(2**attempt)
    return call()


@dataclass(frozen=True)
class Folder:
    """A local or remote folder for results; picklable.

    Args:
        uri: a path or URL.
    """

    uri: str

    @cached_property
    def _place(self) -> tuple[Any, str]:
        fs, path = located(self.uri)
        return fs, path.rstrip("/")

    def path(self, name: str) -> str:
        """A file's path in its file system."""
        return f"{self._place[1]}/{name}"

    def open(self, name: str, mode: str = "rb") -> Any:
        """An open file; on a remote file system a written file appears when it is closed."""
        fs = self._place[0]
        if "w" in mode:
            fs.makedirs(self.path(name).rpartition("/")[0], exist_ok=True)
        return fs.open(self.path(name), mode)

    def has(self, name: str) -> bool:
        """Whether the file exists."""
        return self._place[0].exists(self.path(name))

    def read(self, name: str, start: int | None = None, stop: int | None = None) -> bytes:
        """A file's bytes, or those from `start` to `stop`.

        Raises:
            FileNotFoundError: no such file.
        """
        fs = self._place[0]
        return _again(lambda: fs.cat_file(self.path(name), start, stop), 1 if is_local(fs) else TRIES)

    def write(self, name: str, data: bytes) -> None:
        """Write or replace a file atomically.

        Raises:
            OSError: the file cannot be written.
        """
        fs, path = self._place[0], self.path(name)
        if is_local(fs):
            write_bytes(path, data)
        elif PUT_WHOLE & {fs.protocol} if isinstance(fs.protocol, str) else PUT_WHOLE & set(fs.protocol):
            _again(lambda: fs.pipe_file(path, data), TRIES)
        else:
            folder, _, last = path.rpartition("/")
            fs.makedirs(folder, exist_ok=True)
            fs.pipe_file(f"{folder}/.{last}.tmp", data)
            fs.mv(f"{folder}/.{last}.tmp", path)

    def names(self, folder: str) -> dict[str, int]:
        """The files of a subfolder with their sizes in bytes; empty if it does not exist."""
        fs = self._place[0]
        fs.invalidate_cache()
        try:
            found = fs.ls(self.path(folder), detail=True)
        except FileNotFoundError:
            return {}
        return {f["name"].rstrip("/").rpartition("/")[2]: int(f.get("size") or 0) for f in found if f["type"] == "file"}

    def remove(self, name: str) -> None:
        """Remove a file or a folder if it exists."""
        if self.has(name):
            self._place[0].rm(self.path(name), recursive=True)
