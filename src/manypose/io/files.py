"""Atomic file writing, file fingerprints, and the size check of zip archives."""

import errno
import json
import os
import stat
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_UMASK = os.umask(0o077)  # the umask can only be read by setting it
os.umask(_UMASK)

__all__ = ["MOST_UNPACKED", "atomic", "check_unpacked", "file_identity", "stamp", "write_bytes", "write_json", "write_text"]


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary file beside `path` (same suffix) that replaces `path` when the block succeeds and is removed when it fails.

    While it is written, only its owner can read it; afterwards it has the mode of the file that it replaces, or the umask's.

    Raises:
        OSError: the file cannot be written (full disk, no permission, a folder of that name); the message names `path`.
    """
    path = Path(path)
    # /dev/stdout and pipes are written to, not replaced; of a symbolic link the target is replaced.
    device = path.absolute().parts[1:2] == ("dev",) or (path.exists() and not path.is_file() and not path.is_dir())
    path = path.resolve() if path.is_symlink() and not device else path
    temporary = path if device else path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not device:
            _remove(temporary)
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))  # private; O_EXCL does not follow a planted link
        yield temporary
        if not device:
            os.chmod(temporary, stat.S_IMODE(path.stat().st_mode) if path.is_file() else 0o666 & ~_UMASK)
            os.replace(temporary, path)
    except OSError as e:
        # Errors without errno, or about another file (a photo that cannot be read), pass through unchanged.
        if e.errno is None or (e.filename and Path(e.filename) not in (path, temporary, *path.parents)):
            raise
        raise OSError(e.errno or errno.EIO, f"cannot be written: {e.strerror or e}", str(path)) from None
    finally:
        if not device:
            _remove(temporary)


def _remove(path: Path) -> None:
    with suppress(OSError):  # the folder does not exist or is not writable: then the file does not exist either
        path.unlink(missing_ok=True)


def write_bytes(path: str | Path, data: bytes) -> Path:
    """Write a file atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(data)
    return Path(path)


def write_text(path: str | Path, text: str) -> Path:
    """Write a UTF-8 text file atomically."""
    return write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any) -> Path:
    """Write indented JSON atomically.

    Raises:
        ValueError: a number is not finite.
    """
    return write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def stamp(path: Path) -> list[int]:
    """A file's size and modification time; zeros if it cannot be accessed."""
    try:
        about = path.stat()
    except OSError:
        return [0, 0]
    return [about.st_size, about.st_mtime_ns]


def file_identity(name: str | Path | None) -> Any:
    """The identity of a file in the settings of a run: its name, size and modification time."""
    return None if name is None else [str(name), *(stamp(Path(name)) if Path(name).is_file() else [])]


MOST_UNPACKED = 64
"""Largest ratio of unpacked to packed size of a zip archive (.npz, .pth) of more than 64 MiB unpacked, and of an HDF5 file."""


def check_unpacked(path: str | Path) -> None:
    """Refuse a zip archive that unpacks to far more than its size; other files pass.

    Raises:
        ValueError: by its directory, the archive unpacks to more than `MOST_UNPACKED` times its size.
        OSError, zipfile.BadZipFile: the archive cannot be read.
    """
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except (NotImplementedError, ValueError, struct.error) as e:  # later versions, undecodable names, truncated fields
        raise zipfile.BadZipFile(str(e)) from None
    if size > max(MOST_UNPACKED * os.path.getsize(path), 64 * 2**20):
        raise ValueError(f"{path}: unpacks to {size / 1e6:,.0f} MB, more than {MOST_UNPACKED} times its size; not read")
