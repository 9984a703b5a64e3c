import json
import resource

import pytest

from manypose.io.journal import Journal


def test_what_was_added_is_there_again_and_nothing_before_the_first_part(tmp_path):
    journal = Journal(tmp_path / "a.json", {"flip": True})
    assert not list(tmp_path.iterdir())
    journal.add(3, {"x": [0.1]})
    journal.add("b", None)
    again = Journal(tmp_path / "a.json", {"flip": True})
    assert again.done == {3: {"x": [0.1]}, "b": None}
    again.remove()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_line_that_a_kill_cut_off_is_forgotten(tmp_path, cut):
    journal = Journal(tmp_path / "a.json", {})
    journal.add(1, "first")
    journal.add(2, "second")
    journal.path.write_bytes(journal.path.read_bytes()[:-cut])
    again = Journal(tmp_path / "a.json", {})
    assert again.done == {1: "first"}
    again.add(2, "anew")
    assert Journal(tmp_path / "a.json", {}).done == {1: "first", 2: "anew"}


def test_other_settings_are_refused_by_name(tmp_path):
    Journal(tmp_path / "a.json", {"flip": True, "size": 3}).add(1, 1)
    with pytest.raises(ValueError, match=r"\.a\.json\.progress\.jsonl: left by an unfinished run with other settings \(flip\)"):
        Journal(tmp_path / "a.json", {"flip": False, "size": 3})


def test_a_full_disk_leaves_what_was_there(tmp_path):
    journal = Journal(tmp_path / "a.json", {})
    journal.add(1, "first")
    before = journal.path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, hard))
    try:
        with pytest.raises(OSError, match="cannot be written"):
            journal.add(2, "x" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert journal.path.read_bytes() == before
    assert 2 not in journal.done
    assert json.loads(before.splitlines()[1]) == [1, "first"]
