"""One service for the tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

pytest.importorskip("fastapi", reason="the service needs the extra 'serve'")

from serve.running import served

import manypose
from manypose.inference.model import Model
from manypose.serve.guard import LOOPBACK
from manypose.serve.limits import Limits


@pytest.fixture(scope="session")
def model() -> Model:
    return manypose.load("fast")


@pytest.fixture(scope="session")
def client(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a service of two models, which is the same for all tests."""
    folder: Path = tmp_path_factory.mktemp("service")
    models = {"fast": model, "other": manypose.load("default")}
    with served(models, folder, hosts=LOOPBACK, url_hosts=["127.0.0.1:8"], limits=Limits(max_megabytes=2)) as client:
        yield client
