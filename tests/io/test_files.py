"""Files are written whole or not at all."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from shared import REPOSITORY

from manypose.io.files import atomic, write_bytes, write_json, write_text


def test_a_file_is_replaced_whole(tmp_path: Path):
    path = tmp_path / "deep" / "a.txt"
    write_text(path, "first")
    write_text(path, "второй")
    assert path.read_text(encoding="utf-8") == "второй"
    assert os.listdir(path.parent) == ["a.txt"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    path = write_text(tmp_path / "a.txt", "old")
    with pytest.raises(KeyError), atomic(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise KeyError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_link_stays_a_link(tmp_path: Path):
    target = write_text(tmp_path / "target.txt", "old")
    link = tmp_path / "link.txt"
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full and fifos")
def test_devices_are_written_to_and_stay(tmp_path: Path):
    with pytest.raises(OSError, match="No space left") as e:
        write_text("/dev/full", "text")
    assert e.value.filename == "/dev/full"
    assert Path("/dev/full").is_char_device()
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    write_bytes(fifo, b"through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert fifo.is_fifo()


@pytest.mark.parametrize("where", ["is a folder", "file/below", "nul\0byte"])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, where: str):
    (tmp_path / "is a folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises((OSError, ValueError)):
        write_text(tmp_path / where, "text")
    assert sorted(os.listdir(tmp_path)) == ["file", "is a folder"]


def test_json(tmp_path: Path):
    path = write_json(tmp_path / "a.json", {"é": [1.5, None]})
    assert json.loads(path.read_text(encoding="utf-8")) == {"é": [1.5, None]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, float("nan"))
    assert json.loads(path.read_text(encoding="utf-8")) == {"é": [1.5, None]}


def test_io_imports_no_torch():
    """The light install reads photos and files without PyTorch; tensors are recognised once their owner has imported it."""
    names = sorted(p.stem for p in (REPOSITORY / "src/manypose/io").glob("[a-z]*.py"))
    code = f"import sys\nfor n in {names}: __import__('manypose.io.' + n)\nsys.exit('torch' in sys.modules)"
    assert "photos" in names
    assert subprocess.run([sys.executable, "-c", code], env=os.environ).returncode == 0


def test_results_are_readable_by_the_umask_and_private_while_they_are_written(tmp_path):
    """Also where the writer makes a file of its own with mode 0600, as safetensors does."""
    path = tmp_path / "a.bin"
    with atomic(path) as temporary:
        assert temporary.stat().st_mode & 0o777 == 0o600
        temporary.unlink()
        os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))
    plain = tmp_path / "plain"
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode
    path.chmod(0o640)
    write_bytes(path, b"1")
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_link_that_was_planted_as_the_temporary_file_is_not_followed(tmp_path):
    kept = tmp_path / "kept"
    kept.write_text("kept")
    (tmp_path / f".a.{os.getpid()}.tmp.txt").symlink_to(kept)
    write_text(tmp_path / "a.txt", "new")
    assert kept.read_text() == "kept"
    assert (tmp_path / "a.txt").read_text() == "new"
