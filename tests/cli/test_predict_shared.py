"""Line 17: the processes of torchrun share a prediction; each photo is done exactly once, also after a stop."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from threading import Barrier, Thread

import numpy as np
import pytest
from dots import Dots, photo_of

from manypose.cli.predict_into import Outcome, Team, predict_to
from manypose.inference.model import Model
from manypose.inference.turned import find_people
from manypose.io import photos as media

JOINTS = np.array([[40.0, 60.0], [110.0, 70.0], [75.0, 25.0]])


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for i in range(7):
        media.write(folder / f"{'ab'[i % 2]}/{i}.png", photo_of((100, 150), JOINTS + i))
    (folder / "a/broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    return [folder / "a", folder / "b"]


@pytest.fixture
def looked_at(monkeypatch):
    """How often each photo went through a network."""
    count: Counter[str] = Counter()

    def counting(*given):
        for result in find_people(*given):
            if result.poses is not None:
                count[Path(str(result.item.photo)).name] += 1
            yield result

    monkeypatch.setattr("manypose.cli.predict_into.find_people", counting)
    return count


def together(number: int, run: Callable[[Team], Outcome]) -> list[Outcome]:
    """The outcomes of so many processes, here threads."""
    barrier, outcomes = Barrier(number, timeout=60), {}

    def one(rank: int) -> None:
        outcomes[rank] = run(Team(rank, number, lambda: barrier.wait() and None))

    threads = [Thread(target=one, args=(rank,)) for rank in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [outcomes[rank] for rank in range(number)]


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")}


FORMATS = ("coco", "csv", "jsonl", "openpose")


def test_17_the_joined_files_are_those_of_one_process(photos, tmp_path, looked_at):
    told: list[str] = []
    alone = predict_to(photos, Model(Dots()), tmp_path / "alone", formats=FORMATS, complain=lambda line: None)
    assert set(looked_at.values()) == {1}
    looked_at.clear()
    first, *_ = together(3, lambda t: predict_to(photos, Model(Dots()), tmp_path / "out", formats=FORMATS, team=t, complain=told.append))
    assert set(looked_at.values()) == {1}
    assert len(looked_at) == 7
    assert (first.photos, first.people, first.resumed, first.failed) == (alone.photos, alone.people, 0, alone.failed)
    assert told == alone.failed
    ours, theirs = files(tmp_path / "out"), files(tmp_path / "alone")
    for name in ("poses.jsonl", "poses.csv", "coco.json"):
        assert sorted(ours.pop(name).splitlines()) == sorted(theirs.pop(name).splitlines())
    assert ours == theirs
    assert not list((tmp_path / "out").glob(".part-*"))


@pytest.mark.parametrize("number", [1, 3])
def test_17_parts_of_a_run_that_was_stopped_are_not_done_again(photos, tmp_path, looked_at, number, monkeypatch):
    """The processes end before the parts are joined; any number of processes goes on."""

    class Stop(Exception):
        pass

    def stopping(team: Team) -> Outcome:
        calls = iter(range(9))

        def wait() -> None:
            team.wait()
            if next(calls) == 1:  # all have done their part
                raise Stop

        try:
            return predict_to(photos, Model(Dots()), tmp_path / "out", team=Team(team.rank, 2, wait), complain=lambda line: None)
        except Stop:
            return Outcome()

    together(2, stopping)
    assert list((tmp_path / "out").glob(".part-*"))
    outcome, *_ = together(number, lambda t: predict_to(photos, Model(Dots()), tmp_path / "out", team=t, complain=lambda line: None))
    assert set(looked_at.values()) == {1}
    assert (outcome.photos, outcome.resumed) == (7, 7)
    rows = json.loads((tmp_path / "out/coco.json").read_text())
    assert sorted(r["file_name"] for r in rows) == sorted(f"{'ab'[i % 2]}/{i}.png" for i in range(7))
    assert len(list((tmp_path / "out").glob("*_poses.jpg"))) == 7


@pytest.mark.slow
def test_17_predict_under_torchrun(photos, tmp_path):
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "manypose", "predict", *map(str, photos)]
    options = ["--model", "fast", "--out", str(tmp_path / "out"), "--no-pictures", "--device", "cpu", "--format", "jsonl"]
    done = subprocess.run([sys.executable, *command, *options], env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    lines = (tmp_path / "out/poses.jsonl").read_text().splitlines()
    assert len({json.loads(line)["image"] for line in lines}) == len(lines) == 7, done.stderr
    assert done.stdout.count("in 7 photos") == 1
