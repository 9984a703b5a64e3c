"""Services for tests, in a thread or in a process of their own as users start them, and uploads for them."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import numpy as np
import uvicorn
from PIL import Image
from shared import REPOSITORY

from manypose.inference.model import Model
from manypose.io import videos
from manypose.io.sources import example_photo
from manypose.serve.app import service


def photo(side: int = 256, kind: str = "JPEG") -> bytes:
    """The astronaut as a file."""
    return as_file(np.asarray(Image.open(example_photo()).convert("RGB").resize((side, side))), kind)


def as_file(pixels: np.ndarray, kind: str = "JPEG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


def clip(path: Path, frames: int = 12, side: int = 256) -> Path:
    """A video of the astronaut, who moves to the right."""
    pixels = np.asarray(Image.open(example_photo()).convert("RGB").resize((side, side)))
    with videos.writer(path, 10) as add:
        for i in range(frames):
            add(np.roll(pixels, 2 * i, 1))
    return path


@contextmanager
def served(models: Mapping[str, Model], folder: Path, **options: Any) -> Iterator[httpx.Client]:
    """A client of a service in a thread, on models that are loaded already; `options` as of `manypose.serve.app.service`."""
    app = service(models, jobs=folder / "jobs", **options)
    config = uvicorn.Config(app, "127.0.0.1", 0, log_level="critical", access_log=False)
    socket = config.bind_socket()
    server = uvicorn.Server(config)
    thread = Thread(target=server.run, args=([socket],))
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{socket.getsockname()[1]}", timeout=60, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


def command(folder: Path, *options: str) -> list[str]:
    return [sys.executable, "-P", "-m", "manypose", "serve", "--port", "0", "--jobs", str(folder / "jobs"), *options]


@contextmanager
def running(folder: Path, *options: str) -> Iterator[tuple[httpx.Client, subprocess.Popen]]:
    """A client of a service, and its process."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY / "src")}
    with subprocess.Popen(
        command(folder, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=folder
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith("manypose: http://"):
                process.kill()
                assert process.stderr is not None
                raise AssertionError(line + process.stderr.read())
            with httpx.Client(base_url=line.split()[1], timeout=60, trust_env=False) as client:
                yield client, process
        finally:
            process.kill()
            process.communicate()
