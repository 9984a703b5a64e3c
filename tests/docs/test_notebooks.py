"""The notebooks run from top to bottom, as they are."""

import os

import pytest
from shared import REPOSITORY

nbformat = pytest.importorskip("nbformat", reason="nbclient is not installed; it comes with the extra 'dev'")
from nbclient import NotebookClient  # noqa: E402

NOTEBOOKS = sorted((REPOSITORY / "examples/notebooks").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPOSITORY / "src"), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells), "outputs are not kept in the repository"
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    assert sum(cell.cell_type == "code" for cell in notebook.cells) >= 5


def test_there_are_three():
    assert len(NOTEBOOKS) >= 3
