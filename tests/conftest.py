"""Shape and type annotations of the whole package are checked while tests run (jaxtyping + beartype)."""

import importlib.util
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from jaxtyping import install_import_hook

install_import_hook("manypose", "checker.typed")

import jaxtyping  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import settings  # noqa: E402
from prn_crowd import crowd  # noqa: E402
from shared import REPOSITORY  # noqa: E402

torch.set_num_threads(1)

# The same examples in every run, fewer in the daily suite; MANYPOSE_EXAMPLES=1000 searches further, with new ones each time.
_more = os.environ.get("MANYPOSE_EXAMPLES")
for _profile, _examples in (("whole", 40), ("daily", 10)):
    settings.register_profile(_profile, deadline=None, max_examples=int(_more or _examples), derandomize=_more is None, print_blob=True)


def pytest_configure(config: pytest.Config) -> None:
    """Choose the number of examples of property tests by the marks that are asked for."""
    settings.load_profile("daily" if "not slow" in config.option.markexpr else "whole")


@pytest.fixture
def untyped():
    """Without the type checker, as users run: errors are those that they see."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def archive(tmp_path_factory):
    """An annotation archive of made-up people, to train and measure a PRN on."""
    path = tmp_path_factory.mktemp("annotations") / "people.npz"
    np.savez(path, **crowd())
    return path


@pytest.fixture(scope="session")
def people(archive):
    """The people of `archive`."""
    from manypose.methods.multiposenet.prn_data import read_people

    return read_people(archive)


@pytest.fixture(scope="session")
def own_data():
    """Writes the data set of docs/own-data.md into a folder: ``own_data(folder)``."""
    spec = importlib.util.spec_from_file_location("own_data", REPOSITORY / "examples/own_data.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


SLOW = ("benchmarks/", "docs/test_site", "export/", "parity/", "tools/", "test_configs", "test_examples", "test_bad_inputs")
"""What the daily suite leaves out (``-m "not slow"``), beside tests that are marked themselves."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the folder or file in which they lie."""
    for item in items:
        place = item.path.relative_to(item.config.rootpath / "tests").as_posix()
        if place.startswith(SLOW):
            item.add_marker(pytest.mark.slow)
        if place.startswith("parity/"):
            item.add_marker(pytest.mark.parity)
