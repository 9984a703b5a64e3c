"""People assembled from stored maps, against the true people: better than what the authors' program made of the same maps."""

import numpy as np
import pytest
import simple_pose_cases as cases
from shared import parity_files

PATHS = parity_files("simple_pose_prn", "decode/case_*.npz")


@pytest.fixture(scope="module")
def rows() -> dict:
    return {path.stem: cases.row(path) for path in (p.values[0] for p in PATHS if p.values[0] is not None)}


@pytest.mark.parametrize("path", PATHS)
def test_every_picture_is_read_better_than_by_the_authors(path, rows):
    row = rows[path.stem]
    assert row.ap >= row.their_ap
    assert row.false <= row.their_false


def test_together(rows):
    """On the mean and on the degraded pictures; a tenth more people than there are, where the authors' program gives half as many more."""
    if not rows:
        pytest.skip("no stored maps: they lie in the folder that MANYPOSE_SHARED names")
    every = list(rows.values())
    for chosen in (every, [r for r in every if r.degraded], [r for r in every if not r.degraded]):
        if chosen:
            assert np.mean([r.ap for r in chosen]) >= max(0.9, np.mean([r.their_ap for r in chosen]))
            assert sum(r.false for r in chosen) <= 0.5 * sum(r.their_false for r in chosen)
            assert sum(r.people_out for r in chosen) <= 1.25 * sum(r.people for r in chosen)
    text = cases.table(every)
    assert all(name in text for name in (*rows, "degraded", "all"))


def test_a_folder_without_pictures_is_told(tmp_path, capsys):
    with pytest.raises(SystemExit):
        cases.main(["--cases", str(tmp_path)])
    assert f"{tmp_path}: no case_*.npz" in capsys.readouterr().err
